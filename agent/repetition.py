"""RepetitionCounter: finds actions that are repeated, alone or in turn, although the screen stays the same.

A cycle is a sequence of up to MAX_PERIOD turns that leads back to the screen it started on. Screens are compared by
tiles. Pixels that move without any action (a clock, a spinner) are no difference, but a small difference is no proof of
such pixels: a click may count a number up. Before a suspected repetition the loop therefore captures the screen again,
twice and without an action; pixels that change both times move by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from actions import Action, Open, Point, Screen, TypeText, Wait

Tiles = np.ndarray[Any, np.dtype[np.bool_]]  # [rows, columns] of the screen's tiles

MAX_PERIOD = 6  # turns in a cycle
POINT_TOLERANCE_PX = 5  # clicks this close to each other are the same
TILE_PX = 16
MAX_MOVING_SHARE = 0.4  # of the screen that a clock, a spinner or a video covers
MAX_IDLE_SHARE = 0.2  # of the screen that changes during a wait without progress
MIN_RETYPED = 3  # characters of a text that is hardly typed several times on purpose
WATCH_S = 1.2  # a clock that shows seconds changes within it
_TOLERATED_FIELDS = {"x", "y", "path", "seconds", "down", "right"}  # compared otherwise, or not at all


@dataclass(frozen=True)
class _Turn:
    """Actions, and the screens before and after them."""

    actions: tuple[Action, ...]
    before: Screen
    after: Screen
    is_error: bool

    @property
    def is_active(self) -> bool:
        """Whether something was done: invalid replies have a limit of their own, and so have waits."""
        return not self.is_error and not _is_wait(self.actions)


class RepetitionCounter:
    """Counts how often the last actions were repeated without effect.

    Args:
        notice_count: Repetitions that lead to a notice; pixels that move by themselves are searched before it.
        max_count: Repetitions that are counted, at most.

    Attributes:
        count: How often the last cycle was run without effect.
        period: The number of turns in this cycle.
        waits: The last waits in a row during which nothing changed.
        moving_waits: The same, but with pixels that move by themselves.
        typed: How often the last text was typed in a row, alone or in turn with one other action, whether or not it
            changed the screen.
    """

    def __init__(self, notice_count: int, max_count: int) -> None:
        self.count, self.period, self.waits, self.moving_waits = 0, 1, 0, 0
        self.typed = 0
        self._typed_lengths = dict.fromkeys((1, 2), 0)  # turns in a row that repeat one with a text
        self._notice_count = notice_count
        self._turns: deque[_Turn] = deque(maxlen=MAX_PERIOD)  # screens are compared with these alone
        # for each of the last turns in a row that may repeat the turn `period` turns earlier: the tiles that differ
        self._differences: dict[int, deque[Tiles]] = {
            period: deque(maxlen=period * max_count) for period in range(1, MAX_PERIOD + 1)
        }
        self._moving: Tiles | None = None  # tiles that change without an action
        self._waited_region: Tiles | None = None  # what changed in the first of the last waits
        self._watch_from = 0  # repetitions from which on the screen is watched again

    def add(self, actions: tuple[Action, ...], before: Screen, after: Screen, is_error: bool = False) -> None:
        """Add a turn.

        Args:
            actions: Its actions; () for an invalid reply.
            before: The screen that they were chosen on.
            after: The screen that they led to.
            is_error: The last action was not done.
        """
        if _is_wait(actions) and not is_error:
            if self._add_wait(before, after):
                self.count = 0  # until the next action
                return
        else:
            self.waits = self.moving_waits = 0
            self._waited_region = None
        self._add_turn(_Turn(actions, before, after, is_error))
        self._update_count()

    def reset(self) -> None:
        """Forget all turns, as after an action that changes the screen."""
        self.count, self.period, self.waits, self.moving_waits, self.typed = 0, 1, 0, 0, 0
        self._turns.clear()
        for differences in self._differences.values():
            differences.clear()
        self._typed_lengths = dict.fromkeys(self._typed_lengths, 0)
        self._moving = self._waited_region = None
        self._watch_from = 0

    def is_in_cycle(self, actions: tuple[Action, ...]) -> bool:
        """Return whether these actions belong to the cycle that `count` counts."""
        cycle = list(self._turns)[-self.period :] if self.count else []
        return any(_is_same_actions(turn.actions, actions) for turn in cycle)

    def needs_watch(self, actions: tuple[Action, ...]) -> bool:
        """Return whether to look, before these actions, for pixels of the screen that move by themselves.

        True where the actions would be a repetition if the small changes of the screen were such pixels.
        """
        if not actions or _is_wait(actions):
            return False
        for period, differences in self._differences.items():
            count = (len(differences) + 1) // period + 1
            if (
                count >= max(self._notice_count, self._watch_from)
                and any(self._is_unexplained(tiles) for tiles in differences)
                and _is_same_actions(self._turns[-period].actions, actions)
            ):
                return True
        return False

    def watch(self, screens: Sequence[Screen]) -> None:
        """Learn which pixels move by themselves: those that change twice, as one change may be a late effect.

        Args:
            screens: The last screen, then up to two captures of it without an action in between.
        """
        changes = [changed_tiles(before, after) for before, after in pairwise(screens)]
        if len(changes) == 2:
            self._learn(*changes)
        self._watch_from = 2 * max((len(tiles) + 1) // period + 1 for period, tiles in self._differences.items())

    def _add_wait(self, before: Screen, after: Screen) -> bool:
        """Count a wait; return whether little or nothing changed, so that it does not interrupt a repetition."""
        if before.digest == after.digest:
            self.waits += 1
            self.moving_waits += 1
            return True
        self.waits = 0
        changed = changed_tiles(before, after)
        if changed is None or changed.mean() > MAX_IDLE_SHARE:
            self.moving_waits, self._waited_region = 0, None
            return False
        if not _is_within(changed, self._waited_region):  # a progress bar leaves the place where it was
            self.moving_waits, self._waited_region = 0, changed
        self.moving_waits += 1
        return True

    def _learn(self, first: Tiles | None, second: Tiles | None) -> None:
        if first is None or second is None or (first | second).mean() > MAX_MOVING_SHARE:
            return
        moving = (first & _grow(second)) | (second & _grow(first))
        if self._moving is not None and self._moving.shape == moving.shape:
            moving |= self._moving
        self._moving = moving

    def _add_turn(self, turn: _Turn) -> None:
        for period in range(1, MAX_PERIOD + 1):
            differences = self._compare(turn, period) if len(self._turns) >= period else None
            if differences is None:
                self._differences[period].clear()
            else:
                self._differences[period].append(differences)
        if not any(self._differences.values()):
            self._watch_from, self._moving = 0, None  # what moved on another screen may be content here
        self._count_typed(turn)
        self._turns.append(turn)

    def _count_typed(self, turn: _Turn) -> None:
        """Count how often the same text is typed, into a field that grows with it."""
        for period in self._typed_lengths:
            turns = [turn, *list(self._turns)[-period + 1 :]] if period > 1 else [turn]
            is_repeated = (
                len(self._turns) >= period
                and any(_has_retyped_text(part) for part in turns)
                and not (turn.is_error or self._turns[-period].is_error)
                and _is_same_actions(turn.actions, self._turns[-period].actions)
            )
            self._typed_lengths[period] = self._typed_lengths[period] + 1 if is_repeated else 0
        self.typed = max(length // period + 1 if length else 0 for period, length in self._typed_lengths.items())

    def _compare(self, turn: _Turn, period: int) -> Tiles | None:
        """Return the tiles in which a turn differs from the one `period` turns earlier, None where it is another."""
        earlier = self._turns[-period]
        if turn.is_error != earlier.is_error or not _is_same_actions(turn.actions, earlier.actions):
            return None
        first = turn if period == 1 else self._turns[-period + 1]  # of the cycle that ends with `turn`
        pairs = [(turn.before, earlier.before), (turn.after, earlier.after), (turn.after, first.before)]
        changes = [changed_tiles(a, b) for a, b in pairs]
        small = [tiles for tiles in changes if tiles is not None and tiles.mean() <= MAX_MOVING_SHARE]
        if len(small) < len(changes):
            return None
        differences: Tiles = np.logical_or.reduce(small)
        if any(_has_point(differences, point) for action in turn.actions for point in action.points()):
            return None  # the place of the action itself changed
        if all(isinstance(action, Open) for action in turn.actions):
            return np.zeros_like(differences)  # a page that is opened again shows the time of day, at most
        return differences

    def _is_unexplained(self, differences: Tiles) -> bool:
        """Return whether a difference is more than pixels that move by themselves."""
        return bool(differences.any()) and not _is_within(differences, self._moving)

    def _update_count(self) -> None:
        last = self._turns[-1]
        self.count, self.period = int(last.is_active and last.before.digest == last.after.digest), 1
        for period, differences in self._differences.items():
            length = 0
            for tiles in reversed(differences):
                if self._is_unexplained(tiles):
                    break
                length += 1
            cycle = tuple(self._turns)[-period:]
            count = length // period + 1
            if length >= period and count > self.count and any(turn.is_active for turn in cycle):
                self.count, self.period = count, period


def changed_tiles(a: Screen, b: Screen) -> Tiles | None:
    """Return which tiles of two screens differ, None for screens of different sizes."""
    if (a.width, a.height) != (b.width, b.height):
        return None
    rows, columns = -(-a.height // TILE_PX), -(-a.width // TILE_PX)
    tiles = np.zeros((rows, columns), bool)
    if a is b or a.digest == b.digest:
        return tiles
    changed = (a.pixels != b.pixels).any(axis=2)
    padded = np.zeros((rows * TILE_PX, columns * TILE_PX), bool)
    padded[: a.height, : a.width] = changed
    tiles[:] = padded.reshape(rows, TILE_PX, columns, TILE_PX).any(axis=(1, 3))
    return tiles


def _is_within(tiles: Tiles, region: Tiles | None) -> bool:
    """Return whether all set tiles are in a region or next to it."""
    return region is not None and region.shape == tiles.shape and not (tiles & ~_grow(region)).any()


def _grow(tiles: Tiles) -> Tiles:
    """Return the tiles and their neighbors: the next digit of a clock is beside those that changed."""
    padded = np.pad(tiles, 1)
    rows, columns = tiles.shape
    grown = np.zeros_like(tiles)
    for y in range(3):
        for x in range(3):
            grown |= padded[y : y + rows, x : x + columns]
    return grown


def _has_point(tiles: Tiles, point: Point) -> bool:
    """Return whether the tile of a point is set."""
    rows, columns = tiles.shape
    row, column = point.y // TILE_PX, point.x // TILE_PX
    return 0 <= row < rows and 0 <= column < columns and bool(tiles[row, column])


def _has_retyped_text(turn: _Turn) -> bool:
    """Return whether a turn types a text that stays in its field: a line break or a tab leads to the next one."""
    texts = [action.text for action in turn.actions if isinstance(action, TypeText)]
    return any(len(text) >= MIN_RETYPED and not text.endswith(("\n", "\t")) for text in texts)


def _is_wait(actions: Sequence[Action]) -> bool:
    return bool(actions) and all(isinstance(action, Wait) for action in actions)


def _is_same_actions(first: Sequence[Action], second: Sequence[Action]) -> bool:
    """Return whether two turns do the same, up to a few pixels."""
    return len(first) == len(second) and all(_is_same_action(a, b) for a, b in zip(first, second, strict=True))


def _is_same_action(a: Action, b: Action) -> bool:
    if a.model_dump(exclude=_TOLERATED_FIELDS) != b.model_dump(exclude=_TOLERATED_FIELDS):
        return False
    if any(_sign(getattr(a, name, 0)) != _sign(getattr(b, name, 0)) for name in ("down", "right")):
        return False
    points, others = a.points(), b.points()
    return len(points) == len(others) and all(
        max(abs(p.x - q.x), abs(p.y - q.y)) <= POINT_TOLERANCE_PX for p, q in zip(points, others, strict=True)
    )


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
