"""Training runs: reproducibility, resuming, loading earlier stages, and the anchor to an earlier encoder."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.training_data import TASKS, loss_table, make_recipe, make_stage

from actions import UsageError
from training.dataset import read_samples
from training.evaluate import task_accuracy
from training.feature_anchor import FeatureAnchor, encode_frames
from training.sft import SFTStage
from training.trainer import Trainer
from training.vision_pretraining import VisionPretrainingStage


def trainer(name: str, data: Path, run: Path, **overrides: Any) -> Trainer[Any]:
    return Trainer(*make_stage(name, data, run, **overrides), run)


def logged_losses(run: Path) -> list[dict[str, float]]:
    """Return the records of a run's log without the time."""
    lines = (run / "losses.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "s"} for line in lines]


@pytest.mark.parametrize("name", ["vision", "sft"])
def test_interrupted_run_resumes_exactly(name: str, data: Path, tmp_path: Path) -> None:
    uninterrupted = trainer(name, data, tmp_path / "whole")
    assert uninterrupted.train(minutes=5)
    interrupted = trainer(name, data, tmp_path / "cut")
    train_step, finished = interrupted._train_step, []

    def train_step_twice(batch: Any) -> dict[str, float]:
        if len(finished) == 2:
            raise KeyboardInterrupt
        finished.append(train_step(batch))
        return finished[-1]

    interrupted._train_step = train_step_twice  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        interrupted.train(minutes=5)
    interrupted.save()
    resumed = trainer(name, data, tmp_path / "cut")
    assert resumed.step == 2
    assert resumed.train(minutes=5)
    for part, module in uninterrupted.stage.modules().items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, resumed.stage.modules()[part].state_dict()[key]), key
    assert logged_losses(tmp_path / "whole") == logged_losses(tmp_path / "cut")
    assert len(logged_losses(tmp_path / "whole")) == 4


def test_sft_starts_from_vision_run(data: Path, tmp_path: Path) -> None:
    first = trainer("vision", data, tmp_path / "one")
    first.train(minutes=5)
    second = SFTStage(make_recipe("sft", seed=6), data, tmp_path / "two", [tmp_path / "one"])
    for key, value in first.stage.modules()["visual"].state_dict().items():
        assert torch.equal(value, second.model.visual.state_dict()[key])
    Trainer(make_recipe("sft", seed=6), second, tmp_path / "two").save()
    third = SFTStage(make_recipe("sft", seed=7), data, tmp_path / "three", [tmp_path / "two"])
    for key, value in second.model.state_dict().items():
        assert torch.equal(value, third.model.state_dict()[key])


def test_deeper_model_starts_with_equal_output(data: Path, tmp_path: Path) -> None:
    shallow = trainer("sft", data, tmp_path / "one")
    shallow.save()
    sizes = make_recipe("sft")["text"]
    deep_recipe = make_recipe("sft", text={**sizes, "num_hidden_layers": 4})
    deep = SFTStage(deep_recipe, data, tmp_path / "two", [tmp_path / "one"])
    embeddings = torch.randn(1, 6, sizes["hidden_size"])
    positions = torch.arange(6).expand(3, 1, -1)
    models = (shallow.stage.modules()["model"], deep.model)
    logits = [model.logits(model.model(embeddings, positions)) for model in models]  # type: ignore[operator]
    assert torch.equal(*logits)
    Trainer(make_recipe("sft"), deep, tmp_path / "two").save()
    with pytest.raises(UsageError, match=r"differs from \[vision\] and \[text\]"):
        SFTStage(make_recipe("sft"), data, tmp_path / "three", [tmp_path / "two"])


