"""Events of a video as models write them: a JSON list of times as mm:ss.ff and descriptions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from actions import Error
from model.json_file import JsonObject
from model.wire.lenient_json import LenientJsonError, parse_json

MAX_EVENTS = 64
TIME_PATTERN = r"[0-9]{2,3}:[0-5][0-9]\.[0-9]{2}"
_TIME = re.compile(r"(?:([0-9]{1,2}):)?([0-9]{1,3}):([0-5]?[0-9](?:\.[0-9]{1,3})?)")
EVENTS_SCHEMA: JsonObject = {
    "type": "array",
    "maxItems": MAX_EVENTS,
    "items": {
        "type": "object",
        "properties": {
            "start_time": {"type": "string", "pattern": TIME_PATTERN},
            "end_time": {"type": "string", "pattern": TIME_PATTERN},
            "description": {"type": "string", "maxLength": 300},
        },
        "required": ["start_time", "end_time", "description"],
        "additionalProperties": False,
    },
}


class InvalidEventsError(Error):
    """A reply contains no list of events of the video; the message is a clause."""


@dataclass(frozen=True)
class VideoEvent:
    """A part of a video.

    Args:
        start: Seconds from the start of the video.
        end: Seconds from the start of the video.
        description: What happens, in the model's words.
    """

    start: float
    end: float
    description: str

    def as_json(self) -> JsonObject:
        """Return the event with times as mm:ss.ff."""
        return {
            "start_time": format_time(self.start),
            "end_time": format_time(self.end),
            "description": self.description,
        }


def format_time(seconds: float) -> str:
    """Return a time as mm:ss.ff, with as many digits of minutes as it takes."""
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def parse_events(text: str, duration: float, tolerance: float) -> tuple[VideoEvent, ...]:
    """Return the events in a reply, by their start; the end of the last ones may be cut to the video's.

    Args:
        text: A JSON list, as in a code block or after other text.
        duration: Seconds of the video.
        tolerance: Seconds by which an event may end after the video.

    Raises:
        InvalidEventsError: There is no list, an item lacks a key, or its times are not within the video.
    """
    start = text.find("[")
    if start < 0:
        raise InvalidEventsError("the reply contains no JSON list")
    try:
        value, _ = parse_json(text, start)
    except LenientJsonError as error:
        raise InvalidEventsError(f"the reply's list is no JSON: {error}") from None
    if not isinstance(value, list):
        raise InvalidEventsError("the reply contains no JSON list")
    if len(value) > MAX_EVENTS:
        raise InvalidEventsError(f"the reply has {len(value)} events, more than {MAX_EVENTS}")
    events = [_event(item, number, duration, tolerance) for number, item in enumerate(value, 1)]
    return tuple(sorted(events, key=lambda event: (event.start, event.end)))


def _event(item: Any, number: int, duration: float, tolerance: float) -> VideoEvent:
    if not isinstance(item, dict):
        raise InvalidEventsError(f"event {number} is no object")
    description = item.get("description")
    if not isinstance(description, str) or not description.strip():
        raise InvalidEventsError(f"event {number} has no description")
    start, end = (_seconds(item.get(key), key, number) for key in ("start_time", "end_time"))
    if not start <= end or start > duration or end > duration + tolerance:
        raise InvalidEventsError(
            f"event {number} is from {format_time(start)} to {format_time(end)}, which is not within the video's "
            f"{format_time(duration)}"
        )
    return VideoEvent(start, min(end, duration), description.strip())


def _seconds(value: Any, key: str, number: int) -> float:
    """Return a time in seconds; a number counts as seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InvalidEventsError(f"event {number} has no {key} as mm:ss.ff")
    return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3])
