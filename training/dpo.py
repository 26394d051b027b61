"""Stage 5: of two answers to a page's own goal the model prefers the oracle's. Knows screens that a model came upon.

Where the model called for something wrong, its own words are rejected and the oracle's are chosen. Source: Rafailov et
al. 2023, "Direct Preference Optimization", arXiv 2305.18290: what is compared is how much likelier each has become than
it was to the model as it began. That alone may make both less likely, so the chosen answer's cross-entropy, per token,
is added; source: Pang et al. 2024, "Iterative Reasoning Preference Optimization", arXiv 2404.19733.
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
from training.dataset import Question, Sample, read
from training.evaluate import right
from training.feature_anchor import encode
from training.init import init_model
from training.packed_attention import decode
from training.packing import BLOCK, Batch, Packer, reply
from training.packing import decode as pixels_of
from training.sft import SCREEN, call_of, tokenizer_of
from training.trainer import TrainingConfig, load_initial_weights, precision
from training.vision_pretraining import place_characters


@dataclass(frozen=True)
class Pair:
    """A screen and two answers to one goal."""

    sample: Sample
    chosen: Question
    rejected: Question


class DPOStage:
    """The decoder over pairs from a recipe's [[data]] entries; the encoder is frozen.

    Each entry: folder (below the data folder, as `collect` fills it), sources (optional), won (optional: true or false,
    only screens of episodes that were won, or that were not). Tasks are drawn equally often: a long way that leads
    nowhere leaves many pairs. The model as it began is kept in the run's state: a run that goes on needs nothing
    before it.
    """

    def __init__(
        self, recipe: TrainingConfig, data: Path, run: Path, before: Sequence[Path] = (), device: str = "cpu"
    ) -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.beta, self.anchor, self.batch = float(recipe["beta"]), float(recipe["anchor"]), int(recipe["batch"])
        self.model = init_model(recipe)
        self.checkpoint = run / "checkpoint"
        tokenizer = tokenizer_of(self.checkpoint, self.model.config)
        self.packer = Packer(tokenizer, self.model.config, *SCREEN)
        for one in before:
            load_initial_weights(self.model, one)
        self.model.to(self.device)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith(tuple(recipe["frozen"])))
        if any(parameter.requires_grad for parameter in self.model.visual.parameters()):
            raise UsageError(
                f"this stage shows one picture to the model and to what it was, but {recipe.path} freezes "
                f'{recipe["frozen"]}; say frozen = ["visual"] there'
            )
        self.reference = copy.deepcopy(self.model).requires_grad_(False)
        self.pairs = _pairs(recipe, data, self.packer)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"model": self.model, "reference": self.reference}

    def draw(self, rng: random.Random) -> Batch:
        names = sorted(self.pairs)
        return self.packed([rng.choice(self.pairs[rng.choice(names)]) for _ in range(self.batch)])

    def packed(self, pairs: Sequence[Pair]) -> Batch:
        """Each in a row of its own, the chosen answer before the rejected."""
        return self.packer.pack(
            [pixels_of(one.sample.png) for one in pairs],
            [[one.chosen, one.rejected] for one in pairs],
            [place_characters(one.sample.characters, *SCREEN) for one in pairs],
        )

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        with precision(self.recipe, self.device):
            given = batch.to(self.device)
            with torch.no_grad():
                picture = encode(self.model.visual, given.frames)
                before, _ = likelihoods(self.reference, picture, given)
            now, tokens = likelihoods(self.model, picture, given)
        gained = self.beta * (now - before)  # the implicit reward of each answer
        margin = gained[:, 0] - gained[:, 1]
        preference = -F.logsigmoid(margin).mean()
        chosen = now[:, 0]
        token = -(chosen / tokens[:, 0]).mean()
        total = preference + self.anchor * token
        figures = {"loss": total, "preference": preference, "token": token, "margin": margin.mean()}
        figures |= {"preferred_right": (margin > 0).float().mean(), "chosen": chosen.mean()}
        return total, {name: float(value.detach()) for name, value in figures.items()}

    def save(self, folder: Path) -> None:
        save_model(self.model, self.checkpoint, torch.float16, {})


def likelihoods(model: Qwen25VL, picture: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of rows with two answers each, behind a picture [B, cells, C]: the log-probability of each answer [B, 2], and how
    many tokens it has [B, 2]."""
    first, count = batch.packer.first_cell, batch.packer.cells
    embeddings = model.model.embed_tokens(batch.ids)
    embeddings = torch.cat([embeddings[:, :first], picture, embeddings[:, first + count :]], dim=1)
    trace = decode(model.model, embeddings, batch.positions, batch.own, batch.rows, compiled=False)
    asked = batch.targets != -100
    logits = model.logits(trace.out[asked]).float()
    spread = torch.zeros(batch.targets.shape, device=logits.device)
    spread[asked] = -F.cross_entropy(logits, batch.targets[asked], reduction="none")
    ends = batch.targets == batch.packer.tokenizer.id("<|im_end|>")
    answer = ends.cumsum(1) - ends.long()  # the number, in its row, of the answer that a token belongs to
    own = [asked & (answer == number) for number in (0, 1)]
    return torch.stack([(spread * one).sum(1) for one in own], 1), torch.stack([one.sum(1) for one in own], 1)


def rejected(sample: Sample) -> Question | None:
    """What the model said to the page's own goal, word for word, if that is a call and a wrong one."""
    if sample.own is None or call_of(sample.said) is None or right(sample.said, sample.own):
        return None
    return Question(sample.own.goal, {"say": sample.said})


def _pairs(recipe: TrainingConfig, data: Path, packer: Packer) -> dict[str, list[Pair]]:
    """All of the recipe's folders by task, but for answers that are too long for a block."""
    seen = 0
    pairs: dict[str, list[Pair]] = {}
    for sample in _samples(recipe, data):
        seen += 1
        wrong = rejected(sample)
        if sample.own is None or wrong is None:
            continue
        length = len(packer.prompt(wrong.goal)) + len(packer.tokenizer.encode(reply(wrong)))
        if length <= BLOCK:
            pairs.setdefault(sample.source, []).append(Pair(sample, sample.own, wrong))
    if not pairs:
        folders = ", ".join(str(data / one["folder"]) for one in recipe["data"])
        raise UsageError(
            "preference needs screens where a model's call was wrong, and "
            f"none of the {seen} screens in {folders} is one; collect more seeds, or with a --temperature"
        )
    return pairs


def _samples(recipe: TrainingConfig, data: Path) -> Iterator[Sample]:
    for entry in recipe["data"]:
        for sample in read(data / entry["folder"], entry.get("sources")):
            if "won" not in entry or sample.won == entry["won"]:
                yield sample
