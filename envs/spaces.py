"""Gymnasium spaces of screens and of actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import gymnasium
import numpy as np

from actions import ACTION_ADAPTER, ACTION_TYPES, CONTROL_ACTIONS, Action, UsageError, make_action, parse_action
from actions.keys import KEYS
from actions.types import BaseAction

SAMPLE_TEXT = "abc xyz 0189 .,-@ äöñ 漢字"
SAMPLE_KEYS = ("enter", "tab", "escape", "up", "down", "pageup", "pagedown", "a", "z")
SAMPLE_PAGE = "about:blank"
SAMPLE_SECONDS = 0.05
MAX_PATH = 4
MAX_NOTCHES = 5


def screen_space(width: int, height: int) -> gymnasium.spaces.Box:
    """Return the space of RGB screens, uint8 [height, width, 3]."""
    return gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)


class ActionSpace(gymnasium.Space[Action]):
    """The Actions of some verbs whose points lie on a screen.

    `sample()` draws from the verbs of the surface: random pixels, short texts and waits, harmless addresses. The space
    also contains the control actions (answer, ask, done).

    Args:
        width: Width of the screen, pixels.
        height: Height of the screen, pixels.
        verbs: The verbs; control actions among them are ignored.
        seed: Seed of `sample()`.
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
        """Whether samples can be flattened to an array: no."""
        return False

    def sample(self, mask: Iterable[str] | None = None, probability: object = None) -> Action:
        """Return a random valid Action.

        Args:
            mask: The verbs to draw from; None means all of the space.
            probability: Not supported; verbs are drawn uniformly.
        """
        if probability is not None:
            raise UsageError("an action space draws verbs uniformly; pass mask, a set of verbs, instead of probability")
        verbs = sorted(self.verbs if mask is None else self.verbs & frozenset(mask))
        if not verbs:
            raise UsageError(f"the mask leaves no verb; this space has {', '.join(sorted(self.verbs))}")
        verb = verbs[self._integer(len(verbs))]
        return make_action(verb, **self._fields(verb))

    def _integer(self, bound: int) -> int:
        return int(self.np_random.integers(bound))

    def _point(self) -> tuple[int, int]:
        return self._integer(self.width), self._integer(self.height)

    def _fields(self, verb: str) -> Mapping[str, object]:
        x, y = self._point()
        if verb == "click":
            button = ("left", "right", "middle")[self._integer(3)]
            return {"x": x, "y": y, "button": button, "count": 1 + self._integer(2)}
        if verb == "move":
            return {"x": x, "y": y}
        if verb == "long_press":
            return {"x": x, "y": y, "seconds": SAMPLE_SECONDS}
        if verb == "drag":
            return {"path": tuple(self._point() for _ in range(2 + self._integer(MAX_PATH - 1)))}
        if verb == "scroll":
            return {"x": x, "y": y, "down": self._integer(2 * MAX_NOTCHES + 1) - MAX_NOTCHES}
        if verb == "type":
            length = 1 + self._integer(8)
            return {"text": "".join(SAMPLE_TEXT[self._integer(len(SAMPLE_TEXT))] for _ in range(length))}
        if verb == "press":
            return {"keys": (SAMPLE_KEYS[self._integer(len(SAMPLE_KEYS))],)}
        if verb == "open":
            return {"target": SAMPLE_PAGE}
        if verb == "wait":
            return {"seconds": SAMPLE_SECONDS}
        return {}  # back, home

    def contains(self, x: object) -> bool:
        """Return whether `x` is an Action of these verbs with every point on the screen."""
        if not isinstance(x, BaseAction) or x.verb not in self.verbs | CONTROL_ACTIONS:  # type: ignore[attr-defined]
            return False
        return all(0 <= point.x < self.width and 0 <= point.y < self.height for point in x.points())

    def to_jsonable(self, sample_n: Iterable[Action]) -> list[dict[str, object]]:
        """Return one JSON-serializable dictionary per Action."""
        return [ACTION_ADAPTER.dump_python(action, mode="json") for action in sample_n]

    def from_jsonable(self, sample_n: Sequence[Mapping[str, object]]) -> list[Action]:
        """Return Actions from dictionaries.

        Raises:
            InvalidActionError: A dictionary is not an Action.
        """
        return [parse_action(fields) for fields in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActionSpace) and (self.width, self.height, self.verbs) == (
            other.width,
            other.height,
            other.verbs,
        )

    def __repr__(self) -> str:
        return f"ActionSpace({self.width}x{self.height}, {', '.join(sorted(self.verbs))})"


assert set(SAMPLE_KEYS) - set(KEYS) == {"a", "z"}
