"""Stage 1: pretrain the vision encoder on dense targets.

Each cell (a merged patch of 28 x 28 pixels) predicts the characters whose centers lie in it, by their place within the
cell, and the kinds and states of the elements over it. The heads are dropped after training.
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
from training.config import TrainingConfig
from training.dataset import Sample, read_samples
from training.feature_anchor import FeatureAnchor, Frames, encode_frames
from training.init import init_model
from training.packing import PIXELS_PER_CELL, Frame, decode_png
from training.trainer import is_checkpoint, load_state, precision

CELL = PIXELS_PER_CELL
PLACES_WIDE, PLACES_DOWN = 5, 2  # places within a cell that a character's center may lie in
CHARACTERS = [chr(code) for code in range(33, 127)]
NUM_CLASSES = len(CHARACTERS) + 2  # class 0 is "none", the last "another character"
CLASS_OF = {character: number + 1 for number, character in enumerate(CHARACTERS)}
KINDS = ("button", "link", "field", "checkbox", "radio", "tab", "icon", "color", "on", "focused", "filled", "disabled")

# the icons and colors of screens.js
ICONS = (
    "search menu plus close check back forward up down home mail user trash star heart clock lock edit phone play "
    "pause share filter cart"
)
COLORS = "red green blue yellow orange purple pink black white gray cyan magenta lime olive navy brown"
ICON_OR_COLOR_CLASS = {name: number + 1 for number, name in enumerate([*ICONS.split(), *COLORS.split()])}

# size, color and kind of a shape, as goals of click-shape name them
SHAPE_ATTRIBUTES = ("small large", "red green blue yellow magenta aqua black", "letter digit circle rectangle triangle")
SHAPE_TASK = "click-shape"
MAX_ANCHOR_FRAMES = 240
EMPTY_PLACE_WEIGHT, EMPTY_PLACE_STRIDE = 0.3, 4  # most places are empty: a quarter of them counts, and counts less


class CellHeads(nn.Module):
    """Linear heads on the vision embedding of a cell."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.characters = nn.Linear(width, PLACES_WIDE * PLACES_DOWN * NUM_CLASSES)
        self.kinds = nn.Linear(width, len(KINDS))
        self.named = nn.Linear(width, len(ICON_OR_COLOR_CLASS) + 1)
        self.things = nn.ModuleList(nn.Linear(width, len(words.split())) for words in SHAPE_ATTRIBUTES)


@dataclass(frozen=True)
class CellTargets:
    """Screens with the targets of each cell."""

    frames: Frames  # [B, H, W, 3]
    characters: Tensor  # classes [B, cells, places]
    kinds: Tensor  # 0 or 1 [B, cells, KINDS]
    icons_and_colors: Tensor  # classes [B, cells]


@dataclass(frozen=True)
class LabeledFrames:
    """Frames with one kind of label of each cell."""

    frames: Frames  # [B, H, W, 3]
    labels: Tensor  # classes [B, cells, n]


@dataclass(frozen=True)
class VisionBatch:
    """A batch of vision pretraining."""

    screens: CellTargets
    strips: LabeledFrames | None = None  # labels: characters
    shapes: LabeledFrames | None = None  # labels: attributes of shapes
    practice: Frames | None = None


def shift_frame(frame: Frame, dx: int, dy: int) -> Frame:
    """Return a frame moved by (dx, dy) pixels, filled with the color of the nearest edge."""
    height, width, _ = frame.shape
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    columns = np.clip(np.arange(width) - dx, 0, width - 1)
    return frame[rows][:, columns]


def cell_targets(samples: Sequence[Sample], shifts: Sequence[tuple[int, int]]) -> CellTargets:
    """Return the samples, moved by (dx, dy) pixels, with their targets."""
    frames, characters, kinds, classes = [], [], [], []
    for sample, (dx, dy) in zip(samples, shifts, strict=True):
        frame = decode_png(sample.png)
        height, width, _ = frame.shape
        frames.append(shift_frame(frame, dx, dy))
        characters.append(character_classes(sample.characters, width, height, dx, dy))
        sample_kinds, sample_classes = _element_targets(sample.elements, width, height, dx, dy)
        kinds.append(sample_kinds)
        classes.append(sample_classes)
    return CellTargets(
        np.stack(frames),
        torch.from_numpy(np.stack(characters)),
        torch.from_numpy(np.stack(kinds)),
        torch.from_numpy(np.stack(classes)),
    )


