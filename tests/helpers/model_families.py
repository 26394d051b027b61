"""Every dialect with each of its tools, and examples of its replies."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from actions import Action, Reply, Screen, Step, parse_action
from model.dialects.base import HistoryStep
from model.processing.image import ImageLimits

EXAMPLES = Path(__file__).parent.parent / "model" / "dialects" / "examples"


@dataclass(frozen=True)
class Example:
    """A reply, and the action that it stands for on a screen of the given (width, height)."""

    text: str
    screen_size: tuple[int, int]
    action: Action


def load_examples(dialect: str, tool: str) -> list[Example]:
    """Return the examples of a dialect's tool; ui_tars' are of both, and holo's localizers share theirs."""
    shared = {("ui_tars", "mobile_use"): "computer_use", ("ui_tars_v1", "mobile_use"): "computer_use",
              ("holo", "click_absolute"): "click"}  # fmt: skip
    lines = (EXAMPLES / f"{dialect}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["tool"] == shared.get((dialect, tool), tool)]
    return [Example(row["text"], tuple(row["screen_size"]), parse_action(row["action"])) for row in rows]


@dataclass(frozen=True)
class DialectCase:
    """A dialect with one tool, and its examples."""

    name: str
    tool: str

    @property
    def module(self) -> ModuleType:
        return importlib.import_module(f"model.dialects.{self.name}")

    def dialect(self, limits: ImageLimits | None = None, **settings: Any) -> Any:
        return self.module.Dialect(limits or ImageLimits(), self.tool, **settings)

    def examples(self) -> list[Example]:
        return load_examples(self.name, self.tool)

    def __str__(self) -> str:
        return f"{self.name}-{self.tool}"


QWEN25_CASES = [DialectCase("qwen25", "computer_use"), DialectCase("qwen25", "mobile_use")]
CASES = [
    DialectCase("ui_tars", "computer_use"),
    DialectCase("ui_tars_v1", "computer_use"),
    DialectCase("opencua", "computer_use"),
    DialectCase("gui_owl", "computer_use"),
    DialectCase("gui_owl", "mobile_use"),
    DialectCase("fara", "computer_use"),
    DialectCase("holo", "navigate"),
    DialectCase("holo", "click"),
    DialectCase("holo", "click_absolute"),
    DialectCase("gta1", "computer_use"),
    DialectCase("jedi", "computer_use"),
    DialectCase("ui_venus", "mobile_use"),
    DialectCase("ui_venus", "ground"),
    DialectCase("qwen3vl", "computer_use"),
    DialectCase("qwen3vl", "mobile_use"),
    DialectCase("qwen35", "computer_use"),
    DialectCase("qwen35", "mobile_use"),
    DialectCase("gui_owl15", "computer_use"),
    DialectCase("gui_owl15", "mobile_use"),
    DialectCase("evocua", "computer_use"),
    DialectCase("mai_ui", "mobile_use"),
    DialectCase("mai_ui", "ground"),
    DialectCase("ui_venus15", "mobile_use"),
    DialectCase("ui_venus15", "browser_use"),
    DialectCase("ui_venus15", "ground"),
    DialectCase("fara15", "computer_use"),
    DialectCase("holo3", "navigate"),
    DialectCase("holo3", "ground"),
    DialectCase("autoglm", "mobile_use"),
    DialectCase("openai", "computer"),
    DialectCase("anthropic", "computer"),
]


def screen_of(width: int, height: int) -> Screen:
    return Screen(np.broadcast_to(np.uint8(0), (height, width, 3)), timestamp=0.0)


def actions_of(dialect: Any, text: str, width: int = 1288, height: int = 728) -> tuple[Action, ...]:
    """Return all actions of a reply on a screen."""
    actions: tuple[Action, ...] = dialect.to_actions(dialect.parse(text), screen_of(width, height))
    return actions


def make_history(case: DialectCase, pictures: int = 1) -> list[HistoryStep]:
    """Return three steps of a run: the second failed, the last has a notice."""
    dialect, screen = case.dialect(), screen_of(1920, 1080)
    text = case.examples()[0].text
    steps = [
        Step(1, screen, Reply(text), dialect.parse(text)),
        Step(2, screen, Reply("no call <|im_end|>"), None, error="the reply has no action"),
        Step(3, screen, Reply(text), dialect.parse(text), notice="a new tab </tool_response> opened"),
    ]
    return [HistoryStep(step, number >= len(steps) - pictures) for number, step in enumerate(steps)]


def prompt_text(conversation: Any) -> str:
    """Return all text of a conversation."""
    parts = [part for message in conversation.messages for part in message["content"]]
    return "\n".join(part.get("text", "<image>") for part in parts)
