"""Carry out an action on a surface: the only path from an action to a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actions.errors import Error, InvalidActionError, SurfaceError
from actions.screen import Screen
from actions.surface import Surface
from actions.types import CONTROL_ACTIONS, Action


@dataclass(frozen=True)
class Replacement:
    """An action that is performed in the place of the proposed one: a person's, or one with a secret in it.

    Args:
        action: The action to perform.
        notice: What the model reads about it; "" for nothing.
        hide: Removes what nobody may read from the notices and errors of the surface; None where there is no such text.
    """

    action: Action
    notice: str
    hide: Callable[[str], str] | None = None


GuardFn = Callable[[Action, Screen], Replacement | None]  # raises ActionDeniedError to deny


def validate(action: Action, surface: Surface, screen: Screen) -> None:
    """Raise InvalidActionError when the surface lacks the verb or a point lies outside the screen."""
    verbs = surface.verbs()
    if action.verb in CONTROL_ACTIONS:
        raise InvalidActionError(f"'{action.verb}' is handled by the loop, not by the {surface.name} surface")
    if action.verb not in verbs:
        raise InvalidActionError(
            f"the {surface.name} surface cannot '{action.verb}'; it can {', '.join(sorted(verbs))}"
        )
    for point in action.points():
        screen.check_point(*point)


def dispatch(action: Action, surface: Surface, screen: Screen, guard: GuardFn | None = None) -> str:
    """Validate the action against the screen it was meant for, call the guard, and perform it.

    Returns:
        The surface's notice of what its pixels may not show (a dialog, a new tab), "" if there is none; with the
        guard's, where a person had another action done.

    Raises:
        InvalidActionError: the action does not fit the surface or the screen; nothing was done.
        ActionDeniedError: the guard denied the action; nothing was done.
        SurfaceError: the machine failed; part of the action may have been done.
    """
    validate(action, surface, screen)
    replacement = guard(action, screen) if guard is not None else None
    if replacement is None:
        return surface.perform(action)
    validate(replacement.action, surface, screen)
    notice = _perform_hidden(replacement.action, surface, replacement.hide)
    return "; ".join(filter(None, (replacement.notice, notice)))


def _perform_hidden(action: Action, surface: Surface, hide: Callable[[str], str] | None) -> str:
    """Perform an action; return the notice, or raise the error, without the texts that `hide` removes."""
    if hide is None:
        return surface.perform(action)
    try:
        return hide(surface.perform(action))
    except Error as error:
        raise type(error)(hide(str(error))) from None
    except Exception as error:  # a traceback would quote the message
        raise SurfaceError(hide(f"'{action.verb}' failed: {type(error).__name__}: {error}")) from None
