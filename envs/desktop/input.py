"""Actions carried out through a platform's pointer and keyboard, in pointer coordinates."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from actions import Action, Click, Drag, InvalidActionError, LongPress, Move, Point, PressKeys, Scroll, TypeText, Wait

VERBS = frozenset({"click", "move", "drag", "scroll", "long_press", "type", "press", "wait"})
DRAG_STEPS = 8  # pointer moves between two points of a drag
STEP_S = 0.008
CHORD_KEYS = ("ctrl", "alt", "meta")

NativePoint = tuple[int, int]  # pointer coordinates


class ActionInterruptedError(Exception):
    """An action stopped halfway for a reason that is no device failure, such as a change of focus."""


class InputController(Protocol):
    """The pointer and keyboard of one platform. Each call has taken effect when it returns."""

    def move(self, x: int, y: int) -> None:
        """Move the pointer."""
        ...

    def pointer(self) -> NativePoint:
        """Return the pointer's position, whoever moved it."""
        ...

    def button(self, name: str, down: bool) -> None:
        """Press or release "left", "middle" or "right", as the user's settings define them."""
        ...

    def wheel(self, down: int, right: int) -> None:
        """Turn the wheel by notches; negative for up and left."""
        ...

    def check_keys(self, keys: Sequence[str]) -> None:
        """Raise InvalidActionError if these keys cannot be pressed together; press nothing."""
        ...

    def chord(self, keys: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        """Hold normalized keys for the duration of the block."""
        ...

    def type(self, text: str) -> None:
        """Type exactly this text into the focused window.

        Raises:
            InvalidActionError: if the text has a character that cannot be typed; nothing was typed then.
            ActionInterruptedError: if another window got the focus meanwhile, where the platform can tell.
        """
        ...

    def release_all(self) -> None:
        """Release the keys and buttons that an interrupted action left pressed."""
        ...


def duration_s(action: Action) -> float:
    """Return the seconds that an action takes by itself, for the time limit of the call that performs it."""
    if isinstance(action, LongPress | Wait):
        return action.seconds
    if isinstance(action, TypeText):
        return 0.1 * len(action.text) + 0.5 * action.text.count("\n")
    if isinstance(action, Drag):
        return 4 * DRAG_STEPS * STEP_S * len(action.path)
    return 0.0


def lowercase_chord(action: PressKeys) -> tuple[str, ...]:
    """Return the keys of an action, letters in lower case in shortcuts: ctrl+A would hold shift too."""
    if any(key in CHORD_KEYS for key in action.keys) and "shift" not in action.keys:
        return tuple(key.lower() if len(key) == 1 and len(key.lower()) == 1 else key for key in action.keys)
    return action.keys


def perform(controller: InputController, action: Action, to_native: Callable[[Point], NativePoint]) -> None:
    """Carry out one pointer or keyboard action; pressed keys and buttons are released even on an error.

    Args:
        controller: the platform's input.
        action: the action, its points in Screen pixels.
        to_native: converts a Screen pixel to pointer coordinates.

    Raises:
        InvalidActionError: if the action is not supported; nothing was done then.
    """
    match action:
        case Click():
            controller.check_keys(action.modifiers)
            with controller.chord(tuple(dict.fromkeys(action.modifiers))):
                controller.move(*to_native(action.points()[0]))
                for _ in range(action.count):
                    with _pressed(controller, action.button):
                        pass
        case Move():
            controller.move(*to_native(action.points()[0]))
        case LongPress():
            controller.move(*to_native(action.points()[0]))
            with _pressed(controller, "left"):
                time.sleep(action.seconds)
        case Drag():
            controller.check_keys(action.modifiers)
            path = [to_native(point) for point in action.path]
            with controller.chord(tuple(dict.fromkeys(action.modifiers))):
                _drag(controller, path if len(path) > 1 else [controller.pointer(), *path])
        case Scroll():
            for point in action.points():
                controller.move(*to_native(point))
            controller.wheel(action.down, action.right)
        case TypeText():
            controller.type(action.text)
        case PressKeys():
            keys = lowercase_chord(action)
            controller.check_keys(keys)
            with controller.chord(keys):
                pass
        case _:
            raise InvalidActionError(f"the desktop surface cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")


@contextlib.contextmanager
def _pressed(controller: InputController, button: str) -> Iterator[None]:
    try:
        controller.button(button, True)
        yield
    finally:
        controller.button(button, False)


def _drag(controller: InputController, path: Sequence[NativePoint]) -> None:
    controller.move(*path[0])
    with _pressed(controller, "left"):
        for (from_x, from_y), (to_x, to_y) in itertools.pairwise(path):
            for step in range(1, DRAG_STEPS + 1):
                time.sleep(STEP_S)
                controller.move(
                    from_x + round((to_x - from_x) * step / DRAG_STEPS),
                    from_y + round((to_y - from_y) * step / DRAG_STEPS),
                )
        time.sleep(STEP_S)  # programs must see the last move before the release