def test_bfloat16_loss_is_close_to_float32(data: Path, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        _, stage = make_stage("sft", data, tmp_path / precision, precision=precision)
        losses.append(stage.loss(stage.sample_batch(random.Random(1)))[1]["loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_unknown_precision_raises_usage_error(data: Path, tmp_path: Path) -> None:
    _, stage = make_stage("sft", data, tmp_path / "half", precision="half")
    with pytest.raises(UsageError, match="must be float32 or bfloat16, not 'half'"):
        stage.loss(stage.sample_batch(random.Random(1)))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_compiled_loss_is_equal(data: Path, tmp_path: Path) -> None:
    metrics = []
    for compiled in (False, True):
        _, stage = make_stage("sft", data, tmp_path / str(compiled), compiled=compiled)
        metrics.append(stage.loss(stage.sample_batch(random.Random(1)))[1])
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-4)


def test_train_returns_false_before_the_end(data: Path, tmp_path: Path) -> None:
    assert trainer("vision", data, tmp_path / "run").train(minutes=0) is False


def test_damaged_state_raises_usage_error(data: Path, tmp_path: Path) -> None:
    trainer("vision", data, tmp_path / "run").save()
    path = tmp_path / "run" / "state.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match="is damaged"):
        trainer("vision", data, tmp_path / "run")


def test_missing_previous_run_raises_usage_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run the stage that creates it first"):
        SFTStage(make_recipe("sft"), data, tmp_path / "run", [tmp_path / "nothing"])


def test_resuming_with_other_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    trainer("vision", data, tmp_path / "run").save()
    with pytest.raises(UsageError, match="another recipe"):
        trainer("vision", data, tmp_path / "run", steps=9)


def test_run_state_with_old_names_resumes(data: Path, tmp_path: Path) -> None:
    """Runs from before 0.2 have other names of submodules, recipe keys and optimizers."""
    saved = trainer("sft", data, tmp_path / "run")
    saved.save()
    path = tmp_path / "run" / "state.pt"
    state = torch.load(path, weights_only=True)
    helpers = state["modules"]["helpers"]
    for old, new in (("known_across", "target_position_x"), ("down", "point_bins_y")):
        for key in [key for key in helpers if key.startswith(f"{new}.")]:
            helpers[key.replace(new, old, 1)] = helpers.pop(key)
    key = "token_projection.target_attention.weight"
    helpers["wish.gaze.weight"] = helpers.pop(key)
    state["optimisers"] = state.pop("optimizers")
    recipe = json.loads(state["recipe"])
    recipe["losses"]["gaze"] = recipe["losses"].pop("target_attention")
    recipe |= {"stage": "answers", "optimiser": recipe.pop("optimizer")}
    state["recipe"] = json.dumps(recipe)
    torch.save(state, path)
    resumed = trainer("sft", data, tmp_path / "run")
    expected = saved.stage.modules()["helpers"].state_dict()[key]
    assert torch.equal(resumed.stage.modules()["helpers"].state_dict()[key], expected)


def test_task_accuracy_has_each_task(data: Path, tmp_path: Path) -> None:
    _, stage = make_stage("sft", data, tmp_path / "run")
    accuracy = task_accuracy(stage.model, stage.tokenizer, stage.packer, list(read_samples(data / "practice")))
    assert set(accuracy) == set(TASKS)


def test_source_without_screens_is_named(data: Path, tmp_path: Path) -> None:
    entry = {"folder": "practice", "share": 1.0, "questions": 3, "moved": False, "sources": [*TASKS, "click-link"]}
    with pytest.raises(UsageError, match="no screens of click-link"):
        SFTStage(make_recipe("sft", data=[entry]), data, tmp_path / "run")


def test_training_starts_from_published_checkpoint(data: Path, tmp_path: Path) -> None:
    first = SFTStage(make_recipe("sft"), data, tmp_path / "one")
    first.save(tmp_path / "one")
    second = SFTStage(make_recipe("sft", seed=6), data, tmp_path / "two", [first.checkpoint])
    for key, value in first.model.state_dict().items():
        assert torch.allclose(value, second.model.state_dict()[key], atol=1e-2), key  # stored in half precision


def test_encoder_anchor_measures_distance_from_checkpoint(data: Path, tmp_path: Path) -> None:
    first = SFTStage(make_recipe("sft"), data, tmp_path / "one")
    Trainer(make_recipe("sft"), first, tmp_path / "one").save()
    anchored = make_recipe("sft", losses={**loss_table(), "encoder_anchor": 2.0})
    with pytest.raises(UsageError, match=r"encoder_anchor .* --before"):
        SFTStage(anchored, data, tmp_path / "two", [tmp_path / "one"])
    second = SFTStage(anchored, data, tmp_path / "two", [first.checkpoint, tmp_path / "one"])
    batch = second.sample_batch(random.Random(1))
    assert second.loss(batch)[1]["encoder_anchor"] < 1e-3  # the checkpoint is stored in half precision
    with torch.no_grad():
        second.model.visual.merger.ln_q.weight.mul_(1.5)
    assert second.loss(batch)[1]["encoder_anchor"] > 1e-2


def test_vision_stage_starts_from_whole_model(data: Path, tmp_path: Path) -> None:
    first = SFTStage(make_recipe("sft"), data, tmp_path / "one")
    Trainer(make_recipe("sft"), first, tmp_path / "one").save()
    vision = VisionPretrainingStage(make_recipe("vision"), data, [tmp_path / "one"])
    assert torch.equal(vision.visual.merger.ln_q.weight, first.model.visual.merger.ln_q.weight)


def test_feature_anchor_scales_differences_by_variance() -> None:
    class TwoFeatureEncoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor([1.0, 0.2]))

        def forward(self, patches: torch.Tensor, grid: object) -> torch.Tensor:
            return patches[::4, :2] * self.scale  # four patches to a cell

    frames = np.random.default_rng(0).integers(0, 256, (16, 56, 56, 3), dtype=np.uint8)
    anchor = FeatureAnchor(TwoFeatureEncoder(), frames)
    cells = encode_frames(TwoFeatureEncoder(), frames).detach()
    deviation = cells.flatten(0, 1).std(0)
    directions = (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    strong, weak = (anchor.distance(cells + deviation * direction, frames) for direction in directions)
    assert anchor.distance(cells, frames) == 0
    assert deviation[0] > 4 * deviation[1]
    assert strong == pytest.approx(weak.item(), rel=0.4)
