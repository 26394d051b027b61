"""Stages 2 and 4: train the whole model to answer questions about screens and text strips."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from actions import UsageError
from model.checkpoints.settings import read_settings
from model.checkpoints.weights import load_model, save_model
from model.nn.config import Config
from model.processing.tokenizer import Tokenizer
from training import text_strips, vocabulary
from training.auxiliary_losses import AuxiliaryHeads, LossWeights, ProbeLayers, compute_losses
from training.config import TrainingConfig
from training.dataset import Question, Sample
from training.feature_anchor import FeatureAnchor
from training.init import init_model
from training.packing import PackedBatch, Packer
from training.questions import type_text
from training.sft_data import (
    SCREEN,
    BatchKind,
    DataSource,
    PreparedSample,
    choose_questions,
    extra_word_questions,
    load_batch_kind,
    prepare_moved_screen,
    prepare_screen,
    prepare_strip,
)
from training.trainer import is_checkpoint, load_state, precision
from training.vision_pretraining import CellHeads, character_classes, sample_frames

IMAGE_SIZES = {"screen": SCREEN, "strip": text_strips.RESIZED}
MAX_NEW_TOKENS = 96


class SFTStage:
    """Supervised fine-tuning on the [[data]] entries of a recipe (see `training.sft_data.load_source`).

    A batch holds images of one size: screens, or, of entries with picture = "strip", strips of text; [strips] gives the
    size of their batches and weights in [losses] that differ for them. The weights in `before` are loaded in turn. With
    `encoder_anchor` in [losses], the embeddings of screens stay close to those of the checkpoint among them.
    """

    def __init__(
        self, recipe: TrainingConfig, data: Path, run: Path, before: Sequence[Path] = (), device: str = "cpu"
    ) -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.model = init_model(recipe)
        self.config = self.model.config
        self.checkpoint = run / "checkpoint"
        self.tokenizer = prepare_checkpoint_folder(self.checkpoint, self.config, recipe, before)
        packers = {name: Packer(self.tokenizer, self.config, *size) for name, size in IMAGE_SIZES.items()}
        self.packer = packers["screen"]
        losses = dict(recipe["losses"])
        torch.manual_seed(recipe["seed"] + 1)
        self.heads = CellHeads(self.config.text.hidden_size)
        cells_w = max(packer.cells_w for packer in packers.values())
        cells_h = max(packer.cells_h for packer in packers.values())
        self.helpers = AuxiliaryHeads(self.model, cells_w, cells_h, ProbeLayers.from_recipe(losses.pop("layers")))
        self.weights = {"screen": LossWeights(**losses)}
        self.weights["strip"] = replace(self.weights["screen"], **recipe.data.get("strips", {}).get("losses", {}))
        anchor_encoder = self._load_initial_weights(before)
        for module in self.modules().values():
            module.to(self.device)
        freeze(self.model, recipe.get("frozen", []))
        kinds = [load_batch_kind(name, packer, recipe, data) for name, packer in packers.items()]
        self.kinds = [kind for kind in kinds if kind.sources]
        self.anchor = self._make_anchor(anchor_encoder)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"model": self.model, "helper_heads": self.heads, "helpers": self.helpers}

    def sample_batch(self, rng: random.Random) -> PackedBatch:
        kind = self.kinds[0]
        if len(self.kinds) > 1:
            kind = rng.choices(self.kinds, [kind.share for kind in self.kinds])[0]
        frames, questions, characters = [], [], []
        for _ in range(kind.batch):
            source = rng.choices(kind.sources, [source.share for source in kind.sources])[0]
            sample = source.pick(rng)
            prepared = self._prepare(kind, source, sample, rng)
            frames.append(prepared.frame)
            questions.append(_sample_questions(source, sample, prepared, rng))
            height, width, _ = prepared.frame.shape
            characters.append(character_classes(prepared.characters, width, height))
        return kind.packer.pack(frames, questions, characters, kind.blocks)

    def loss(self, batch: PackedBatch) -> tuple[Tensor, dict[str, float]]:
        is_screen = batch.packer is self.packer
        weights, anchor = self.weights["screen" if is_screen else "strip"], self.anchor if is_screen else None
        with precision(self.recipe, self.device):
            on_device = batch.to(self.device)
            compiled = self.recipe.get("compiled", False)
            loss, metrics = compute_losses(self.model, self.heads, self.helpers, on_device, weights, compiled, anchor)
        return loss, metrics if is_screen else {f"strip_{name}": value for name, value in metrics.items()}

    def save(self, folder: Path) -> None:
        """Save the checkpoint."""
        save_model(self.model, self.checkpoint, torch.float16, {})

    def _prepare(self, kind: BatchKind, source: DataSource, sample: Sample, rng: random.Random) -> PreparedSample:
        if kind.packer is not self.packer:
            return prepare_strip(sample)
        return prepare_moved_screen(sample, rng) if source.moved else prepare_screen(sample)

    def _load_initial_weights(self, before: Sequence[Path]) -> nn.Module | None:
        """Load the weights of earlier stages in turn; return the encoder of a checkpoint among them."""
        encoder: nn.Module | None = None
        for source in before:
            if is_checkpoint(source):
                self.model.load_state_dict(load_model(source, dtype=torch.float32).state_dict())
                encoder = copy.deepcopy(self.model.visual).to(self.device)
            else:
                self._load_modules(load_state(source)["modules"])
        return encoder

    def _load_modules(self, modules: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Load the modules of an earlier run."""
        if "visual" in modules:
            self.model.visual.load_state_dict(modules["visual"])
            self.heads.load_state_dict(modules["helpers"])
            return
        self._load_model(modules["model"])
        if "helpers" not in modules:
            return  # the run of a stage without auxiliary heads
        self.heads.load_state_dict(modules["helper_heads"])
        missing, _ = self.helpers.load_state_dict(modules["helpers"], strict=False)
        if missing:
            print(f"not in the previous run, newly initialized: {', '.join(missing)}", file=sys.stderr)

    def _load_model(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of a model that may have fewer layers; new layers start as the identity."""
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        new = sorted({name.split(".")[2] for name in missing if name.startswith("model.layers.")}, key=int)
        if unexpected or any(name.split(".")[:2] != ["model", "layers"] for name in missing):
            raise UsageError(
                f"the model of the previous run differs from [vision] and [text] of {self.recipe.path}: "
                f"{(unexpected or missing)[0]}"
            )
        for number in new:
            layer = self.model.get_submodule(f"model.layers.{number}")
            for name in ("self_attn.o_proj", "mlp.down_proj"):
                nn.init.zeros_(layer.get_submodule(name).get_parameter("weight"))

    def _make_anchor(self, encoder: nn.Module | None) -> FeatureAnchor | None:
        if not self.weights["screen"].encoder_anchor:
            return None
        if encoder is None:
            raise UsageError(
                f"encoder_anchor in {self.recipe.path} needs an encoder; name a checkpoint to stay near with --before"
            )
        screens = [sample for kind in self.kinds if kind.packer is self.packer for sample in kind.samples()]
        return FeatureAnchor(encoder, sample_frames(screens, self.recipe["seed"]))


def freeze(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Freeze the parameters whose names start with one of the prefixes, and unfreeze the others."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(prefixes)))


def prepare_checkpoint_folder(
    checkpoint: Path,
    config: Config,
    recipe: TrainingConfig,
    before: Sequence[Path],
    history_steps: int = 0,
    pictures: int = 0,
) -> Tokenizer:
    """Write all files of a checkpoint except its weights, and return its tokenizer."""
    limit, strips = SCREEN[0] * SCREEN[1], reads_strips(recipe, before)
    vocabulary.write(checkpoint, config, limit - 28 * 28, limit * 16, MAX_NEW_TOKENS, history_steps, pictures, strips)
    return Tokenizer(checkpoint)


def reads_strips(recipe: TrainingConfig, before: Sequence[Path]) -> bool:
    """Return whether a model is trained to read strips of text, by a recipe or by one of the earlier stages."""
    if any(entry.get("picture") == "strip" for entry in recipe.data.get("data", [])):
        return True
    folders = [source if is_checkpoint(source) else source / "checkpoint" for source in before]
    return any(read_settings(folder).reads_strips for folder in folders)


def _sample_questions(
    source: DataSource, sample: Sample, prepared: PreparedSample, rng: random.Random
) -> list[Question]:
    """Return the questions asked of a sample in one batch."""
    questions = [q for q in prepared.questions if "say" not in q.answer or rng.random() < source.says]
    copies = [type_text(rng) for _ in range(source.copies)]
    extra = extra_word_questions(prepared.characters, source.words, source.reads, source.lines, rng)
    extra += [Question(record["goal"], record["answer"]) for record in copies]
    chosen = choose_questions(sample, questions, source.questions, rng)
    return [replace(q, is_decision=q.is_decision or source.decides) for q in chosen] + extra
