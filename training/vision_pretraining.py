"""Stage 1, visual: the picture encoder alone learns what stands in each cell. Knows dense targets; knows no words.

Every merged cell of 28 x 28 pixels is asked for the characters whose middles lie in it, by where in the cell they lie,
and for the kinds and states of the elements over it. The heads that answer are dropped afterwards.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actions import UsageError
from model.checkpoints.weights import load_model
from training import text_strips
from training.dataset import Sample, read
from training.feature_anchor import FeatureAnchor, encode
from training.init import init_model
from training.packing import decode
from training.trainer import TrainingConfig, is_checkpoint, load_state, precision

CELL = 28
ACROSS, DOWN = 5, 2  # places in a cell that a character's middle may lie in
CHARACTERS = [chr(code) for code in range(33, 127)]
CLASSES = len(CHARACTERS) + 2  # class 0 is "none", the last "another character"
CODES = {character: number + 1 for number, character in enumerate(CHARACTERS)}
KINDS = ("button", "link", "field", "checkbox", "radio", "tab", "icon", "color", "on", "focused", "filled", "disabled")

# the icons and the colours of screens.js
ICONS = (
    "search menu plus close check back forward up down home mail user trash star heart clock lock edit phone play "
    "pause share filter cart"
)
COLORS = "red green blue yellow orange purple pink black white gray cyan magenta lime olive navy brown"
NAMED = {name: number + 1 for number, name in enumerate([*ICONS.split(), *COLORS.split()])}


# what goals of click-shape say of a thing: its size, colour and kind, each one of these
THINGS = ("small large", "red green blue yellow magenta aqua black", "letter digit circle rectangle triangle")
THING_PAGE = "click-shape"
SOME = 240  # pages that tell how an encoder's cells vary

Picture = np.ndarray[Any, Any]
Strips = tuple[Picture, Tensor]  # frames [B, H, W, 3] uint8, and classes [B, cells, places]


class Heads(nn.Module):
    """What answers for a cell, from its embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.characters = nn.Linear(width, ACROSS * DOWN * CLASSES)
        self.kinds = nn.Linear(width, len(KINDS))
        self.named = nn.Linear(width, len(NAMED) + 1)
        self.things = nn.ModuleList(nn.Linear(width, len(words.split())) for words in THINGS)


@dataclass(frozen=True)
class Dense:
    """frames [B, H, W, 3] uint8; characters [B, cells, places] classes; kinds [B, cells, KINDS] 0 or 1; named
    [B, cells] classes."""

    frames: np.ndarray[Any, Any]
    characters: Tensor
    kinds: Tensor
    named: Tensor


def dense(samples: Sequence[Sample], shifts: Sequence[tuple[int, int]]) -> Dense:
    """Samples moved by (dx, dy) pixels, what moves in being the colour of the nearest edge."""
    frames, characters, kinds, named = [], [], [], []
    for sample, (dx, dy) in zip(samples, shifts, strict=True):
        pixels = decode(sample.png)
        height, width, _ = pixels.shape
        rows = np.clip(np.arange(height) - dy, 0, height - 1)
        columns = np.clip(np.arange(width) - dx, 0, width - 1)
        frames.append(pixels[rows][:, columns])
        characters.append(place_characters(sample.characters, width, height, dx, dy))
        one, two = _elements(sample.elements, width, height, dx, dy)
        kinds.append(one)
        named.append(two)
    return Dense(
        np.stack(frames),
        torch.from_numpy(np.stack(characters)),
        torch.from_numpy(np.stack(kinds)),
        torch.from_numpy(np.stack(named)),
    )


