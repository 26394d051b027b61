"""Stage 5: direct preference optimization on screens where the model's own call was wrong.

The model's reply is the rejected answer to the page's own goal, the oracle's is the chosen one. Source: Rafailov et al.
2023, "Direct Preference Optimization", arXiv:2305.18290. Since DPO alone may make both answers less likely, the chosen
answer's cross-entropy per token is added; source: Pang et al. 2024, "Iterative Reasoning Preference Optimization",
arXiv:2404.19733.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actions import UsageError
from model.checkpoints.weights import save_model
from model.nn.qwen25vl import Qwen25VL
from training.config import TrainingConfig
from training.dataset import Question, Sample, read_samples
from training.evaluate import is_right
from training.feature_anchor import encode_frames
from training.init import init_model
from training.packed_attention import packed_forward
from training.packing import BLOCK, PackedBatch, Packer, decode_png, format_reply
from training.sft import freeze, prepare_checkpoint_folder
from training.sft_data import SCREEN, valid_call
from training.trainer import load_initial_weights, precision
from training.vision_pretraining import character_classes


@dataclass(frozen=True)
class PreferencePair:
    """A screen with two answers to one goal."""

    sample: Sample
    chosen: Question
    rejected: Question


class DPOStage:
    """Trains the decoder on preference pairs from the [[data]] entries of a recipe; the vision encoder is frozen.

    An entry has: `folder` below the data folder, as `collect` fills it; `sources` (optional); `won` (optional), to keep
    only screens of episodes that were won, or only of those that were lost. Tasks are sampled equally often, since a
    failing episode leaves many pairs. The reference model is saved in the state of the run.
    """

    def __init__(
        self, recipe: TrainingConfig, data: Path, run: Path, before: Sequence[Path] = (), device: str = "cpu"
    ) -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.beta, self.anchor, self.batch = float(recipe["beta"]), float(recipe["anchor"]), int(recipe["batch"])
        self.model = init_model(recipe)
        self.checkpoint = run / "checkpoint"
        tokenizer = prepare_checkpoint_folder(self.checkpoint, self.model.config, recipe, before)
        self.packer = Packer(tokenizer, self.model.config, *SCREEN)
        for source in before:
            load_initial_weights(self.model, source)
        self.model.to(self.device)
        freeze(self.model, recipe["frozen"])
        if any(parameter.requires_grad for parameter in self.model.visual.parameters()):
            raise UsageError(
                f'DPO needs a frozen vision encoder: set frozen = ["visual"] in {recipe.path}, not {recipe["frozen"]}'
            )
        self.reference = copy.deepcopy(self.model).requires_grad_(False)
        self.pairs = load_pairs(recipe, data, self.packer)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"model": self.model, "reference": self.reference}

    def sample_batch(self, rng: random.Random) -> PackedBatch:
        tasks = sorted(self.pairs)
        return self.pack([rng.choice(self.pairs[rng.choice(tasks)]) for _ in range(self.batch)])

    def pack(self, pairs: Sequence[PreferencePair]) -> PackedBatch:
        """Return a batch with a row for each pair, the chosen answer before the rejected one."""
        return self.packer.pack(
            [decode_png(pair.sample.png) for pair in pairs],
            [[pair.chosen, pair.rejected] for pair in pairs],
            [character_classes(pair.sample.characters, *SCREEN) for pair in pairs],
        )

    def loss(self, batch: PackedBatch) -> tuple[Tensor, dict[str, float]]:
        with precision(self.recipe, self.device):
            on_device = batch.to(self.device)
            with torch.no_grad():
                cells = encode_frames(self.model.visual, on_device.frames)
                reference, _ = answer_log_probs(self.reference, cells, on_device)
            log_probs, lengths = answer_log_probs(self.model, cells, on_device)
        rewards = self.beta * (log_probs - reference)
        margin = rewards[:, 0] - rewards[:, 1]
        preference = -F.logsigmoid(margin).mean()
        chosen = log_probs[:, 0]
        token = -(chosen / lengths[:, 0]).mean()
        total = preference + self.anchor * token
        metrics = {
            "loss": total,
            "preference": preference,
            "token": token,
            "margin": margin.mean(),
            "preferred_right": (margin > 0).float().mean(),
            "chosen": chosen.mean(),
        }
        return total, {name: float(value.detach()) for name, value in metrics.items()}

    def save(self, folder: Path) -> None:
        """Save the checkpoint."""
        save_model(self.model, self.checkpoint, torch.float16, {})


def answer_log_probs(model: Qwen25VL, cells: Tensor, batch: PackedBatch) -> tuple[Tensor, Tensor]:
    """Return the log-probability [B, 2] and the number of tokens [B, 2] of both answers of each row.

    Args:
        model: The model.
        cells: Vision embeddings [B, cells, C].
        batch: Rows with two answers each.
    """
    first, count = batch.packer.first_cell, batch.packer.cells
    embeddings = model.model.embed_tokens(batch.ids)
    embeddings = torch.cat([embeddings[:, :first], cells, embeddings[:, first + count :]], dim=1)
    trace = packed_forward(model.model, embeddings, batch.positions, batch.own, batch.layout, compiled=False)
    predicted = batch.targets != -100
    logits = model.logits(trace.output[predicted]).float()
    log_probs = torch.zeros(batch.targets.shape, device=logits.device)
    log_probs[predicted] = -F.cross_entropy(logits, batch.targets[predicted], reduction="none")
    is_end = batch.targets == batch.packer.tokenizer.id("<|im_end|>")
    answer_number = is_end.cumsum(1) - is_end.long()  # of the answer, within its row, that a token belongs to
    masks = [predicted & (answer_number == number) for number in (0, 1)]
    return torch.stack([(log_probs * mask).sum(1) for mask in masks], 1), torch.stack([m.sum(1) for m in masks], 1)


def rejected_answer(sample: Sample) -> Question | None:
    """Return the model's reply to the page's own goal if it is a valid call and wrong, else None."""
    own = sample.own_question
    if own is None or valid_call(sample.reply_text) is None or is_right(sample.reply_text, own):
        return None
    return Question(own.goal, {"say": sample.reply_text})


def load_pairs(recipe: TrainingConfig, data: Path, packer: Packer) -> dict[str, list[PreferencePair]]:
    """Return the pairs of all entries by task, without replies that are too long for a block."""
    count = 0
    pairs: dict[str, list[PreferencePair]] = {}
    for sample in _read_entries(recipe, data):
        count += 1
        rejected = rejected_answer(sample)
        if sample.own_question is None or rejected is None:
            continue
        length = len(packer.prompt(rejected.goal)) + len(packer.tokenizer.encode(format_reply(rejected)))
        if length <= BLOCK:
            pairs.setdefault(sample.source, []).append(PreferencePair(sample, sample.own_question, rejected))
    if not pairs:
        folders = ", ".join(str(data / entry["folder"]) for entry in recipe["data"])
        raise UsageError(
            f"DPO needs screens where the model's call was wrong: none of the {count} screens in {folders} is one; "
            "collect more seeds, or with a --temperature"
        )
    return pairs


def _read_entries(recipe: TrainingConfig, data: Path) -> Iterator[Sample]:
    for entry in recipe["data"]:
        for sample in read_samples(data / entry["folder"], entry.get("sources")):
            if "won" not in entry or sample.won == entry["won"]:
                yield sample
