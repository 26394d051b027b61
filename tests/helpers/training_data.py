"""Recipes of tiny models, and data folders of noise, for the tests of training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.config import TrainingConfig
from training.dataset import DatasetWriter, Question
from training.packing import format_reply
from training.questions import screen_questions
from training.sft import SFTStage
from training.vision_pretraining import VisionPretrainingStage

TASKS = ["click-test", "focus-text"]
SIZES = {"hidden_size": 32, "intermediate_size": 48}
LETTERS = [[chr(97 + n % 26), 20.0 + 9.5 * (n % 25), 60.0 + 20 * (n // 25), 9.0] for n in range(50)]
ELEMENTS = [
    {"kind": "button", "text": "Go", "state": "disabled", "box": [20.0, 100.0, 60.0, 30.0]},
    {"kind": "icon", "text": "star", "state": "", "box": [120.0, 180.0, 20.0, 20.0]},
    {"kind": "checkbox", "text": "Yes", "state": "on", "box": [20.0, 200.0, 16.0, 16.0]},
]
CLICK_GOAL = "Click the button."
CLICK_ANSWER = {"action": "left_click", "coordinate": [30, 100]}
CLICK_BOX = [20.0, 90.0, 30.0, 40.0]


def noise_png(seed: int) -> bytes:
    """Return a screen of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (364, 280, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def call_text(**arguments: Any) -> str:
    """Return a reply that calls the function with these arguments."""
    return format_reply(Question("", arguments)).removesuffix("<|im_end|>")


def write_screens(folder: Path) -> None:
    """Write three synthetic screens."""
    writer = DatasetWriter(folder / "screens", "screens-0")
    for number in range(3):
        questions = screen_questions(ELEMENTS, LETTERS, number)
        writer.add(0, number, "", noise_png(number), questions, LETTERS, {"elements": ELEMENTS, "font_px": 12})
    writer.finish(0)


def write_practice(folder: Path) -> None:
    """Write four seeds of two tasks, a screen each."""
    for task in TASKS:
        writer = DatasetWriter(folder / "practice", task)
        for seed in range(4):
            questions: list[dict[str, Any]] = [
                {
                    "goal": f"Click the {noun}.",
                    "answer": {"action": "left_click", "coordinate": [30 + 50 * n, 100 + n]},
                    "box": [20.0 + 50 * n, 90.0, 30.0, 40.0],
                }
                for n, noun in enumerate(("button", "word"))
            ]
            questions.append({"goal": 'Enter "Zoë".', "answer": {"action": "type", "text": "Zoë"}, "box": None})
            writer.add(seed, 0, questions[0]["goal"], noise_png(seed), questions, [["a", 40.0, 99.0, 9.0]])
            writer.finish(seed)


def write_collected(folder: Path, replies: Sequence[tuple[str, bool]], task: str = "click-test") -> None:
    """Write a folder as `collect` fills it: a seed for each (reply, whether the episode was won)."""
    writer = DatasetWriter(folder, task)
    for seed, (reply, won) in enumerate(replies):
        other = {"goal": "Type a.", "answer": {"action": "type", "text": "a"}, "box": None}
        questions = [{"goal": CLICK_GOAL, "answer": CLICK_ANSWER, "box": CLICK_BOX}, other]
        writer.add(seed, 0, CLICK_GOAL, noise_png(seed), questions, LETTERS, {"said": reply, "won": won})
        writer.finish(seed)
    writer.close()


def loss_table() -> dict[str, Any]:
    """Return the [losses] of the recipes."""
    half = 0.5
    return {
        "token": 2.0,
        "characters": half,
        "places": 0.2,
        "named": half,
        "target_attention": half,
        "token_cell_contrastive": half,
        "read_attention": half,
        "recalled": half,
        "copied": half,
        "typed": half,
        "point_bins": half,
        "next_char_position": half,
        "char_token": half,
        "layers": {
            "places": 0,
            "token_cell_contrastive": {"named": 0, "target_attention": 1},
            "point_bins": [0, 1],
            "target_position": 0,
            "next_char_position": 1,
            "char_token": 0,
            "named": [[0, 1]],
            "target_attention": [[0, 0], [1, 0]],
            "read_attention": [[1, 0], [1, 2]],
            "recalled": [[1, 1]],
            "copied": [[1, 3]],
        },
    }


def make_recipe(stage: str, **overrides: Any) -> TrainingConfig:
    """Return a recipe of four steps with a model of two layers."""
    text = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    entry = {"folder": "practice", "share": 0.5, "questions": 3, "moved": False}
    return TrainingConfig(
        {
            "stage": stage,
            "seed": 5,
            "batch": 2,
            "steps": 4,
            "warmup": 1,
            "log_every": 1,
            "optimizer": "muon",
            "matrix_factor": 4.0,
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-4,
            "weight_decay": 0.05,
            "vision": {**SIZES, "depth": 2, "num_heads": 2, "fullatt_block_indexes": [1]},
            "text": {**SIZES, **text, "mrope_section": [2, 1, 1]},
            "data": [entry, {"folder": "screens", "share": 0.5, "questions": 4, "moved": True}],
            "losses": loss_table(),
            **overrides,
        }
    )


def make_stage(name: str, data: Path, run: Path, **overrides: Any) -> tuple[TrainingConfig, Any]:
    """Return a recipe and its stage, "vision" or "sft"."""
    recipe = make_recipe(name, **overrides)
    return recipe, VisionPretrainingStage(recipe, data) if name == "vision" else SFTStage(recipe, data, run)
