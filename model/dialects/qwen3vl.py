"""Qwen3-VL: the official functions of its era, with coordinates from 0 to 999."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from actions import Screen, Step
from model.dialects.base import Detection, Verbs
from model.dialects.parts.coordinates import SCALE_999
from model.dialects.parts.history import outcome_text
from model.dialects.parts.qwen_tools import COMPUTER, MOBILE, QwenToolDialect
from model.processing.image import ImageLimits
from model.wire.tool_prompt import RESPONSE_CLOSE, RESPONSE_OPEN

LIMITS = ImageLimits(max_pixels=16 * 16 * 4 * 12800, factor=32)  # OSWorld's qwen3vl_agent.py
FORM = "\n\nAnswer in this form: Thought: what you see and plan. Action: what you do, in words. Then the <tool_call>."


class Dialect(QwenToolDialect):
    """Qwen3-VL: one turn for each step, its outcome in <tool_response>."""

    NAME = "qwen3vl"
    DETECTION = Detection(base_of=("qwen3_vl", "qwen3_vl_moe"))
    SPACE = SCALE_999
    STATED_SIZES: ClassVar = {"computer_use": (1000, 1000), "mobile_use": (999, 999)}
    ACTIONS: ClassVar = {
        "computer_use": COMPUTER.restrict(*COMPUTER.rows),
        "mobile_use": MOBILE.restrict(
            "click", "long_press", "swipe", "type", "answer", "system_button", "wait", "terminate"
        ),
    }

    @property
    def built_in(self) -> str:
        return super().built_in + (FORM if self.tool == "mobile_use" else "")

    def prompt_values(self, goal: str, screen: Screen, verbs: Verbs) -> Mapping[str, object]:
        return {}

    def next_text(self, step: Step) -> str:
        return f"{RESPONSE_OPEN}\n{outcome_text(step) or 'Done.'}\n{RESPONSE_CLOSE}"