def character_classes(
    characters: Sequence[Sequence[Any]], width: int, height: int, dx: int = 0, dy: int = 0
) -> np.ndarray[Any, Any]:
    """Return the class of the character whose center lies in each place of each cell [cells, places].

    Args:
        characters: (character, x, y, ...) in pixels.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        dx: Added to each x.
        dy: Added to each y.
    """
    cells_w, cells_h = width // CELL, height // CELL
    classes = np.zeros((cells_h * cells_w, PLACES_WIDE * PLACES_DOWN), dtype=np.int64)
    for character, x, y, *_ in characters:
        x, y = x + dx, y + dy
        if not (0 <= x < width and 0 <= y < height):
            continue
        cell = int(y // CELL) * cells_w + int(x // CELL)
        place = int(y % CELL * PLACES_DOWN / CELL) * PLACES_WIDE + int(x % CELL * PLACES_WIDE / CELL)
        classes[cell, place] = CLASS_OF.get(character, NUM_CLASSES - 1)
    return classes


def _element_targets(
    elements: Sequence[Mapping[str, Any]], width: int, height: int, dx: int, dy: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    cells_w, cells_h = width // CELL, height // CELL
    kinds = np.zeros((cells_h, cells_w, len(KINDS)), dtype=np.float32)
    classes = np.zeros((cells_h, cells_w), dtype=np.int64)
    for element in elements:
        x, y, w, h = element["box"]
        left, right = _covered_cells(x + dx, w)
        top, bottom = _covered_cells(y + dy, h)
        area = (slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0)))
        for word in (element["kind"], *element["state"].split()):
            if word in KINDS:
                kinds[(*area, KINDS.index(word))] = 1
        if element["kind"] in ("icon", "color"):
            classes[area] = ICON_OR_COLOR_CLASS[element["text"]]
    return kinds.reshape(-1, len(KINDS)), classes.reshape(-1)


