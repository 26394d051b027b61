"""dispatch: invalid and denied actions never reach the surface."""

from __future__ import annotations

import numpy as np
import pytest

from actions import (
    Action,
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
        self.done: list[Action] = []

    def capture(self) -> Screen:
        return SCREEN

    def perform(self, action: Action) -> str:
        self.done.append(action)
        return "a note"

    def verbs(self) -> frozenset[str]:
        return frozenset({"click", "drag", "scroll", "type"})

    def close(self) -> None:
        """Do nothing."""


def test_dispatch_performs_and_returns_notice() -> None:
    surface = Recorder()
    assert isinstance(surface, Surface)
    assert dispatch(Click(x=29, y=19), surface, SCREEN) == "a note"
    assert surface.done == [Click(x=29, y=19)]


@pytest.mark.parametrize("point", [(30, 0), (0, 20), (-1, 0), (0, -1), (2**31 - 1, 0)])
def test_dispatch_rejects_point_outside_screen(point: tuple[int, int]) -> None:
    surface = Recorder()
    with pytest.raises(InvalidActionError, match=r"x must be 0 to 29 and y 0 to 19"):
        dispatch(Click(x=point[0], y=point[1]), surface, SCREEN)
    assert surface.done == []


def test_dispatch_checks_every_drag_point() -> None:
    surface = Recorder()
    with pytest.raises(InvalidActionError, match=r"point \(5, 99\)"):
        dispatch(make_action("drag", path=((1, 1), (5, 99), (2, 2))), surface, SCREEN)
    dispatch(make_action("drag", path=((1, 1), (29, 19))), surface, SCREEN)
    assert len(surface.done) == 1


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (make_action("back"), "cannot 'back'; it can click, drag, scroll, type"),
        (make_action("done"), "is handled by the loop"),
    ],
)
def test_validate_names_supported_verbs(action: Action, sentence: str) -> None:
    with pytest.raises(InvalidActionError, match=sentence):
        validate(action, Recorder(), SCREEN)


def test_guard_runs_between_validation_and_action() -> None:
    surface, guarded = Recorder(), []

    def guard(action: Action, screen: Screen) -> None:
        guarded.append((action, screen, list(surface.done)))
        if action.verb == "type":
            raise ActionDeniedError("rule 'typing'")

    with pytest.raises(InvalidActionError):
        dispatch(Click(x=99, y=0), surface, SCREEN, guard)
    assert guarded == []
    dispatch(Click(x=1, y=1), surface, SCREEN, guard)
    with pytest.raises(ActionDeniedError, match="rule 'typing'"):
        dispatch(make_action("type", text="a"), surface, SCREEN, guard)
    assert guarded[0] == (Click(x=1, y=1), SCREEN, [])
    assert surface.done == [Click(x=1, y=1)]


def test_dispatch_propagates_surface_error() -> None:
    class Broken(Recorder):
        def perform(self, action: Action) -> str:
            raise SurfaceError("gone")

    with pytest.raises(SurfaceError, match="gone"):
        dispatch(Click(x=1, y=1), Broken(), SCREEN)


def test_error_hierarchy() -> None:
    assert issubclass(ActionDeniedError, InvalidActionError)
    assert all(issubclass(kind, Error) for kind in (InvalidActionError, SurfaceError, UsageError))
    assert not issubclass(SurfaceError, InvalidActionError)
    assert not issubclass(UsageError, InvalidActionError)
