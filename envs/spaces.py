"""Gymnasium spaces over the pixels of a Screen and over Actions. Knows no machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np

from actions import ACTION_ADAPTER, ACTION_TYPES, CONTROL_ACTIONS, UsageError, make_action, parse_action
from actions.keys import KEYS
from actions.types import BaseAction

SAMPLE_TEXT = "abc xyz 0189 .,-@ äöñ 漢字"
SAMPLE_KEYS = ("enter", "tab", "escape", "up", "down", "pageup", "pagedown", "a", "z")
SAMPLE_PAGE = "about:blank"
SAMPLE_SECONDS = 0.05
MAX_PATH = 4
MAX_NOTCHES = 5


def screen_space(width: int, height: int) -> gymnasium.spaces.Box:
    """uint8 [height, width, 3], RGB."""
    return gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)


class ActionSpace(gymnasium.Space[Any]):
    """The Actions of some verbs whose points lie on a screen of width x height pixels.

    sample() draws from the verbs that a machine performs: random pixels, short texts and waits, harmless addresses.
    contains() also takes the verbs that are for the person (answer, ask, done).
    """

    def __init__(
        self, width: int, height: int, verbs: Iterable[str] = frozenset(ACTION_TYPES), seed: int | None = None
    ) -> None:
        self.width, self.height = width, height
        self.verbs = frozenset(verbs) - CONTROL_ACTIONS
        unknown = sorted(self.verbs - frozenset(ACTION_TYPES))
        if unknown or not self.verbs:
            raise UsageError(
                f"an action space needs verbs out of {', '.join(sorted(ACTION_TYPES))}; got {unknown or 'none'}"
            )
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> Any:
        """A valid Action. mask: the verbs to draw from; probability is not supported."""
        if probability is not None:
            raise UsageError("an action space draws its verbs evenly; give mask=a set of verbs instead of probability")
        verbs = sorted(self.verbs if mask is None else self.verbs & frozenset(mask))
        if not verbs:
            raise UsageError(f"the mask leaves no verb; this space has {', '.join(sorted(self.verbs))}")
        verb = verbs[self._below(len(verbs))]
        return make_action(verb, **self._fields(verb))

    def _below(self, bound: int) -> int:
        return int(self.np_random.integers(bound))

    def _point(self) -> tuple[int, int]:
        return self._below(self.width), self._below(self.height)

    def _fields(self, verb: str) -> dict[str, Any]:
        x, y = self._point()
        if verb == "click":
            button = ("left", "right", "middle")[self._below(3)]
            return {"x": x, "y": y, "button": button, "count": 1 + self._below(2)}
        if verb == "move":
            return {"x": x, "y": y}
        if verb == "long_press":
            return {"x": x, "y": y, "seconds": SAMPLE_SECONDS}
        if verb == "drag":
            return {"path": tuple(self._point() for _ in range(2 + self._below(MAX_PATH - 1)))}
        if verb == "scroll":
            return {"x": x, "y": y, "down": self._below(2 * MAX_NOTCHES + 1) - MAX_NOTCHES}
        if verb == "type":
            return {"text": "".join(SAMPLE_TEXT[self._below(len(SAMPLE_TEXT))] for _ in range(1 + self._below(8)))}
        if verb == "press":
            return {"keys": (SAMPLE_KEYS[self._below(len(SAMPLE_KEYS))],)}
        if verb == "open":
            return {"target": SAMPLE_PAGE}
        if verb == "wait":
            return {"seconds": SAMPLE_SECONDS}
        return {}  # back, home

    def contains(self, x: Any) -> bool:
        """Whether x is an Action of these verbs, every point of it on the screen."""
        if not isinstance(x, BaseAction) or x.verb not in self.verbs | CONTROL_ACTIONS:  # type: ignore[attr-defined]
            return False
        return all(0 <= point.x < self.width and 0 <= point.y < self.height for point in x.points())

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        """Plain data, one dictionary per Action."""
        return [ACTION_ADAPTER.dump_python(action, mode="json") for action in sample_n]

    def from_jsonable(self, sample_n: Sequence[Any]) -> list[Any]:
        """Actions from plain data; BadCall where it does not fit."""
        return [parse_action(data) for data in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActionSpace) and (self.width, self.height, self.verbs) == (
            other.width,
            other.height,
            other.verbs,
        )

    def __repr__(self) -> str:
        return f"ActionSpace({self.width}x{self.height}, {', '.join(sorted(self.verbs))})"


assert set(SAMPLE_KEYS) - set(KEYS) == {"a", "z"}
