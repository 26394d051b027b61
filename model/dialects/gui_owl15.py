"""GUI-Owl-1.5 (on Qwen3-VL): the official functions and `interact`, with coordinates from 0 to 1000."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from actions import Screen, Step
from model.dialects.base import Steps
from model.dialects.parts.coordinates import SCALE_1000
from model.dialects.parts.fields import AmountField, TextField
from model.dialects.parts.history import Message, escape, join_texts, outcome_text, window_turns
from model.dialects.parts.qwen_tools import COMPUTER, MAYBE_AT, MOBILE, QwenToolDialect
from model.dialects.parts.table import ActionSpec, ActionTable
from model.processing.image import ImageLimits
from model.wire.tool_prompt import CALL_OPEN

LIMITS = ImageLimits(3136, 10_035_200, factor=32)  # computer_use/utils.py and mobile_use/utils.py

FORM = "\n\nAnswer in this form: Action: what you do, in one short sentence. Then one <tool_call>, and nothing else."
REQUEST = (
    "Say the next move, from the screenshot, the instruction and the previous actions.\n\n"
    "Instruction: {goal}\n\nPrevious actions:\n{previous}"
)
INTERACT = ActionSpec(
    "interact", "ask", (TextField("text", attribute="question", nonempty=True),),
    "Ask the person for what only they can do or know, by `text`.",
)  # fmt: skip
_NOTCHES = AmountField("pixels", unit=-1, most=100)  # pyautogui.scroll counts notches
WHEEL = {
    "scroll": replace(COMPUTER.rows["scroll"], fields=(MAYBE_AT, _NOTCHES)),
    "hscroll": replace(COMPUTER.rows["hscroll"], fields=(MAYBE_AT, replace(_NOTCHES, attribute="right", unit=1))),
}
ROWS = {**COMPUTER.rows, **WHEEL}


class Dialect(QwenToolDialect):
    """GUI-Owl-1.5: a turn for each step with a screenshot; the first lists what was done before."""

    NAME = "gui_owl15"
    HISTORIES = ("window",)
    SPACE = SCALE_1000
    PICTURES = 4
    STATED_SIZES: ClassVar = {"computer_use": (1000, 1000), "mobile_use": (1000, 1000)}
    IMAGE_FIRST: ClassVar[bool] = False
    SYSTEM: ClassVar = {tool: text + FORM for tool, text in QwenToolDialect.SYSTEM.items()}  # type: ignore[union-attr]
    ACTIONS: ClassVar = {
        "computer_use": ActionTable(*(replace(row, offered=True) for row in ROWS.values()), INTERACT),
        "mobile_use": ActionTable(*(replace(row, offered=True) for row in MOBILE.rows.values()), INTERACT),
    }

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        request = REQUEST.replace("{goal}", goal)
        return window_turns(request, steps, screen, _action_line, image_first=self.IMAGE_FIRST)


def _action_line(step: Step) -> str:
    """Return a step as later prompts show it: what is under "Action:" before the call."""
    before = step.reply.text.partition(CALL_OPEN)[0]
    text = " ".join((before.rpartition("Action:")[2] or before).split())
    return join_texts(f"Step {step.index}: {escape(text)}", outcome_text(step))
