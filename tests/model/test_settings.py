"""The pixel budget of a checkpoint, in every form that transformers reads."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from actions import UsageError
from model.chat_model import load_chat
from model.checkpoints.detect_dialect import detect_dialect
from model.checkpoints.settings import read_limits
from model.processing.image import DEFAULT_LIMITS, ImageLimits

BUDGET = ImageLimits(3136, 1_003_520)
FORMS: dict[str, dict[str, dict[str, Any]]] = {
    "preprocessor": {"preprocessor_config.json": {"min_pixels": 3136, "max_pixels": 1_003_520}},
    "preprocessor with edges": {
        "preprocessor_config.json": {"size": {"shortest_edge": 3136, "longest_edge": 1_003_520}}
    },
    "preprocessor with size in pixels": {
        "preprocessor_config.json": {"size": {"min_pixels": 3136, "max_pixels": 1_003_520}}
    },
    "keys before size": {
        "preprocessor_config.json": {
            "min_pixels": 3136,
            "max_pixels": 1_003_520,
            "size": {"shortest_edge": 784, "longest_edge": 784},
        }
    },
    "processor": {
        "processor_config.json": {"image_processor": {"size": {"shortest_edge": 3136, "longest_edge": 1_003_520}}}
    },
    "processor before preprocessor": {
        "processor_config.json": {"image_processor": {"min_pixels": 3136, "max_pixels": 1_003_520}},
        "preprocessor_config.json": {"min_pixels": 784, "max_pixels": 784},
    },
    "processor without image processor": {
        "processor_config.json": {"processor_class": "Qwen2_5_VLProcessor"},
        "preprocessor_config.json": {"min_pixels": 3136, "max_pixels": 1_003_520},
    },
}


def write_files(folder: Path, files: dict[str, dict[str, Any]]) -> None:
    """Write JSON files into a folder."""
    for name, data in files.items():
        (folder / name).write_text(json.dumps(data))


@pytest.mark.parametrize("form", FORMS)
def test_pixel_budget_is_read_in_every_form(tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture) -> None:
    write_files(tmp_path, FORMS[form])
    with caplog.at_level(logging.WARNING):
        assert read_limits(tmp_path) == BUDGET
    assert not caplog.records


def test_missing_pixel_budget_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_files(tmp_path, {"processor_config.json": {"image_processor": {"patch_size": 14}}})
    with caplog.at_level(logging.WARNING):
        assert read_limits(tmp_path) == ImageLimits()
    (record,) = caplog.records
    assert "no min_pixels and max_pixels" in record.getMessage()
    assert str(tmp_path) in record.getMessage()


def test_patches_and_normalization_are_read(tmp_path: Path) -> None:
    official = {"size": {"longest_edge": 16777216, "shortest_edge": 65536}, "patch_size": 16, "merge_size": 2}
    write_files(tmp_path, {"preprocessor_config.json": {**official, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}})
    assert read_limits(tmp_path) == DEFAULT_LIMITS["qwen3_vl"]


def test_missing_values_get_defaults_of_model_type(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_files(tmp_path, {"config.json": {"model_type": "qwen3_vl"}, "preprocessor_config.json": {}})
    with caplog.at_level(logging.WARNING):
        assert read_limits(tmp_path) == DEFAULT_LIMITS["qwen3_vl"]
    assert "65536 to 16777216 pixels" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("patch_size", value) for value in (0, -1, "16", True, [16])],
        *[("merge_size", value) for value in (1, 3, "2")],
        *[("image_mean", value) for value in (0.5, [0.5], [0.5, 0.5, "x"], [float("nan")] * 3, [True] * 3)],
        *[("image_std", value) for value in ([0, 1, 1], [1, 1, -1], {}, "x")],
    ],
)
def test_invalid_image_processor_value_names_its_file(tmp_path: Path, key: str, value: object) -> None:
    write_files(tmp_path, {"preprocessor_config.json": {"min_pixels": 3136, "max_pixels": 1_003_520, key: value}})
    with pytest.raises(UsageError, match=rf"preprocessor_config\.json: {key} must be"):
        read_limits(tmp_path)


def test_patch_size_of_other_checkpoint_is_reported(tiny_folder: Path) -> None:
    write_files(tiny_folder, {"preprocessor_config.json": {"patch_size": 16, "min_pixels": 3136, "max_pixels": 4000}})
    with pytest.raises(UsageError, match=r"merges patches to 32 pixels, config\.json to 28"):
        load_chat(tiny_folder, "cpu")


def test_invalid_budget_names_its_file(tmp_path: Path) -> None:
    write_files(tmp_path, {"processor_config.json": {"image_processor": {"max_pixels": "many"}}})
    with pytest.raises(UsageError, match=r"processor_config\.json: max_pixels must be a whole number"):
        read_limits(tmp_path)


def test_chat_resizes_by_processor_config(tiny_folder: Path) -> None:
    (tiny_folder / "preprocessor_config.json").unlink()
    write_files(tiny_folder, FORMS["processor"])
    assert load_chat(tiny_folder, "cpu").limits == BUDGET


def test_dialect_detection_uses_processor_config(tmp_path: Path) -> None:
    write_files(tmp_path, {"config.json": {"model_type": "qwen2_5_vl"}, **FORMS["processor"]})
    match = detect_dialect(tmp_path)
    assert match.dialect == ""
    assert match.nearest == "holo"