def _covered_cells(start: float, length: float) -> tuple[int, int]:
    """Return the range of cells along one axis whose centers a segment covers, else the cell of its own center."""
    first, last = int(np.ceil(start / CELL - 0.5)), int(np.floor((start + length) / CELL - 0.5)) + 1
    if first >= last:
        first = int((start + length / 2) // CELL)
        last = first + 1
    return first, last


def character_loss(heads: CellHeads, cells: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, and the accuracy on characters and on empty places.

    Args:
        heads: The heads.
        cells: Embeddings [B, cells, C].
        labels: Classes [B, cells, places].
    """
    logits = heads.characters(cells).view(-1, NUM_CLASSES)
    labels = labels.view(-1)
    filled = labels > 0
    empty = (~filled).nonzero().squeeze(1)[::EMPTY_PLACE_STRIDE]
    loss = F.cross_entropy(logits[filled], labels[filled])
    loss = loss + EMPTY_PLACE_WEIGHT * F.cross_entropy(logits[empty], labels[empty])
    with torch.no_grad():
        filled_accuracy = (logits[filled].argmax(-1) == labels[filled]).float().mean()
        empty_accuracy = (logits[empty].argmax(-1) == 0).float().mean()
    return loss, filled_accuracy, empty_accuracy


def dense_loss(heads: CellHeads, cells: Tensor, batch: CellTargets) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of embeddings [B, cells, C] on all targets, and metrics."""
    device = cells.device
    characters, right, quiet = character_loss(heads, cells, batch.characters.to(device))
    kinds = F.binary_cross_entropy_with_logits(heads.kinds(cells), batch.kinds.to(device))
    named = F.cross_entropy(heads.named(cells).flatten(0, 1), batch.icons_and_colors.to(device).view(-1))
    metrics = {"characters": characters, "right": right, "quiet": quiet, "kinds": kinds, "named": named}
    return characters + kinds + named, {name: float(value.detach()) for name, value in metrics.items()}


def shape_loss(heads: CellHeads, cells: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss and the accuracy on attributes of shapes; labels [B, cells, attributes], -1 where unknown."""
    loss, accuracies = cells.new_zeros(()), []
    for attribute, head in enumerate(heads.things):
        is_known = labels[..., attribute] >= 0
        logits, targets = head(cells[is_known]).float(), labels[..., attribute][is_known]
        loss = loss + F.cross_entropy(logits, targets)
        accuracies.append((logits.detach().argmax(-1) == targets).float().mean())
    return loss, torch.stack(accuracies).mean()


class VisionPretrainingStage:
    """Trains the vision encoder on synthetic screens, moved by up to a cell each time they are sampled.

    The recipe's `strips`, `things` and `practice` add that many text strips, click-shape pages and practice pages to
    each
    batch. `encoder_anchor` weighs the distance of the embeddings of screens and practice pages from those of the
    checkpoint in `before`, so that its decoder keeps working.
    """

    def __init__(self, recipe: TrainingConfig, data: Path, before: Sequence[Path] = (), device: str = "cpu") -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.model = init_model(recipe)
        self.visual = self.model.visual
        torch.manual_seed(recipe["seed"] + 1)
        self.heads = CellHeads(self.model.config.text.hidden_size)
        anchor_encoder = self._load_initial_weights(before)
        self.visual.to(device)
        self.heads.to(device)
        screens = read_samples(data / "screens", recipe.get("sources", None))
        self.screens = [sample for sample in screens if len(sample.characters) > 20]
        self.strips = list(read_samples(data / "lines")) if recipe.get("strips", 0) else []
        self.shapes = list(read_samples(data / "practice", [SHAPE_TASK])) if recipe.get("things", 0) else []
        self.practice = list(read_samples(data / "practice")) if recipe.get("practice", 0) else []
        self._check_data(data)
        self.anchor: FeatureAnchor | None = None
        if anchor_encoder is not None and recipe.get("encoder_anchor", 0.0):
            frames = sample_frames(self.practice or self.screens, recipe["seed"])
            self.anchor = FeatureAnchor(anchor_encoder, frames)

    def _load_initial_weights(self, before: Sequence[Path]) -> nn.Module | None:
        """Load the weights of earlier stages in turn; return the encoder of a checkpoint among them."""
        encoder: nn.Module | None = None
        for source in before:
            if is_checkpoint(source):
                self.model.load_state_dict(load_model(source, dtype=torch.float32).state_dict())
                encoder = copy.deepcopy(self.visual).to(self.device)
                continue
            modules = load_state(source)["modules"]
            if "model" in modules:  # of a later stage
                self.model.load_state_dict(modules["model"])
                self.heads.load_state_dict(modules["helper_heads"], strict=False)
            else:
                self.visual.load_state_dict(modules["visual"])
                self.heads.load_state_dict(modules["helpers"], strict=False)
        return encoder

    def _check_data(self, data: Path) -> None:
        for key, samples, folder in (
            ("strips", self.strips, "lines"),
            ("things", self.shapes, "practice"),
            ("practice", self.practice, "practice"),
        ):
            if len(samples) < self.recipe.get(key, 0):
                raise UsageError(
                    f"{data / folder} holds {len(samples)} {key}, fewer than the {self.recipe[key]} of a batch; "
                    "render more first"
                )
        if len(self.screens) < self.recipe["batch"]:
            raise UsageError(
                f"{data / 'screens'} holds {len(self.screens)} screens with text, fewer than the "
                f"{self.recipe['batch']} of a batch; render more first"
            )

    def modules(self) -> Mapping[str, nn.Module]:
        return {"visual": self.visual, "helpers": self.heads}

    def sample_batch(self, rng: random.Random) -> VisionBatch:
        count = self.recipe["batch"]
        shifts = [(rng.randrange(-CELL, CELL), rng.randrange(-CELL, CELL)) for _ in range(count)]
        screens = cell_targets(rng.sample(self.screens, count), shifts)
        strips = _label_strips(rng.sample(self.strips, self.recipe["strips"])) if self.strips else None
        shapes = label_shapes(rng.sample(self.shapes, self.recipe["things"])) if self.shapes else None
        practice = rng.sample(self.practice, self.recipe["practice"]) if self.practice else []
        frames = np.stack([decode_png(sample.png) for sample in practice]) if practice else None
        return VisionBatch(screens, strips, shapes, frames)

    def loss(self, batch: VisionBatch) -> tuple[Tensor, dict[str, float]]:
        with precision(self.recipe, self.device):
            cells = encode_frames(self.visual, batch.screens.frames)
            loss, metrics = dense_loss(self.heads, cells, batch.screens)
            if batch.shapes is not None:
                shape_cells = encode_frames(self.visual, batch.shapes.frames)
                shapes, right = shape_loss(self.heads, shape_cells, batch.shapes.labels.to(self.device))
                loss = loss + shapes
                metrics |= {"things": float(shapes.detach()), "things_right": float(right)}
            if self.anchor is not None:
                distance = self.anchor.distance(cells, batch.screens.frames)
                metrics["encoder_anchor"] = float(distance.detach())
                if batch.practice is not None:
                    practice_cells = encode_frames(self.visual, batch.practice)
                    practice_distance = self.anchor.distance(practice_cells, batch.practice)
                    metrics["encoder_anchor_practice"] = float(practice_distance.detach())
                    distance = distance + practice_distance
                loss = loss + self.recipe["encoder_anchor"] * distance
            if batch.strips is not None:
                strip_cells = encode_frames(self.visual, batch.strips.frames)
                strips, right, quiet = character_loss(self.heads, strip_cells, batch.strips.labels.to(self.device))
                loss = loss + strips
                metrics |= {
                    "strips": float(strips.detach()),
                    "strips_right": float(right),
                    "strips_quiet": float(quiet),
                }
            return loss, metrics

    def save(self, folder: Path) -> None:
        """Do nothing: the next stage loads the encoder from the state of the run."""


def sample_frames(samples: Sequence[Sample], seed: int) -> Frames:
    """Return the frames [N, H, W, 3] of a random selection of samples, MAX_ANCHOR_FRAMES at most."""
    chosen = random.Random(seed).sample(samples, min(MAX_ANCHOR_FRAMES, len(samples)))
    return np.stack([decode_png(sample.png) for sample in chosen])


def _label_strips(samples: Sequence[Sample]) -> LabeledFrames:
    """Return strips as the processor resizes them, with their characters."""
    resized = [text_strips.resize_strip(sample) for sample in samples]
    classes = [character_classes(strip.characters, *text_strips.RESIZED) for strip in resized]
    return LabeledFrames(np.stack([strip.frame for strip in resized]), torch.from_numpy(np.stack(classes)))


def label_shapes(samples: Sequence[Sample]) -> LabeledFrames:
    """Return click-shape pages with the attributes of the shape in each cell, -1 where none is known."""
    frames = [decode_png(sample.png) for sample in samples]
    height, width, _ = frames[0].shape
    labels = np.full((len(samples), height // CELL, width // CELL, len(SHAPE_ATTRIBUTES)), -1)
    for number, sample in enumerate(samples):
        for question in sample.questions:
            if question.box is None:
                continue
            x, y, w, h = question.box
            cell = (number, int((y + h / 2) // CELL), int((x + w / 2) // CELL))
            for attribute, words in enumerate(SHAPE_ATTRIBUTES):
                for label, word in enumerate(words.split()):
                    if word in question.goal.split():
                        labels[(*cell, attribute)] = label
    return LabeledFrames(np.stack(frames), torch.from_numpy(labels).flatten(1, 2))
