"""Qwen3-VL, for servers: the official functions of its era, with coordinates from 0 to 999.

Sources: Qwen's agent_function_call.py since 2025-09 (triple_click, hscroll and answer are new), the cookbook's
mobile_agent.ipynb (which has its own list of actions, names 999x999 and divides by 999), and OSWorld's
qwen3vl_agent.py (1000x1000 in its prompt, 999 in its arithmetic; images in cells of 32 pixels).
"""

from __future__ import annotations

from typing import ClassVar

from actions import Screen, Step
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.coordinates import SCALE_999
from model.dialects.parts.history import chat_turns, escape, message, outcome_text, text_part
from model.dialects.parts.model_family import Checkpoint, ModelFamily, VllmExample
from model.dialects.parts.qwen_tools import COMPUTER, DESCRIPTION, MOBILE, PROPERTIES, SYSTEM, restrict
from model.dialects.parts.tool_call import ToolCallDialect
from model.processing.image import ImageLimits
from model.wire.tool_prompt import RESPONSE_CLOSE, RESPONSE_OPEN

LIMITS = ImageLimits(max_pixels=16 * 16 * 4 * 12800, factor=32)  # OSWorld's qwen3vl_agent.py

SIZES = {"computer_use": (1000, 1000), "mobile_use": (999, 999)}
FORM = "\n\nAnswer in this form: Thought: what you see and plan. Action: what you do, in words. Then the <tool_call>."
NEW_ACTIONS = ("triple_click", "hscroll", "answer")


MODELS = ModelFamily(
    "Qwen3-VL",
    (
        Checkpoint("Qwen/Qwen3-VL-8B-Instruct", "", "Apache-2.0", 8.8),
        Checkpoint("Qwen/Qwen3-VL-32B-Instruct", "", "Apache-2.0", 33.4),
    ),
    "pointing and tools; of another architecture",
    ("grounding",),
    "server",
    vllm=(VllmExample(arguments=""),),
)


class Dialect(ToolCallDialect):
    """Qwen3-VL: one turn for each step, its outcome in <tool_response>."""

    NAME = "qwen3vl"
    FAMILY = "Qwen3-VL (server)"
    DETECTION = Detection(base_of=("qwen3_vl", "qwen3_vl_moe"))
    TOOLS = ("computer_use", "mobile_use")
    SPACE = SCALE_999
    ACTIONS: ClassVar = {
        "computer_use": restrict(COMPUTER, *(row.name for row in COMPUTER.rows.values() if row.offered), *NEW_ACTIONS),
        "mobile_use": restrict(
            MOBILE, "click", "long_press", "swipe", "type", "answer", "system_button", "wait", "terminate"
        ),
    }
    PROPERTIES = PROPERTIES
    DESCRIPTION = DESCRIPTION

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        system = self.render_prompt(SYSTEM[self.tool] + (FORM if self.tool == "mobile_use" else ""))
        turns = chat_turns(escape(goal), steps, screen, _response)
        return Conversation((message("system", text_part(system)), *turns), self.tools(verbs, SIZES[self.tool]))


def _response(step: Step) -> str:
    return f"{RESPONSE_OPEN}\n{outcome_text(step) or 'Done.'}\n{RESPONSE_CLOSE}"
