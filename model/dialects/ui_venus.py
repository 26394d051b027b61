"""UI-Venus-1.0: a navigator for phones, `<action>Click(box=(x,y))</action>`, and a grounder, `[x1,y1,x2,y2]`.

Tools: "mobile_use", the navigator; "ground", the grounder, whose box means its center. Pixels of the resized image.
"""

from __future__ import annotations

import re
from typing import ClassVar

from actions import Screen, Step, make_action
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import Field, PathField, PointField, TextField
from model.dialects.parts.history import escape, join_texts, message, outcome_text, tagged_texts
from model.dialects.parts.point import POINT_TABLE, PointDialect
from model.dialects.parts.python_calls import PythonCallDialect, call_form
from model.dialects.parts.table import ActionSpec, ActionTable, click, constant_row
from model.processing.image import ImageLimits
from model.wire.call_parser import CallParser

LIMITS = ImageLimits(3136, 12845056)  # of the navigator
GROUND_LIMITS = ImageLimits(2_000_000, 4_800_000)  # ui_venus_ground_7b.py

BOX = (PointField("box", form="(x1, y1)"),)
PATH = (PathField("start", form="(x1, y1)", from_end=1), PathField("end", form="(x2, y2)"))
CONTENT = TextField("content", form="''")
APP = TextField("app", form="''", attribute="target", nonempty=True)
TABLE = ActionTable(
    ActionSpec("Click", "click", BOX),
    ActionSpec("Drag", "drag", PATH),
    ActionSpec("Scroll", "drag", (*PATH, Field("direction", in_grammar=False)), writes=False),
    ActionSpec("Type", "type", (CONTENT,)),
    ActionSpec(
        "Launch", "open", (APP, Field("url", in_grammar=False)),
        parse=lambda values: make_action("open", target=values.text("app", default="") or values.text("url")),
    ),
    constant_row("Wait", "wait"),
    ActionSpec("Finished", "done", (TextField("content", form="''", attribute="message", default=""),)),
    ActionSpec("CallUser", "answer", (TextField("content", form="''", nonempty=True),)),
    ActionSpec("LongPress", "long_press", BOX),
    constant_row("PressBack", "back"),
    constant_row("PressHome", "home"),
    constant_row("PressEnter", "press", keys=("enter",)),
)  # fmt: skip


class Dialect(PointDialect, PythonCallDialect):
    """UI-Venus-1.0: one turn with the task, the reasoning and actions of earlier steps, and the screenshot."""

    NAME = "ui_venus"
    DETECTION = Detection(
        markers=(("Click(box=",), ("LongPress(box=",)), other_model_types=("qwen3_vl", "qwen3_vl_moe"),
        max_pixels=GROUND_LIMITS.max_pixels,
    )  # fmt: skip
    HISTORIES = ("progress",)
    GOAL = ("user_task", "instruction", "goal")
    SYSTEM: ClassVar = {
        "mobile_use": load_prompt("ui_venus") + "\n",
        "ground": "Give the box of what is described: {instruction}. Answer with [x1,y1,x2,y2] alone. If there is no "
        "such thing on the picture, answer with [-1,-1,-1,-1].",
    }
    ACTIONS: ClassVar = {"mobile_use": TABLE, "ground": POINT_TABLE}
    CALLS = CallParser(TABLE.rows)
    MARK = re.compile(r"<action>\s*")
    OPEN, CLOSE = "<action>", "</action>"
    CLOSING = ("'", ")", "<")
    ENDS_WITH_CALL = False  # a conclusion follows
    point_pattern = r"(?:=\(|\[)(\d+), ?(\d+)[,)]"
    POINT_TOOL, ANSWER, POINT, ABSENT = "ground", "[x1,y1,x2,y2]", "[X,Y,X,Y]", "[-1,-1,-1,-1]"
    CALL = ("ground", "box")
    IMAGE_FIRST: ClassVar[tuple[str, ...]] = ("mobile_use", "ground")  # tools whose screenshot precedes the text
    EXAMPLE = "<action>Click(box=(x, y))</action>"

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        values = dict.fromkeys(self.GOAL, escape(goal))
        if self.tool != self.POINT_TOOL:
            done = "\n".join(_summary(index, earlier.step) for index, earlier in enumerate(steps))
            actions = "\n".join(call_form(row) for row in self.table.offered(verbs))
            values = {"actions": actions, "previous_actions": done, **values}
        parts = (screen, self.render_prompt(self.built_in, **values))
        return Conversation((message("user", *(parts if self.tool in self.IMAGE_FIRST else reversed(parts))),))

    def thought(self, text: str, before: str, call_start: int) -> str:
        return tagged_texts(text, "think", "action", "conclusion").get("think") or before.strip()

    def with_point(self, text: str, x: int, y: int, screen: Screen) -> str:
        is_box = self.tool == "ground"
        return self.format_action(click((x, y)), screen) if is_box else super().with_point(text, x, y, screen)


def _summary(index: int, step: Step) -> str:
    """Return a step as later prompts show it; the authors count from 0."""
    tags = tagged_texts(step.reply.text, "think", "action", "conclusion")
    text = f"Step {index}: <think>{tags.get('think', '')}</think><action>{tags.get('action', '')}</action>"
    return join_texts(escape(text), outcome_text(step))
