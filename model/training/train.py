"""The training loop: config in, checkpoint out, in slices that resume. Knows tensors and folders; drives no browser."""

from __future__ import annotations

import json
import math
import random
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actions import UsageError
from model.config import Config, TextConfig, VisionConfig
from model.engine.decode import stream
from model.image import frames_to_patches
from model.qwen25vl import Qwen25VL
from model.tokenizer import Tokenizer
from model.training import vocabulary
from model.training.batches import Packer, decode
from model.training.losses import Helpers, Weights, losses
from model.training.render import Question, Sample, read
from model.weights import save_model

SCREEN = (280, 364)  # width, height of a practice page


@dataclass(frozen=True)
class Recipe:
    """A recipe file, read."""

    data: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Recipe:
        try:
            return cls(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"recipe {path} cannot be read: {error}") from None

    def __getitem__(self, key: str) -> Any:
        try:
            return self.data[key]
        except KeyError:
            raise UsageError(f"the recipe lacks '{key}'; see model/training/first.toml") from None

    def config(self, ids: dict[str, int]) -> Config:
        text = dict(self["text"])
        text["mrope_section"] = tuple(text["mrope_section"])
        vision = dict(self["vision"])
        vision["fullatt_block_indexes"] = tuple(vision["fullatt_block_indexes"])
        return Config(
            VisionConfig(**vision, out_hidden_size=text["hidden_size"]),
            TextConfig(**text, vocab_size=vocabulary.ROWS, tie_word_embeddings=True, max_position_embeddings=8192),
            ids["<|image_pad|>"],
            ids["<|video_pad|>"],
            ids["<|vision_start|>"],
            "float16",
        )


def fresh_model(config: Config, seed: int) -> Qwen25VL:
    """Random weights: normal with deviation 0.02, the layers that write into the residual stream scaled by depth."""
    torch.manual_seed(seed)
    model = Qwen25VL(config)
    depth = {"visual": config.vision.depth, "model": config.text.num_hidden_layers}
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            torch.nn.init.ones_(parameter) if "norm" in name or "ln_q" in name else torch.nn.init.zeros_(parameter)
            continue
        scale = 0.02 if "patch_embed" in name or "embed_tokens" in name else parameter.flatten(1).shape[1] ** -0.5
        if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight")):
            scale /= math.sqrt(2 * depth[name.split(".")[0]])
        torch.nn.init.normal_(parameter, std=scale)
    return model


