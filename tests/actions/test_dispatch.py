"""dispatch: nothing that does not fit, and nothing that is refused, reaches the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actions import BadCall, Click, Denied, Error, Screen, Surface, SurfaceError, UsageError, dispatch, make
from actions.dispatch import check

SCREEN = Screen(np.zeros((20, 30, 3), np.uint8))


class Recorder:
    name = "recorder"

    def __init__(self) -> None:
        self.done: list[Any] = []

    def capture(self) -> Screen:
        return SCREEN

    def perform(self, action: Any) -> str:
        self.done.append(action)
        return "a note"

    def verbs(self) -> frozenset[str]:
        return frozenset({"click", "drag", "scroll", "type"})

    def close(self) -> None:
        """Nothing to let go of."""


def test_an_action_that_fits_is_performed_and_the_note_comes_back() -> None:
    surface = Recorder()
    assert isinstance(surface, Surface)
    assert dispatch(Click(x=29, y=19), surface, SCREEN) == "a note" and surface.done == [Click(x=29, y=19)]


@pytest.mark.parametrize("point", [(30, 0), (0, 20), (-1, 0), (0, -1), (2**31 - 1, 0)])
def test_a_point_outside_is_a_bad_call_with_the_range_and_is_never_moved(point: tuple[int, int]) -> None:
    surface = Recorder()
    with pytest.raises(BadCall, match=r"x must be 0 to 29 and y 0 to 19"):
        dispatch(Click(x=point[0], y=point[1]), surface, SCREEN)
    assert surface.done == []


def test_every_point_of_a_drag_is_looked_at() -> None:
    surface = Recorder()
    with pytest.raises(BadCall, match=r"point \(5, 99\)"):
        dispatch(make("drag", path=((1, 1), (5, 99), (2, 2))), surface, SCREEN)
    dispatch(make("drag", path=((1, 1), (29, 19))), surface, SCREEN)
    assert len(surface.done) == 1


@pytest.mark.parametrize(
    ("action", "sentence"),
    [(make("back"), "cannot 'back'; it can click, drag, scroll, type"), (make("done"), "is for the person")],
)
def test_a_verb_that_the_surface_lacks_says_what_it_can(action: Any, sentence: str) -> None:
    with pytest.raises(BadCall, match=sentence):
        check(action, Recorder(), SCREEN)


def test_the_guard_comes_after_the_check_and_before_the_act() -> None:
    surface, asked = Recorder(), []

    def guard(action: Any, screen: Screen) -> None:
        asked.append((action, screen, list(surface.done)))
        if action.verb == "type":
            raise Denied("rule 'typing'")

    with pytest.raises(BadCall):
        dispatch(Click(x=99, y=0), surface, SCREEN, guard)
    assert asked == []
    dispatch(Click(x=1, y=1), surface, SCREEN, guard)
    with pytest.raises(Denied, match="rule 'typing'"):
        dispatch(make("type", text="a"), surface, SCREEN, guard)
    assert asked[0] == (Click(x=1, y=1), SCREEN, []) and surface.done == [Click(x=1, y=1)]


def test_the_machines_trouble_comes_through() -> None:
    class Broken(Recorder):
        def perform(self, action: Any) -> str:
            raise SurfaceError("gone")

    with pytest.raises(SurfaceError, match="gone"):
        dispatch(Click(x=1, y=1), Broken(), SCREEN)


def test_the_families_of_errors() -> None:
    assert issubclass(Denied, BadCall) and all(issubclass(kind, Error) for kind in (BadCall, SurfaceError, UsageError))
    assert not issubclass(SurfaceError, BadCall) and not issubclass(UsageError, BadCall)
