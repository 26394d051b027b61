"""Data of supervised fine-tuning: the [[data]] entries of a recipe, and the questions asked of each sample."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from actions import InvalidActionError, Screen, UsageError
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import RESIZED_PIXELS, CoordinateMapper
from model.dialects.parts.qwen_tools import COMPUTER
from training.config import TrainingConfig
from training.dataset import Question, Sample, read_samples
from training.evaluate import is_inside, parse_call, parse_point
from training.packing import Frame, Packer, decode_png
from training.questions import group_lines, group_words, point_at_word, read_line, read_word, screen_questions
from training.text_strips import resize_strip
from training.vision_pretraining import CELL, shift_frame

SCREEN = (280, 364)  # width and height of a practice page in pixels
_BLANK_SCREEN = Screen(np.zeros((SCREEN[1], SCREEN[0], 3), dtype=np.uint8))  # for the dialect's checks of points

Characters = Sequence[Sequence[Any]]  # (character, x, y, width) each


@dataclass(frozen=True)
class PreparedSample:
    """A frame with its questions, which have the positions of their characters."""

    frame: Frame
    questions: list[Question]
    characters: Characters


@dataclass(frozen=True)
class DataSource:
    """The samples of one [[data]] entry, and how they are used."""

    share: float  # of the batches
    questions: int  # of a screen, at most
    says: float  # fraction kept of the questions that are answered in words
    words: int  # words to point at, besides
    reads: int  # words to read, besides
    lines: int  # lines to read, besides
    copies: int  # random texts to type, besides
    moved: bool  # synthetic screens, moved by up to a cell each time they are sampled
    decides: bool  # every question counts as a decision, not the page's own alone
    names: list[str]  # of the sources within the folder
    shares: list[float]  # of these sources
    samples: dict[str, list[Sample]]  # by source

    def pick(self, rng: random.Random) -> Sample:
        """Return a random sample."""
        return rng.choice(self.samples[rng.choices(self.names, self.shares)[0]])


@dataclass(frozen=True)
class BatchKind:
    """Batches of images of one size."""

    packer: Packer
    batch: int  # images
    blocks: int | None  # of a row
    sources: list[DataSource]
    share: float  # of the batches

    def samples(self) -> Iterator[Sample]:
        """Yield all samples."""
        for source in self.sources:
            yield from chain.from_iterable(source.samples.values())


def load_batch_kind(name: str, packer: Packer, recipe: TrainingConfig, data: Path) -> BatchKind:
    """Return the batches of a recipe's images of one kind, "screen" or "strip"."""
    entries = [entry for entry in recipe["data"] if entry.get("picture", "screen") == name]
    table: Mapping[str, Any] = {"batch": recipe["batch"], "blocks": recipe.get("blocks", None)}
    if entries and name == "strip":
        table = recipe["strips"]
    sources = [load_source(entry, data) for entry in entries]
    return BatchKind(packer, table["batch"], table["blocks"], sources, sum(source.share for source in sources))


def load_source(entry: Mapping[str, Any], data: Path) -> DataSource:
    """Return the samples of a [[data]] entry.

    Besides the fields of DataSource an entry has: `folder` below the data folder; `sources` and `emphasis` (optional);
    `held_back`, the seed below which samples are kept for evaluation; `shows`, a text that must be on the screen;
    `alone`, only questions about a single word; `won`, rejection sampling: only screens of episodes that were won,
    where
    the model's own reply is the answer.
    """
    samples: dict[str, list[Sample]] = {}
    won = entry.get("won", False)
    for stored in read_samples(data / entry["folder"], entry.get("sources")):
        if entry.get("shows", "") not in "".join(str(character) for character, *_ in stored.characters):
            continue
        if entry.get("alone", False) and any(" " in question.answer.get("say", "") for question in stored.questions):
            continue
        sample = with_own_reply(stored) if won else stored
        if sample is not None and sample.questions and sample.seed >= entry.get("held_back", 0):
            samples.setdefault(sample.source, []).append(sample)
    missing = sorted(set(entry.get("sources", [])) - set(samples))
    if missing or not samples:
        noun, remedy = ("screens of won episodes", "collect more") if won else ("screens", "render them first")
        raise UsageError(f"{data / entry['folder']} has no {noun} of {(missing or ['any source'])[0]}; {remedy}")
    names = sorted(samples)
    emphasis = entry.get("emphasis", {})
    return DataSource(
        share=entry["share"],
        questions=entry["questions"],
        says=entry.get("says", 1.0),
        words=entry.get("words", 0),
        reads=entry.get("reads", 0),
        lines=entry.get("lines", 0),
        copies=entry.get("copies", 0),
        moved=entry.get("moved", False),
        decides=entry.get("decides", False),
        names=names,
        shares=[float(emphasis.get(name, 1.0)) for name in names],
        samples=samples,
    )


def valid_call(reply: str) -> dict[str, Any] | None:
    """Return the arguments of the call in a reply, None if the agent would reject it on a practice page."""
    arguments = parse_call(reply) or {}
    spec = COMPUTER.rows.get(str(arguments.get("action")))
    if spec is None:
        return None
    try:
        spec.to_actions(Arguments(spec.name, arguments, CoordinateMapper(RESIZED_PIXELS, _BLANK_SCREEN, SCREEN)))
    except InvalidActionError:
        return None
    return {key: value for key, value in arguments.items() if value is not None}


def with_own_reply(sample: Sample) -> Sample | None:
    """Return a sample whose own question is answered by the model's reply; None without a valid call or a success.

    A point outside the oracle's box may be right as well; the box is dropped then, so that no auxiliary loss uses it.
    """
    own, arguments = sample.own_question, valid_call(sample.reply_text) if sample.won else None
    if own is None or arguments is None:
        return None
    box = own.box if is_inside(parse_point(sample.reply_text), own) else None
    answered = replace(own, answer=arguments, box=box)
    questions = tuple(answered if question is own else question for question in sample.questions)
    return replace(sample, questions=questions)


