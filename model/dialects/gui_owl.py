"""GUI-Owl (7B, 32B): computer_use and mobile_use with actions of its own, in pixels of the resized image.

Sources: the Mobile-Agent-v3 cookbook (its computer_use.py and mobile_use.py, and the prompt and reply in the notebook)
and OSWorld's owl_agent.py: names, parameters, enums, the words before the parts of the user's turn, the history of
conclusions; a scroll's pixels are notches, -5 to 5. GUI-Owl-1.5, on Qwen3-VL, is another dialect.
"""

from __future__ import annotations

from dataclasses import replace

from actions import Action, Call, PressKeys, Screen, Step
from actions.keys import KEYS
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts import qwen_tools
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import type_actions
from model.dialects.parts.fields import AmountField, FlagField, PathField, TextField, Values
from model.dialects.parts.history import escape, image_part, message, outcome_text, tagged_texts, text_part
from model.dialects.parts.model_family import SEE_MODEL_CARD, Checkpoint, ModelFamily, published
from model.dialects.parts.qwen_tools import CLICK, DESCRIPTION, DOUBLE, KEY, MIDDLE, MOVE, RIGHT, SYSTEM, TERMINATE
from model.dialects.parts.table import ActionSpec, ActionTable, Result
from model.dialects.parts.tool_call import ToolCallDialect
from model.processing.image import ImageLimits

LIMITS = ImageLimits(3136, 12800 * 28 * 28)  # of the cookbook's computer_use; its mobile_use has at most 10035200

MAX_NOTCHES = 5
INSTRUCTION = {
    "computer_use": (
        "Say the next move, from the screenshot, the instruction and the previous actions.\n"
        "Instruction: {instruction}\nPrevious actions:\n{history}\n\n"
    ),
    "mobile_use": (
        "The user query: {instruction}\nTask progress (what you have done on this device so far): {history}.\n\n"
    ),
}
FORM = (
    "First reason step by step inside <thinking></thinking>, before <tool_call></tool_call>.\n"
    "Afterwards sum up what you did inside <conclusion></conclusion>, behind it.\n"
)


def _type(arguments: Arguments) -> Result:
    return type_actions(text=arguments.text("text"), enter=arguments.flag("enter"), clear=arguments.flag("clear"))


def _write_key(action: Action, mapper: CoordinateMapper) -> Values | None:
    key = action.keys[0] if isinstance(action, PressKeys) and len(action.keys) == 1 else ""
    return {"text": key} if key in KEYS and key != "home" else None


FLAGS = (
    FlagField("clear", optional=True, words=("0", "1"), description="1 to empty the field first, else 0."),
    FlagField("enter", optional=True, words=("0", "1"), description="1 to press enter behind the text, else 0."),
)
TYPE = ActionSpec(
    "type", "type", (TextField("text"), *FLAGS),
    "Type `text`; `clear` says whether what stands there goes first, `enter` whether enter is pressed behind it.",
    parse=_type, format=lambda action, mapper: {"text": getattr(action, "text", "")},
)  # fmt: skip
DRAG = (
    PathField("coordinate", from_end=1),
    PathField("coordinate2", description="[x2, y2] in pixels: where a drag ends."),
)
PIXELS = AmountField(
    "pixels", unit=-1, most=MAX_NOTCHES, description="How far to scroll, -5 to 5: positive up, negative down."
)
MOBILE = {**qwen_tools.MOBILE.rows, "key": replace(qwen_tools.MOBILE.rows["key"], format=_write_key)}
TABLES = {
    "computer_use": ActionTable(
        KEY,
        TYPE,
        MOVE,
        replace(CLICK, name="click"),
        ActionSpec("drag", "drag", DRAG, "Drag with the left button from `coordinate` to `coordinate2`."),
        RIGHT,
        MIDDLE,
        DOUBLE,
        ActionSpec("scroll", "scroll", (PIXELS,), "Turn the wheel."),
        qwen_tools.WAIT,
        TERMINATE,
        # their agent accepts these too
        replace(CLICK, offered=False),
        ActionSpec("left_click_drag", "drag", DRAG, offered=False),
    ),
    "mobile_use": ActionTable(
        *(MOBILE[name] for name in ("key", "click", "long_press", "swipe", "type", "system_button", "open", "wait")),
        TERMINATE,
    ),
}


MODELS = ModelFamily(
    "GUI-Owl",
    (
        Checkpoint("mPLUG/GUI-Owl-7B", "7B", f"{SEE_MODEL_CARD} (repository: MIT)"),
        Checkpoint("mPLUG/GUI-Owl-32B", "32B", f"{SEE_MODEL_CARD} (repository: MIT)"),
    ),
    "phones, and desktop programs as well",
    ("phone", "desktop"),
    scores=published("arXiv 2508.15144", ("7B", "AndroidWorld", 66.4), ("7B", "OSWorld", 29.4)),
)


class Dialect(ToolCallDialect):
    """GUI-Owl: one turn with the task, the conclusion of each earlier step, and the screenshot."""

    NAME = "gui_owl"
    FAMILY = "GUI-Owl 7B, 32B"
    DETECTION = Detection(markers=(("<thinking>", "<conclusion>", "<tool_call>"),), max_pixels=LIMITS.max_pixels)
    TOOLS = ("computer_use", "mobile_use")
    HISTORIES = ("progress",)
    ACTIONS = TABLES
    PROPERTIES = qwen_tools.PROPERTIES
    DESCRIPTION = DESCRIPTION
    ENDS_WITH_CALL = False  # a conclusion follows, which later steps show

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        size = self.size(screen)
        system = self.render_prompt(SYSTEM[self.tool], width=size[0], height=size[1])
        done = [f"Step {earlier.step.index}: {_conclusion(earlier.step)}" for earlier in steps]
        on_computer = self.tool == "computer_use"
        if on_computer:
            history = "\n".join(done) or "No history. This is the first step."
        else:
            history = "".join(f"{line}; " for line in done)
        text = INSTRUCTION[self.tool].replace("{history}", escape(history)).replace("{instruction}", escape(goal))
        heading = text_part("Current screenshot:\n" if on_computer else "")
        user = message("user", text_part(text + FORM), heading, image_part(screen))
        return Conversation((message("system", text_part(system)), user), self.tools(verbs, size))

    def parse_call(self, text: str) -> Call:
        call = super().parse_call(text)
        return Call(
            call.name, call.arguments, tagged_texts(text, "conclusion", "thinking").get("thinking") or call.thought
        )


def _conclusion(step: Step) -> str:
    """Return a step as later prompts show it: its conclusion or its thought, and what went wrong."""
    tags = tagged_texts(step.reply.text, "conclusion", "thinking")
    text = tags.get("conclusion") or tags.get("thinking") or (step.call.thought if step.call else "")
    return " ".join(part for part in (" ".join(text.split()), outcome_text(step)) if part) or "no words"
