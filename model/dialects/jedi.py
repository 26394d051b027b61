"""Jedi (3B, 7B, 1080p), a grounding model: one call of computer_use, in pixels of the resized image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from actions import Call, Screen
from model.dialects.base import Detection, Steps
from model.dialects.parts.history import Message, message
from model.dialects.parts.qwen_tools import COMPUTER, QwenToolDialect
from model.processing.image import ImageLimits
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

LIMITS = ImageLimits(3136, 2700 * 28 * 28)  # jedi_7b_agent.py
GLYPH = "⚗"  # sometimes written for either tag


class Dialect(QwenToolDialect):
    """Jedi: the goal is what to find, or what to do in one step."""

    NAME = "jedi"
    DETECTION = Detection(max_pixels=LIMITS.max_pixels)
    HISTORIES = ("none",)
    SYSTEM = "You point at things on a person's screen: make the one function call that does what is asked."
    ACTIONS: ClassVar = {"computer_use": COMPUTER}

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        return [message("user", screen, "\n" + goal)]

    def parse_call(self, text: str) -> Call:
        if CALL_OPEN not in text:
            before, _, rest = text.partition(GLYPH)
            if rest.lstrip().startswith("{"):
                inside, closed, after = rest.rpartition(GLYPH)
                call = inside + CALL_CLOSE + after if closed and not after.strip() else rest
                text = before + CALL_OPEN + call
        return super().parse_call(text)
