"""Stage 3: train on whole episodes, with earlier steps in the prompt.

The prompt is the one that an agent with a history window sends: earlier screens and the model's own replies, in the
turns
of the dialect. Earlier replies may be wrong; the target is the oracle's answer to the last screen. The number of
earlier
steps and of their images is random up to the recipe's limits, since an agent's history grows and is truncated.
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
from training.config import TrainingConfig
from training.dataset import Sample, read_samples
from training.init import init_model
from training.packing import IMAGE_PAD, Packer, decode_png, format_reply
from training.sft import freeze, prepare_checkpoint_folder
from training.sft_data import SCREEN
from training.trainer import load_initial_weights, precision

EpisodeSamples = tuple[Sample, ...]


@dataclass(frozen=True)
class HistoryWindowSample:
    """The last steps of an episode; the last of them is the one that is predicted."""

    steps: EpisodeSamples
    images: int  # number of the earlier steps whose image is in the prompt
    dropped: int  # number of steps before these


@dataclass(frozen=True)
class TokenizedConversation:
    """A conversation as token ids."""

    prompt: list[int]
    reply: list[int]
    frames: list[Any]  # [H, W, 3] each
    decision_offsets: list[int]  # tokens of the reply that decide, see Packer.decision_offsets


@dataclass(frozen=True)
class ConversationBatch:
    """A batch of conversations."""

    ids: Tensor  # [B, S]
    targets: Tensor  # [B, S], -100 where nothing is predicted
    frames: np.ndarray[Any, Any]  # of all conversations in order, uint8 [N, H, W, 3]
    decision_tokens: Tensor  # (conversation, token) [n, 2]


class EpisodeStage:
    """Trains the model on the [[data]] entries of a recipe, which are folders as `collect` fills them.

    Of a recipe: `history_steps` and `pictures` are the limits of the history window, which the checkpoint passes on to
    the agent; `decision_token` is the weight of the action and the point, which are counted again. An entry has
    `folder`,
    `sources` (optional) and `held_back` (the seed below which episodes are kept for evaluation). Tasks are sampled
    equally often.
    """

    def __init__(
        self, recipe: TrainingConfig, data: Path, run: Path, before: Sequence[Path] = (), device: str = "cpu"
    ) -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.history_steps, self.images = int(recipe["history_steps"]), int(recipe["pictures"])
        self.model = init_model(recipe)
        self.checkpoint = run / "checkpoint"
        images = min(self.history_steps, self.images)
        self.tokenizer = prepare_checkpoint_folder(
            self.checkpoint, self.model.config, recipe, before, self.history_steps, images
        )
        self.packer = Packer(self.tokenizer, self.model.config, *SCREEN)
        self.dialect = Dialect(ImageLimits(), tool="computer_use", history="turns")
        for source in before:
            load_initial_weights(self.model, source)
        self.model.to(self.device)
        freeze(self.model, recipe.get("frozen", []))
        self.episodes = load_episodes(recipe, data)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"model": self.model}

    def sample_batch(self, rng: random.Random) -> ConversationBatch:
        tasks = sorted(self.episodes)
        windows = []
        for _ in range(self.recipe["batch"]):
            episode = rng.choice(self.episodes[rng.choice(tasks)])
            last = rng.randrange(len(episode))
            steps = rng.randint(0, min(last, self.history_steps))
            images = rng.randint(0, min(steps, self.images))
            windows.append(HistoryWindowSample(episode[last - steps : last + 1], images, last - steps))
        return self.pack(windows)

    def pack(self, windows: Sequence[HistoryWindowSample]) -> ConversationBatch:
        """Return a right-padded batch."""
        conversations = [self._tokenize(window) for window in windows]
        length = max(len(row.prompt) + len(row.reply) for row in conversations)
        ids = torch.full((len(windows), length), self.tokenizer.id("<|endoftext|>"))  # nothing attends to the padding
        targets, decisions, frames = torch.full_like(ids, -100), list[tuple[int, int]](), list[Any]()
        for row, conversation in enumerate(conversations):
            prompt, reply = conversation.prompt, conversation.reply
            start, end = len(prompt), len(prompt) + len(reply)
            ids[row, :end] = torch.tensor(prompt + reply)
            targets[row, start - 1 : end - 1] = torch.tensor(reply)
            decisions += [(row, start + offset) for offset in conversation.decision_offsets]
            frames += conversation.frames
        return ConversationBatch(ids, targets, np.stack(frames), torch.tensor(decisions, dtype=torch.long).view(-1, 2))

    def _tokenize(self, window: HistoryWindowSample) -> TokenizedConversation:
        *earlier, last = window.steps
        screens = [Screen(decode_png(sample.png), timestamp=0.0) for sample in window.steps]
        history = [
            HistoryStep(
                Step(window.dropped + number + 1, screen, Reply(sample.reply_text)),
                picture=number >= len(earlier) - window.images,
            )
            for number, (sample, screen) in enumerate(zip(earlier, screens, strict=False))
        ]
        conversation = self.dialect.conversation(last.goal, history, screens[-1], frozenset(ACTION_TYPES))
        text = self.tokenizer.render(
            conversation.messages, conversation.tools, syntax=conversation.syntax, thinking=conversation.thinking
        )
        assert last.own_question is not None
        reply = self.tokenizer.encode(format_reply(last.own_question))
        parts = [part for message in conversation.messages for part in message["content"]]
        frames = [part["image"].pixels for part in parts if "image" in part]
        prompt = self.tokenizer.encode(text.replace(IMAGE_PAD, IMAGE_PAD * self.packer.cells))
        return TokenizedConversation(prompt, reply, frames, self.packer.decision_offsets(reply))

    def loss(self, batch: ConversationBatch) -> tuple[Tensor, dict[str, float]]:
        with precision(self.recipe, self.device):
            patches, (_, h, w) = frames_to_patches(np.repeat(batch.frames, 2, axis=0))
            ids, targets = batch.ids.to(self.device), batch.targets.to(self.device)
            hidden, _ = self.model.prefill(ids, None, patches.to(self.device), [(1, h, w)] * len(batch.frames))
            predicted = targets != -100
            logits, expected = self.model.logits(hidden[predicted]).float(), targets[predicted]
        token = F.cross_entropy(logits, expected)
        is_right = logits.detach().argmax(-1) == expected
        index = (predicted.flatten().cumsum(0) - 1).view(predicted.shape)  # into logits and expected
        decisions = index[batch.decision_tokens.to(self.device).unbind(1)]
        decision_token = F.cross_entropy(logits[decisions], expected[decisions])
        total = token + self.recipe["decision_token"] * decision_token
        metrics = {
            "loss": total,
            "token": token,
            "token_right": is_right.float().mean(),
            "decision_token": decision_token,
            "decision_token_right": is_right[decisions].float().mean(),
        }
        return total, {name: float(value.detach()) for name, value in metrics.items()}

    def save(self, folder: Path) -> None:
        """Save the checkpoint."""
        save_model(self.model, self.checkpoint, torch.float16, {})


def load_episodes(recipe: TrainingConfig, data: Path) -> dict[str, list[EpisodeSamples]]:
    """Return the episodes of all entries by task."""
    episodes: dict[str, list[EpisodeSamples]] = {}
    for entry in recipe["data"]:
        by_episode: dict[tuple[str, int, int], list[Sample]] = {}
        for sample in read_samples(data / entry["folder"], entry.get("sources")):
            is_labeled = bool(sample.reply_text) and sample.own_question is not None
            if is_labeled and sample.seed >= entry.get("held_back", 0):
                by_episode.setdefault((sample.source, sample.seed, sample.episode), []).append(sample)
        for (source, *_), samples in by_episode.items():
            episodes.setdefault(source, []).append(tuple(sorted(samples, key=lambda sample: sample.state)))
    if not episodes:
        folders = ", ".join(str(data / entry["folder"]) for entry in recipe["data"])
        raise UsageError(f"there are no episodes in {folders}; run `python -m training collect` first")
    return episodes
