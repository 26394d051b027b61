"""Stages 2 to 4: the whole model learns to answer. Knows data folders, their shares and what is asked of each screen.

Invented screens are moved by up to a cell and asked anew each time they are drawn; practice pages stand as the agent
will see them, always with the page's own question. A batch is of pictures of one size: screens, or strips of text.
"""

from __future__ import annotations

import copy
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actions import InvalidActionError, Screen, UsageError
from model.checkpoints.weights import load_model, save_model
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import RESIZED_PIXELS, CoordinateMapper
from model.dialects.parts.qwen_tools import COMPUTER
from model.nn.config import Config
from model.processing.tokenizer import Tokenizer
from training import text_strips, vocabulary
from training.auxiliary_losses import AuxiliaryHeads, ProbeLayers, Weights, losses
from training.dataset import Question, Sample, read
from training.evaluate import call, inside, point
from training.feature_anchor import FeatureAnchor
from training.init import init_model
from training.packing import Batch, Packer, decode
from training.questions import ask, line_at, lines_of, point_at, read_at, to_type, words_of
from training.trainer import TrainingConfig, is_checkpoint, load_state, precision
from training.vision_pretraining import CELL, Heads, frames_of, place_characters

SCREEN = (280, 364)  # width, height of a practice page in pixels
SIZES = {"screen": SCREEN, "strip": text_strips.SHOWN}
MAX_NEW_TOKENS = 96
_PAGE = Screen(np.zeros((SCREEN[1], SCREEN[0], 3), dtype=np.uint8))  # of the right size, for the dialect


@dataclass(frozen=True)
class Source:
    """Samples of one folder, by source, and how often they are drawn.

    decides: every question of theirs counts as what the page wants in its state, not its own alone.
    """

    share: float
    questions: int
    says: float
    words: int
    reads: int
    lines: int
    copies: int
    moved: bool
    decides: bool
    names: list[str]
    shares: list[float]
    samples: dict[str, list[Sample]]


@dataclass(frozen=True)
class Kind:
    """Pictures of one size: how many a batch has, in rows of how many blocks, and where they come from."""

    packer: Packer
    batch: int
    blocks: int | None
    sources: list[Source]
    share: float

    def samples(self) -> Iterator[Sample]:
        for source in self.sources:
            yield from chain.from_iterable(source.samples.values())


