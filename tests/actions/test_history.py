"""Merging of the parts of a turn, and the hierarchy of the guard's errors."""

from __future__ import annotations

import numpy as np

from actions import (
    Action,
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


def part(action: Action | None, notice: str = "", error: str = "", reward: float = 0.0) -> Step:
    return Step(3, SCREEN, Reply("words"), None, action, error, notice, reward, 0.5)


def test_merge_parts_joins_actions_and_rewards() -> None:
    click, text, wait = Click(x=1, y=2), TypeText(text="a"), Wait()
    step = merge_parts([part(click, "a tab opened"), part(text), part(wait, "it went", "not done", 1.0)])
    assert (step.index, step.action, step.actions) == (3, wait, (click, text, wait))
    assert (step.notice, step.error, step.reward, step.seconds) == ("a tab opened\nit went", "not done", 1.0, 1.5)


def test_merge_parts_without_action_is_empty() -> None:
    assert merge_parts([part(None, error="not JSON")]).actions == ()


def test_guard_errors_are_denials() -> None:
    assert issubclass(ActionRejectedError, ActionDeniedError)
    assert issubclass(RunStoppedError, ActionDeniedError)
    assert issubclass(ActionDeniedError, InvalidActionError)
    assert RunStoppedError("a", by_person=True).by_person
    assert not RunStoppedError("b").by_person
    assert str(RunStoppedError("b")) == "b"
