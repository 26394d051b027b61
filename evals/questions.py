"""Ask a policy the question of a task, and convert its reply to a prediction."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from actions import Screen, SurfaceError, UsageError
from agent.policies.base import Policy, SupportsAnswers
from agent.see.coordinates import answer_space
from evals.metrics.geometry import parse_box
from evals.types import Benchmark, Prediction
from model.dialects.parts.dialect import BaseDialect
from model.processing.video_file import UnreadableVideoError, evenly_spaced_frames

BOX = re.compile(r"\[\s*(?:-?\d+(?:\.\d+)?\s*,\s*){3}-?\d+(?:\.\d+)?\s*\]")


def check_answers(bench: Benchmark, policy: Policy) -> None:
    """Check that a policy can be asked a benchmark's questions.

    Raises:
        UsageError: It answers no questions, or the space of its boxes is unknown.
    """
    if not isinstance(policy, SupportsAnswers):
        raise UsageError(f"{policy.metadata['model']} answers no questions; {bench.name} needs a model that does")
    if bench.answers_with_box:
        _box_dialect(policy)


def answer_question(
    bench: Benchmark, task: object, path: Path, policy: Policy, load: Callable[[Path], Screen]
) -> Prediction:
    """Return the line of a predictions file with a policy's answer.

    Args:
        bench: The benchmark.
        task: The task.
        path: Its image or video.
        policy: The policy.
        load: Loads an image.

    Raises:
        UsageError: The policy answers no questions.
        SurfaceError: The image or video cannot be read.
    """
    if bench.question is None or not isinstance(policy, SupportsAnswers):
        raise UsageError(f"{bench.name} has no questions, or {policy.metadata['model']} answers none")
    times, screens = video_screens(path, bench.video_frames) if bench.video_frames else ([], [load(path)])
    question = bench.question(task, times)
    if bench.reply_tokens is None:
        reply = policy.answer(question, screens, None)
    else:
        reply = policy.answer(question, screens, None, max_new_tokens=bench.reply_tokens)
    line: Prediction = {"id": getattr(task, "id", ""), "reply": reply.text}
    if bench.answers_with_box:
        line["box"] = reply_box(reply.text, policy, screens[0])
    return line


def video_screens(path: Path, count: int) -> tuple[list[float], list[Screen]]:
    """Return the times in seconds and the frames of a video, at even distances from its start.

    Args:
        path: The video.
        count: Number of frames; a shorter video has fewer.

    Raises:
        UsageError: PyAV is missing.
        SurfaceError: The video cannot be read.
    """
    try:
        times, frames = evenly_spaced_frames(path, count)
    except UnreadableVideoError as error:
        raise SurfaceError(f"{error}. Or download it again") from None
    return times, [Screen(frame) for frame in frames]


def reply_box(reply: str, policy: Policy, screen: Screen) -> list[float] | None:
    """Return the first box of a reply in pixels of the image, None where it has none."""
    match = BOX.search(reply)
    box = parse_box(json.loads(match[0])) if match else None
    if box is None:
        return None
    width, height = answer_space(_box_dialect(policy), screen).limits
    return [
        side * real / seen
        for side, real, seen in zip(box, (screen.width, screen.height) * 2, (width, height) * 2, strict=True)
    ]


def _box_dialect(policy: Policy) -> BaseDialect:
    """Return the dialect that says in which space a policy's boxes are.

    Raises:
        UsageError: There is none.
    """
    dialect = getattr(policy, "dialect", None)
    if not isinstance(dialect, BaseDialect):
        raise UsageError(
            f"the coordinates of {policy.metadata['model']}'s boxes are unknown: it has no dialect; use another"
        )
    return dialect
