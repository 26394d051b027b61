"""A checkpoint's dialect is told by its own files, and an unknown one is said to be unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actions import UsageError, plugins
from model.checkpoints.detect_dialect import detect_dialect, detections

OFFICIAL = {"min_pixels": 3136, "max_pixels": 12845056}


def checkpoint(folder: Path, config: dict[str, Any] | None = None, **files: Any) -> Path:
    for name, content in {"config.json": config or {"model_type": "qwen2_5_vl"}, **files}.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_what_the_person_set_goes_first(tmp_path: Path) -> None:
    folder = checkpoint(
        tmp_path, {"architectures": ["OpenCUAForConditionalGeneration"]}, **{"pixelhand.json": {"dialect": "jedi"}}
    )
    assert detect_dialect(folder).require() == "jedi"


def test_the_architecture_goes_before_the_texts(tmp_path: Path) -> None:
    config = {"architectures": ["OpenCUAForConditionalGeneration"], "model_type": "opencua"}
    found = detect_dialect(checkpoint(tmp_path, config, **{"README.md": "click_absolute"}))
    assert (found.dialect, found.certain) == ("opencua", True)


@pytest.mark.parametrize(
    ("name", "text", "dialect"),
    [
        ("README.md", "Action: click(start_box='(197,525)')", "ui_tars"),
        ("chat_template.jinja", "{{ 'left_double(' }} right_single(", "ui_tars"),
        ("README.md", "computer.triple_click", "opencua"),
        ("chat_template.jinja", "pyautogui.click or computer.terminate", "opencua"),
        ("README.md", "<thinking></thinking><tool_call></tool_call><conclusion></conclusion>", "gui_owl"),
        ("README.md", "pause_and_memorize_fact", "fara"),
        ("README.md", '{"action": "click_absolute", "x": 1, "y": 2}', "holo"),
        ("README.md", "Click(box=(x1,y1))", "ui_venus"),
    ],
)
def test_the_words_of_a_dialect_in_its_own_texts_name_it(tmp_path: Path, name: str, text: str, dialect: str) -> None:
    found = detect_dialect(checkpoint(tmp_path, **{name: text, "preprocessor_config.json": OFFICIAL}))
    assert found.require() == dialect and found.certain
    assert name in found.reason


def test_words_inside_json_are_found_too(tmp_path: Path) -> None:
    found = detect_dialect(
        checkpoint(
            tmp_path,
            {"model_type": "glm4v"},
            **{"tokenizer_config.json": {"chat_template": 'do(action="Tap", element=[x,y])'}},
        )
    )
    assert found.require() == "autoglm"


def test_ui_tars_on_qwen2_vl_answers_in_thousandths(tmp_path: Path) -> None:
    config = {"model_type": "qwen2_vl"}
    assert detect_dialect(checkpoint(tmp_path, config, **{"README.md": "start_box="})).require() == "ui_tars_v1"


@pytest.mark.parametrize(("kind", "dialect"), [("qwen2_5_vl", "qwen25"), ("qwen3_vl", "qwen3vl")])
def test_the_base_models_files_are_the_base_models_dialect_until_somebody_says_otherwise(
    tmp_path: Path, kind: str, dialect: str
) -> None:
    found = detect_dialect(checkpoint(tmp_path, {"model_type": kind}, **{"preprocessor_config.json": OFFICIAL}))
    assert found.require() == dialect
    assert not found.certain and "must be named in pixelhand.json" in found.reason


@pytest.mark.parametrize(
    ("config", "files", "nearest"),
    [
        ({"model_type": "qwen2_vl"}, {}, "ui_tars_v1"),
        ({"model_type": "glm4v"}, {}, "autoglm"),
        ({"model_type": "llama"}, {}, "qwen25"),
        ({}, {}, "qwen25"),
        ({"model_type": "qwen2_5_vl"}, {"preprocessor_config.json": {"max_pixels": 2700 * 784}}, "jedi"),
        ({"model_type": "qwen2_5_vl"}, {"preprocessor_config.json": {"size": {"longest_edge": 4096 * 2160}}}, "gta1"),
        ({"model_type": "qwen2_5_vl"}, {"preprocessor_config.json": {"max_pixels": 999999}}, "qwen25"),
        ({"model_type": "qwen2_5_vl"}, {"README.md": "start_box= click_absolute"}, "holo"),
    ],
    ids=range(8),
)
def test_an_unknown_one_is_said_to_be_unknown_with_the_nearest(
    tmp_path: Path, config: dict[str, Any], files: dict[str, Any], nearest: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    found = detect_dialect(tmp_path)
    assert (found.dialect, found.nearest) == ("", nearest)
    with pytest.raises(UsageError, match=f"unknown dialect: .*; the nearest is '{nearest}'.*pixelhand.json"):
        found.require()


def test_the_name_of_the_folder_says_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "UI-TARS-1.5-7B"
    folder.mkdir()
    assert (
        detect_dialect(checkpoint(folder, {"model_type": "qwen2_5_vl", "_name_or_path": "UI-TARS"})).dialect == "qwen25"
    )


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.json cannot be read"):
        detect_dialect(tmp_path)


def test_every_dialect_that_can_be_chosen_is_there() -> None:
    assert list(detections()) == plugins.list_plugins("model.dialects")
    budgets = [detection.max_pixels for detection in detections().values() if detection.max_pixels]
    assert len(budgets) == len(set(budgets))


def test_the_embedded_checkpoint_is_known() -> None:
    from model.checkpoints.weights import EMBEDDED_FOLDER

    found = detect_dialect(EMBEDDED_FOLDER)
    assert found.dialect == "qwen25" or found.nearest == "qwen25"
