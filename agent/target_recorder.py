"""TargetRecorder: what an action touches and what appears after it, recorded so that the run can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from actions import Action, Screen, Surface, SurfaceError
from actions.surface import SupportsTargets
from actions.targets import ScreenTarget

MAX_NEIGHBORS = 3
MAX_NEIGHBOR_CHARS = 60
MAX_APPEARED = 60  # texts of a step


class TargetRecorder:
    """Describes the targets of actions for the trace.

    Args:
        surface: The screen of the run; without `SupportsTargets` nothing is described.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._before: tuple[ScreenTarget, ...] | None = None
        self._latest: tuple[str, tuple[ScreenTarget, ...]] | None = None  # with the digest of their screenshot

    def before(self, action: Action, screen: Screen) -> dict[str, object]:
        """Return the facts of an `act.intent` event: the target of each point, null where none is known.

        Args:
            action: The action.
            screen: The screenshot that it was chosen for.
        """
        if self._latest is not None and self._latest[0] == screen.digest:
            self._before = self._latest[1]
        else:
            self._before = read_targets(self._surface)
        if self._before is None or not action.points():
            return {}
        return {"targets": [describe_target(self._before, x, y) for x, y in action.points()]}

    def after(self, screen: Screen) -> dict[str, object]:
        """Return the facts of an `act.result` event: labels, and contents of fields, that were not there before.

        Args:
            screen: The screenshot after the action.
        """
        after = read_targets(self._surface) if self._before is not None else None
        self._latest = (screen.digest, after) if after is not None else None
        if after is None:
            return {}
        labels, contents = set(shown_labels(self._before or ())), set(field_contents(self._before or ()))
        appeared = [text for text in shown_labels(after) if text not in labels]
        filled = [text for text in field_contents(after) if text not in contents]
        return {"appeared": appeared[:MAX_APPEARED], "filled": filled[:MAX_APPEARED]}


def read_targets(surface: Surface) -> tuple[ScreenTarget, ...] | None:
    """Return the visible elements of a surface; None where it does not tell."""
    if not isinstance(surface, SupportsTargets):
        return None
    try:
        return surface.targets()
    except SurfaceError:  # the next action meets the failure again
        return None


def shown_labels(targets: Sequence[ScreenTarget]) -> tuple[str, ...]:
    """Return the labels of elements without repetitions, in their order."""
    return tuple(dict.fromkeys(item.label for item in targets if item.label))


def field_contents(targets: Sequence[ScreenTarget]) -> tuple[str, ...]:
    """Return what the fields hold without repetitions, in their order."""
    return tuple(dict.fromkeys(item.value for item in targets if item.value))


def target_at(targets: Sequence[ScreenTarget], x: int, y: int) -> ScreenTarget | None:
    """Return the last element at a pixel, which lies within or over the others; None without one."""
    return next((item for item in reversed(targets) if item.contains(x, y)), None)


def describe_target(targets: Sequence[ScreenTarget], x: int, y: int) -> dict[str, object] | None:
    """Return the element at a pixel as JSON data, with the labels beside it; None without one."""
    target = target_at(targets, x, y)
    if target is None:
        return None
    facts = asdict(target)
    del facts["value"]  # what a field holds is no part of what it is
    return {**facts, "area": list(target.area), "neighbors": list(neighbor_labels(target, targets))}


def describe_points(surface: Surface, action: Action) -> list[dict[str, object] | None]:
    """Return the element at each point of an action on the present screen; [] where the surface does not tell."""
    targets = read_targets(surface) if action.points() else None
    return [describe_target(targets, x, y) for x, y in action.points()] if targets is not None else []


def neighbor_labels(target: ScreenTarget, targets: Sequence[ScreenTarget]) -> tuple[str, ...]:
    """Return the text that contains an element, the nearest one to the left in its row, and the nearest one above."""
    left, top, width, height = target.area
    texts = [
        item
        for item in targets
        if item is not target and item.label and len(item.label) <= MAX_NEIGHBOR_CHARS and not item.field
    ]
    around = [item for item in texts if _contains(item, target) and item.label != target.label]
    beside = [
        item
        for item in texts
        if item.area[0] + item.area[2] <= left + 2 and abs(_middle(item) - (top + height / 2)) <= height / 2
    ]
    above = [
        item
        for item in texts
        if item.area[1] + item.area[3] <= top + 2 and item.area[0] < left + width and left < item.area[0] + item.area[2]
    ]
    nearest = [
        min(around, key=lambda item: item.area[2] * item.area[3], default=None),
        max(beside, key=lambda item: item.area[0] + item.area[2], default=None),
        max(above, key=lambda item: item.area[1] + item.area[3], default=None),
    ]
    labels = [item.label for item in nearest if item is not None]
    return tuple(dict.fromkeys(labels))[:MAX_NEIGHBORS]


def _contains(outer: ScreenTarget, inner: ScreenTarget) -> bool:
    left, top, width, height = inner.area
    return outer.contains(left, top) and outer.contains(left + width - 1, top + height - 1)


def _middle(target: ScreenTarget) -> float:
    return target.area[1] + target.area[3] / 2
