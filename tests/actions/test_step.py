"""Steps and the errors of the guard: what several actions of one reply add up to, and who is to blame."""

from __future__ import annotations

import numpy as np

from actions import (
    ActionDeniedError,
    ActionRejectedError,
    Click,
    InvalidActionError,
    Reply,
    RunStoppedError,
    Screen,
    Step,
    TypeText,
    Wait,
)
from actions.history import merge_parts

SCREEN = Screen(np.zeros((4, 4, 3), np.uint8))


def part(action: object, note: str = "", error: str = "", reward: float = 0.0) -> Step:
    return Step(3, SCREEN, Reply("words"), None, action, error, note, reward, 0.5)


def test_the_parts_of_a_turn_are_one_step() -> None:
    click, text, wait = Click(x=1, y=2), TypeText(text="a"), Wait()
    step = merge_parts([part(click, "a tab opened"), part(text), part(wait, "it went", "not done", 1.0)])
    assert (step.index, step.action, step.actions) == (3, wait, (click, text, wait))
    assert (step.notice, step.error, step.reward, step.seconds) == ("a tab opened\nit went", "not done", 1.0, 1.5)


def test_a_turn_without_an_action_has_none() -> None:
    assert merge_parts([part(None, error="not JSON")]).actions == ()


def test_the_guards_errors_are_denials_and_say_who_stopped() -> None:
    assert (
        issubclass(ActionRejectedError, ActionDeniedError)
        and issubclass(RunStoppedError, ActionDeniedError)
        and issubclass(ActionDeniedError, InvalidActionError)
    )
    assert (
        RunStoppedError("a", by_person=True).by_person
        and not RunStoppedError("b").by_person
        and str(RunStoppedError("b")) == "b"
    )
