"""Recipes: the shipped files, old names of keys, and errors of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import training
from actions import UsageError
from training.__main__ import app
from training.auxiliary_losses import LossWeights, ProbeLayers
from training.config import LOSS_ALIASES, TrainingConfig
from training.init import init_model

RECIPES = sorted((Path(training.__file__).parent / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipe_is_consistent(path: Path) -> None:
    recipe = TrainingConfig.load(path)
    layers = recipe["text"]["num_hidden_layers"]
    assert init_model(recipe).config.text.num_hidden_layers == layers
    if recipe["stage"] != "sft":
        return
    losses = dict(recipe["losses"])
    probes = ProbeLayers.from_recipe(losses.pop("layers"))
    LossWeights(**losses)
    heads = [*probes.named, *probes.target_attention, *probes.read_attention, *probes.recalled, *probes.copied]
    used_layers = [
        probes.places,
        probes.target_position,
        probes.next_char_position,
        probes.char_token,
        *probes.token_cell_contrastive.values(),
        *probes.point_bins,
        *(layer for layer, _ in heads),
    ]
    assert max(used_layers) < layers
    assert max(head for _, head in heads) < recipe["text"]["num_attention_heads"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipe_uses_present_names(path: Path) -> None:
    names = {line.partition("=")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()}
    assert not names & (set(LOSS_ALIASES) | {"optimiser"})


@pytest.mark.parametrize(("old", "new"), LOSS_ALIASES.items())
def test_old_loss_name_is_read(old: str, new: str) -> None:
    recipe = TrainingConfig({"losses": {old: 0.5, "where": {old: 3}}, "strips": {"losses": {old: 2.0}}, old: 1.0})
    assert recipe["losses"][new] == 0.5
    assert recipe["losses"]["layers"][new] == 3
    assert recipe["strips"]["losses"][new] == 2.0
    assert recipe[new] == 1.0


@pytest.mark.parametrize(("old", "new"), [("visual", "vision"), ("answers", "sft"), ("preference", "dpo")])
def test_old_stage_name_is_read(old: str, new: str) -> None:
    assert TrainingConfig({"stage": old, "optimiser": "muon"}).data == {"stage": new, "optimizer": "muon"}


def test_old_and_present_name_together_raise_usage_error() -> None:
    with pytest.raises(UsageError, match="both 'target_attention' and its old name"):
        TrainingConfig({"losses": {"gaze": 0.5, "target_attention": 1.0}})


def test_recipe_without_stage_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text("seed = 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "training", "train", str(tmp_path / "one.toml")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2, "3 would mean that there is more to do"
    assert process.stdout == ""
    assert process.stderr.startswith("error: ")
    assert "lacks 'stage'" in process.stderr
    assert process.stderr.count("\n") == 1


def test_measure_without_data_names_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["measure", "--data", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "run `python -m training screens --unseen` first" in str(result.exception)


def test_reserved_seeds_are_refused() -> None:
    result = CliRunner().invoke(app, ["screens", "--last", "900001"])
    assert result.exit_code == 2
    assert "reserved for evaluation" in " ".join(result.output.split())
