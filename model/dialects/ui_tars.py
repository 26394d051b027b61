"""UI-TARS-1.5: `Thought: ...` and `Action: click(start_box='(x,y)')`, in pixels of the resized image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from actions import Action, Call, InvalidActionError, PressKeys, Screen
from model.dialects.base import Detection, Steps, Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import chain_calls, load_prompt
from model.dialects.parts.fields import DirectionField, Field, PathField, PointField, TextField
from model.dialects.parts.grammar import LONGEST_KEY, GrammarBuilder, Rule
from model.dialects.parts.history import Message, escape, image_turns, message
from model.dialects.parts.python_calls import PythonCallDialect, QuestionField, call_form
from model.dialects.parts.table import ActionSpec, ActionTable, constant_row
from model.processing.image import ImageLimits
from model.wire.call_parser import CallParser

LIMITS = ImageLimits(100 * 28 * 28, 16384 * 28 * 28)  # action_parser.py

_KEY_SEPARATOR = re.compile(r"(?<=.)\+(?=.)|\s+")
_THOUGHT = re.compile(r"\A\s*(?:Thought|Reflection|Action_Summary)[ \t]*[:：]\s*")


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
        lark = f'"\'" {grammar.key()} ((" " | "+") {grammar.key()}){{0,2}} "\'"'
        return Rule(grammar.rule("keys", lark), f"'{LONGEST_KEY} {LONGEST_KEY}'")


class BoxGrammar(GrammarBuilder):
    """A grammar whose points may have the authors' tags around them."""

    def point(self) -> Rule:
        point = f'"(" {self.x()} "," " "? {self.y()} ")"'
        lark = f'"\'" ({point} | @{{<|box_start|>}} {point} @{{<|box_end|>}}) "\'"'
        return Rule(self.rule("at", lark), f"'<|box_start|>({self.digits}, {self.digits})<|box_end|>'")


BOX = PointField("start_box", ("start_point", "point"), form="'<|box_start|>(x1,y1)<|box_end|>'")
DRAG = (
    PathField(BOX.key, BOX.aliases, form=BOX.form, from_end=1),
    PathField("end_box", ("end_point",), form="'<|box_start|>(x3,y3)<|box_end|>'"),
)
HOTKEY = HotkeyField("key", ("hotkey",), form="'ctrl c'")
CONTENT = TextField("content", form="'xxx'")
DIRECTION = DirectionField("direction", form="'down or up or right or left'", notches=5)
APP = TextField("app_name", form="''", attribute="target", nonempty=True)
TABLE = ActionTable(
    ActionSpec("click", "click", (BOX,)),
    ActionSpec("left_double", "click", (BOX,), constants={"count": 2}),
    ActionSpec("right_single", "click", (BOX,), constants={"button": "right"}),
    ActionSpec("drag", "drag", DRAG),
    ActionSpec("hotkey", "press", (HOTKEY,), "Lower case, a space between the keys, three at most."),
    ActionSpec(
        "type", "type", (CONTENT,), "Write \\', \\\" and \\n in it as in a Python string; end it with \\n to submit."
    ),
    ActionSpec("scroll", "scroll", (replace(BOX, optional=True), DIRECTION), "Show more of what is on that side."),
    constant_row("wait", "wait", "Five seconds; then look again.", seconds=5.0),
    ActionSpec(
        "finished", "done", (replace(CONTENT, attribute="message", default="", optional=True),),
        "The task is done; content is what the person is to read.",
    ),
    ActionSpec(
        "call_user", "ask", (QuestionField("content", optional=True, default="How shall I go on?"),),
        "The task cannot be solved, or the person's help is needed.",
    ),
    ActionSpec("long_press", "long_press", (BOX,), constants={"seconds": 1.0}),  # not specified by the authors
    ActionSpec("open_app", "open", (APP,)),
    constant_row("press_home", "home"),
    constant_row("press_back", "back"),
    # The authors' parser accepts these; their prompts do not offer them.
    ActionSpec("hover", "move", (BOX,)),
    ActionSpec("left_single", "click", (BOX,), writes=False),
    ActionSpec("select", "drag", DRAG, writes=False),
    ActionSpec("press", "press", (replace(HOTKEY, aliases=("press",)),), writes=False),
)  # fmt: skip


class Dialect(PythonCallDialect):
    """UI-TARS-1.5. The tools are the authors' two action spaces; replies may use either."""

    NAME = "ui_tars"
    DETECTION = Detection(markers=(("start_box=",), ("left_double(", "right_single(")), other_model_types=("qwen2_vl",))
    SYSTEM = load_prompt("ui_tars") + "\n"
    ROLE = "user"
    GOAL = ("instruction", "goal")
    ACTIONS: ClassVar = {
        "computer_use": TABLE.restrict(
            "click", "left_double", "right_single", "drag", "hotkey", "type", "scroll", "wait", "finished", "call_user"
        ),
        "mobile_use": TABLE.restrict(
            "click", "long_press", "type", "scroll", "open_app", "drag", "press_home", "press_back", "finished"
        ),
    }
    CALLS = CallParser(TABLE.rows)
    GRAMMAR = BoxGrammar
    MARK = re.compile(r"Action[ \t]*[:：]")
    OPEN = "Action: "
    POINT_FORM = "'(X,Y)'"
    point_pattern = r"_box='(?:<\|box_start\|>)?\((\d+), ?(\d+)\)(?:<\|box_end\|>)?'"
    EXAMPLE = f"Action: {call_form(TABLE.rows['click'])}"

    def prompt_values(self, goal: str, screen: Screen, verbs: Verbs) -> Mapping[str, object]:
        rows = self.table.offered(verbs)
        actions = "\n".join(call_form(row) + (f" # {row.description}" if row.description else "") for row in rows)
        return {"action_space": actions, "language": "English", "instruction": goal, "goal": goal}

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        return [*image_turns(steps, lambda step: escape(step.reply.text)), message("user", screen)]

    def parse_call(self, text: str) -> Call:
        calls, before = self.find_calls(text)
        parsed = []
        for call in calls:
            if len(call.positional) > 1 or (call.positional and BOX.key in call.keywords):
                raise InvalidActionError(f"{call.name} takes its arguments by name, such as {BOX.key}='(x,y)'")
            place = {BOX.key: call.positional[0]} if call.positional else {}
            parsed.append((call.name, {**call.keywords, **place}))
        return chain_calls(parsed, _THOUGHT.sub("", before).strip())