class SFTStage:
    """The model over a recipe's [[data]] entries.

    Each entry: folder (below the data folder), share, questions (of a screen, at most), says (the share kept of those
    that are answered in words), words (to point at besides), reads and lines (words and lines to read besides), copies
    (texts to type as they are, besides), moved (true for invented screens), sources and emphasis (optional), held_back
    (seeds below it are kept for measuring), won (of screens that a model came upon, only those of episodes that it won,
    each page's own question answered by what the model said: rejection sampling). With picture = "strip" they are
    strips of text, as lines.py draws them (alone = true: those of a single word); [strips] says how many are a batch,
    in rows of how many blocks, and what in [losses] is another number for them. What comes before is taken one after
    the other; with keep in [losses], what the encoder makes of screens stays near what that of the checkpoint among
    them made of them.
    """

    def __init__(
        self, recipe: TrainingConfig, data: Path, run: Path, before: Sequence[Path] = (), device: str = "cpu"
    ) -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.model = init_model(recipe)
        self.config = self.model.config
        self.checkpoint = run / "checkpoint"
        self.tokenizer = tokenizer_of(self.checkpoint, self.config)
        packers = {name: Packer(self.tokenizer, self.config, *size) for name, size in SIZES.items()}
        self.packer = packers["screen"]
        weights = dict(recipe["losses"])
        torch.manual_seed(recipe["seed"] + 1)
        self.heads = Heads(self.config.text.hidden_size)
        most = max(one.cells_w for one in packers.values()), max(one.cells_h for one in packers.values())
        self.helpers = AuxiliaryHeads(self.model, *most, ProbeLayers.of(weights.pop("where")))
        self.weights = {"screen": Weights(**weights)}
        self.weights["strip"] = replace(self.weights["screen"], **recipe.get("strips", {}).get("losses", {}))
        was: nn.Module | None = None
        for one in before:
            if is_checkpoint(one):
                self.model.load_state_dict(load_model(one, dtype=torch.float32).state_dict())
                was = copy.deepcopy(self.model.visual).to(self.device)
            else:
                self._take(load_state(one)["modules"])
        for module in self.modules().values():
            module.to(self.device)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith(tuple(recipe.get("frozen", ["-"]))))
        self.kinds = [kind for name, packer in packers.items() if (kind := _kind(name, packer, recipe, data)).sources]
        self.kept: FeatureAnchor | None = None
        if self.weights["screen"].keep:
            if was is None:
                raise UsageError(f"{recipe.path} keeps an encoder; name the checkpoint that it is of with --before")
            screens = [one for kind in self.kinds if kind.packer is self.packer for one in kind.samples()]
            self.kept = FeatureAnchor(was, frames_of(screens, recipe["seed"]))

    def _take(self, modules: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Begin with what an earlier stage's run learnt."""
        if "visual" in modules:
            self.model.visual.load_state_dict(modules["visual"])
            self.heads.load_state_dict(modules["helpers"])
        else:
            self._take_model(modules["model"])
            if "helpers" not in modules:
                return  # preference has none
            self.heads.load_state_dict(modules["helper_heads"])
            anew, _ = self.helpers.load_state_dict(modules["helpers"], strict=False)
            if anew:
                print(f"asked for the first time, and begun anew: {', '.join(anew)}", file=sys.stderr)

    def _take_model(self, state: Mapping[str, Tensor]) -> None:
        """A model of fewer layers goes on deeper: what is new begins by adding nothing."""
        missing, unknown = self.model.load_state_dict(state, strict=False)
        new = sorted({name.split(".")[2] for name in missing if name.startswith("model.layers.")}, key=int)
        if unknown or any(name.split(".")[:2] != ["model", "layers"] for name in missing):
            raise UsageError(f"the stage before has other parts than this recipe: {(unknown or missing)[0]}")
        for number in new:
            layer = self.model.get_submodule(f"model.layers.{number}")
            for name in ("self_attn.o_proj", "mlp.down_proj"):
                nn.init.zeros_(layer.get_submodule(name).get_parameter("weight"))

    def modules(self) -> Mapping[str, nn.Module]:
        return {"model": self.model, "helper_heads": self.heads, "helpers": self.helpers}

    def draw(self, rng: random.Random) -> Batch:
        kind = rng.choices(self.kinds, [one.share for one in self.kinds])[0] if len(self.kinds) > 1 else self.kinds[0]
        frames, asked, characters = [], [], []
        for _ in range(kind.batch):
            source = rng.choices(kind.sources, [one.share for one in kind.sources])[0]
            sample = rng.choice(source.samples[rng.choices(source.names, source.shares)[0]])
            if kind.packer is not self.packer:
                frame, questions, written = _shown(sample)
            else:
                frame, questions, written = _moved(sample, rng) if source.moved else _still(sample)
            frames.append(frame)
            questions = [one for one in questions if "say" not in one.answer or rng.random() < source.says]
            typed = [to_type(rng) for _ in range(source.copies)]
            extra = _words(written, source.words, source.reads, source.lines, rng)
            extra += [Question(one["goal"], one["answer"]) for one in typed]
            chosen = _chosen(sample, questions, source.questions, rng)
            asked.append([replace(one, decides=one.decides or source.decides) for one in chosen] + extra)
            characters.append(place_characters(written, frame.shape[1], frame.shape[0]))
        return kind.packer.pack(frames, asked, characters, kind.blocks)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        with precision(self.recipe, self.device):
            given = batch.to(self.device)
            compiled = self.recipe.get("compiled", False)
            screens = batch.packer is self.packer
            weights, kept = self.weights["screen" if screens else "strip"], self.kept if screens else None
            loss, figures = losses(self.model, self.heads, self.helpers, given, weights, compiled, kept)
        if screens:
            return loss, figures
        return loss, {f"strip_{name}": value for name, value in figures.items()}

    def save(self, folder: Path) -> None:
        save_model(self.model, self.checkpoint, torch.float16, {})


def _kind(name: str, packer: Packer, recipe: TrainingConfig, data: Path) -> Kind:
    """The recipe's pictures of that name."""
    entries = [one for one in recipe["data"] if one.get("picture", "screen") == name]
    shape: Mapping[str, Any] = {"batch": recipe["batch"], "blocks": recipe.get("blocks", None)}
    if entries and name == "strip":
        shape = recipe["strips"]
    sources = [_source(one, data) for one in entries]
    return Kind(packer, shape["batch"], shape["blocks"], sources, sum(one.share for one in sources))


def _source(entry: Mapping[str, Any], data: Path) -> Source:
    samples: dict[str, list[Sample]] = {}
    won = entry.get("won", False)
    for one in read(data / entry["folder"], entry.get("sources")):
        sample = _followed(one) if won else one
        if entry.get("shows", "") not in "".join(str(character) for character, *_ in one.characters):
            continue
        if entry.get("alone", False) and any(" " in asked.answer.get("say", "") for asked in one.questions):
            continue
        if sample is not None and sample.questions and sample.seed >= entry.get("held_back", 0):
            samples.setdefault(sample.source, []).append(sample)
    missing = sorted(set(entry.get("sources", [])) - set(samples))
    if missing or not samples:
        what, remedy = ("screens of won episodes", "collect more") if won else ("screens", "draw them first")
        raise UsageError(f"{data / entry['folder']} has no {what} of {(missing or ['any source'])[0]}; {remedy}")
    names = sorted(samples)
    emphasis = entry.get("emphasis", {})
    shares = [float(emphasis.get(name, 1.0)) for name in names]
    extra = entry.get("words", 0), entry.get("reads", 0), entry.get("lines", 0), entry.get("copies", 0)
    says = entry.get("says", 1.0)
    moved = entry.get("moved", False)
    decides = entry.get("decides", False)
    return Source(entry["share"], entry["questions"], says, *extra, moved, decides, names, shares, samples)


def tokenizer_of(checkpoint: Path, config: Config, history_steps: int = 0, pictures: int = 0) -> Tokenizer:
    """That of a checkpoint whose weights are yet to come: writes all else that its folder needs."""
    limit = SCREEN[0] * SCREEN[1]
    vocabulary.write(checkpoint, config, limit - 28 * 28, limit * 16, MAX_NEW_TOKENS, history_steps, pictures)
    return Tokenizer(checkpoint)


def call_of(words: str) -> dict[str, Any] | None:
    """The arguments of the call in a reply, None where the agent would not take it for one on a practice page."""
    arguments = call(words) or {}
    row = COMPUTER.rows.get(str(arguments.get("action")))
    if row is None:
        return None
    try:
        row.to_actions(Arguments(row.name, arguments, CoordinateMapper(RESIZED_PIXELS, _PAGE, SCREEN)))
    except InvalidActionError:
        return None
    return {key: value for key, value in arguments.items() if value is not None}


def _followed(sample: Sample) -> Sample | None:
    """A screen whose own question is answered by what the model said there; None where that was no call or won nothing.

    A point beside the oracle's box may be as right, but then the helpers must not look for it in that box.
    """
    own, arguments = sample.own, call_of(sample.said) if sample.won else None
    if own is None or arguments is None:
        return None
    box = own.box if inside(point(sample.said), own) else None
    answered = replace(own, answer=arguments, box=box)
    return replace(sample, questions=tuple(answered if one is own else one for one in sample.questions))


def _still(sample: Sample) -> tuple[Any, list[Question], Sequence[Sequence[Any]]]:
    questions = [located(one, sample.characters) for one in sample.questions]
    return decode(sample.png), questions, sample.characters


def _shown(sample: Sample) -> tuple[Any, list[Question], Sequence[Sequence[Any]]]:
    """A strip as the processor enlarges it."""
    frame, characters, (across, down) = text_strips.enlarged(sample)
    boxes = [
        None if one.box is None else (one.box[0] * across, one.box[1] * down, one.box[2] * across, one.box[3] * down)
        for one in sample.questions
    ]
    questions = [replace(one, box=box) for one, box in zip(sample.questions, boxes, strict=True)]
    return frame, [located(one, characters) for one in questions], characters


def _words(
    characters: Sequence[Sequence[Any]], pointed: int, read: int, lines: int, rng: random.Random
) -> list[Question]:
    """Pointing at words that stand once on the screen, and reading words and lines; at most so many of each."""
    if not (pointed or read or lines):
        return []
    words = words_of(characters)
    count = Counter(text for text, _ in words)
    single = [(text, box) for text, box in words if count[text] == 1 and len(text) > 1]
    asked = [point_at(text, box, rng) for text, box in rng.sample(single, min(pointed, len(single)))]
    asked += [read_at(text, box) for text, box in rng.sample(words, min(read, len(words)))]
    long = [line for line in lines_of(words) if len(line) > 1]
    asked += [line_at(line) for line in rng.sample(long, min(lines, len(long)))]
    return [located(Question(one["goal"], one["answer"], one["box"]), characters) for one in asked]


def _moved(sample: Sample, rng: random.Random) -> tuple[Any, list[Question], Sequence[Sequence[Any]]]:
    """An invented screen moved by up to a cell, what moves in being the colour of the nearest edge, and asked anew."""
    dx, dy = rng.randrange(-CELL, CELL), rng.randrange(-CELL, CELL)
    frame = decode(sample.png)
    height, width, _ = frame.shape
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    columns = np.clip(np.arange(width) - dx, 0, width - 1)
    characters = [(c, x + dx, y + dy, w) for c, x, y, w in sample.characters if _in(x + dx, y + dy, width, height)]
    elements = []
    for one in sample.elements:
        x, y, w, h = one["box"]
        if x + dx >= 0 and y + dy >= 0 and x + dx + w <= width and y + dy + h <= height:
            elements.append({**one, "box": [x + dx, y + dy, w, h]})
    asked = ask(elements, characters, rng.randrange(2**31))
    questions = [located(Question(one["goal"], one["answer"], one["box"]), characters) for one in asked]
    return frame[rows][:, columns], questions, characters


def located(question: Question, characters: Sequence[Sequence[Any]]) -> Question:
    """The same question with the places of the characters that it says (letters), names (named) or mentions."""
    if question.box is not None:
        x, y, w, h = question.box
        found = [one for one in characters if x <= one[1] < x + w and y <= one[2] < y + h]
        question = _said(question, found) if "say" in question.answer else _named(question, found)
    return _mentioned(question, characters)


def _said(question: Question, found: Sequence[Sequence[Any]]) -> Question:
    said = question.answer["say"]
    if not found or "".join(one[0] for one in found) != said.replace(" ", ""):
        return question
    places, letters = [(one[1], one[2]) for one in found], list[tuple[float, float]]()
    for character in said:  # a space is where the next word begins
        letters.append(places[0] if character == " " else places.pop(0))
    return replace(question, letters=tuple(letters))


def _named(question: Question, found: Sequence[Sequence[Any]]) -> Question:
    name = r"\s*".join(re.escape(one[0]) for one in found)
    pattern = rf"(?<![^\W_])(?:0(?=\d))?({name})(?![^\W_])"  # the 05 of a date is a 5 in a calendar
    *_, last = [None, *re.finditer(pattern, question.goal)]
    if not found or last is None:
        return question
    offsets = [k for k in range(*last.span(1)) if not question.goal[k].isspace()]
    return replace(question, named=tuple((k, one[1], one[2]) for k, one in zip(offsets, found, strict=True)))


def _mentioned(question: Question, characters: Sequence[Sequence[Any]]) -> Question:
    """Words of the goal outside its named one, of two letters or more, that stand once on the screen."""
    taken = {offset for offset, *_ in question.named}
    goal = question.goal
    spans = [one.span() for one in re.finditer(r"[^\W_]{2,}", goal)]
    wanted = {goal[slice(*span)]: span[0] for span in spans if taken.isdisjoint(range(*span))}
    stand: dict[str, list[Sequence[Sequence[Any]]]] = {}
    start = 0
    for text, _ in words_of(characters):
        if text in wanted:
            stand.setdefault(text, []).append(characters[start : start + len(text)])
        start += len(text)
    mentioned = [
        (wanted[text] + k, one[1], one[2])
        for text, places in stand.items()
        if len(places) == 1
        for k, one in enumerate(places[0])
    ]
    return replace(question, mentioned=tuple(mentioned))


def _in(x: float, y: float, width: int, height: int) -> bool:
    return 0 <= x < width and 0 <= y < height


def _chosen(sample: Sample, questions: list[Question], most: int, rng: random.Random) -> list[Question]:
    """At most so many of the questions, the page's own always."""
    own = [one for one in questions if sample.goal and one.goal == sample.goal][:1]
    rest = [one for one in questions if one not in own]
    return [replace(one, decides=True) for one in own] + rng.sample(rest, min(len(rest), most - len(own)))
