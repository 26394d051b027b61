"""lmms-eval's samples (`--log_samples`): JSON lines with `doc_id`, the prompt and the reply.

Source: EvolvingLMMs-Lab/lmms-eval, lmms_eval/loggers/evaluation_tracker.py (0716c69) for the file, and
tasks/screenspot_pro, screenspot_v2 and osworld_g/utils.py (226ba42, 6c3e853, 18b594d) for parsing a reply. The prompt
asks for normalized coordinates; OSWorld-G's leaves the space open, and "[-1, -1]" is a refusal there. That the scorer
reads numbers above 1 as pixels is not reproduced.

The documents are not in the files: a sample is matched by its instruction. Where several tasks share one, the order of
the samples decides, provided that doc_id increases with the benchmark's order on all others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import JsonValue
from evals.importers.base import TaskMatcher, normalize_whitespace, parse_box, to_pixels
from evals.types import Dataset, Prediction

HAS_EPISODES = False
NUMBER = r"-?\d+(?:\.\d+)?%?"
TAG = re.compile(r"<\s*bbox[^>]*>(.*?)<\s*/\s*bbox\s*>", re.IGNORECASE | re.DOTALL)
PAIR = re.compile(rf"[\[(]\s*({NUMBER})\s*[,\s]\s*({NUMBER})\s*[\])]")
NAMED = re.compile(rf"['\"]?x['\"]?\s*[:=]\s*({NUMBER}).*?['\"]?y['\"]?\s*[:=]\s*({NUMBER})", re.IGNORECASE | re.DOTALL)
BOX_WORDS = ("box", "rect")
INSTRUCTION_PREFIX = "Instruction: "


def coordinate_space(benchmark: str) -> str:
    """Return the space of the points.

    Raises:
        UsageError: The harness does not define the space of this benchmark.
    """
    if benchmark.startswith("osworld-g"):
        raise UsageError(
            "lmms-eval's prompt for OSWorld-G does not define the coordinate space; set it: "
            "--format lmms_eval:normalized or lmms_eval:pixels"
        )
    return "normalized"


def can_read(content: JsonValue) -> bool:
    """Return whether the content is lmms-eval's samples."""
    samples = _samples(content)
    return bool(samples) and isinstance(samples[0], dict) and {"doc_id", "filtered_resps"} <= samples[0].keys()


def _samples(content: JsonValue) -> list[Any]:
    """Return the lines; older versions wrote one object with them in "logs"."""
    samples = content.get("logs") if isinstance(content, dict) else content
    return samples if isinstance(samples, list) else []


def read_entries(content: JsonValue, dataset: Dataset, path: Path, space: str) -> list[Prediction]:
    """Return the prediction of each sample."""
    if not can_read(content):
        raise UsageError(f"{path} is not in lmms-eval's format: no samples with doc_id and filtered_resps")
    samples = _samples(content)
    for number, sample in enumerate(samples, 1):
        doc_id = sample.get("doc_id") if isinstance(sample, dict) else None
        if not isinstance(doc_id, int) or "filtered_resps" not in sample:
            raise UsageError(f"{path}, entry {number}: doc_id (an integer) or filtered_resps is missing")
    lines = []
    for sample, task in zip(samples, _match_tasks(samples, dataset, path), strict=True):
        reply = _reply_text(sample)
        point = _parse_point(reply, task, dataset, space)
        line = {"id": task.id, "point": point, "reply": reply}
        if point is not None and point[0] < 0 and point[1] < 0:
            line["refused"] = True
        lines.append(line)
    return lines


def _reply_text(sample: Mapping[str, Any]) -> str:
    """Return the first response, as the scorer takes it; nested lists in some versions."""
    response: Any = sample["filtered_resps"]
    while isinstance(response, list):
        response = response[0] if response else ""
    return str(response)


def _instruction(sample: Mapping[str, Any]) -> str:
    doc = sample.get("doc")
    if isinstance(doc, dict) and "instruction" in doc:
        return str(doc["instruction"])
    prompt: Any = sample.get("input", "")
    while isinstance(prompt, list):
        prompt = prompt[0] if prompt else ""
    _, prefix, instruction = str(prompt).rpartition(INSTRUCTION_PREFIX)
    return instruction if prefix else str(sample.get("target", ""))


# ---- matching samples to tasks


