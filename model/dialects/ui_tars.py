"""UI-TARS-1.5: `Thought: ...` and `Action: click(start_box='(x,y)')`, in pixels of the resized image.

Sources: the authors' package ui-tars 0.5.1 (prompt.py, action_parser.py) and their OSWorld agent: names, arguments,
the five notches of a scroll and the five seconds of a wait. All actions of a reply, one on each line, are carried out,
as in their agent. Points are accepted in each of the authors' forms: (x,y), <|box_start|>(x,y)<|box_end|>,
<point>x y</point>, [x1,y1,x2,y2]. Not supported: the key-down and key-up of their parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from actions import Action, Call, InvalidActionError, PressKeys, Screen
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import chain_calls, load_prompt
from model.dialects.parts.fields import DirectionField, Field, PathField, PointField, TextField, Values
from model.dialects.parts.grammar import LONGEST_KEY, GrammarBuilder, Rule
from model.dialects.parts.history import escape, image_part, image_turns, message, text_part
from model.dialects.parts.model_family import (
    FARA_README,
    OPENCUA_README,
    SEE_MODEL_CARD,
    Checkpoint,
    ModelFamily,
    published,
)
from model.dialects.parts.python_calls import PythonCallDialect, QuestionField, call_form
from model.dialects.parts.table import ActionSpec, ActionTable, constant_row
from model.processing.image import ImageLimits
from model.wire.call_parser import CallParser

LIMITS = ImageLimits(100 * 28 * 28, 16384 * 28 * 28)  # action_parser.py

NOTCHES = 5
WAIT_S = 5.0
LONG_PRESS_S = 1.0  # not specified by the authors
PROMPT = load_prompt("ui_tars")
_KEY_SEPARATOR = re.compile(r"(?<=.)\+(?=.)|\s+")
_THOUGHT = re.compile(r"\A\s*(?:Thought|Reflection|Action_Summary)[ \t]*[:：]\s*")


@dataclass(frozen=True)
class HotkeyField(Field):
    """Keys in one string, separated by spaces."""

    ATTRIBUTES: ClassVar = ("keys",)

    def parse(self, arguments: Arguments) -> Values:
        text = arguments.text(self.key, *self.aliases).strip()
        return {"keys": [key for key in _KEY_SEPARATOR.split(text) if key][:9]}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        keys = action.keys if isinstance(action, PressKeys) else ()
        return None if "+" in "".join(keys[1:]) else {self.key: " ".join(keys)}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        key = grammar.key()
        return Rule(
            grammar.rule("keys", f'"\'" {key} ((" " | "+") {key}){{0,2}} "\'"'), f"'{LONGEST_KEY} {LONGEST_KEY}'"
        )


@dataclass(frozen=True)
class BoxField(PointField):
    """A point, with or without the authors' tags."""

    def rule(self, grammar: GrammarBuilder) -> Rule:
        point = f'"(" {grammar.x()} "," " "? {grammar.y()} ")"'
        lark = f'"\'" ({point} | @{{<|box_start|>}} {point} @{{<|box_end|>}}) "\'"'
        return Rule(grammar.rule("at", lark), f"'<|box_start|>({grammar.digits}, {grammar.digits})<|box_end|>'")


@dataclass(frozen=True)
class BoxPathField(PathField, BoxField):
    """A point of a drag."""

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return BoxField.rule(self, grammar)