class Trainer:
    """Owns the model, the optimiser and the run folder. State is saved whole, and a run goes on where it stopped."""

    def __init__(self, recipe: Recipe, data: Path, run: Path) -> None:
        self.recipe, self.run = recipe, run
        run.mkdir(parents=True, exist_ok=True)
        tokens = vocabulary.build()
        self.config = recipe.config(vocabulary.ids(tokens))
        self.folder = run / "checkpoint"
        limit = SCREEN[0] * SCREEN[1]
        vocabulary.write(self.folder, self.config, limit - 28 * 28, limit * 16, 64)
        self.tokenizer = Tokenizer(self.folder)
        self.packer = Packer(self.tokenizer, self.config, *SCREEN)
        self.train_set, self.held_back = self._split(data)
        self.shares = [recipe["emphasis"].get(one.task, 1.0) for one in self.train_set]
        self.model = fresh_model(self.config, recipe["seed"])
        loss = recipe["losses"]
        self.weights = Weights(loss["token"], loss["characters"], loss["places"], loss["gaze"], loss["spots"])
        self.helpers = Helpers(self.model, self.packer, loss["place_layer"], loss["gaze_layer"])
        parameters = [*self.model.named_parameters(), *self.helpers.named_parameters()]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [p for _, p in parameters if p.dim() > 1], "weight_decay": recipe["weight_decay"]},
                {"params": [p for _, p in parameters if p.dim() <= 1], "weight_decay": 0.0},
            ],
            lr=recipe["learning_rate"],
            betas=(0.9, 0.95),
        )
        self.step = 0
        if (run / "state.pt").exists():
            self._resume()

    def _split(self, data: Path) -> tuple[list[Sample], list[Sample]]:
        by_task: dict[str, list[Sample]] = {}
        for sample in read(data, self.recipe["tasks"]):
            by_task.setdefault(sample.task, []).append(sample)
        missing = sorted(set(self.recipe["tasks"]) - set(by_task))
        if missing:
            raise UsageError(f"{data} has no screens of {missing[0]}; run: python -m model.training render")
        count = self.recipe["held_back"]
        train = [one for samples in by_task.values() for one in samples[count:] if one.questions]
        held = [one for samples in by_task.values() for one in samples[:count]]
        return train, held

    def _resume(self) -> None:
        try:
            state = torch.load(self.run / "state.pt", weights_only=True)
        except Exception as error:
            raise UsageError(
                f"{self.run / 'state.pt'} is damaged ({str(error)[:100]}); delete it to start the run again"
            ) from None
        if state.get("recipe") != json.dumps(self.recipe.data, sort_keys=True):
            raise UsageError(f"{self.run} was begun with another recipe; go on with that one, or name a new run folder")
        self.model.load_state_dict(state["model"])
        self.helpers.load_state_dict(state["helpers"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])

    def save(self) -> None:
        """State and checkpoint, each written beside and moved into place."""
        state = {
            "model": self.model.state_dict(),
            "helpers": self.helpers.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "recipe": json.dumps(self.recipe.data, sort_keys=True),
        }
        partial = self.run / "state.partial"
        torch.save(state, partial)
        partial.replace(self.run / "state.pt")
        save_model(self.model, self.folder, torch.float16, {"step": self.step})

    def rate(self, step: int) -> float:
        """Learning rate: linear warm-up, then a half cosine to the final one."""
        recipe = self.recipe
        if step < recipe["warmup"]:
            return recipe["learning_rate"] * (step + 1) / recipe["warmup"]
        done = min(1.0, (step - recipe["warmup"]) / max(1, recipe["steps"] - recipe["warmup"]))
        low = recipe["final_learning_rate"]
        return low + (recipe["learning_rate"] - low) * 0.5 * (1 + math.cos(math.pi * done))

    def train(self, minutes: float) -> bool:
        """Train for so many minutes or to the recipe's end; True when that is reached. Logs to losses.jsonl."""
        recipe, began, saved = self.recipe, time.monotonic(), time.monotonic()
        # else threads add gradients up in any order; filling fresh memory costs, and none of it is read
        torch.use_deterministic_algorithms(True, warn_only=True)
        setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - it has no stub
        self.model.train()
        sums: dict[str, float] = {}
        counted = 0
        while self.step < recipe["steps"] and time.monotonic() - began < minutes * 60:
            rng = random.Random(recipe["seed"] * 1_000_003 + self.step)  # each step's own: a resumed run draws the same
            samples = rng.choices(self.train_set, self.shares, k=recipe["batch"])
            batch = self.packer.pack(samples, recipe["questions"], rng)
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate(self.step)
            loss, parts = losses(self.model, self.helpers, batch, self.weights)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], 1.0)
            self.optimiser.step()
            self.step += 1
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
            counted += 1
            if self.step % 20 == 0:
                record = {name: round(value / counted, 4) for name, value in sums.items()}
                self._log({"step": self.step, **record, "seconds": round(time.monotonic() - began, 1)})
                sums, counted = {}, 0
            if time.monotonic() - saved > 120:
                self.save()
                saved = time.monotonic()
        self.save()
        return bool(self.step >= recipe["steps"])

    def _log(self, record: dict[str, Any]) -> None:
        line = json.dumps(record)
        print(line, flush=True)
        with (self.run / "losses.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def measure(self) -> dict[str, float]:
        """Share of held-back screens of each task whose own goal is answered inside the element."""
        self.model.eval()
        right: dict[str, list[float]] = {}
        for start in range(0, len(self.held_back), 25):
            samples = self.held_back[start : start + 25]
            for sample, point in zip(samples, self._points(samples), strict=True):
                target = next((one for one in sample.questions if one.goal == sample.goal), None)
                right.setdefault(sample.task, []).append(float(target is not None and _inside(point, target)))
        result = {task: round(sum(values) / len(values), 3) for task, values in right.items()}
        self._log({"step": self.step, "held_back": result, "mean": round(float(np.mean(list(result.values()))), 3)})
        return result

    def _points(self, samples: Sequence[Sample]) -> list[tuple[int, int] | None]:
        prompts = [self.packer.head + self.tokenizer.encode(one.goal + self.packer.after) for one in samples]
        length = max(len(prompt) for prompt in prompts)
        pad = self.tokenizer.id("<|endoftext|>")
        ids = torch.tensor([[pad] * (length - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        frames = np.stack([decode(one.png) for one in samples])
        patches, (_, h, w) = frames_to_patches(np.repeat(frames, 2, axis=0))
        tokens: list[Tensor] = list(
            stream(
                self.model,
                ids,
                max_new_tokens=24,
                stop_ids=self.tokenizer.stop_ids,
                vocabulary=self.tokenizer.size,
                attention_mask=mask,
                pixel_values=patches,
                image_grid_thw=[(1, h, w)] * len(samples),
            )
        )
        return [_point(self.tokenizer.decode(row)) for row in torch.stack(tokens, dim=1).tolist()]


def _point(text: str) -> tuple[int, int] | None:
    try:
        call = json.loads(text.split("<tool_call>")[1].split("</tool_call>")[0])
        x, y = call["arguments"]["coordinate"]
        return int(x), int(y)
    except (ValueError, LookupError, TypeError):
        return None


def _inside(point: tuple[int, int] | None, target: Question) -> bool:
    if point is None:
        return False
    x, y, w, h = target.box
    return x <= point[0] < x + w and y <= point[1] < y + h
