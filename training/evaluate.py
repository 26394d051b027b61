"""Evaluate reading and pointing on held-out screens, and the answers to practice pages.

Reading: the model reads the word at a point, and its reply is compared character by character. Pointing: the model
clicks an element or word, and the click must lie inside its box.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from model.engine.decode import Sampling, stream_batch
from model.nn.qwen25vl import Qwen25VL
from model.processing.image import frames_to_patches
from model.processing.tokenizer import Tokenizer
from training.dataset import Question, Sample
from training.packing import Packer, decode_png
from training.page_renderer import encode_png
from training.questions import group_words, read_word
from training.text_strips import READ_GOAL, resize_strip

BATCH_SIZE = 25
MAX_READ_TOKENS, MAX_CALL_TOKENS = 24, 40

Prompt = tuple[bytes, str]  # PNG, goal
Accuracies = dict[str, dict[str, float]]  # {name: {"right", "total", "share"}}
Item = TypeVar("Item")


def generate_replies(
    model: Qwen25VL,
    tokenizer: Tokenizer,
    packer: Packer,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    sampling: Sampling | None = None,
) -> list[str]:
    """Return the reply to each prompt, generated in one left-padded batch; greedy by default."""
    prompt_ids = [packer.head + packer.prompt(goal) for _, goal in prompts]
    length = max(len(ids) for ids in prompt_ids)
    pad = tokenizer.id("<|endoftext|>")
    input_ids = torch.tensor([[pad] * (length - len(ids)) + ids for ids in prompt_ids])
    mask = torch.tensor([[0] * (length - len(ids)) + [1] * len(ids) for ids in prompt_ids])
    frames = np.stack([decode_png(png) for png, _ in prompts])
    patches, (_, h, w) = frames_to_patches(np.repeat(frames, 2, axis=0))
    tokens: list[Tensor] = list(
        stream_batch(
            model,
            input_ids.to(model.device),
            max_new_tokens=max_new_tokens,
            stop_ids=tokenizer.stop_ids,
            sampling=sampling or Sampling(),
            vocabulary=tokenizer.size,
            attention_mask=mask.to(model.device),
            pixel_values=patches.to(model.device),
            image_grid_thw=[(1, h, w)] * len(prompts),
        )
    )
    stop_ids = set(tokenizer.stop_ids)
    replies = []
    for row in torch.stack(tokens, dim=1).tolist():
        end = next((index for index, token in enumerate(row) if token in stop_ids), len(row))
        replies.append(tokenizer.decode(row[:end]))
    return replies


@dataclass
class AccuracyCounter:
    """Counts right answers by name."""

    right: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    total: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, right: float, total: float = 1) -> None:
        """Add answers, of which `right` are right."""
        self.right[name] += right
        self.total[name] += total

    def accuracies(self) -> Accuracies:
        """Return {name: {"right", "total", "share"}}."""
        return {
            name: {"right": self.right[name], "total": total, "share": round(self.right[name] / total, 4)}
            for name, total in sorted(self.total.items())
        }


def reading_accuracy(
    model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, samples: Sequence[Sample], count: int, seed: int = 0
) -> Accuracies:
    """Return the accuracy on characters and words of `count` random words on screens.

    The accuracy on characters is 1 - edit distance / length, not below 0.
    """
    rng = random.Random(seed)
    prompts: list[Prompt] = []
    expected: list[str] = []
    while len(prompts) < count:
        sample = rng.choice(samples)
        words = group_words(sample.characters)
        if not words:
            continue
        text, box = rng.choice(words)
        prompts.append((sample.png, read_word(text, box)["goal"]))
        expected.append(text)
    return _text_accuracy(model, tokenizer, packer, prompts, expected)


def strip_accuracy(model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, samples: Sequence[Sample]) -> Accuracies:
    """Return the same on strips of text; packer: of the size to which the processor resizes a strip."""
    prompts = [(encode_png(resize_strip(sample).frame), READ_GOAL) for sample in samples]
    return _text_accuracy(model, tokenizer, packer, prompts, [sample.questions[0].answer["say"] for sample in samples])


def _text_accuracy(
    model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, prompts: Sequence[Prompt], expected: Sequence[str]
) -> Accuracies:
    counter = AccuracyCounter()
    for batch, texts in zip(_batches(prompts), _batches(expected), strict=True):
        replies = generate_replies(model, tokenizer, packer, batch, MAX_READ_TOKENS)
        for text, reply in zip(texts, replies, strict=True):
            counter.add("characters", max(0, len(text) - edit_distance(text, reply)), len(text))
            counter.add("words", text == reply)
    return counter.accuracies()


def pointing_accuracy(
    model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, samples: Sequence[Sample], seed: int = 0
) -> Accuracies:
    """Return the fraction of clicks inside the element, by kind of element and in all; one question a screen."""
    rng = random.Random(seed)
    prompts: list[Prompt] = []
    targets: list[tuple[Question, str]] = []
    for sample in samples:
        clicks = [q for q in sample.questions if q.answer.get("action") == "left_click" and q.box]
        if clicks:
            question = rng.choice(clicks)
            prompts.append((sample.png, question.goal))
            targets.append((question, _element_kind(question, sample)))
    counter = AccuracyCounter()
    for batch, batch_targets in zip(_batches(prompts), _batches(targets), strict=True):
        replies = generate_replies(model, tokenizer, packer, batch, MAX_READ_TOKENS)
        for (question, kind), reply in zip(batch_targets, replies, strict=True):
            hit = is_inside(parse_point(reply), question)
            counter.add("all", hit)
            counter.add(kind, hit)
    return counter.accuracies()


def task_accuracy(model: Qwen25VL, tokenizer: Tokenizer, packer: Packer, samples: Sequence[Sample]) -> dict[str, float]:
    """Return the fraction of practice screens, by task, whose own question is answered right."""
    counter = AccuracyCounter()
    labeled = [sample for sample in samples if sample.own_question is not None]
    for batch in _batches(labeled):
        prompts = [(sample.png, sample.goal) for sample in batch]
        replies = generate_replies(model, tokenizer, packer, prompts, MAX_CALL_TOKENS)
        for sample, reply in zip(batch, replies, strict=True):
            assert sample.own_question is not None
            counter.add(sample.source, is_right(reply, sample.own_question))
    return {name: accuracy["share"] for name, accuracy in counter.accuracies().items()}


def is_right(reply: str, question: Question) -> bool:
    """Return whether a reply answers a question: a point may lie anywhere in the box, all else must be equal."""
    if "say" in question.answer:
        return reply == question.answer["say"]
    arguments = parse_call(reply)
    if arguments is None or arguments.get("action") != question.answer["action"]:
        return False
    if question.box is not None and "coordinate" in question.answer:
        others = {key: value for key, value in question.answer.items() if key != "coordinate"}
        in_box = is_inside(parse_point(reply), question)
        return in_box and all(arguments.get(key) == value for key, value in others.items())
    return arguments == dict(question.answer)


def parse_call(reply: str) -> dict[str, Any] | None:
    """Return the arguments of the call in a reply, None if there is none."""
    try:
        arguments = json.loads(reply.split("<tool_call>")[1].split("</tool_call>")[0])["arguments"]
    except (ValueError, LookupError, TypeError):
        return None
    return arguments if isinstance(arguments, dict) else None


def parse_point(reply: str) -> tuple[int, int] | None:
    """Return the coordinate of the call in a reply, None if there is none."""
    try:
        x, y = (parse_call(reply) or {})["coordinate"]
        return int(x), int(y)
    except (ValueError, LookupError, TypeError):
        return None


def is_inside(point: tuple[int, int] | None, question: Question) -> bool:
    """Return whether a point lies in the box of a question."""
    if point is None or question.box is None:
        return False
    x, y, w, h = question.box
    return x <= point[0] < x + w and y <= point[1] < y + h


def edit_distance(a: str, b: str) -> int:
    """Return the Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def _element_kind(question: Question, sample: Sample) -> str:
    elements: Iterator[Mapping[str, Any]] = (e for e in sample.elements if tuple(e["box"]) == question.box)
    element = next(elements, None)
    return "word" if element is None else str(element["kind"])


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BATCH_SIZE):
        yield items[start : start + BATCH_SIZE]
