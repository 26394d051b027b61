"""A training run: slices that resume, repeat and log. Knows steps, rates and files; knows no data and no losses."""

from __future__ import annotations

import json
import math
import random
import time
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from actions import UsageError
from model.checkpoints.weights import load_model
from model.nn.qwen25vl import Qwen25VL
from training.optim import Muon

SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class TrainingConfig:
    """A stage's file, read."""

    data: dict[str, Any]
    path: Path = Path("recipe")

    @classmethod
    def load(cls, path: Path) -> TrainingConfig:
        try:
            return cls(tomllib.loads(path.read_text(encoding="utf-8")), path)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"recipe {path} cannot be read: {error}") from None

    def __getitem__(self, key: str) -> Any:
        try:
            return self.data[key]
        except KeyError:
            raise UsageError(f"{self.path} lacks '{key}'; compare it with the files in training/configs") from None

    def get(self, key: str, default: Any) -> Any:
        return self.data.get(key, default)


class Stage(Protocol):
    """What a run trains. draw() is called in another thread, one step ahead."""

    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained and saved, by name."""
        ...

    def draw(self, rng: random.Random) -> Any:
        """The batch of a step."""
        ...

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """What to lower, and figures for the log."""
        ...

    def save(self, folder: Path) -> None:
        """What other programs read, beside the state of the run."""
        ...


class Trainer:
    """Owns the optimisers and the run folder. State is saved whole, and a run goes on where it stopped."""

    def __init__(self, recipe: TrainingConfig, stage: Stage, folder: Path) -> None:
        self.recipe, self.stage, self.folder = recipe, stage, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.optimisers = _optimisers(recipe, stage)
        self.step = 0
        if (folder / "state.pt").exists():
            self._resume()

    def rate(self, step: int) -> float:
        """Learning rate: linear warm-up, then a half cosine to the final one."""
        recipe = self.recipe
        if step < recipe["warmup"]:
            return float(recipe["learning_rate"] * (step + 1) / recipe["warmup"])
        done = min(1.0, (step - recipe["warmup"]) / max(1, recipe["steps"] - recipe["warmup"]))
        low = recipe["final_learning_rate"]
        return float(low + (recipe["learning_rate"] - low) * 0.5 * (1 + math.cos(math.pi * done)))

    def train(self, minutes: float) -> bool:
        """Train for so many minutes or to the recipe's end; True when that is reached. Logs to losses.jsonl."""
        recipe, began, saved = self.recipe, time.monotonic(), time.monotonic()
        # else threads add gradients up in any order; filling fresh memory costs, and none of it is read
        torch.use_deterministic_algorithms(True, warn_only=True)
        setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - it has no stub
        for module in self.stage.modules().values():
            module.train()
        found: dict[str, list[float]] = {}  # some figures are not those of every step
        counted, marked = 0, time.monotonic()
        with ThreadPoolExecutor(1) as ahead:
            waiting = ahead.submit(self._draw, self.step)
            while self.step < recipe["steps"] and time.monotonic() - began < minutes * 60:
                batch = waiting.result()
                waiting = ahead.submit(self._draw, self.step + 1)
                figures = self._step(batch)
                self.step += 1
                counted += 1
                for name, value in figures.items():
                    found.setdefault(name, []).append(value)
                if self.step % recipe.get("log_every", 20) == 0 or self.step == recipe["steps"]:
                    now = time.monotonic()
                    record = {name: round(sum(values) / len(values), 4) for name, values in found.items()}
                    self.log({"step": self.step, **record, "s": round((now - marked) / counted, 3)})
                    found, counted, marked = {}, 0, now
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return bool(self.step >= recipe["steps"])

    def _draw(self, step: int) -> Any:
        return self.stage.draw(random.Random(self.recipe["seed"] * 1_000_003 + step))  # a resumed run draws the same

    def _step(self, batch: Any) -> dict[str, float]:
        loss, figures = self.stage.loss(batch)
        if not torch.isfinite(loss):
            raise UsageError(f"the loss of step {self.step} is {float(loss)}; lower the learning rate and begin again")
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = self.rate(self.step) * group["factor"]
        loss.backward()
        parameters = [
            one for optimiser in self.optimisers.values() for g in optimiser.param_groups for one in g["params"]
        ]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimiser in self.optimisers.values():
            optimiser.step()
        return figures

    def log(self, record: dict[str, Any]) -> None:
        line = json.dumps(record)
        print(line, flush=True)
        with (self.folder / "losses.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def save(self) -> None:
        """State and checkpoint, each written beside and moved into place."""
        state = {
            "modules": {name: module.state_dict() for name, module in self.stage.modules().items()},
            "optimisers": {name: one.state_dict() for name, one in self.optimisers.items()},
            "step": self.step,
            "recipe": json.dumps(self.recipe.data, sort_keys=True),
        }
        partial = self.folder / "state.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "state.pt")
        self.stage.save(self.folder)

    def _resume(self) -> None:
        state = load_state(self.folder)
        if state.get("recipe") != json.dumps(self.recipe.data, sort_keys=True):
            raise UsageError(
                f"{self.folder} was begun with another recipe; go on with that one, or name a new run folder"
            )
        for name, module in self.stage.modules().items():
            module.load_state_dict(state["modules"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.step = int(state["step"])


def precision(recipe: TrainingConfig, device: torch.device) -> torch.autocast:
    """What a stage computes its loss under: the recipe's "precision", "float32" (the default) or "bfloat16"."""
    name = recipe.get("precision", "float32")
    if name not in ("float32", "bfloat16"):
        raise UsageError(f"precision in {recipe.path} must be float32 or bfloat16, not {name!r}")
    return torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16")


def load_state(folder: Path) -> dict[str, Any]:
    """What save() wrote; UsageError where it is missing or damaged."""
    path = folder / "state.pt"
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; run the stage that makes it first") from None
    except Exception as error:
        raise UsageError(f"{path} is damaged ({str(error)[:100]}); delete it to start the run again") from None
    return state


def load_initial_weights(model: Qwen25VL, before: Path) -> None:
    """Begin with the whole model of an earlier run, or with a checkpoint; UsageError where there is none like it."""
    state: Mapping[str, Any]
    if is_checkpoint(before):
        state = load_model(before, dtype=torch.float32).state_dict()
    else:
        state = load_state(before)["modules"].get("model", {})
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise UsageError(
            f"{before} holds no model of the sizes that this recipe names; give --before the run or the checkpoint of "
            "the stage before, and its [vision] and [text]"
        ) from None


def is_checkpoint(before: Path) -> bool:
    """Whether a folder is a checkpoint, and not that of a run."""
    return (before / "config.json").exists()


def _optimisers(recipe: TrainingConfig, stage: Stage) -> dict[str, torch.optim.Optimizer]:
    """AdamW for all, or Muon for the matrices inside and AdamW for embeddings, heads, norms and biases.

    A group's factor is of the learning rate; "visual_factor" in a recipe slows an encoder down that can read already.
    What its stage froze is left alone.
    """
    groups: dict[tuple[str, bool, bool], list[nn.Parameter]] = {}
    for module_name, module in stage.modules().items():
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            inside = parameter.dim() > 1 and "embed" not in name and not module_name.startswith("helper")
            kind = "muon" if inside and recipe["optimiser"] == "muon" else "adamw"
            groups.setdefault((kind, parameter.dim() > 1, name.startswith("visual.")), []).append(parameter)
    found: dict[str, torch.optim.Optimizer] = {}
    for kind in ("adamw", "muon"):
        made = [
            {
                "params": parameters,
                "weight_decay": recipe["weight_decay"] if wide else 0.0,
                "factor": (recipe["matrix_factor"] if kind == "muon" else 1.0)
                * (recipe.get("visual_factor", 1.0) if visual else 1.0),
            }
            for (which, wide, visual), parameters in groups.items()
            if which == kind
        ]
        if made and kind == "muon":
            found[kind] = Muon(made, lr=recipe["learning_rate"])
        elif made:
            found[kind] = torch.optim.AdamW(made, lr=recipe["learning_rate"], betas=(0.9, 0.95))
    return found
