"""Overlap of boxes in images and of spans in time, and how harnesses read them out of replies.

Sources: open-compass/VLMEvalKit, vlmeval/dataset/refcoco.py (e8e78f0); EvolvingLMMs-Lab/lmms-eval (75571cf),
lmms_eval/tasks/refcoco/utils_rec.py, tasks/charades_sta/utils.py and tasks/charades_sta/eval_tvg.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from evals.metrics.geometry import Box, box_area

Span = tuple[float, float]  # start and end in seconds

_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_BRACKETED = re.compile(r"\[\s*" + r"(?:\s*,\s*|\s+)".join([f"({_NUMBER})"] * 4) + r"\s*\]")
_PLAIN_BRACKETED = re.compile(r"\[\s*" + r",\s*".join([r"(-?\d+(?:\.\d+)?)"] * 4) + r"\s*\]")
_TIME_WORDS = ("start", "end", "happen")  # of the sentences that are read
_EXAMPLE = "a specific example is : 20.8 - 30.0 seconds"
_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*[–-]\s*(\d+(?:\.\d+)?)")
_UNIT_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*s?\s*[–-]\s*(\d+(?:\.\d+)?)\s*s?")
_SECONDS = re.compile(r"\b(\d+(?:\.\d+)?)\b")
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?"
_CLOCK_RANGE = re.compile(rf"\b({_CLOCK})\s*[–-]\s*({_CLOCK})\b")
_CLOCK_TIME = re.compile(rf"\b({_CLOCK})\b")
_LONG_CLOCK_TIME = re.compile(r"\b(\d{1,2}:\d{2}:\d{2})\b")


def box_iou(a: Box, b: Box) -> float:
    """Return the intersection of two boxes divided by their union, 0 where the union has no area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    union = box_area(a) + box_area(b) - shared
    return shared / union if union else 0.0


def span_iou(a: Span, b: Span) -> float:
    """Return the intersection of two spans divided by the time from the first start to the last end."""
    total = max(a[1], b[1]) - min(a[0], b[0])
    return max(min(a[1], b[1]) - max(a[0], b[0]), 0.0) / total if total > 0 else 0.0


def parse_vlmevalkit_box(reply: str, size: tuple[int, int]) -> Box | None:
    """Return a reply's first box in pixels as VLMEvalKit reads it, None without four numbers.

    Numbers up to 1.5 are shares of the image, up to 1000 thousandths, larger ones pixels.

    Args:
        reply: The reply.
        size: Width and height of the image in pixels.
    """
    match = _BRACKETED.search(reply)
    texts: Sequence[str] = match.groups() if match else re.findall(_NUMBER, reply)[:4]
    if len(texts) < 4:
        return None
    values = [float(text) for text in texts]
    largest = max(map(abs, values))
    unit = 1.0 if largest <= 1.5 else 1000.0 if largest <= 1000 else None
    lengths = (*size, *size)
    if unit is not None:
        values = [value / unit * length for value, length in zip(values, lengths, strict=True)]
    x1, y1, x2, y2 = (min(max(value, 0.0), length) for value, length in zip(values, lengths, strict=True))
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def parse_normalized_box(reply: str) -> Box | None:
    """Return a reply's first box in brackets, in shares of the image as lmms-eval reads it."""
    match = _PLAIN_BRACKETED.search(reply)
    return tuple(float(text) for text in match.groups()) if match else None


def parse_span(reply: str) -> Span | None:
    """Return the span of a reply as lmms-eval's task for Charades-STA reads it.

    Sentences without a word of time are read where no other exists; in this order: two times of a clock with a dash,
    two numbers with a dash, times of a clock, the first number of each sentence.
    """
    text = _prepare(reply)
    sentences = _time_sentences(text) or _sentences(text)
    readers: tuple[Callable[[], list[Span]], ...] = (
        lambda: _ranges(sentences, _CLOCK_RANGE),
        lambda: _ranges(sentences, _RANGE),
        lambda: _paired([time for sentence in sentences for time in _CLOCK_TIME.findall(sentence)]),
        lambda: _paired(_first_of_each(sentences, _SECONDS)),
        lambda: _ranges(sentences, _UNIT_RANGE),
    )
    return _first_span(readers)


def parse_tvg_span(reply: str) -> Span | None:
    """Return the span of a reply as the script eval_tvg.py reads it: sentences with a word of time only."""
    sentences = _time_sentences(_prepare(reply))
    readers: tuple[Callable[[], list[Span]], ...] = (
        lambda: _ranges(sentences, _RANGE),
        lambda: _paired(_first_of_each(sentences, _SECONDS)),
        lambda: _paired(_first_of_each(sentences, _LONG_CLOCK_TIME)),
        lambda: _ranges(sentences, _UNIT_RANGE),
    )
    return _first_span(readers)


def _prepare(reply: str) -> str:
    return reply.lower().replace(_EXAMPLE, "").replace("to", "-")


def _sentences(text: str) -> list[str]:
    return re.split(r"[!?\n]", text)


def _time_sentences(text: str) -> list[str]:
    return [sentence for sentence in _sentences(text) if any(word in sentence for word in _TIME_WORDS)]


def _ranges(sentences: Sequence[str], pattern: re.Pattern[str]) -> list[Span]:
    """Return the spans of the first sentence that has any."""
    for sentence in sentences:
        matches = pattern.findall(sentence)
        if matches:
            return [(_seconds(start), _seconds(end)) for start, end in matches]
    return []


def _first_of_each(sentences: Sequence[str], pattern: re.Pattern[str]) -> list[str]:
    return [match[0] for sentence in sentences if (match := pattern.findall(sentence))]


def _paired(times: Sequence[str]) -> list[Span]:
    return [(_seconds(start), _seconds(end)) for start, end in zip(times[::2], times[1::2], strict=False)]


def _first_span(readers: Sequence[Callable[[], list[Span]]]) -> Span | None:
    for parse in readers:
        spans = parse()
        if spans:
            start, end = spans[0]
            return min(start, end), max(start, end)
    return None


def _seconds(time: str) -> float:
    """Return seconds, minutes:seconds or hours:minutes:seconds as seconds."""
    total = 0.0
    for part in time.split(":"):
        total = total * 60 + float(part)
    return total
