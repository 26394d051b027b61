"""lmms-eval's samples (`--log_samples`): a JSON line each with `doc_id`, the prompt and the reply.

Source: EvolvingLMMs-Lab/lmms-eval, lmms_eval/loggers/evaluation_tracker.py (0716c69) for the file, and for what a reply
says tasks/screenspot_pro, screenspot_v2 and osworld_g/utils.py (226ba42, 6c3e853, 18b594d), read. Its prompt asks for 0
to 1; OSWorld-G's leaves it open, and "[-1, -1]" refuses there. That its scorer takes numbers above 1 for pixels is not
followed.

The documents are not in the files: a sample is found by its instruction. Where several tasks share one, the samples'
order decides, if doc_id goes up with our tasks' order on all the others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.importers.base import TaskMatcher, box_of, normalize_whitespace, pixels
from evals.scoring import Dataset

EPISODES = False
NUMBER = r"-?\d+(?:\.\d+)?%?"
TAG = re.compile(r"<\s*bbox[^>]*>(.*?)<\s*/\s*bbox\s*>", re.IGNORECASE | re.DOTALL)
PAIR = re.compile(rf"[\[(]\s*({NUMBER})\s*[,\s]\s*({NUMBER})\s*[\])]")
NAMED = re.compile(rf"['\"]?x['\"]?\s*[:=]\s*({NUMBER}).*?['\"]?y['\"]?\s*[:=]\s*({NUMBER})", re.IGNORECASE | re.DOTALL)
A_BOX = ("box", "rect")
ASKED = "Instruction: "


def space(benchmark: str) -> str:
    if benchmark.startswith("osworld-g"):
        raise UsageError(
            "lmms-eval lets a model answer OSWorld-G in shares or in pixels; say which it did: "
            "--format lmms_eval:shares or lmms_eval:pixels"
        )
    return "shares"


def recognises(content: Any) -> bool:
    samples = _samples(content)
    return bool(samples) and isinstance(samples[0], dict) and {"doc_id", "filtered_resps"} <= samples[0].keys()


def _samples(content: Any) -> list[Any]:
    """The lines; older versions wrote one object with them in "logs"."""
    held = content.get("logs") if isinstance(content, dict) else content
    return held if isinstance(held, list) else []


def read(content: Any, dataset: Dataset, path: Path, space: str) -> list[dict[str, Any]]:
    if not recognises(content):
        raise UsageError(f"{path} holds no samples of lmms-eval: they have doc_id and filtered_resps")
    samples = _samples(content)
    for number, sample in enumerate(samples, 1):
        doc_id = sample.get("doc_id") if isinstance(sample, dict) else None
        if not isinstance(doc_id, int) or "filtered_resps" not in sample:
            raise UsageError(f"{path}, entry {number}: no sample with doc_id (an integer) and filtered_resps")
    lines = []
    for sample, task in zip(samples, _tasks(samples, dataset, path), strict=True):
        reply = _reply(sample)
        point = _point(reply, task, dataset, space)
        line = {"id": task.id, "point": point, "reply": reply}
        if point is not None and point[0] < 0 and point[1] < 0:
            line["refused"] = True
        lines.append(line)
    return lines


def _reply(sample: Mapping[str, Any]) -> str:
    """The first answer, as the scorer takes it; lists in lists in some versions."""
    held: Any = sample["filtered_resps"]
    while isinstance(held, list):
        held = held[0] if held else ""
    return str(held)


def _instruction(sample: Mapping[str, Any]) -> str:
    doc = sample.get("doc")
    if isinstance(doc, dict) and "instruction" in doc:
        return str(doc["instruction"])
    prompt: Any = sample.get("input", "")
    while isinstance(prompt, list):
        prompt = prompt[0] if prompt else ""
    _, asked, words = str(prompt).rpartition(ASKED)
    return words if asked else str(sample.get("target", ""))


# ---- which task


def _tasks(samples: Sequence[Mapping[str, Any]], dataset: Dataset, path: Path) -> list[Any]:
    docs = [sample.get("doc") for sample in samples]
    if all(isinstance(doc, dict) and "img_filename" in doc for doc in docs):
        finder = TaskMatcher(dataset.tasks, path)
        return [
            finder.take(str(doc["img_filename"]), str(doc["instruction"]), box_of(doc.get("bbox")), number)
            for number, doc in enumerate(docs, 1)
            if isinstance(doc, dict)
        ]
    places: dict[str, list[int]] = defaultdict(list)
    for place, task in enumerate(dataset.tasks):
        places[normalize_whitespace(task.instruction)].append(place)
    asked: dict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        asked[normalize_whitespace(_instruction(sample))].append(number)
    found: dict[int, int] = {}
    shared = 0
    for words, numbers in asked.items():
        if words not in places:
            raise UsageError(
                f"{path}, entry {numbers[0] + 1}: no task of this benchmark has the instruction '{words[:60]}'"
            )
        if len(places[words]) == 1 == len(numbers):
            found[numbers[0]] = places[words][0]
        else:
            shared += len(numbers)
    if shared:
        _by_order(samples, places, asked, found, shared, path)
    return [dataset.tasks[found[number]] for number in range(len(samples))]


def _by_order(
    samples: Sequence[Mapping[str, Any]],
    places: Mapping[str, list[int]],
    asked: Mapping[str, list[int]],
    found: dict[int, int],
    shared: int,
    path: Path,
) -> None:
    """Samples whose words several tasks share, in the order of doc_id. UsageError where that order is not ours."""
    sure = [place for _, place in sorted((int(samples[number]["doc_id"]), place) for number, place in found.items())]
    same_order = len(sure) > 1 and sure == sorted(sure)
    for words, numbers in asked.items():
        if len(places[words]) == 1 == len(numbers):
            continue
        if not same_order or len(places[words]) != len(numbers):
            raise UsageError(
                f"{path}: {shared:,} samples have an instruction that several tasks share, such as '{words[:60]}', and "
                "nothing in them says whose they are; log the samples with their documents (doc, with img_filename)"
            )
        for number, place in zip(
            sorted(numbers, key=lambda one: int(samples[one]["doc_id"])), places[words], strict=True
        ):
            found[number] = place


# ---- what was said


def _point(reply: str, task: Any, dataset: Dataset, space: str) -> list[float] | None:
    """The point of a reply in pixels, by the harness's own reading; None where it finds none."""
    tokens = _tokens(reply)
    if tokens is None:
        return None
    given = [(float(one.rstrip("%")), one.endswith("%")) for one in tokens]
    if any(percent for _, percent in given):
        if not all(percent for _, percent in given):
            return None  # a share of one side and something else of the other is no point
        numbers, space = [value / 100 for value, _ in given], "shares"
    else:
        numbers = [value for value, _ in given]
    if len(numbers) == 4:
        numbers = [(numbers[0] + numbers[2]) / 2, (numbers[1] + numbers[3]) / 2]
    return pixels(task, dataset, numbers, space)


def _tokens(reply: str) -> list[str] | None:
    """Two numbers, or the four of a box: a tag <bbox>, a pair in brackets, x and y by name, else the first numbers."""
    tag = TAG.search(reply)
    if tag and len(inner := re.findall(NUMBER, tag.group(1))) >= 4:
        return inner[:4]
    for form in (PAIR, NAMED):
        found = form.search(reply)
        if found:
            return [found.group(1), found.group(2)]
    numbers = re.findall(NUMBER, reply)
    if len(numbers) >= 4 and any(word in reply.lower() for word in A_BOX):
        return numbers[:4]
    return numbers[:2] if len(numbers) >= 2 else None
