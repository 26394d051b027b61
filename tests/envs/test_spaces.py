"""Spaces contain exactly the actions a surface can perform."""

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


def test_screen_space_is_uint8_rgb():
    space = screen_space(30, 20)
    assert space.shape == (20, 30, 3)
    assert space.dtype == np.uint8
    assert np.zeros((20, 30, 3), np.uint8) in space
    assert np.zeros((30, 20, 3), np.uint8) not in space


def test_samples_are_valid_and_cover_verbs():
    space = ActionSpace(40, 30, seed=1)
    verbs = set()
    for _ in range(500):
        action = space.sample()
        verbs.add(action.verb)
        assert action in space
        assert parse_action(action.model_dump()) == action
        assert all(0 <= x < 40 and 0 <= y < 30 for x, y in action.points())
    assert verbs == MACHINE


def test_samples_respect_verbs_and_mask():
    space = ActionSpace(40, 30, {"click", "type", "done"}, seed=1)
    assert {space.sample().verb for _ in range(100)} == {"click", "type"}
    assert {space.sample(mask={"type"}).verb for _ in range(20)} == {"type"}
    with pytest.raises(UsageError, match="leaves no verb"):
        space.sample(mask={"open"})
    with pytest.raises(UsageError, match="uniformly"):
        space.sample(probability={"click": 1.0})


def test_same_seed_repeats_samples():
    first, second = ActionSpace(40, 30, seed=5), ActionSpace(40, 30, seed=5)
    assert [first.sample() for _ in range(50)] == [second.sample() for _ in range(50)]
    second.seed(6)
    assert [first.sample() for _ in range(50)] != [second.sample() for _ in range(50)]


def test_one_pixel_screen_can_be_sampled():
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
def test_contains(action, inside):
    space = ActionSpace(40, 30, {"click", "drag", "scroll", "type"})
    assert (action in space) is inside


def test_jsonable_round_trip():
    space = ActionSpace(40, 30, seed=3)
    actions = [space.sample() for _ in range(50)]
    assert space.from_jsonable(space.to_jsonable(actions)) == actions


def test_equality_compares_size_and_verbs():
    assert ActionSpace(4, 3, {"click"}) == ActionSpace(4, 3, {"click"}, seed=9)
    assert ActionSpace(4, 3, {"click"}) != ActionSpace(4, 3, {"type"})
    assert ActionSpace(4, 3, {"click"}) != ActionSpace(3, 4, {"click"})


def test_unknown_verbs_raise_usage_error():
    for verbs in ({"click", "fly"}, set(), {"done"}):
        with pytest.raises(UsageError, match="needs verbs out of"):
            ActionSpace(4, 3, verbs)
