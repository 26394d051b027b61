"""Parsing and validation of the action types."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from actions import (
    ACTION_ADAPTER,
    ACTION_TYPES,
    CONTROL_ACTIONS,
    Click,
    Drag,
    InvalidActionError,
    Point,
    PressKeys,
    Scroll,
    TypeText,
    make_action,
    parse_action,
)
from actions.types import MAX_TEXT

SAMPLES = [
    make_action("click", x=1, y=2),
    make_action("click", x=1, y=2, button="right", count=3, modifiers=("ctrl", "shift")),
    make_action("move", x=0, y=0),
    make_action("drag", path=((1, 2), (3, 4))),
    make_action("scroll", x=5, y=6, down=-3, right=2),
    make_action("scroll", down=1),
    make_action("long_press", x=1, y=1, seconds=0.5),
    make_action("type", text="żółw 😀\n\t"),
    make_action("press", keys=("Ctrl", "A")),
    make_action("open", target="https://example.org"),
    make_action("back"),
    make_action("home"),
    make_action("wait", seconds=60),
    make_action("answer", text=""),
    make_action("ask", question="?"),
    make_action("done", status="failure", message="no"),
]


def test_samples_cover_every_action_type() -> None:
    assert {action.verb for action in SAMPLES} == set(ACTION_TYPES)
    assert all(model.__doc__ for model in ACTION_TYPES.values())
    assert set(ACTION_TYPES) > CONTROL_ACTIONS


@pytest.mark.parametrize("action", SAMPLES, ids=lambda action: action.verb)
def test_action_round_trips_through_json(action: Any) -> None:
    assert parse_action(json.loads(json.dumps(action.model_dump(mode="json")))) == action
    assert hash(action) == hash(parse_action(action.model_dump()))


def test_actions_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Click(x=1, y=2).x = 3  # type: ignore[misc]


def test_points_lists_every_named_pixel() -> None:
    assert make_action("click", x=1, y=2).points() == (Point(1, 2),)
    assert Drag(path=(Point(1, 2), Point(3, 4))).points() == (Point(1, 2), Point(3, 4))
    assert Scroll(down=1).points() == ()
    assert Scroll(x=1, y=2, down=1).points() == (Point(1, 2),)
    assert make_action("back").points() == ()


def test_press_normalizes_key_names() -> None:
    assert PressKeys(keys=("Control", "Return")).keys == ("ctrl", "enter")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"verb": "click", "x": 1}, "click.y: Field required"),
        ({"verb": "click", "x": 1.5, "y": 2}, "click.x"),
        ({"verb": "click", "x": "1", "y": 2}, "click.x"),
        ({"verb": "click", "x": True, "y": 2}, "click.x"),
        ({"verb": "click", "x": 10**30, "y": 2}, "click.x"),
        ({"verb": "click", "x": 1, "y": 2, "button": "lefft"}, "click.button"),
        ({"verb": "click", "x": 1, "y": 2, "count": 0}, "click.count"),
        ({"verb": "click", "x": 1, "y": 2, "z": 3}, "click.z"),
        ({"verb": "drag", "path": []}, "drag.path"),
        ({"verb": "drag", "path": [[1, 2, 3]]}, "drag.path"),
        ({"verb": "drag", "path": [[1, 2]] * 101}, "drag.path"),
        ({"verb": "scroll", "x": 1, "down": 2}, "x and y"),
        ({"verb": "scroll", "down": 101}, "scroll.down"),
        ({"verb": "wait", "seconds": math.nan}, "wait.seconds"),
        ({"verb": "wait", "seconds": -1}, "wait.seconds"),
        ({"verb": "wait", "seconds": 61}, "wait.seconds"),
        ({"verb": "type", "text": "a\x00b"}, r"U\+0000"),
        ({"verb": "type", "text": "\x1b[2J"}, r"U\+001B"),
        ({"verb": "type", "text": "\ud800"}, "type.text"),
        ({"verb": "type", "text": "x" * (MAX_TEXT + 1)}, "type.text"),
        ({"verb": "press", "keys": []}, "press.keys"),
        ({"verb": "press", "keys": ["a"] * 9}, "press.keys"),
        ({"verb": "press", "keys": ["entr"]}, "Did you mean 'enter'"),
        ({"verb": "open", "target": ""}, "open.target"),
        ({"verb": "open", "target": "java\x00script:"}, r"U\+0000"),
        ({"verb": "done", "status": "maybe"}, "done.status"),
        ({"verb": "fly"}, "'fly'"),
        ({}, "verb"),
        (None, "action"),
        ([], "action"),
        ("click", "action"),
    ],
)
def test_invalid_data_error_is_one_sentence(data: Any, sentence: str) -> None:
    with pytest.raises(InvalidActionError, match=sentence) as caught:
        parse_action(data)
    assert "\n" not in str(caught.value)


def test_error_stays_short_for_huge_input() -> None:
    for data in (
        {"verb": "x" * 100_000},
        {"verb": "click", "x": 1, "y": 2, "k" * 100_000: 1},
        {"verb": "press", "keys": ["k" * 9999]},
    ):
        with pytest.raises(InvalidActionError) as caught:
            parse_action(data)
        assert len(str(caught.value)) < 600


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(sorted({name for model in ACTION_TYPES.values() for name in model.model_fields} - {"verb"}))


@given(st.sampled_from([*ACTION_TYPES, "fly"]), st.dictionaries(FIELDS, JSON | st.integers(-5, 500), max_size=4))
def test_random_data_parses_or_raises_invalid_action(verb: str, fields: dict[str, Any]) -> None:
    try:
        action = parse_action({"verb": verb, **fields})
    except InvalidActionError as error:
        assert str(error)
        assert "\n" not in str(error)
        return
    assert ACTION_ADAPTER.validate_python(action.model_dump()) == action


def test_type_accepts_newlines_and_tabs() -> None:
    assert TypeText(text="a\n\tb").text == "a\n\tb"
