"""Qwen3-VL's dialect, for servers: the official functions of its era, with coordinates from 0 to 999.

Sources: Qwen's agent_function_call.py since 2025-09 (triple_click, hscroll and answer are new), the cookbook's
mobile_agent.ipynb (which has its own list of actions, says 999x999 and divides by 999), and OSWorld's qwen3vl_agent.py
(1000x1000 in words, 999 in its arithmetic; pictures in cells of 32 pixels). The sentences are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from actions import Screen
from model.dialects._base import escape, image_part, message, outcome_text, text_part
from model.dialects._coordinates import SCALE_999
from model.dialects._qwen3vl_examples import EXAMPLES as _EXAMPLES
from model.dialects._qwen3vl_examples import MOBILE_EXAMPLES
from model.dialects._qwen_tools import ACTS, NEW, OFFERED, QwenToolDialect, restrict
from model.dialects.base import Conversation, Example, HistoryStep
from model.dialects.qwen25 import SYSTEM
from model.processing.image import ImageLimits
from model.wire.tool_prompt import RESPONSE_CLOSE, RESPONSE_OPEN

__all__ = ["EXAMPLES", "LIMITS", "MOBILE_EXAMPLES", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES  # of computer_use; MOBILE_EXAMPLES are of mobile_use
LIMITS = ImageLimits(max_pixels=16 * 16 * 4 * 12800, factor=32)  # OSWorld's qwen3vl_agent.py

SIZES = {"computer_use": (1000, 1000), "mobile_use": (999, 999)}
MOBILE = ("click", "long_press", "swipe", "type", "answer", "system_button", "wait", "terminate")
FORM = "\n\nAnswer in this form: Thought: what you see and plan. Action: what you do, in words. Then the <tool_call>."


class Dialect(QwenToolDialect):
    """Qwen3-VL. One turn for each step, what came of it in <tool_response>."""

    NAME = "qwen3vl"
    TOOLS = ("computer_use", "mobile_use")
    SPACE = SCALE_999
    ACTS: ClassVar = {
        "computer_use": restrict(ACTS["computer_use"], [*OFFERED["computer_use"], *NEW]),
        "mobile_use": restrict(ACTS["mobile_use"], MOBILE),
    }

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        size = SIZES[self.tool]
        system = self.render_prompt(SYSTEM[self.tool] + (FORM if self.tool == "mobile_use" else ""))
        messages = [message("system", text_part(system))]
        said = escape(goal)
        for shown in steps:
            seen = (image_part(shown.step.screen),) if shown.picture else ()
            messages.append(message("user", text_part(said), *seen))
            messages.append(message("assistant", text_part(escape(shown.step.reply.text))))
            said = f"{RESPONSE_OPEN}\n{outcome_text(shown.step) or 'Done.'}\n{RESPONSE_CLOSE}"
        messages.append(message("user", text_part(said), image_part(screen)))
        return Conversation(tuple(messages), self.tools(verbs, size))
