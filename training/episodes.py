"""Stage 3, long context: the next step of an episode, with the steps before it in the prompt. Knows steps and prompts.

The model is shown what an agent with a memory would show it: earlier screens and its own words, in the dialect's
turns. Its words may have been wrong; the oracle's answer to the last screen is what it learns. How many steps are
shown, and how many of their pictures, is left to chance up to the recipe's limits: an agent's memory grows and is cut.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actions import ACTION_TYPES, Reply, Screen, Step, UsageError
from model.checkpoints.weights import save_model
from model.dialects.base import HistoryStep
from model.dialects.qwen25 import Dialect
from model.processing.image import ImageLimits, frames_to_patches
from training.dataset import Sample, read
from training.init import init_model
from training.packing import PAD, Packer, decode, reply
from training.sft import SCREEN, tokenizer_of
from training.trainer import TrainingConfig, load_initial_weights, precision

Episode = tuple[Sample, ...]


@dataclass(frozen=True)
class Turns:
    """Conversations of a batch: ids and targets [B, S], target -100 where nothing is asked; frames [N, H, W, 3] uint8,
    those of all of them in their order; acted [n, 2]: rows of (conversation, token) as in a Batch."""

    ids: Tensor
    targets: Tensor
    frames: np.ndarray[Any, Any]
    acted: Tensor


class EpisodeStage:
    """The model over a recipe's [[data]] entries, which are folders as `collect` fills them.

    history_steps and pictures: of a recipe, how many earlier steps a prompt shows at most, and of how many of them the
    picture; the checkpoint says so to the agent. acted: how much the action and the point count once more. Each entry:
    folder, sources (optional), held_back (seeds below it are kept for measuring). Tasks are drawn equally often.
    """

    def __init__(
        self, recipe: TrainingConfig, data: Path, run: Path, before: Sequence[Path] = (), device: str = "cpu"
    ) -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.steps, self.pictures = int(recipe["history_steps"]), int(recipe["pictures"])
        self.model = init_model(recipe)
        self.checkpoint = run / "checkpoint"
        self.tokenizer = tokenizer_of(self.checkpoint, self.model.config, self.steps, min(self.steps, self.pictures))
        self.packer = Packer(self.tokenizer, self.model.config, *SCREEN)
        self.dialect = Dialect(ImageLimits(), tool="computer_use", history="turns")
        for one in before:
            load_initial_weights(self.model, one)
        self.model.to(self.device)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith(tuple(recipe.get("frozen", ["-"]))))
        self.episodes = _episodes(recipe, data)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"model": self.model}

    def draw(self, rng: random.Random) -> Turns:
        names = sorted(self.episodes)
        chosen = []
        for _ in range(self.recipe["batch"]):
            episode = rng.choice(self.episodes[rng.choice(names)])
            end = rng.randrange(len(episode))
            steps = rng.randint(0, min(end, self.steps))
            chosen.append((episode[end - steps : end + 1], rng.randint(0, min(steps, self.pictures)), end - steps))
        return self.packed(chosen)

    def packed(self, chosen: Sequence[tuple[Episode, int, int]]) -> Turns:
        """For each: steps whose last is asked for, of how many before it the picture is shown, and how many were
        before them."""
        rows = [self._row(*one) for one in chosen]
        length = max(len(prompt) + len(said) for prompt, said, *_ in rows)
        ids = torch.full((len(rows), length), self.tokenizer.id("<|endoftext|>"))  # behind the end: seen by nothing
        targets, acted, frames = torch.full_like(ids, -100), list[tuple[int, int]](), list[Any]()
        for row, (prompt, said, shown, deciding) in enumerate(rows):
            start, end = len(prompt), len(prompt) + len(said)
            ids[row, :end] = torch.tensor(prompt + said)
            targets[row, start - 1 : end - 1] = torch.tensor(said)
            acted += [(row, start + token) for token in deciding]
            frames += shown
        return Turns(ids, targets, np.stack(frames), torch.tensor(acted, dtype=torch.long).view(-1, 2))

    def _row(self, steps: Episode, pictures: int, gone: int) -> tuple[list[int], list[int], list[Any], list[int]]:
        """Prompt and answer, the frames that are shown, and the answer's tokens before those that decide."""
        *earlier, last = steps
        screens = [Screen(decode(one.png), timestamp=0.0) for one in steps]
        history = [
            HistoryStep(Step(gone + n + 1, screen, Reply(one.said)), picture=n >= len(earlier) - pictures)
            for n, (one, screen) in enumerate(zip(earlier, screens, strict=False))
        ]
        talk = self.dialect.conversation(last.goal, history, screens[-1], frozenset(ACTION_TYPES))
        text = self.tokenizer.render(talk.messages, talk.tools)
        assert last.own is not None
        said = self.tokenizer.encode(reply(last.own))
        shown = [part["image"].pixels for message in talk.messages for part in message["content"] if "image" in part]
        prompt = self.tokenizer.encode(text.replace(PAD, PAD * self.packer.cells))
        return prompt, said, shown, self.packer.deciding(said)

    def loss(self, batch: Turns) -> tuple[Tensor, dict[str, float]]:
        with precision(self.recipe, self.device):
            patches, (_, h, w) = frames_to_patches(np.repeat(batch.frames, 2, axis=0))
            ids, targets = batch.ids.to(self.device), batch.targets.to(self.device)
            hidden, _ = self.model.prefill(ids, None, patches.to(self.device), [(1, h, w)] * len(batch.frames))
            asked = targets != -100
            logits, wanted = self.model.logits(hidden[asked]).float(), targets[asked]
        token = F.cross_entropy(logits, wanted)
        right = logits.detach().argmax(-1) == wanted
        among = (asked.flatten().cumsum(0) - 1).view(asked.shape)  # which of them a token is
        deciding = among[batch.acted.to(self.device).unbind(1)]
        acted = F.cross_entropy(logits[deciding], wanted[deciding])
        total = token + self.recipe["acted"] * acted
        figures = {"loss": total, "token": token, "token_right": right.float().mean(), "acted": acted}
        figures["acted_right"] = right[deciding].float().mean()
        return total, {name: float(value.detach()) for name, value in figures.items()}

    def save(self, folder: Path) -> None:
        save_model(self.model, self.checkpoint, torch.float16, {})


def _episodes(recipe: TrainingConfig, data: Path) -> dict[str, list[Episode]]:
    """What each entry's folder holds, by task; an episode is as long as each of its screens has an answer."""
    found: dict[str, list[Episode]] = {}
    for entry in recipe["data"]:
        together: dict[tuple[str, int, int], list[Sample]] = {}
        for sample in read(data / entry["folder"], entry.get("sources")):
            if sample.said and sample.own is not None and sample.seed >= entry.get("held_back", 0):
                together.setdefault((sample.source, sample.seed, sample.episode), []).append(sample)
        for (source, *_), samples in together.items():
            found.setdefault(source, []).append(tuple(sorted(samples, key=lambda one: one.state)))
    if not found:
        folders = ", ".join(str(data / one["folder"]) for one in recipe["data"])
        raise UsageError(f"there are no episodes in {folders}; let a checkpoint act first (collect)")
    return found