def prepare_screen(sample: Sample) -> PreparedSample:
    """Return a screen as it is."""
    questions = [locate_characters(question, sample.characters) for question in sample.questions]
    return PreparedSample(decode_png(sample.png), questions, sample.characters)


def prepare_strip(sample: Sample) -> PreparedSample:
    """Return a strip as the processor resizes it."""
    strip = resize_strip(sample)
    scale_x, scale_y = strip.scale
    questions = []
    for question in sample.questions:
        if question.box is not None:
            x, y, w, h = question.box
            question = replace(question, box=(x * scale_x, y * scale_y, w * scale_x, h * scale_y))
        questions.append(locate_characters(question, strip.characters))
    return PreparedSample(strip.frame, questions, strip.characters)


def prepare_moved_screen(sample: Sample, rng: random.Random) -> PreparedSample:
    """Return a synthetic screen moved by up to a cell, with new questions."""
    dx, dy = rng.randrange(-CELL, CELL), rng.randrange(-CELL, CELL)
    frame = decode_png(sample.png)
    height, width, _ = frame.shape
    moved = [(c, x + dx, y + dy, w) for c, x, y, w in sample.characters]
    characters = [(c, x, y, w) for c, x, y, w in moved if 0 <= x < width and 0 <= y < height]
    elements = []
    for element in sample.elements:
        x, y, w, h = element["box"]
        if x + dx >= 0 and y + dy >= 0 and x + dx + w <= width and y + dy + h <= height:
            elements.append({**element, "box": [x + dx, y + dy, w, h]})
    records = screen_questions(elements, characters, rng.randrange(2**31))
    questions = [Question(record["goal"], record["answer"], record["box"]) for record in records]
    questions = [locate_characters(question, characters) for question in questions]
    return PreparedSample(shift_frame(frame, dx, dy), questions, characters)


def extra_word_questions(
    characters: Characters, pointed: int, read: int, lines: int, rng: random.Random
) -> list[Question]:
    """Return questions about words on the screen; at most that many to point at, to read, and lines to read."""
    if not (pointed or read or lines):
        return []
    words = group_words(characters)
    count = Counter(text for text, _ in words)
    unique = [(text, box) for text, box in words if count[text] == 1 and len(text) > 1]
    records = [point_at_word(text, box, rng) for text, box in rng.sample(unique, min(pointed, len(unique)))]
    records += [read_word(text, box) for text, box in rng.sample(words, min(read, len(words)))]
    long_lines = [line for line in group_lines(words) if len(line) > 1]
    records += [read_line(line) for line in rng.sample(long_lines, min(lines, len(long_lines)))]
    questions = [Question(record["goal"], record["answer"], record["box"]) for record in records]
    return [locate_characters(question, characters) for question in questions]


def choose_questions(sample: Sample, questions: list[Question], max_count: int, rng: random.Random) -> list[Question]:
    """Return at most `max_count` of the questions, the page's own always among them."""
    own = [question for question in questions if sample.goal and question.goal == sample.goal][:1]
    others = [question for question in questions if question not in own]
    chosen = rng.sample(others, min(len(others), max_count - len(own)))
    return [replace(question, is_decision=True) for question in own] + chosen


def locate_characters(question: Question, characters: Characters) -> Question:
    """Return the question with the positions of the characters that it reads, names or mentions."""
    if question.box is not None:
        x, y, w, h = question.box
        in_box = [character for character in characters if x <= character[1] < x + w and y <= character[2] < y + h]
        question = _locate_read(question, in_box) if "say" in question.answer else _locate_named(question, in_box)
    return _locate_mentioned(question, characters)


def _locate_read(question: Question, in_box: Characters) -> Question:
    text = question.answer["say"]
    if not in_box or "".join(character[0] for character in in_box) != text.replace(" ", ""):
        return question
    points, letters = [(character[1], character[2]) for character in in_box], list[tuple[float, float]]()
    for character in text:  # a space is where the next word begins
        letters.append(points[0] if character == " " else points.pop(0))
    return replace(question, letters=tuple(letters))


def _locate_named(question: Question, in_box: Characters) -> Question:
    name = r"\s*".join(re.escape(character[0]) for character in in_box)
    pattern = rf"(?<![^\W_])(?:0(?=\d))?({name})(?![^\W_])"  # the 05 of a date is a 5 in a calendar
    *_, last = [None, *re.finditer(pattern, question.goal)]
    if not in_box or last is None:
        return question
    offsets = [k for k in range(*last.span(1)) if not question.goal[k].isspace()]
    named = tuple((k, character[1], character[2]) for k, character in zip(offsets, in_box, strict=True))
    return replace(question, named=named)


def _locate_mentioned(question: Question, characters: Characters) -> Question:
    """Locate words of the goal, other than the named ones, that have two or more characters and are shown once."""
    named_offsets = {offset for offset, *_ in question.named}
    goal = question.goal
    spans = [match.span() for match in re.finditer(r"[^\W_]{2,}", goal)]
    goal_words = {goal[slice(*span)]: span[0] for span in spans if named_offsets.isdisjoint(range(*span))}
    occurrences: dict[str, list[Characters]] = {}
    start = 0
    for text, _ in group_words(characters):
        if text in goal_words:
            occurrences.setdefault(text, []).append(characters[start : start + len(text)])
        start += len(text)
    mentioned = [
        (goal_words[text] + k, character[1], character[2])
        for text, places in occurrences.items()
        if len(places) == 1
        for k, character in enumerate(places[0])
    ]
    return replace(question, mentioned=tuple(mentioned))
