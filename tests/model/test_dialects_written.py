"""Any Action that a family has words for is read back, from these words, as the same Action: exactly, or within the
pixels that its numbers can tell."""

from __future__ import annotations

import math
from typing import Any

import pytest
from helpers.model_families import CASES, QWEN25_CASES, DialectCase, actions_of, screen_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actions import (
    Answer,
    Ask,
    Back,
    Click,
    Done,
    Drag,
    Home,
    LongPress,
    Move,
    Open,
    PressKeys,
    Scroll,
    TypeText,
    UsageError,
    Wait,
)
from actions.keys import KEYS
from model.dialects.parts.coordinates import RESIZED_PIXELS

ALL_CASES = [*CASES, *QWEN25_CASES]
DIALECTS = {str(case): case.dialect() for case in ALL_CASES}
EVERY = pytest.mark.parametrize("case", ALL_CASES, ids=str)
SIZES = st.sampled_from([(1920, 1080), (1080, 2400), (3840, 2160), (1288, 728), (280, 364), (333, 777)])
TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"])
    | st.sampled_from("\n\t'\"\\(){}[],=<>"),
    max_size=40,
)
KEY = st.sampled_from(sorted(KEYS)) | st.sampled_from("abcXYZ019+-.,/'\"\\;")
SECONDS = st.integers(0, 60).map(float)


def actions(width: int, height: int) -> st.SearchStrategy[Any]:
    x, y = st.integers(0, width - 1), st.integers(0, height - 1)
    amount = st.integers(-100, 100)
    return st.one_of(
        st.builds(
            Click,
            x=x,
            y=y,
            button=st.sampled_from(["left", "right", "middle"]),
            count=st.integers(1, 3),
            modifiers=st.sampled_from([(), ("ctrl",), ("ctrl", "shift")]),
        ),
        st.builds(Move, x=x, y=y),
        st.builds(Drag, path=st.lists(st.tuples(x, y), min_size=1, max_size=3)),
        st.builds(Scroll, x=x, y=y, down=amount),
        st.builds(Scroll, down=amount),
        st.builds(Scroll, right=amount),
        st.builds(LongPress, x=x, y=y, seconds=SECONDS),
        st.builds(TypeText, text=TEXT),
        st.builds(PressKeys, keys=st.lists(KEY, min_size=1, max_size=3)),
        st.builds(Open, target=TEXT.filter(bool) | st.just("https://example.org/a?b=c")),
        st.just(Back()),
        st.just(Home()),
        st.builds(Wait, seconds=SECONDS),
        st.builds(Answer, text=TEXT),
        st.builds(Ask, question=TEXT),
        st.builds(Done, status=st.sampled_from(["success", "failure"]), message=st.just("") | TEXT),
    )


def near(dialect: Any, screen: Any, first: Any, second: Any) -> bool:
    """Equal but for places, and these as near as the numbers of the space can tell."""
    fields, others = first.model_dump(), second.model_dump()
    places = [*first.points()], [*second.points()]
    for key in ("x", "y", "path"):
        fields.pop(key, None)
        others.pop(key, None)
    sides = zip((screen.width, screen.height), dialect.limits.resized(screen.width, screen.height), strict=True)
    scale = getattr(dialect, "SPACE", RESIZED_PIXELS).scale
    resolutions = [(real, scale or resized) for real, resized in sides]  # pixels, and numbers to tell them apart
    tolerances = [0 if numbers >= real else math.ceil(real / numbers) for real, numbers in resolutions]
    same = len(places[0]) == len(places[1]) and all(
        abs(a - b) <= tolerance
        for place, other_place in zip(*places, strict=True)
        for a, b, tolerance in zip(place, other_place, tolerances, strict=True)
    )
    return fields == others and same


def check_round_trip(case: DialectCase, data: st.DataObject) -> None:
    width, height = data.draw(SIZES)
    action = data.draw(actions(width, height))
    dialect, screen = DIALECTS[str(case)], screen_of(width, height)
    try:
        text = dialect.format_action(action, screen)
    except UsageError as error:
        assert f"dialect {case.name} has no words for" in str(error)
        return
    (parsed,) = actions_of(dialect, text, width, height)
    assert near(dialect, screen, action, parsed), (text, parsed)


@EVERY
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_formatted_actions_parse_to_themselves(case: DialectCase, data: st.DataObject) -> None:
    check_round_trip(case, data)


@pytest.mark.slow
@EVERY
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_many_formatted_actions_parse_to_themselves(case: DialectCase, data: st.DataObject) -> None:
    check_round_trip(case, data)


@EVERY
def test_most_example_actions_can_be_formatted(case: DialectCase) -> None:
    dialect = case.dialect()
    wordless = []
    for example in case.examples():
        screen = screen_of(*example.screen_size)
        try:
            (parsed,) = actions_of(dialect, dialect.format_action(example.action, screen), *example.screen_size)
        except UsageError:
            wordless.append(example.action)
        else:
            assert near(dialect, screen, example.action, parsed), example
    assert len(wordless) <= len(case.examples()) // 4, wordless