def place_characters(
    characters: Sequence[Sequence[Any]], width: int, height: int, dx: int = 0, dy: int = 0
) -> np.ndarray[Any, Any]:
    """Classes [cells, places]: which character has its middle where. characters: (c, x, y, ...) in pixels."""
    cells_w, cells_h = width // CELL, height // CELL
    found = np.zeros((cells_h * cells_w, ACROSS * DOWN), dtype=np.int64)
    for character, x, y, *_ in characters:
        x, y = x + dx, y + dy
        if not (0 <= x < width and 0 <= y < height):
            continue
        cell = int(y // CELL) * cells_w + int(x // CELL)
        place = int(y % CELL * DOWN / CELL) * ACROSS + int(x % CELL * ACROSS / CELL)
        found[cell, place] = CODES.get(character, CLASSES - 1)
    return found


def _elements(
    elements: Sequence[Mapping[str, Any]], width: int, height: int, dx: int, dy: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    cells_w, cells_h = width // CELL, height // CELL
    kinds = np.zeros((cells_h, cells_w, len(KINDS)), dtype=np.float32)
    named = np.zeros((cells_h, cells_w), dtype=np.int64)
    for one in elements:
        x, y, w, h = one["box"]
        x, y = x + dx, y + dy
        # a cell counts when its middle, or the element's, lies in the other
        left, right = int(np.ceil(x / CELL - 0.5)), int(np.floor((x + w) / CELL - 0.5)) + 1
        top, bottom = int(np.ceil(y / CELL - 0.5)), int(np.floor((y + h) / CELL - 0.5)) + 1
        if left >= right:
            left = int((x + w / 2) // CELL)
            right = left + 1
        if top >= bottom:
            top = int((y + h / 2) // CELL)
            bottom = top + 1
        area = (slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0)))
        for word in (one["kind"], *one["state"].split()):
            if word in KINDS:
                kinds[(*area, KINDS.index(word))] = 1
        if one["kind"] in ("icon", "color"):
            named[area] = NAMED[one["text"]]
    return kinds.reshape(-1, len(KINDS)), named.reshape(-1)


def character_loss(heads: Heads, cells: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of cell embeddings [B, cells, C] and classes [B, cells, places]; with the shares of characters, and of empty
    places, that are right."""
    names = heads.characters(cells).view(-1, CLASSES)
    truth = truth.view(-1)
    filled = truth > 0
    empty = (~filled).nonzero().squeeze(1)[::4]
    # most places are empty: the few that are filled count more
    loss = F.cross_entropy(names[filled], truth[filled]) + 0.3 * F.cross_entropy(names[empty], truth[empty])
    with torch.no_grad():
        right = (names[filled].argmax(-1) == truth[filled]).float().mean()
        quiet = (names[empty].argmax(-1) == 0).float().mean()
    return loss, right, quiet


def dense_loss(heads: Heads, cells: Tensor, batch: Dense) -> tuple[Tensor, dict[str, float]]:
    """Characters, kinds and names of cell embeddings [B, cells, C]; figures for the log."""
    characters, right, quiet = character_loss(heads, cells, batch.characters.to(cells.device))
    kinds = F.binary_cross_entropy_with_logits(heads.kinds(cells), batch.kinds.to(cells.device))
    named = F.cross_entropy(heads.named(cells).flatten(0, 1), batch.named.to(cells.device).view(-1))
    figures = {"characters": characters, "right": right, "quiet": quiet, "kinds": kinds, "named": named}
    return characters + kinds + named, {name: float(value.detach()) for name, value in figures.items()}


class VisionPretrainingStage:
    """The encoder and its heads over a data folder's screens, moved by up to a cell each time they are drawn.

    strips, things and practice, of a recipe: so many strips of text, as lines.py draws them, pages of shapes, and
    practice pages of any task join a batch. keep: how much it counts that what the encoder makes of screens and of
    practice pages stays what it was in the checkpoint before, so that its decoder goes on knowing it.
    """

    def __init__(self, recipe: TrainingConfig, data: Path, before: Sequence[Path] = (), device: str = "cpu") -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.model = init_model(recipe)
        self.visual = self.model.visual
        torch.manual_seed(recipe["seed"] + 1)
        self.heads = Heads(self.model.config.text.hidden_size)
        was: nn.Module | None = None
        for one in before:
            if is_checkpoint(one):
                self.model.load_state_dict(load_model(one, dtype=torch.float32).state_dict())
                was = copy.deepcopy(self.visual).to(device)
            else:
                self._take(load_state(one)["modules"])
        self.visual.to(device)
        self.heads.to(device)
        screens = read(data / "screens", recipe.get("sources", None))
        self.samples = [one for one in screens if len(one.characters) > 20]
        self.strips = list(read(data / "lines")) if recipe.get("strips", 0) else []
        self.things = list(read(data / "practice", [THING_PAGE])) if recipe.get("things", 0) else []
        self.practice = list(read(data / "practice")) if recipe.get("practice", 0) else []
        for what, found, folder in (
            ("strips", self.strips, "lines"),
            ("things", self.things, "practice"),
            ("practice", self.practice, "practice"),
        ):
            if len(found) < recipe.get(what, 0):
                raise UsageError(f"{data / folder} holds {len(found)} {what}, fewer than a batch; draw some first")
        if len(self.samples) < recipe["batch"]:
            raise UsageError(f"{data} holds {len(self.samples)} screens with text, fewer than a batch; draw some first")
        self.kept: FeatureAnchor | None = None
        if was is not None and recipe.get("keep", 0.0):
            self.kept = FeatureAnchor(was, frames_of(self.practice or self.samples, recipe["seed"]))

    def _take(self, modules: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Begin with what a run of this stage, or of a later one, learnt."""
        if "model" in modules:
            self.model.load_state_dict(modules["model"])
            self.heads.load_state_dict(modules["helper_heads"], strict=False)
        else:
            self.visual.load_state_dict(modules["visual"])
            self.heads.load_state_dict(modules["helpers"], strict=False)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"visual": self.visual, "helpers": self.heads}

    def draw(self, rng: random.Random) -> tuple[Dense, Strips | None, Strips | None, Picture | None]:
        count = self.recipe["batch"]
        shifts = [(rng.randrange(-CELL, CELL), rng.randrange(-CELL, CELL)) for _ in range(count)]
        screens = dense(rng.sample(self.samples, count), shifts)
        strips = _strips(rng.sample(self.strips, self.recipe["strips"])) if self.strips else None
        things = _things(rng.sample(self.things, self.recipe["things"])) if self.things else None
        practice = rng.sample(self.practice, self.recipe["practice"]) if self.practice else []
        return screens, strips, things, np.stack([decode(one.png) for one in practice]) if practice else None

    def loss(
        self, batch: tuple[Dense, Strips | None, Strips | None, Picture | None]
    ) -> tuple[Tensor, dict[str, float]]:
        screens, strips, things, practice = batch
        with precision(self.recipe, self.device):
            cells = encode(self.visual, screens.frames)
            loss, figures = dense_loss(self.heads, cells, screens)
            if things is not None:
                told, right = thing_loss(self.heads, encode(self.visual, things[0]), things[1].to(self.device))
                loss = loss + told
                figures |= {"things": float(told.detach()), "things_right": float(right)}
            if self.kept is not None:
                moved = self.kept.moved(cells, screens.frames)
                figures["moved"] = float(moved.detach())
                if practice is not None:
                    also = self.kept.moved(encode(self.visual, practice), practice)
                    moved, figures["moved_practice"] = moved + also, float(also.detach())
                loss = loss + self.recipe["keep"] * moved
            if strips is not None:
                frames, characters = strips
                read, right, quiet = character_loss(self.heads, encode(self.visual, frames), characters.to(self.device))
                loss = loss + read
                figures |= {"strips": float(read.detach()), "strips_right": float(right), "strips_quiet": float(quiet)}
            return loss, figures

    def save(self, folder: Path) -> None:
        """Nothing more: the next stage takes the encoder from the run's state."""


def frames_of(samples: Sequence[Sample], seed: int) -> Picture:
    """Some of the samples' frames [N, H, W, 3], SOME at most."""
    chosen = random.Random(seed).sample(samples, min(SOME, len(samples)))
    return np.stack([decode(one.png) for one in chosen])


def _strips(samples: Sequence[Sample]) -> Strips:
    """As the processor shows them."""
    shown = [text_strips.enlarged(one) for one in samples]
    characters = [place_characters(letters, *text_strips.SHOWN) for _, letters, _ in shown]
    return np.stack([frame for frame, *_ in shown]), torch.from_numpy(np.stack(characters))


def _things(samples: Sequence[Sample]) -> Strips:
    """Pages of shapes, and of each cell's shape the places in THINGS of what goals say of it [B, cells, 3], or -1."""
    frames = [decode(one.png) for one in samples]
    found = np.full((len(samples), frames[0].shape[0] // CELL, frames[0].shape[1] // CELL, len(THINGS)), -1)
    for number, sample in enumerate(samples):
        for question in sample.questions:
            if question.box is None:
                continue
            x, y, w, h = question.box
            at = (number, int((y + h / 2) // CELL), int((x + w / 2) // CELL))
            for kind, words in enumerate(THINGS):
                for place, word in enumerate(words.split()):
                    if word in question.goal.split():
                        found[(*at, kind)] = place
    return np.stack(frames), torch.from_numpy(found).flatten(1, 2)


def thing_loss(heads: Heads, cells: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Of cell embeddings [B, cells, C] and what is known of their shapes [B, cells, 3]; and the share that is right."""
    loss, right = cells.new_zeros(()), []
    for kind, head in enumerate(heads.things):
        known = truth[..., kind] >= 0
        said, wanted = head(cells[known]).float(), truth[..., kind][known]
        loss = loss + F.cross_entropy(said, wanted)
        right.append((said.detach().argmax(-1) == wanted).float().mean())
    return loss, torch.stack(right).mean()
