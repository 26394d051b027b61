"""A checkpoint's dialect is detected from its own files, and an unknown one is reported as unknown."""

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


def test_setting_takes_precedence(tmp_path: Path) -> None:
    folder = checkpoint(
        tmp_path, {"architectures": ["OpenCUAForConditionalGeneration"]}, **{"pixelhand.json": {"dialect": "jedi"}}
    )
    assert detect_dialect(folder).require() == "jedi"


def test_architecture_precedes_texts(tmp_path: Path) -> None:
    config = {"architectures": ["OpenCUAForConditionalGeneration"], "model_type": "opencua"}
    match = detect_dialect(checkpoint(tmp_path, config, **{"README.md": "click_absolute"}))
    assert (match.dialect, match.certain) == ("opencua", True)


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
def test_markers_in_texts_name_the_dialect(tmp_path: Path, name: str, text: str, dialect: str) -> None:
    match = detect_dialect(checkpoint(tmp_path, **{name: text, "preprocessor_config.json": OFFICIAL}))
    assert match.require() == dialect
    assert match.certain
    assert name in match.reason


def test_markers_inside_json_are_found(tmp_path: Path) -> None:
    match = detect_dialect(
        checkpoint(
            tmp_path,
            {"model_type": "glm4v"},
            **{"tokenizer_config.json": {"chat_template": 'do(action="Tap", element=[x,y])'}},
        )
    )
    assert match.require() == "autoglm"


@pytest.mark.parametrize(
    ("model_type", "text", "dialect"),
    [
        ("qwen3_vl", "Click(box=(x1,y1))", "ui_venus15"),
        ("qwen3_vl_moe", "LongPress(box=", "ui_venus15"),
        ("qwen3_vl", "<grounding_think></grounding_think>", "mai_ui"),
        ("qwen3_vl", "`key_down`, `key_up`", "evocua"),
        ("qwen3_5", "pause_and_memorize_fact", "fara15"),
        ("qwen3_5", "https://hub.hcompany.ai/agent-loop", "holo3"),
        ("qwen3_5_moe", "https://hub.hcompany.ai/agent-loop", "holo3"),
    ],
)
def test_markers_count_by_base_model(tmp_path: Path, model_type: str, text: str, dialect: str) -> None:
    match = detect_dialect(checkpoint(tmp_path, {"model_type": model_type}, **{"README.md": text}))
    assert match.require() == dialect
    assert match.certain


@pytest.mark.parametrize(
    ("hub_id", "dialect"),
    [
        ("mPLUG/GUI-Owl-1.5-8B-Think", "gui_owl15"),
        ("meituan/EvoCUA-8B-20260105", "evocua"),
        ("me/GUI-Owl-1.5", "qwen3vl"),
    ],
)
def test_hub_id_in_the_cache_names_the_dialect(tmp_path: Path, hub_id: str, dialect: str) -> None:
    folder = tmp_path / f"models--{hub_id.replace('/', '--')}" / "snapshots" / "0a1b"
    folder.mkdir(parents=True)
    match = detect_dialect(checkpoint(folder, {"model_type": "qwen3_vl"}, **{"preprocessor_config.json": OFFICIAL}))
    assert match.require() == dialect
    assert match.certain == (dialect != "qwen3vl")


def test_setting_precedes_the_hub_id(tmp_path: Path) -> None:
    folder = tmp_path / "models--meituan--EvoCUA-8B-20260105" / "snapshots" / "0a1b"
    folder.mkdir(parents=True)
    match = detect_dialect(checkpoint(folder, {"model_type": "qwen3_vl"}, **{"pixelhand.json": {"dialect": "qwen3vl"}}))
    assert match.dialect == "qwen3vl"


def test_ui_tars_on_qwen2_vl_is_v1(tmp_path: Path) -> None:
    config = {"model_type": "qwen2_vl"}
    assert detect_dialect(checkpoint(tmp_path, config, **{"README.md": "start_box="})).require() == "ui_tars_v1"


@pytest.mark.parametrize(
    ("model_type", "dialect"),
    [("qwen2_5_vl", "qwen25"), ("qwen3_vl", "qwen3vl"), ("qwen3_5", "qwen35"), ("qwen3_5_moe", "qwen35")],
)
def test_base_model_files_are_an_uncertain_match(tmp_path: Path, model_type: str, dialect: str) -> None:
    match = detect_dialect(checkpoint(tmp_path, {"model_type": model_type}, **{"preprocessor_config.json": OFFICIAL}))
    assert match.require() == dialect
    assert not match.certain
    assert "must be named in pixelhand.json" in match.reason


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
def test_unknown_dialect_names_the_nearest(
    tmp_path: Path, config: dict[str, Any], files: dict[str, Any], nearest: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    match = detect_dialect(tmp_path)
    assert (match.dialect, match.nearest) == ("", nearest)
    with pytest.raises(UsageError, match=f"unknown dialect: .*; the nearest is '{nearest}'.*pixelhand.json"):
        match.require()


def test_folder_name_has_no_influence(tmp_path: Path) -> None:
    folder = tmp_path / "UI-TARS-1.5-7B"
    folder.mkdir()
    assert (
        detect_dialect(checkpoint(folder, {"model_type": "qwen2_5_vl", "_name_or_path": "UI-TARS"})).dialect == "qwen25"
    )


def test_damaged_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.json cannot be read"):
        detect_dialect(tmp_path)


def test_every_dialect_declares_its_detection() -> None:
    assert list(detections()) == plugins.list_plugins("model.dialects")
    budgets = [detection.max_pixels for detection in detections().values() if detection.max_pixels]
    assert len(budgets) == len(set(budgets))


def test_embedded_checkpoint_is_detected() -> None:
    from model.checkpoints.weights import EMBEDDED_FOLDER

    match = detect_dialect(EMBEDDED_FOLDER)
    assert match.dialect == "qwen25" or match.nearest == "qwen25"
