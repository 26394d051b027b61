"""Spaces: every sample is an Action that the machine can do, and nothing else is contained."""

from __future__ import annotations

import numpy as np
import pytest

from actions import (
    ACTION_TYPES,
    CONTROL_ACTIONS,
    Answer,
    Click,
    Done,
    Drag,
    Open,
    Scroll,
    TypeText,
    UsageError,
    parse_action,
)
from envs.spaces import ActionSpace, screen_space

MACHINE = frozenset(ACTION_TYPES) - CONTROL_ACTIONS


def test_screens_are_bytes():
    space = screen_space(30, 20)
    assert space.shape == (20, 30, 3) and space.dtype == np.uint8
    assert np.zeros((20, 30, 3), np.uint8) in space
    assert np.zeros((30, 20, 3), np.uint8) not in space


def test_samples_are_valid_and_reach_every_verb():
    space = ActionSpace(40, 30, seed=1)
    seen = set()
    for _ in range(500):
        action = space.sample()
        seen.add(action.verb)
        assert action in space
        assert parse_action(action.model_dump()) == action
        assert all(0 <= x < 40 and 0 <= y < 30 for x, y in action.points())
    assert seen == MACHINE


def test_samples_stay_within_the_verbs_and_the_mask():
    space = ActionSpace(40, 30, {"click", "type", "done"}, seed=1)
    assert {space.sample().verb for _ in range(100)} == {"click", "type"}
    assert {space.sample(mask={"type"}).verb for _ in range(20)} == {"type"}
    with pytest.raises(UsageError, match="leaves no verb"):
        space.sample(mask={"open"})
    with pytest.raises(UsageError, match="evenly"):
        space.sample(probability={"click": 1.0})


def test_a_seed_repeats_its_samples():
    one, two = ActionSpace(40, 30, seed=5), ActionSpace(40, 30, seed=5)
    assert [one.sample() for _ in range(50)] == [two.sample() for _ in range(50)]
    two.seed(6)
    assert [one.sample() for _ in range(50)] != [two.sample() for _ in range(50)]


def test_the_smallest_screen_can_be_sampled():
    space = ActionSpace(1, 1, seed=0)
    assert all(space.sample() in space for _ in range(200))


@pytest.mark.parametrize(
    ("action", "inside"),
    [
        (Click(x=39, y=29), True),
        (Click(x=40, y=0), False),
        (Click(x=0, y=-1), False),
        (Drag(path=((0, 0), (39, 30))), False),
        (Scroll(down=1), True),
        (TypeText(text="x"), True),
        (Done(), True),
        (Answer(text="42"), True),
        (Open(target="x"), False),
        ({"verb": "click", "x": 1, "y": 1}, False),
        (None, False),
    ],
)
def test_what_is_contained(action, inside):
    space = ActionSpace(40, 30, {"click", "drag", "scroll", "type"})
    assert (action in space) is inside


def test_plain_data_and_back():
    space = ActionSpace(40, 30, seed=3)
    actions = [space.sample() for _ in range(50)]
    assert space.from_jsonable(space.to_jsonable(actions)) == actions


def test_equality_is_by_size_and_verbs():
    assert ActionSpace(4, 3, {"click"}) == ActionSpace(4, 3, {"click"}, seed=9)
    assert ActionSpace(4, 3, {"click"}) != ActionSpace(4, 3, {"type"})
    assert ActionSpace(4, 3, {"click"}) != ActionSpace(3, 4, {"click"})


def test_verbs_must_be_verbs():
    for verbs in ({"click", "fly"}, set(), {"done"}):
        with pytest.raises(UsageError, match="needs verbs out of"):
            ActionSpace(4, 3, verbs)
