"""Reading and pointing, measured on invented screens that were never drawn for training. Knows checkpoints and scores.

Reading: the model is asked what it says at a word's place, and its words are compared letter by letter. Pointing: it is
asked for one element or word of a screen, and its click must lie inside.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.engine.decode import Sampling, stream_batch
from model.nn.qwen25vl import Qwen25VL
from model.processing.image import frames_to_patches
from model.processing.tokenizer import Tokenizer
from training.dataset import Question, Sample
from training.packing import Packer, decode
from training.page_renderer import encoded
from training.questions import read_at, words_of
from training.text_strips import READ, enlarged

AT_ONCE = 25


def generate_replies(
    model: Qwen25VL,
    tokenizer: Tokenizer,
    packer: Packer,
    asked: Sequence[tuple[bytes, str]],
    most: int,
    sampling: Sampling | None = None,
) -> list[str]:
    """The model's words for each (PNG, goal), left-padded and together; at most so many tokens. Greedy by default."""
    prompts = [packer.head + packer.prompt(goal) for _, goal in asked]
    length = max(len(prompt) for prompt in prompts)
    pad = tokenizer.id("<|endoftext|>")
    ids = torch.tensor([[pad] * (length - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    frames = np.stack([decode(png) for png, _ in asked])
    patches, (_, h, w) = frames_to_patches(np.repeat(frames, 2, axis=0))
    tokens: list[Tensor] = list(
        stream_batch(
            model,
            ids.to(model.device),
            max_new_tokens=most,
            stop_ids=tokenizer.stop_ids,
            sampling=sampling or Sampling(),
            vocabulary=tokenizer.size,
            attention_mask=mask.to(model.device),
            pixel_values=patches.to(model.device),
            image_grid_thw=[(1, h, w)] * len(asked),
        )
    )
    stop = set(tokenizer.stop_ids)
    words = []
    for row in torch.stack(tokens, dim=1).tolist():
        end = next((place for place, token in enumerate(row) if token in stop), len(row))
        words.append(tokenizer.decode(row[:end]))
    return words


@dataclass
class Score:
    """Counts by name; right of total."""

    right: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    total: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, right: float, total: float = 1) -> None:
        self.right[name] += right
        self.total[name] += total

    def shares(self) -> dict[str, dict[str, float]]:
        """{"name": {"right", "total", "share"}}."""
        return {
            name: {"right": self.right[name], "total": total, "share": round(self.right[name] / total, 4)}
            for name, total in sorted(self.total.items())
        }


def reading(
    model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, samples: Sequence[Sample], words: int, seed: int = 0
) -> dict[str, Any]:
    """Characters read right, of words in screens whose text is 11 to 16 CSS px: 1 - edits / characters, not below 0."""
    rng = random.Random(seed)
    asked: list[tuple[bytes, str]] = []
    truth: list[str] = []
    while len(asked) < words:
        sample = rng.choice(samples)
        found = words_of(sample.characters)
        if not found:
            continue
        text, box = rng.choice(found)
        asked.append((sample.png, read_at(text, box)["goal"]))
        truth.append(text)
    return _read(model, tokenizer, packer, asked, truth)


def reading_strips(model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, samples: Sequence[Sample]) -> dict[str, Any]:
    """The same of strips with one word each, as lines.py draws them; packer: of the size at which they are shown."""
    asked = [(encoded(enlarged(one)[0]), READ) for one in samples]
    return _read(model, tokenizer, packer, asked, [one.questions[0].answer["say"] for one in samples])


def _read(
    model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, asked: Sequence[tuple[bytes, str]], truth: Sequence[str]
) -> dict[str, Any]:
    score = Score()
    for part, expected in zip(_parts(asked), _parts(truth), strict=True):
        for text, answer in zip(expected, generate_replies(model, tokenizer, packer, part, 24), strict=True):
            score.add("characters", max(0, len(text) - edits(text, answer)), len(text))
            score.add("words", text == answer)
    return score.shares()


def pointing(
    model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, samples: Sequence[Sample], seed: int = 0
) -> dict[str, Any]:
    """Clicks inside the element, one question a screen, by kind of element and in all."""
    rng = random.Random(seed)
    asked: list[tuple[bytes, str]] = []
    wanted: list[tuple[Question, str]] = []
    for sample in samples:
        clicks = [one for one in sample.questions if one.answer.get("action") == "left_click" and one.box]
        if clicks:
            question = rng.choice(clicks)
            asked.append((sample.png, question.goal))
            wanted.append((question, _kind(question, sample)))
    score = Score()
    for part, expected in zip(_parts(asked), _parts(wanted), strict=True):
        for (question, kind), answer in zip(
            expected, generate_replies(model, tokenizer, packer, part, 24), strict=True
        ):
            hit = inside(point(answer), question)
            score.add("all", hit)
            score.add(kind, hit)
    return score.shares()


def own_goals(model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, samples: Sequence[Sample]) -> dict[str, float]:
    """Share of practice screens, by task, whose own question is answered right: the point inside, or the same call."""
    score = Score()
    known = [one for one in samples if one.own is not None]
    for part in _parts(known):
        answers = generate_replies(model, tokenizer, packer, [(one.png, one.goal) for one in part], 40)
        for sample, answer in zip(part, answers, strict=True):
            assert sample.own is not None
            score.add(sample.source, right(answer, sample.own))
    return {name: one["share"] for name, one in score.shares().items()}


def right(answer: str, question: Question) -> bool:
    """Whether an answer does what the question wants: a point may lie anywhere in the box, all else is equal."""
    if "say" in question.answer:
        return answer == question.answer["say"]
    arguments = call(answer)
    if arguments is None or arguments.get("action") != question.answer["action"]:
        return False
    if question.box is not None and "coordinate" in question.answer:
        rest = {key: value for key, value in question.answer.items() if key != "coordinate"}
        return inside(point(answer), question) and all(arguments.get(key) == value for key, value in rest.items())
    return arguments == dict(question.answer)


def call(text: str) -> dict[str, Any] | None:
    """The arguments of the call in a reply, None where there is none."""
    try:
        arguments = json.loads(text.split("<tool_call>")[1].split("</tool_call>")[0])["arguments"]
    except (ValueError, LookupError, TypeError):
        return None
    return arguments if isinstance(arguments, dict) else None


def point(text: str) -> tuple[int, int] | None:
    """The coordinate of the call in a reply."""
    try:
        x, y = (call(text) or {})["coordinate"]
        return int(x), int(y)
    except (ValueError, LookupError, TypeError):
        return None


def inside(at: tuple[int, int] | None, target: Question) -> bool:
    if at is None or target.box is None:
        return False
    x, y, w, h = target.box
    return x <= at[0] < x + w and y <= at[1] < y + h


def edits(a: str, b: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def _kind(question: Question, sample: Sample) -> str:
    return next((str(one["kind"]) for one in sample.elements if tuple(one["box"]) == question.box), "word")


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
