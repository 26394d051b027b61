"""dispatch: nothing that does not fit, and nothing that is refused, reaches the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actions import (
    ActionDeniedError,
    Click,
    Error,
    InvalidActionError,
    Screen,
    Surface,
    SurfaceError,
    UsageError,
    dispatch,
    make_action,
)
from actions.dispatch import validate

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
    with pytest.raises(InvalidActionError, match=r"x must be 0 to 29 and y 0 to 19"):
        dispatch(Click(x=point[0], y=point[1]), surface, SCREEN)
    assert surface.done == []


def test_every_point_of_a_drag_is_looked_at() -> None:
    surface = Recorder()
    with pytest.raises(InvalidActionError, match=r"point \(5, 99\)"):
        dispatch(make_action("drag", path=((1, 1), (5, 99), (2, 2))), surface, SCREEN)
    dispatch(make_action("drag", path=((1, 1), (29, 19))), surface, SCREEN)
    assert len(surface.done) == 1


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (make_action("back"), "cannot 'back'; it can click, drag, scroll, type"),
        (make_action("done"), "is for the person"),
    ],
)
def test_a_verb_that_the_surface_lacks_says_what_it_can(action: Any, sentence: str) -> None:
    with pytest.raises(InvalidActionError, match=sentence):
        validate(action, Recorder(), SCREEN)


def test_the_guard_comes_after_the_check_and_before_the_act() -> None:
    surface, asked = Recorder(), []

    def guard(action: Any, screen: Screen) -> None:
        asked.append((action, screen, list(surface.done)))
        if action.verb == "type":
            raise ActionDeniedError("rule 'typing'")

    with pytest.raises(InvalidActionError):
        dispatch(Click(x=99, y=0), surface, SCREEN, guard)
    assert asked == []
    dispatch(Click(x=1, y=1), surface, SCREEN, guard)
    with pytest.raises(ActionDeniedError, match="rule 'typing'"):
        dispatch(make_action("type", text="a"), surface, SCREEN, guard)
    assert asked[0] == (Click(x=1, y=1), SCREEN, []) and surface.done == [Click(x=1, y=1)]


def test_the_machines_trouble_comes_through() -> None:
    class Broken(Recorder):
        def perform(self, action: Any) -> str:
            raise SurfaceError("gone")

    with pytest.raises(SurfaceError, match="gone"):
        dispatch(Click(x=1, y=1), Broken(), SCREEN)


def test_the_families_of_errors() -> None:
    assert issubclass(ActionDeniedError, InvalidActionError) and all(
        issubclass(kind, Error) for kind in (InvalidActionError, SurfaceError, UsageError)
    )
    assert not issubclass(SurfaceError, InvalidActionError) and not issubclass(UsageError, InvalidActionError)
