"""Verbs as moves, presses and releases, in order; and nothing stays held, whatever happens."""

from __future__ import annotations

import contextlib

import pytest

from actions import Click, Drag, LongPress, Move, PressKeys, Scroll, SurfaceError, TypeText
from envs.desktop.geometry import Box, Viewport
from envs.desktop.input import act

VIEW = Viewport.of(Box(-200, 100, 400, 300), 2.0)  # 200 x 150 pixels, to the left of the first monitor


class Recorder:
    def __init__(self, fail_at=""):
        self.done = []
        self.fail_at = fail_at

    def _do(self, *what):
        self.done.append(what)
        if what[0] == self.fail_at:
            raise SurfaceError("broke")

    def move(self, x, y):
        self._do("move", x, y)

    def pointer(self):
        return (-150, 120)

    def button(self, name, down):
        self._do("down" if down else "up", name)

    def wheel(self, down, right):
        self._do("wheel", down, right)

    def check(self, keys):
        self._do("check", *keys)

    @contextlib.contextmanager
    def chord(self, keys):
        self._do("hold", *keys)
        try:
            yield
        finally:
            self._do("release", *keys)

    def type(self, text):
        self._do("type", text)


def do(action, fail_at=""):
    hands = Recorder(fail_at)
    with contextlib.suppress(SurfaceError):
        act(hands, action, lambda point: VIEW.point(*point))
    return hands.done


def test_click_moves_to_the_exact_point_and_presses_as_often_as_told():
    done = do(Click(x=10, y=20, button="right", count=2, modifiers=("ctrl",)))
    assert done == [
        ("check", "ctrl"),
        ("hold", "ctrl"),
        ("move", -179, 141),
        *[("down", "right"), ("up", "right")] * 2,
        ("release", "ctrl"),
    ]


def test_drag_passes_all_points_and_ends_at_the_last():
    done = do(Drag(path=((0, 0), (50, 0), (50, 40))))
    moves = [step[1:] for step in done if step[0] == "move"]
    assert moves[0] == (-199, 101) and moves[-1] == (-99, 181) and (-99, 101) in moves
    assert done[3] == ("down", "left") and done[-2] == ("up", "left")


def test_a_drag_of_one_point_begins_at_the_pointer():
    moves = [step[1:] for step in do(Drag(path=((0, 0),))) if step[0] == "move"]
    assert moves[0] == (-150, 120) and moves[-1] == (-199, 101)


def test_scroll_and_move_and_type_and_long_press():
    assert do(Scroll(x=1, y=1, down=3, right=-2)) == [("move", -197, 103), ("wheel", 3, -2)]
    assert do(Scroll(down=1)) == [("wheel", 1, 0)]
    assert do(Move(x=0, y=0)) == [("move", -199, 101)]
    assert do(TypeText(text="ż")) == [("type", "ż")]
    assert do(LongPress(x=0, y=0, seconds=0.01))[1:] == [("down", "left"), ("up", "left")]


def test_chords_mean_the_key_and_not_its_capital():
    assert do(PressKeys(keys=("ctrl", "A")))[0] == ("check", "ctrl", "a")
    assert do(PressKeys(keys=("A",)))[0] == ("check", "A")


@pytest.mark.parametrize("fail_at", ["move", "down"])
def test_what_is_held_is_let_go_when_the_machine_fails(fail_at):
    done = do(Click(x=1, y=1, modifiers=("shift",)), fail_at)
    assert done[-1] == ("release", "shift")
    assert done.count(("down", "left")) == done.count(("up", "left"))
