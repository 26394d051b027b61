"""Actions as moves, presses and releases in order; nothing stays pressed after an error."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence

import pytest

from actions import Action, Click, Drag, LongPress, Move, PressKeys, Scroll, SurfaceError, TypeText
from envs.desktop import input as desktop_input
from envs.desktop import input as module
from envs.desktop.geometry import Box, Viewport
from envs.desktop.input import drag_moves, perform

VIEWPORT = Viewport.of(Box(-200, 100, 400, 300), 2.0)  # 200 x 150 pixels, to the left of the first monitor


class Recorder:
    """An InputController that records its calls and fails at one of them."""

    def __init__(self, fail_at: str = "") -> None:
        self.calls: list[tuple[object, ...]] = []
        self.fail_at = fail_at
        self.is_data_dragged = False
        self.delay_s = 0.0  # of the program under the pointer

    def _record(self, *call: object) -> None:
        self.calls.append(call)
        if call[0] == self.fail_at:
            raise SurfaceError("broke")

    def move(self, x: int, y: int) -> None:
        self._record("move", x, y)

    def pointer(self) -> tuple[int, int]:
        return (-150, 120)

    def button(self, name: str, down: bool) -> None:
        self._record("down" if down else "up", name)

    def wheel(self, down: int, right: int) -> None:
        self._record("wheel", down, right)

    def check_keys(self, keys: Sequence[str]) -> None:
        self._record("check", *keys)

    @contextlib.contextmanager
    def chord(self, keys: Sequence[str]) -> Iterator[None]:
        self._record("hold", *keys)
        try:
            yield
        finally:
            self._record("release", *keys)

    def type(self, text: str) -> None:
        self._record("type", text)

    def program_delay_s(self, limit_s: float) -> float:
        return min(self.delay_s, limit_s)

    def is_dragging(self) -> bool:
        return self.is_data_dragged

    def release_all(self) -> None:
        self._record("release_all")


def record(action: Action, fail_at: str = "") -> list[tuple[object, ...]]:
    controller = Recorder(fail_at)
    with contextlib.suppress(SurfaceError):
        perform(controller, action, lambda point: VIEWPORT.point(*point))
    return controller.calls


def moves(calls: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [call[1:] for call in calls if call[0] == "move"]


def test_click_moves_then_presses_count_times() -> None:
    assert record(Click(x=10, y=20, button="right", count=2, modifiers=("ctrl",))) == [
        ("check", "ctrl"),
        ("hold", "ctrl"),
        ("move", -179, 141),
        *[("down", "right"), ("up", "right")] * 2,
        ("release", "ctrl"),
    ]


def test_drag_passes_all_points_and_releases_at_last() -> None:
    calls = record(Drag(path=((0, 0), (50, 0), (50, 40))))
    assert moves(calls)[0] == (-199, 101)
    assert moves(calls)[-1] == (-99, 181)
    assert (-99, 101) in moves(calls)
    assert calls[3] == ("down", "left")
    assert calls[-2] == ("up", "left")


def test_drag_of_one_point_starts_at_pointer() -> None:
    calls = record(Drag(path=((0, 0),)))
    assert moves(calls)[0] == (-150, 120)
    assert moves(calls)[-1] == (-199, 101)


@pytest.mark.parametrize(
    ("action", "calls"),
    [
        (Scroll(x=1, y=1, down=3, right=-2), [("move", -197, 103), ("wheel", 3, -2)]),
        (Scroll(down=1), [("wheel", 1, 0)]),
        (Move(x=0, y=0), [("move", -199, 101)]),
        (TypeText(text="ż"), [("type", "ż")]),
        (LongPress(x=0, y=0, seconds=0.01), [("move", -199, 101), ("down", "left"), ("up", "left")]),
    ],
)
def test_action_makes_these_calls(action: Action, calls: list[tuple[object, ...]]) -> None:
    assert record(action) == calls


def test_shortcut_uses_lowercase_letter() -> None:
    assert record(PressKeys(keys=("ctrl", "A")))[0] == ("check", "ctrl", "a")
    assert record(PressKeys(keys=("A",)))[0] == ("check", "A")


@pytest.mark.parametrize("fail_at", ["move", "down"])
def test_failing_click_releases_keys_and_buttons(fail_at: str) -> None:
    calls = record(Click(x=1, y=1, modifiers=("shift",)), fail_at)
    assert calls[-1] == ("release", "shift")
    assert calls.count(("down", "left")) == calls.count(("up", "left"))


@pytest.mark.parametrize("end", [(30, 0), (400, 0), (-1900, 1000)])
def test_drag_moves_follow_distance_and_time(end: tuple[int, int]) -> None:
    positions = [(0, 0), *drag_moves([(0, 0), end])]
    assert positions[-1] == end
    assert (len(positions) - 1) * module.STEP_S >= module.MIN_DRAG_S
    assert all(math.dist(*pair) <= module.STEP_PX + 1 for pair in itertools.pairwise(positions))


def test_drag_moves_of_long_path_are_limited() -> None:
    assert len(drag_moves([(0, 0), (100_000, 0)])) * module.STEP_S <= module.MAX_SEGMENT_S
    assert drag_moves([(5, 5), (5, 5)]) == [(5, 5)] * math.ceil(module.MIN_DRAG_S / module.STEP_S)


@pytest.mark.parametrize(("delay_s", "extra_s"), [(0.0, 0.0), (0.1, 0.3), (60.0, 2.0)])
def test_drag_gives_slow_program_more_time(monkeypatch: pytest.MonkeyPatch, delay_s: float, extra_s: float) -> None:
    """On a busy machine, a release can come before the program has begun the drag."""
    pauses: list[float] = []
    monkeypatch.setattr(desktop_input.time, "sleep", pauses.append)
    recorder = Recorder()
    recorder.delay_s = delay_s
    perform(recorder, Drag(path=((10, 10), (90, 10))), lambda point: VIEWPORT.point(*point))
    is_step = [pause == desktop_input.STEP_S for pause in pauses]
    assert [round(pause, 3) for pause, step in zip(pauses, is_step, strict=True) if not step] == [
        round(extra_s, 3),
        round(desktop_input.DROP_S + extra_s, 3),
    ]


def test_dragged_data_is_moved_over_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target accepts data in an answer to a move; a release before that drops nothing."""
    monkeypatch.setattr(desktop_input.time, "sleep", lambda seconds: None)
    recorder = Recorder()
    recorder.is_data_dragged = True
    perform(recorder, Drag(path=((10, 10), (90, 10))), lambda point: VIEWPORT.point(*point))
    *_, last, up, _ = recorder.calls
    x, y = last[1:]
    assert up == ("up", "left")
    assert recorder.calls.count(("move", x, y)) == 1 + desktop_input.DROP_MOVES
    assert recorder.calls.count(("move", x + 1, y)) >= desktop_input.DROP_MOVES