def _match_tasks(samples: Sequence[Mapping[str, Any]], dataset: Dataset, path: Path) -> list[Any]:
    docs = [sample.get("doc") for sample in samples]
    if all(isinstance(doc, dict) and "img_filename" in doc for doc in docs):
        matcher = TaskMatcher(dataset.tasks, path)
        return [
            matcher.match(str(doc["img_filename"]), str(doc["instruction"]), parse_box(doc.get("bbox")), number)
            for number, doc in enumerate(docs, 1)
            if isinstance(doc, dict)
        ]
    task_places: dict[str, list[int]] = defaultdict(list)
    for place, task in enumerate(dataset.tasks):
        task_places[normalize_whitespace(task.instruction)].append(place)
    sample_numbers: dict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        sample_numbers[normalize_whitespace(_instruction(sample))].append(number)
    matches: dict[int, int] = {}  # place of a task by the number of its sample
    ambiguous = 0
    for instruction, numbers in sample_numbers.items():
        if instruction not in task_places:
            raise UsageError(
                f"{path}, entry {numbers[0] + 1}: no task of this benchmark has the instruction '{instruction[:60]}'"
            )
        if len(task_places[instruction]) == 1 == len(numbers):
            matches[numbers[0]] = task_places[instruction][0]
        else:
            ambiguous += len(numbers)
    if ambiguous:
        _match_by_order(samples, task_places, sample_numbers, matches, ambiguous, path)
    return [dataset.tasks[matches[number]] for number in range(len(samples))]


def _match_by_order(
    samples: Sequence[Mapping[str, Any]],
    task_places: Mapping[str, list[int]],
    sample_numbers: Mapping[str, list[int]],
    matches: dict[int, int],
    ambiguous: int,
    path: Path,
) -> None:
    """Match samples whose instruction several tasks share in the order of doc_id, adding to `matches`.

    Raises:
        UsageError: The order of doc_id is not the benchmark's.
    """
    places = [
        place for _, place in sorted((int(samples[number]["doc_id"]), place) for number, place in matches.items())
    ]
    has_same_order = len(places) > 1 and places == sorted(places)
    for instruction, numbers in sample_numbers.items():
        if len(task_places[instruction]) == 1 == len(numbers):
            continue
        if not has_same_order or len(task_places[instruction]) != len(numbers):
            raise UsageError(
                f"{path}: {ambiguous:,} samples have an instruction that several tasks share, such as "
                f"'{instruction[:60]}', and cannot be told apart; log the samples with their documents "
                "(doc, with img_filename)"
            )
        ordered = sorted(numbers, key=lambda number: int(samples[number]["doc_id"]))
        for number, place in zip(ordered, task_places[instruction], strict=True):
            matches[number] = place


# ---- parsing replies


def _parse_point(reply: str, task: Any, dataset: Dataset, space: str) -> list[float] | None:
    """Return the point of a reply in pixels, parsed as the harness does; None where it finds none."""
    tokens = _number_tokens(reply)
    if tokens is None:
        return None
    values = [(float(token.rstrip("%")), token.endswith("%")) for token in tokens]
    if any(is_percent for _, is_percent in values):
        if not all(is_percent for _, is_percent in values):
            return None  # a percentage of one side and another unit for the other
        numbers, space = [value / 100 for value, _ in values], "normalized"
    else:
        numbers = [value for value, _ in values]
    if len(numbers) == 4:
        numbers = [(numbers[0] + numbers[2]) / 2, (numbers[1] + numbers[3]) / 2]
    return to_pixels(task, dataset, numbers, space)


def _number_tokens(reply: str) -> list[str] | None:
    """Return two numbers, or the four of a box.

    In this order: a tag <bbox>, a pair in brackets, x and y by name, the first numbers of the reply.
    """
    tag = TAG.search(reply)
    if tag and len(numbers := re.findall(NUMBER, tag.group(1))) >= 4:
        return numbers[:4]
    for pattern in (PAIR, NAMED):
        match = pattern.search(reply)
        if match:
            return [match.group(1), match.group(2)]
    numbers = re.findall(NUMBER, reply)
    if len(numbers) >= 4 and any(word in reply.lower() for word in BOX_WORDS):
        return numbers[:4]
    return numbers[:2] if len(numbers) >= 2 else None
