"""Verbs in terms of a pointer and keys. Knows no platform: each one brings its Hands, and no Screen: points are native.

A hand is let go whatever happens: what was pressed is released in reverse, also when the machine fails in between.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from actions import Click, Drag, InvalidActionError, LongPress, Move, Point, PressKeys, Scroll, TypeText

VERBS = frozenset({"click", "move", "drag", "scroll", "long_press", "type", "press", "wait"})
DRAG_STEPS = 8  # moves between two points: programs follow a pointer, they do not guess
STEP_S = 0.008
CHORD_KEYS = ("ctrl", "alt", "meta")

NativePoint = tuple[int, int]


class ActionInterruptedError(Exception):
    """An action broke off for a reason that is no failure of the machine, told in words; the rest was not done."""


class InputController(Protocol):
    """A pointer and a keyboard. Points are the pointer's own. Each call is done when it returns."""

    def move(self, x: int, y: int) -> None: ...

    def pointer(self) -> NativePoint:
        """Where it is now, whoever moved it."""
        ...

    def button(self, name: str, down: bool) -> None:
        """left, middle or right; as the person's settings have them."""
        ...

    def wheel(self, down: int, right: int) -> None:
        """Notches; negative for up and left."""
        ...

    def check(self, keys: Sequence[str]) -> None:
        """BadCall when these keys cannot be pressed together here. Presses nothing."""
        ...

    def chord(self, keys: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        """Canonical keys held for the time of the block."""
        ...

    def type(self, text: str) -> None:
        """Exactly this text where the focus is. BadCall, with nothing typed, for what no keyboard can say.

        Unfinished where another window got the focus meanwhile, as far as the platform can tell.
        """
        ...


def own_time_s(action: Any) -> float:
    """Seconds that an action takes by itself: a bound on a call must leave room for them."""
    if isinstance(action, LongPress):
        return action.seconds
    if isinstance(action, TypeText):
        return 0.1 * len(action.text) + 0.5 * action.text.count("\n")
    if isinstance(action, Drag):
        return 4 * DRAG_STEPS * STEP_S * len(action.path)
    return 0.0


def plain_keys(action: PressKeys) -> tuple[str, ...]:
    """ctrl+A is the a key: with a capital, programs would see shift too."""
    if any(key in CHORD_KEYS for key in action.keys) and "shift" not in action.keys:
        return tuple(key.lower() if len(key) == 1 and len(key.lower()) == 1 else key for key in action.keys)
    return action.keys


def act(hands: InputController, action: Any, native: Callable[[Point], NativePoint]) -> None:
    """Carry out one pointer or key verb. Raises BadCall, with nothing done, and whatever the machine raises."""
    match action:
        case Click():
            hands.check(action.modifiers)
            with hands.chord(tuple(dict.fromkeys(action.modifiers))):
                hands.move(*native(action.points()[0]))
                for _ in range(action.count):
                    with _pressed(hands, action.button):
                        pass
        case Move():
            hands.move(*native(action.points()[0]))
        case LongPress():
            hands.move(*native(action.points()[0]))
            with _pressed(hands, "left"):
                time.sleep(action.seconds)
        case Drag():
            hands.check(action.modifiers)
            path = [native(point) for point in action.path]
            with hands.chord(tuple(dict.fromkeys(action.modifiers))):
                _drag(hands, path if len(path) > 1 else [hands.pointer(), *path])
        case Scroll():
            for point in action.points():
                hands.move(*native(point))
            hands.wheel(action.down, action.right)
        case TypeText():
            hands.type(action.text)
        case PressKeys():
            keys = plain_keys(action)
            hands.check(keys)
            with hands.chord(keys):
                pass
        case _:
            raise InvalidActionError(f"the desktop surface cannot '{action.verb}'; it can {', '.join(sorted(VERBS))}")


@contextlib.contextmanager
def _pressed(hands: InputController, button: str) -> Iterator[None]:
    try:
        hands.button(button, True)
        yield
    finally:
        hands.button(button, False)


def _drag(hands: InputController, path: Sequence[NativePoint]) -> None:
    hands.move(*path[0])
    with _pressed(hands, "left"):
        for (from_x, from_y), (to_x, to_y) in itertools.pairwise(path):
            for step in range(1, DRAG_STEPS + 1):
                time.sleep(STEP_S)
                hands.move(
                    from_x + round((to_x - from_x) * step / DRAG_STEPS),
                    from_y + round((to_y - from_y) * step / DRAG_STEPS),
                )
        time.sleep(STEP_S)  # the last move is seen as a move, and not as part of letting go
