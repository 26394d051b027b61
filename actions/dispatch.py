"""dispatch: the only place where an action meets a machine, and so the only place for a guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actions.errors import InvalidActionError
from actions.screen import Screen
from actions.surface import Surface
from actions.types import CONTROL_ACTIONS

GuardFn = Callable[[Any, Screen], None]  # raises Denied to refuse


def validate(action: Any, surface: Surface, screen: Screen) -> None:
    """Raise BadCall when the surface lacks the verb or a point lies outside the screen that the model saw."""
    verbs = surface.verbs()
    if action.verb in CONTROL_ACTIONS:
        raise InvalidActionError(
            f"'{action.verb}' is for the person, not for the {surface.name} surface; the loop answers it"
        )
    if action.verb not in verbs:
        raise InvalidActionError(
            f"the {surface.name} surface cannot '{action.verb}'; it can {', '.join(sorted(verbs))}"
        )
    for point in action.points():
        screen.check_point(*point)


def dispatch(action: Any, surface: Surface, screen: Screen, guard: GuardFn | None = None) -> str:
    """Check the action against the screen it was meant for, ask the guard, and perform it.

    Returns what the machine said beyond its pixels, "" if nothing.
    Raises BadCall (nothing was done), Denied (the guard refused, nothing was done) or SurfaceError.
    """
    validate(action, surface, screen)
    if guard is not None:
        guard(action, screen)
    return surface.perform(action)
