"""The training loop: resumable, reproducible slices of a run, with a log."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from actions import UsageError
from model.checkpoints.weights import load_model
from model.nn.qwen25vl import Qwen25VL
from training.config import TrainingConfig, canonical_recipe
from training.optim import Muon

LOG_FILE, STATE_FILE = "losses.jsonl", "state.pt"
SAVE_EVERY_S = 120.0
MAX_GRAD_NORM = 1.0

BatchT = TypeVar("BatchT")


class TrainingStage(Protocol[BatchT]):
    """The modules, batches and loss of a run. `sample_batch` is called in another thread, one step ahead."""

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the modules that are trained and saved, by name."""
        ...

    def sample_batch(self, rng: random.Random) -> BatchT:
        """Return the batch of one step."""
        ...

    def loss(self, batch: BatchT) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and metrics for the log."""
        ...

    def save(self, folder: Path) -> None:
        """Write what other programs read, besides the state of the run."""
        ...


class Trainer(Generic[BatchT]):
    """Trains a stage, and saves and resumes the state of the run in a folder."""

    def __init__(self, recipe: TrainingConfig, stage: TrainingStage[BatchT], folder: Path) -> None:
        self.recipe, self.stage, self.folder = recipe, stage, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.optimizers = _make_optimizers(recipe, stage)
        self.step = 0
        if (folder / STATE_FILE).exists():
            self._resume()

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then half a cosine to the final one."""
        recipe = self.recipe
        if step < recipe["warmup"]:
            return float(recipe["learning_rate"] * (step + 1) / recipe["warmup"])
        progress = min(1.0, (step - recipe["warmup"]) / max(1, recipe["steps"] - recipe["warmup"]))
        final = recipe["final_learning_rate"]
        return float(final + (recipe["learning_rate"] - final) * 0.5 * (1 + math.cos(math.pi * progress)))

    def train(self, minutes: float) -> bool:
        """Train for some minutes, or to the end of the recipe; return whether the end is reached."""
        recipe = self.recipe
        self._make_deterministic()
        for module in self.stage.modules().values():
            module.train()
        metrics: dict[str, list[float]] = {}  # since the last line of the log; not every step has every metric
        steps_since_log = 0
        start = last_save = last_log = time.monotonic()
        with ThreadPoolExecutor(1) as prefetcher:
            next_batch = prefetcher.submit(self._sample_batch, self.step)
            while self.step < recipe["steps"] and time.monotonic() - start < minutes * 60:
                batch = next_batch.result()
                next_batch = prefetcher.submit(self._sample_batch, self.step + 1)
                for name, value in self._train_step(batch).items():
                    metrics.setdefault(name, []).append(value)
                self.step += 1
                steps_since_log += 1
                if self.step % recipe.get("log_every", 20) == 0 or self.step == recipe["steps"]:
                    now = time.monotonic()
                    means = {name: round(sum(values) / len(values), 4) for name, values in metrics.items()}
                    self.log({"step": self.step, **means, "s": round((now - last_log) / steps_since_log, 3)})
                    metrics, steps_since_log, last_log = {}, 0, now
                if time.monotonic() - last_save > SAVE_EVERY_S:
                    self.save()
                    last_save = time.monotonic()
        self.save()
        return bool(self.step >= recipe["steps"])

    def log(self, record: Mapping[str, object]) -> None:
        """Print a record, and append it to the log of the run."""
        line = json.dumps(record)
        print(line, flush=True)
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def save(self) -> None:
        """Save the state of the run atomically, and the stage's own files."""
        state = {
            "modules": {name: module.state_dict() for name, module in self.stage.modules().items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "step": self.step,
            "recipe": json.dumps(self.recipe.data, sort_keys=True),
        }
        partial = self.folder / "state.partial"
        torch.save(state, partial)
        partial.replace(self.folder / STATE_FILE)
        self.stage.save(self.folder)

    @staticmethod
    def _make_deterministic() -> None:
        # otherwise threads add gradients in any order; uninitialized memory is never read, and filling it is slow
        torch.use_deterministic_algorithms(True, warn_only=True)
        setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - not in the stubs

    def _sample_batch(self, step: int) -> BatchT:
        return self.stage.sample_batch(random.Random(self.recipe["seed"] * 1_000_003 + step))  # independent of resuming

    def _train_step(self, batch: BatchT) -> dict[str, float]:
        loss, metrics = self.stage.loss(batch)
        if not torch.isfinite(loss):
            raise UsageError(f"the loss of step {self.step} is {float(loss)}; restart with a lower learning_rate")
        groups = [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        for group in groups:
            group["lr"] = self.learning_rate(self.step) * group["factor"]
        loss.backward()
        parameters = [parameter for group in groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
        for optimizer in self.optimizers.values():
            optimizer.step()
        return metrics

    def _resume(self) -> None:
        state = load_state(self.folder)
        if canonical_recipe(json.loads(state.get("recipe", "{}"))) != json.loads(json.dumps(self.recipe.data)):
            raise UsageError(
                f"{self.folder} was started with another recipe; continue with that one, or choose another folder "
                "with --run"
            )
        for name, module in self.stage.modules().items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.step = int(state["step"])


def precision(recipe: TrainingConfig, device: torch.device) -> torch.autocast:
    """Return the autocast context of the recipe's "precision": "float32" (the default) or "bfloat16"."""
    name = recipe.get("precision", "float32")
    if name not in ("float32", "bfloat16"):
        raise UsageError(f"precision in {recipe.path} must be float32 or bfloat16, not {name!r}")
    return torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16")


def load_state(folder: Path) -> dict[str, Any]:
    """Return the saved state of a run; raise UsageError if it is missing or damaged."""
    path = folder / STATE_FILE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; run the stage that creates it first") from None
    except Exception as error:
        raise UsageError(f"{path} is damaged ({str(error)[:100]}); delete it to restart the run") from None
    if "optimisers" in state:  # written before 0.2
        state["optimizers"] = state.pop("optimisers")
    return state


def load_initial_weights(model: Qwen25VL, source: Path) -> None:
    """Load the model of an earlier run or of a checkpoint; raise UsageError if it does not fit."""
    state: Mapping[str, Any]
    if is_checkpoint(source):
        state = load_model(source, dtype=torch.float32).state_dict()
    else:
        state = load_state(source)["modules"].get("model", {})
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise UsageError(
            f"{source} has no model with the sizes in [vision] and [text] of this recipe; give the run or the "
            "checkpoint of the previous stage with --before, and use its sizes"
        ) from None


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder is a checkpoint rather than the folder of a run."""
    return (folder / "config.json").exists()


def _make_optimizers(recipe: TrainingConfig, stage: TrainingStage[Any]) -> dict[str, torch.optim.Optimizer]:
    """Return AdamW for all parameters, or Muon for hidden matrices and AdamW for the rest.

    The rest are embeddings, auxiliary heads, norms and biases. Frozen parameters are left out. The learning rate of a
    group is multiplied by its factor: "matrix_factor" for Muon, "visual_factor" for the vision encoder.
    """
    groups: dict[tuple[str, bool, bool], list[nn.Parameter]] = {}
    for module_name, module in stage.modules().items():
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            is_matrix = parameter.dim() > 1
            is_hidden = is_matrix and "embed" not in name and not module_name.startswith("helper")
            optimizer_name = "muon" if is_hidden and recipe["optimizer"] == "muon" else "adamw"
            groups.setdefault((optimizer_name, is_matrix, name.startswith("visual.")), []).append(parameter)
    optimizers: dict[str, torch.optim.Optimizer] = {}
    for optimizer_name in ("adamw", "muon"):
        param_groups = [
            {
                "params": parameters,
                "weight_decay": recipe["weight_decay"] if is_matrix else 0.0,
                "factor": (recipe["matrix_factor"] if optimizer_name == "muon" else 1.0)
                * (recipe.get("visual_factor", 1.0) if is_visual else 1.0),
            }
            for (name, is_matrix, is_visual), parameters in groups.items()
            if name == optimizer_name
        ]
        if param_groups and optimizer_name == "muon":
            optimizers[optimizer_name] = Muon(param_groups, lr=recipe["learning_rate"])
        elif param_groups:
            optimizers[optimizer_name] = torch.optim.AdamW(param_groups, lr=recipe["learning_rate"], betas=(0.9, 0.95))
    return optimizers
