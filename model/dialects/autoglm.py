"""AutoGLM-Phone, for servers: `<answer>do(action="Tap", element=[x,y])</answer>`, coordinates from 0 to 1000."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from actions import Action, InvalidActionError, Screen, make_action
from model.dialects.base import Detection, Steps, Values, Verbs
from model.dialects.parts.arguments import Arguments, check_seconds, unknown_name
from model.dialects.parts.coordinates import SCALE_1000, CoordinateMapper
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import Field, PathField, PointField, SecondsField, TextField
from model.dialects.parts.grammar import GrammarBuilder, Rule, literal
from model.dialects.parts.history import Message, chat_turns, outcome_text
from model.dialects.parts.python_calls import PythonCallDialect, QuestionField, call_form
from model.dialects.parts.table import Actions, ActionSpec, ActionTable, constant_row
from model.processing.image import ImageLimits
from model.wire.call_parser import CallParser
from model.wire.points import parse_number, show

LIMITS = ImageLimits(max_pixels=5_000_000)  # Open-AutoGLM

_DURATION = re.compile(r"\s*(\S{1,20}?)\s*(?:s|sec|secs|second|seconds)?\s*")


class DurationField(SecondsField):
    """Seconds, such as "3 seconds"."""

    def parse(self, arguments: Arguments) -> Values:
        value = arguments.values.get(self.key, "1 seconds")
        if isinstance(value, str):
            match = _DURATION.fullmatch(value) if len(value) < 60 else None
            value = parse_number(match.group(1)) if match else None
        if value is None:
            raise InvalidActionError(f"'{self.key}' must be such as '3 seconds', not {show(value)}")
        return {"seconds": check_seconds(value, self.key)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: f"{getattr(action, 'seconds', 1.0)} seconds"}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return Rule(f'"\\"" {grammar.seconds().lark} " seconds\\""', '"59.99 seconds"')


ELEMENT = (PointField("element", form="[x,y]"),)
TEXT, WAITS = TextField("text", form='"xxx"'), {"seconds": 0.0}
APP = replace(TEXT, key="app", attribute="target", nonempty=True)
MESSAGE = replace(TEXT, key="message", attribute="message", default="")
QUESTION = "Which one do you want?"
TABLE = ActionTable(
    ActionSpec("Launch", "open", (APP,), "Start an app."),
    ActionSpec("Tap", "click", (*ELEMENT, Field("message", optional=True)), "Tap a point."),
    ActionSpec(
        "Type", "type", (TEXT,), "Type into the field that has the focus; what stands there goes first.",
        {"clear": True}, writes=False,
    ),
    ActionSpec("Type_Name", "type", (TEXT,), "The same, for a person's name.", {"clear": True}, writes=False),
    ActionSpec(
        "Interact", "ask", (), "Ask the person which of several things they want.", writes=False,
        parse=lambda arguments: make_action("ask", question=arguments.thought[:2000] or QUESTION),
    ),
    ActionSpec(
        "Swipe", "drag", (PathField("start", form="[x1,y1]", from_end=1), PathField("end", form="[x2,y2]")), "Swipe."
    ),
    ActionSpec("Note", "wait", (Field("message", form='"True"'),), "Note this page for later.", WAITS, writes=False),
    ActionSpec(
        "Call_API", "wait", (Field("instruction", form='"xxx"'),), "Sum up this page or what was noted.", WAITS,
        writes=False,
    ),
    ActionSpec("Long Press", "long_press", ELEMENT, "Press and hold a point."),
    ActionSpec("Double Tap", "click", ELEMENT, "Tap a point twice.", {"count": 2}),
    ActionSpec(
        "Take_over", "ask", (QuestionField("message", form='"xxx"', default=QUESTION),),
        "Let the person do it: a log-in, a captcha.",
    ),
    constant_row("Back", "back", "Go back."),
    constant_row("Home", "home", "Go to the home screen."),
    ActionSpec("Wait", "wait", (DurationField("duration", form='"x seconds"'),), "Wait."),
    ActionSpec("finish", "done", (MESSAGE,), "End the task; message is what the person is to read."),
)  # fmt: skip


class Dialect(PythonCallDialect):
    """AutoGLM-Phone: a turn for each step. Their agent keeps no earlier screenshot."""

    NAME = "autoglm"
    DETECTION = Detection(markers=(('do(action="Tap"',), ("do(action='Tap'",)), nearest_of=("glm4v",))
    SPACE = SCALE_1000
    SYSTEM = load_prompt("autoglm")
    ACTIONS: ClassVar = {"mobile_use": TABLE}
    CALLS = CallParser(("do", "finish"))
    MARK = re.compile(r"<answer>\s*")
    OPEN, CLOSE = "<answer>", "</answer>"
    CLOSING = ('"', "]", ")", "<")
    QUOTES = "double"
    POINT_FORM = "[X,Y]"
    point_pattern = r"=\[(\d+), ?(\d+)\]"
    EXAMPLE = '<answer>do(action="Tap", element=[x,y])</answer>'

    def prompt_values(self, goal: str, screen: Screen, verbs: Verbs) -> Mapping[str, object]:
        forms = (f"- {call_form(_as_written(row))}\n    {row.description}" for row in self.table.offered(verbs))
        return {"actions": "\n".join(forms)}

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        return chat_turns(goal, steps, screen, lambda step: outcome_text(step) or "Done.", image_first=True)

    def thought(self, text: str, before: str, call_start: int) -> str:
        return re.sub(r"</?(?:think|answer)>", "", text[:call_start]).strip()

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        if name not in ("do", "finish"):
            raise unknown_name(name, ("do", "finish"), "function")
        action = arguments.get("action") if name == "do" else "finish"
        if name == "do" and action == "finish":
            raise unknown_name(action, [*self.table.rows])
        row = self.table.find(action)
        values = Arguments(row.name, arguments, mapper, thought, lenient=True)
        return self.table.to_actions(row, values, ("action",) if name == "do" else ())

    def write_call(self, name: str, values: Values) -> str:
        return super().write_call(*("finish", values) if name == "finish" else ("do", {"action": name, **values}))

    def call_rules(self, row: ActionSpec, grammar: GrammarBuilder) -> list[Rule]:
        return super().call_rules(_as_written(row), grammar)


def _as_written(row: ActionSpec) -> ActionSpec:
    """Return the row of the function that is written for a row: `finish`, or `do` with the row's name."""
    if row.name == "finish":
        return row
    name = f'"{row.name}"'
    field = Field("action", form=name, lark=lambda grammar: Rule(literal(name), name))
    return replace(row, name="do", fields=(field, *row.fields))