BOX = BoxField("start_box", ("start_point", "point"), form="'<|box_start|>(x1,y1)<|box_end|>'")
DRAG = (
    BoxPathField("start_box", BOX.aliases, form=BOX.form, from_end=1),
    BoxPathField("end_box", ("end_point",), form="'<|box_start|>(x3,y3)<|box_end|>'"),
)
HOTKEY = (HotkeyField("key", form="'ctrl c'"),)
CONTENT = TextField("content", form="'xxx'")
SCROLL = (
    replace(BOX, optional=True),
    DirectionField("direction", form="'down or up or right or left'", notches=NOTCHES),
)
CLICK = ActionSpec("click", "click", (BOX,))
LEFT_DOUBLE = ActionSpec("left_double", "click", (BOX,), constants={"count": 2})
RIGHT_SINGLE = ActionSpec("right_single", "click", (BOX,), constants={"button": "right"})
DRAG_ROW = ActionSpec("drag", "drag", DRAG)
TYPE = ActionSpec(
    "type", "type", (CONTENT,), "Write \\', \\\" and \\n in it as in a Python string; end it with \\n to submit."
)
SCROLL_ROW = ActionSpec("scroll", "scroll", SCROLL, "Show more of what is on that side.")
PRESS = ActionSpec(
    "hotkey", "press", (replace(HOTKEY[0], aliases=("hotkey",)),),
    "Lower case, a space between the keys, three at most.",
)  # fmt: skip
WAIT = constant_row("wait", "wait", "Five seconds; then look again.", seconds=WAIT_S)
FINISHED = ActionSpec(
    "finished", "done", (replace(CONTENT, attribute="message", default="", optional=True),),
    "The task is done; content is what the person is to read.",
)  # fmt: skip
CALL_USER = ActionSpec(
    "call_user", "ask", (QuestionField("content", optional=True, default="How shall I go on?"),),
    "The task cannot be solved, or the person's help is needed.",
)  # fmt: skip
LONG_PRESS = ActionSpec("long_press", "long_press", (BOX,), constants={"seconds": LONG_PRESS_S})
OPEN_APP = ActionSpec("open_app", "open", (TextField("app_name", form="''", attribute="target", nonempty=True),))
HOME, BACK = constant_row("press_home", "home"), constant_row("press_back", "back")
# The authors' parser accepts these; their prompts do not offer them.
UNDERSTOOD = (
    ActionSpec("hover", "move", (BOX,), offered=False),
    ActionSpec("left_single", "click", (BOX,), offered=False, writes=False),
    ActionSpec("select", "drag", DRAG, offered=False, writes=False),
    ActionSpec("press", "press", (replace(HOTKEY[0], aliases=("press",)),), offered=False, writes=False),
)
ROWS = {
    "computer_use": (
        CLICK, LEFT_DOUBLE, RIGHT_SINGLE, DRAG_ROW, PRESS, TYPE, SCROLL_ROW, WAIT, FINISHED, CALL_USER,
    ),
    "mobile_use": (CLICK, LONG_PRESS, TYPE, SCROLL_ROW, OPEN_APP, DRAG_ROW, HOME, BACK, FINISHED),
}  # fmt: skip


def _table(tool: str, other: str) -> ActionTable:
    names = {row.name for row in ROWS[tool]}
    others = [replace(row, offered=False) for row in ROWS[other] if row.name not in names]
    return ActionTable(*ROWS[tool], *others, *UNDERSTOOD)


MODELS = ModelFamily(
    "UI-TARS-1.5",
    (Checkpoint("ByteDance-Seed/UI-TARS-1.5-7B", "7B", f"{SEE_MODEL_CARD} (repository: Apache-2.0)"),),
    "desktop programs, and web pages as well",
    ("desktop", "browser", "phone"),
    scores=published("UI-TARS README 09a8b4b", ("7B", "OSWorld", 27.5), ("7B", "ScreenSpot-Pro", 49.6))
    + published(OPENCUA_README, ("7B", "OSWorld-Verified", 27.4))
    + published(FARA_README, ("7B", "WebVoyager", 66.4), ("7B", "Online-Mind2Web", 31.3), ("7B", "WebTailBench", 19.5)),
)


class Dialect(PythonCallDialect):
    """UI-TARS-1.5. The tools are the authors' two action spaces; replies may use either."""

    NAME = "ui_tars"
    FAMILY = "UI-TARS-1.5"
    DETECTION = Detection(markers=(("start_box=",), ("left_double(", "right_single(")), other_model_types=("qwen2_vl",))
    TOOLS = ("computer_use", "mobile_use")
    GOAL = ("instruction", "goal")
    ACTIONS: ClassVar = {
        "computer_use": _table("computer_use", "mobile_use"),
        "mobile_use": _table("mobile_use", "computer_use"),
    }
    CALLS = CallParser(ACTIONS["computer_use"].rows)
    MARK = re.compile(r"Action[ \t]*[:：]")
    OPEN = "Action: "
    POINT_FORM = "'(X,Y)'"
    point_pattern = r"_box='(?:<\|box_start\|>)?\((\d+), ?(\d+)\)(?:<\|box_end\|>)?'"
    EXAMPLE = f"Action: {call_form(CLICK)}"

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        rows = self.table.offered(verbs)
        actions = "\n".join(call_form(row) + (f" # {row.description}" if row.description else "") for row in rows)
        goal = escape(goal)
        prompt = self.render_prompt(PROMPT, action_space=actions, language="English", instruction=goal, goal=goal)
        turns = image_turns(steps, lambda step: escape(step.reply.text))
        messages = (message("user", text_part(prompt)), *turns, message("user", image_part(screen)))
        return Conversation(messages)

    def parse_call(self, text: str) -> Call:
        calls, before = self.find_calls(text)
        parsed = []
        for call in calls:
            if len(call.positional) > 1 or (call.positional and BOX.key in call.keywords):
                raise InvalidActionError(f"{call.name} takes its arguments by name, such as {BOX.key}='(x,y)'")
            place = {BOX.key: call.positional[0]} if call.positional else {}
            parsed.append((call.name, {**call.keywords, **place}))
        return chain_calls(parsed, _THOUGHT.sub("", before).strip())
