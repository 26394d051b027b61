"""Events in replies of models: times, order, and replies that are refused."""

from __future__ import annotations

import json
import random

import pytest

from agent.see.video_events import EVENTS_SCHEMA, InvalidEventsError, VideoEvent, format_time, parse_events
from model.engine.json_grammar import json_grammar


def event(start: object = "00:01.00", end: object = "00:02.50", description: object = "a") -> dict[str, object]:
    return {"start_time": start, "end_time": end, "description": description}


def test_events_are_read_in_order() -> None:
    reply = f"Here:\n```json\n{json.dumps([event('01:10.00', '01:12.25', ' b '), event()])}\n```"
    assert parse_events(reply, 80.0, 1.0) == (VideoEvent(1.0, 2.5, "a"), VideoEvent(70.0, 72.25, "b"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("00:03", 3.0), ("0:03.5", 3.5), ("1:00:03.50", 3603.5), ("75:00.00", 4500.0), (3.25, 3.25), (4, 4.0)],
)
def test_times_are_read_in_other_forms(value: object, seconds: float) -> None:
    assert parse_events(json.dumps([event(value, value)]), 5000, 0)[0].start == seconds


def test_empty_list_has_no_events() -> None:
    assert parse_events("[]", 10, 0) == ()


def test_end_is_cut_within_tolerance() -> None:
    assert parse_events(json.dumps([event(end="00:10.40")]), 10.0, 0.5)[0].end == 10.0


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("none", "no JSON list"),
        ("[{", "no JSON"),
        ("[1]", "event 1 is no object"),
        (json.dumps([event(), event(description=" ")]), "event 2 has no description"),
        (json.dumps([event(start="soon")]), "event 1 has no start_time"),
        (json.dumps([event(end=None)]), "event 1 has no end_time"),
        (json.dumps([event(start="00:03.00")]), "not within the video"),
        (json.dumps([event(end="00:11.00")]), "not within the video"),
        (json.dumps([event()] * 65), "65 events"),
    ],
)
def test_invalid_reply_is_refused(reply: str, problem: str) -> None:
    with pytest.raises(InvalidEventsError, match=problem):
        parse_events(reply, 10.0, 0.5)


def test_mutated_replies_raise_one_error() -> None:
    generator = random.Random(0)
    reply = json.dumps([event(), event("00:03.00", "00:04.00", "b\u202e")])
    accepted = 0
    for _ in range(2000):
        chars = list(reply)
        for _ in range(generator.randint(1, 4)):
            position = generator.randrange(len(chars))
            chars[position : position + generator.randint(0, 3)] = generator.choice(
                ["", '"', "]", "{", "9", "\x00", "\\"]
            )
        try:
            events = parse_events("".join(chars), 10.0, 0.5)
        except InvalidEventsError:
            continue
        accepted += 1
        assert all(0 <= item.start <= item.end <= 10 for item in events)
    assert 0 < accepted < 2000


def test_schema_can_be_enforced() -> None:
    assert json_grammar(EVENTS_SCHEMA).body


@pytest.mark.parametrize(("seconds", "text"), [(0, "00:00.00"), (59.999, "01:00.00"), (3723.456, "62:03.46")])
def test_times_are_written_with_hundredths(seconds: float, text: str) -> None:
    assert format_time(seconds) == text
