"""Actions carried out through a platform's pointer and keyboard, in pointer coordinates."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from actions import Action, Click, Drag, InvalidActionError, LongPress, Move, Point, PressKeys, Scroll, TypeText, Wait

VERBS = frozenset({"click", "move", "drag", "scroll", "long_press", "type", "press", "wait"})
STEP_S = 0.008  # between two pointer moves of a drag
STEP_PX = 16  # of one move
MIN_DRAG_S, MAX_SEGMENT_S = 0.25, 2.0  # programs start drag and drop only after some moves and some time
DROP_S = 0.05  # at the last point before the release, for the drop target to react
DROP_MOVES = 3  # at the last point, while a program drags data
START_MOVES = 4  # of a drag, after which a program has begun it
SLOW_FACTOR, MAX_SLOW_S = 3.0, 2.0  # a slow program gets this multiple of its delay to begin a drag, and to drop
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
            ActionInterruptedError: if another window got the focus meanwhile, where the platform reports it.
        """
        ...

    def program_delay_s(self, limit_s: float) -> float:
        """Return how long the focused program takes to process the input so far, at most `limit_s`; 0.0 if unknown."""
        ...

    def is_dragging(self) -> bool:
        """Return whether a program may be dragging data to another window or element, if the platform reports it."""
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
        return 4 * MAX_SEGMENT_S * len(action.path) + 4 * MAX_SLOW_S
    return 0.0


def drag_moves(path: Sequence[NativePoint]) -> list[NativePoint]:
    """Return the pointer positions of a drag after its first point.

    Their number follows the distance, at most STEP_PX between two, and the shortest time that a drag may take.
    """
    total = sum(math.dist(start, end) for start, end in itertools.pairwise(path))
    positions: list[NativePoint] = []
    for start, end in itertools.pairwise(path):
        distance = math.dist(start, end)
        share = distance / total if total else 1.0
        count = max(distance / STEP_PX, share * MIN_DRAG_S / STEP_S, 1)
        steps = math.ceil(min(count, MAX_SEGMENT_S / STEP_S))
        (x, y), (to_x, to_y) = start, end
        for step in range(1, steps + 1):
            positions.append((x + round((to_x - x) * step / steps), y + round((to_y - y) * step / steps)))
    return positions


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
        for number, position in enumerate(drag_moves(path), 1):
            time.sleep(STEP_S)
            controller.move(*position)
            if number == START_MOVES:
                time.sleep(_extra_time_s(controller))
        if controller.is_dragging():  # a target accepts what is dragged in an answer to a move
            x, y = path[-1]
            for _ in range(DROP_MOVES):
                time.sleep(DROP_S + _extra_time_s(controller))
                controller.move(x + 1, y)
                time.sleep(STEP_S)
                controller.move(x, y)
        time.sleep(DROP_S + _extra_time_s(controller))


def _extra_time_s(controller: InputController) -> float:
    """Return what a program on a busy machine needs beyond the usual pauses of a drag."""
    return min(SLOW_FACTOR * controller.program_delay_s(MAX_SLOW_S), MAX_SLOW_S)
