"""GUI-Owl (7B, 32B): computer_use and mobile_use with actions of its own, in pixels of the resized image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from actions import Action, Call, PressKeys, Screen, Step
from actions.keys import KEYS
from model.dialects.base import Detection, Steps, Values
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.fields import AmountField, FlagField, PathField
from model.dialects.parts.history import Message, escape, join_texts, message, outcome_text, tagged_texts
from model.dialects.parts.qwen_tools import CLICK, COMPUTER, MOBILE, TEXT, QwenToolDialect
from model.dialects.parts.table import ActionSpec, ActionTable
from model.processing.image import ImageLimits

LIMITS = ImageLimits(3136, 12800 * 28 * 28)  # of the cookbook's computer_use; its mobile_use has at most 10035200

FORM = (
    "First reason step by step inside <thinking></thinking>, before <tool_call></tool_call>.\n"
    "Afterwards sum up what you did inside <conclusion></conclusion>, behind it.\n"
)


def _write_key(action: Action, mapper: CoordinateMapper) -> Values | None:
    key = action.keys[0] if isinstance(action, PressKeys) and len(action.keys) == 1 else ""
    return {"text": key} if key in KEYS and key != "home" else None


_CLEAR = FlagField("clear", attribute="clear", words=("0", "1"), description="1 to empty the field first, else 0.")
_ENTER = replace(_CLEAR, key="enter", attribute="enter", description="1 to press enter behind the text, else 0.")
TYPE = ActionSpec(
    "type", "type", (TEXT, _CLEAR, _ENTER),
    "Type `text`; `clear` says whether what stands there goes first, `enter` whether enter is pressed behind it.",
)  # fmt: skip
_END = PathField("coordinate2", description="[x2, y2] in pixels: where a drag ends.")
DRAG = ActionSpec(
    "drag", "drag", (PathField("coordinate", from_end=1), _END),
    "Drag with the left button from `coordinate` to `coordinate2`.",
)  # fmt: skip
PIXELS = AmountField("pixels", unit=-1, most=5, description="How far to scroll, -5 to 5: positive up, negative down.")
OWN = {
    "type": TYPE,
    "left_click": replace(CLICK, name="click"),
    "left_click_drag": DRAG,
    "scroll": ActionSpec("scroll", "scroll", (PIXELS,), "Turn the wheel."),
}


class Dialect(QwenToolDialect):
    """GUI-Owl: one turn with the task, the conclusion of each earlier step, and the screenshot."""

    NAME = "gui_owl"
    DETECTION = Detection(
        markers=(("<thinking>", "<conclusion>", "<tool_call>"),), other_model_types=("qwen3_vl",),
        max_pixels=LIMITS.max_pixels,
    )  # fmt: skip
    HISTORIES = ("progress",)
    ACTIONS: ClassVar = {
        "computer_use": ActionTable(
            *(OWN.get(row.name, row) for row in COMPUTER.rows.values() if row.offered),
            # their agent accepts these too
            replace(CLICK, offered=False),
            replace(DRAG, name="left_click_drag", description="", offered=False),
        ),
        "mobile_use": ActionTable(
            replace(MOBILE.rows["key"], format=_write_key),
            *(row for row in MOBILE.rows.values() if row.offered and row.name != "key"),
        ),
    }
    ENDS_WITH_CALL = False  # a conclusion follows, which later steps show

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        done = [f"Step {earlier.step.index}: {_conclusion(earlier.step)}" for earlier in steps]
        if self.tool == "computer_use":
            history = escape("\n".join(done)) or "No history. This is the first step."
            text = "Say the next move, from the screenshot, the instruction and the previous actions.\n"
            text += f"Instruction: {goal}\nPrevious actions:\n{history}\n\n"
            return [message("user", text + FORM, "Current screenshot:\n", screen)]
        history = escape("".join(f"{line}; " for line in done))
        text = f"The user query: {goal}\nTask progress (what you have done on this device so far): {history}.\n\n"
        return [message("user", text + FORM, screen)]

    def parse_call(self, text: str) -> Call:
        call = super().parse_call(text)
        return replace(call, thought=tagged_texts(text, "conclusion", "thinking").get("thinking") or call.thought)


def _conclusion(step: Step) -> str:
    """Return a step as later prompts show it: its conclusion or its thought, and what went wrong."""
    tags = tagged_texts(step.reply.text, "conclusion", "thinking")
    text = tags.get("conclusion") or tags.get("thinking") or (step.call.thought if step.call else "")
    return join_texts(" ".join(text.split()), outcome_text(step)) or "no words"
