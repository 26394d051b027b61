"""Every family's dialect with each of its tools, and examples of it: what the tests of all families share."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from actions import Screen
from model.dialects.base import Example, to_actions
from model.processing.image import ImageLimits


@dataclass(frozen=True)
class Spoken:
    """A dialect with one tool, and its examples."""

    name: str
    tool: str
    examples: str = "EXAMPLES"

    @property
    def module(self) -> Any:
        return importlib.import_module(f"model.dialects.{self.name}")

    def dialect(self, limits: ImageLimits | None = None, **how: Any) -> Any:
        return self.module.Dialect(limits or ImageLimits(), self.tool, **how)

    def replayed(self) -> list[Example]:
        found: list[Example] = getattr(self.module, self.examples)
        return found

    def __str__(self) -> str:
        return f"{self.name}-{self.tool}"


SPOKEN = [
    Spoken("ui_tars", "computer_use"),
    Spoken("ui_tars_v1", "computer_use"),
    Spoken("opencua", "computer_use"),
    Spoken("gui_owl", "computer_use"),
    Spoken("gui_owl", "mobile_use", "MOBILE_EXAMPLES"),
    Spoken("fara", "computer_use"),
    Spoken("holo", "navigate"),
    Spoken("holo", "click", "LOCALISED"),
    Spoken("holo", "click_absolute", "LOCALISED"),
    Spoken("gta1", "computer_use"),
    Spoken("jedi", "computer_use"),
    Spoken("ui_venus", "mobile_use"),
    Spoken("ui_venus", "ground", "GROUNDED"),
    Spoken("qwen3vl", "computer_use"),
    Spoken("qwen3vl", "mobile_use", "MOBILE_EXAMPLES"),
    Spoken("autoglm", "mobile_use"),
    Spoken("openai", "computer"),
    Spoken("anthropic", "computer"),
]


def screen_of(width: int, height: int) -> Screen:
    return Screen(np.broadcast_to(np.uint8(0), (height, width, 3)), timestamp=0.0)


def meant(dialect: Any, text: str, width: int = 1288, height: int = 728) -> tuple[Any, ...]:
    """All that a reply means on a screen."""
    return to_actions(dialect, dialect.parse(text), screen_of(width, height))
