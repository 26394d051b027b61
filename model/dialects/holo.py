"""Holo1 and Holo1.5: a navigator that answers in JSON, and two localizers; pixels of the resized image.

Tools: "navigate", Holo1 as an agent; "click", Holo1 as a localizer; "click_absolute", Holo1.5 as a localizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import ClassVar

from actions import Action, Call, InvalidActionError, Screen, Step
from model.dialects.base import Conversation, Detection, Steps, Values, Verbs
from model.dialects.parts.arguments import Arguments, unknown_name
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import BaseDialect, check_surrogates, load_prompt
from model.dialects.parts.fields import DIRECTIONS, DirectionField, Field, SecondsField, TextField, XYField
from model.dialects.parts.grammar import GrammarBuilder, Rule, literal, write_point
from model.dialects.parts.history import escape, join_texts, message, outcome_text
from model.dialects.parts.schema import Schema, object_schema, value_schema
from model.dialects.parts.table import Actions, ActionSpec, ActionTable, constant_row
from model.engine.call_grammar import CallGrammar
from model.processing.image import ImageLimits
from model.wire.call_parser import CallParser, CallSyntaxError
from model.wire.lenient_json import LenientJsonError, parse_json

LIMITS = ImageLimits(4 * 28 * 28, 1280 * 28 * 28)  # localization.py, Holo1

WAIT_S = 2  # the schema's default
CLICK_ABSOLUTE = object_schema(
    {
        "action": {"const": "click_absolute", "default": "click_absolute", "type": "string"},
        "x": value_schema("Pixels from the left edge.", "integer"),
        "y": value_schema("Pixels from the top edge.", "integer"),
    },
    ["x", "y"],
)
REPLY_FORM = {
    "navigate": '{"note": <note>, "thought": <thought>, "action": {"action": <action>, ...}}',
    "click": "Click(x, y)",
    "click_absolute": '{"action": "click_absolute", "x": <x>, "y": <y>}',
}
POINT_FORM = {"click": "Click(X, Y)", "click_absolute": '{"action": "click_absolute", "x": X, "y": Y}'}
STRING: Schema = {"type": "string"}
PROPERTIES: dict[str, Schema] = {  # of the navigator's arguments, where they are no plain text
    "x": {"type": "integer"},
    "y": {"type": "integer"},
    "direction": {"enum": list(DIRECTIONS), "type": "string"},
    "seconds": {"default": WAIT_S, "minimum": 0, "maximum": 10, "type": "integer"},
}
_OBJECT = re.compile(r"""\{(?=\s*+["']?(?:thought|note|notes|action|x|y)["']?\s*+:)""")
_FENCE = re.compile(r"```[A-Za-z]*\s*\Z")
_CLICKS = CallParser(["Click", "click", "Point"])


class ElementField(Field):
    """The element's name, for people."""

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: ""}


PLACE = (
    XYField(aliases=()),
    Field("y", lark=lambda grammar: Rule(grammar.y(), grammar.digits)),  # its value is read and written with x
)
WRITE = (TextField("content"), ElementField("element"), *PLACE)
SECONDS = SecondsField(
    "seconds", optional=True, default=WAIT_S,
    lark=lambda grammar: Rule(grammar.terminal("SECONDS", r"([0-9]|10)(\.0)?"), "10.0"),
)  # fmt: skip
ENTER = {"enter": True}
TABLE = ActionTable(
    ActionSpec("click_element", "click", WRITE[1:]),
    ActionSpec("write_element_abs", "type", WRITE, constants=ENTER, writes=False),
    ActionSpec("scroll", "scroll", (DirectionField("direction", default="down"),)),
    constant_row("go_back", "back"),
    constant_row("refresh", "press", keys=("f5",)),
    ActionSpec("wait", "wait", (SECONDS,)),
    constant_row("restart", "home"),
    ActionSpec("answer", "answer", (TextField("content", nonempty=True),)),
    ActionSpec("goto", "open", (TextField("url", attribute="target", nonempty=True),)),
    ActionSpec("write_element", "type", WRITE, constants=ENTER, offered=False, writes=False),  # the same in surfer-h
    ActionSpec("click_absolute", "click", PLACE, offered=False),
    ActionSpec("click", "click", PLACE, offered=False),
)
LOCALIZER = ActionTable(TABLE.rows["click_absolute"], TABLE.rows["click"])


class Dialect(BaseDialect):
    """Holo. navigate: one turn with the notes and thoughts so far; the localizers: one question."""

    NAME = "holo"
    DETECTION = Detection((("click_absolute",), ("click_element", "write_element")), max_pixels=LIMITS.max_pixels)
    HISTORIES = ("progress",)
    SYSTEM: ClassVar = {
        "navigate": load_prompt("holo") + "\n",
        "click": "Find a thing on the picture of a screen and answer with a click on it, as Click(x, y), "
        "x pixels from the left edge and y from the top edge.\n\n",
        "click_absolute": "Find a thing on the picture of a screen, and answer with a click on it.\n"
        " * Answer with JSON of this schema: {schema}\n The thing is:\n\n",
    }
    ACTIONS: ClassVar = {"navigate": TABLE, "click": LOCALIZER, "click_absolute": LOCALIZER}
    point_pattern = r'(?:"x": |Click\()(\d+), (?:"y": )?(\d+)[)}]'

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        goal = escape(goal)
        if self.tool != "navigate":
            prompt = self.render_prompt(self.built_in, schema=json.dumps(CLICK_ABSOLUTE)) + goal
            return Conversation((message("user", screen, prompt),))
        system = self.render_prompt(self.built_in, output_format=json.dumps(self._schema(verbs)))
        done = "".join(f"<step number={item.step.index}>\n{_summary(item.step)}\n</step>\n" for item in steps)
        number = steps[-1].step.index + 1 if steps else 1
        user = message(
            "user",
            f"<task>\n{goal}\n</task>\n",
            f"<previous_actions>\n{done}</previous_actions>\n" if done else "",
            f"<observation step={number}>\n<screenshot>\n",
            screen,
            "\n</screenshot>\n\n</observation>\n",
        )
        return Conversation((message("system", system), user))

    def parse_call(self, text: str) -> Call:
        match = _OBJECT.search(text)
        if match is not None:
            try:
                value, _ = parse_json(text, match.start())
            except LenientJsonError as error:
                raise InvalidActionError(f"the JSON cannot be read: {error}") from None
            return self._parse_object(value, text[: match.start()])
        try:
            calls = _CLICKS.parse_call(text)
        except CallSyntaxError as error:
            raise InvalidActionError(f"the click cannot be read: {error}") from None
        if not calls or self.tool == "navigate":
            raise InvalidActionError(f"the reply has no action; answer with {REPLY_FORM[self.tool]}")
        values = [*calls[0].positional, *calls[0].keywords.values()]
        place = values[0] if len(values) == 1 else values
        return Call("click", {"x": place, "y": None}, text[: calls[0].start].strip())

    def _parse_object(self, value: Mapping[str, object], before: str) -> Call:
        action, thoughts = value.get("action"), [_FENCE.sub("", before).strip()]
        if isinstance(action, dict):
            thoughts += [part for key in ("thought", "note", "notes") if isinstance(part := value.get(key), str)]
            value = action
        name = value.get("action")
        if name is None and value.keys() >= {"x", "y"}:
            name = "click"
        if not isinstance(name, str):
            raise InvalidActionError(f"the JSON names no action; answer with {REPLY_FORM[self.tool]}")
        arguments = {key: item for key, item in value.items() if key not in ("action", "thought", "note", "notes")}
        check_surrogates([*thoughts, name, arguments])
        return Call(name, arguments, join_texts(*thoughts, separator="\n"))

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        if name not in TABLE.rows:
            offered = [row.name for row in TABLE.rows.values() if row.offered]
            raise unknown_name(name, offered if self.tool == "navigate" else [self.tool])
        return TABLE.to_actions(TABLE.rows[name], Arguments(name, arguments, mapper, thought, lenient=True))

    def write_call(self, name: str, values: Values) -> str:
        if self.tool in POINT_FORM:
            return write_point(POINT_FORM[self.tool], [values["x"], values["y"]])
        return json.dumps({"note": "", "thought": "", "action": {"action": name, **values}}, ensure_ascii=False)

    def reply_schema(self, verbs: Verbs, screen: Screen) -> Mapping[str, object] | None:
        """Return the JSON schema of a reply, with all fields required and places on the screen."""
        limits = zip("xy", self.mapper(screen).limits, strict=True)
        place = {key: {"type": "integer", "minimum": 0, "maximum": limit} for key, limit in limits}
        if self.tool == "click_absolute":
            return _closed({"action": {"const": "click_absolute"}, **place})
        if self.tool == "click":
            return None
        overrides: Schema = {**place, "url": {**STRING, "minLength": 1}}
        parts = self._schema(verbs)["properties"]
        choices = [choice["properties"] for choice in parts["action"]["anyOf"]]
        choices = [_closed({key: overrides.get(key, value) for key, value in fields.items()}) for fields in choices]
        return _closed({**parts, "action": {"anyOf": choices}})

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        form = POINT_FORM.get(self.tool, "")
        grammar = GrammarBuilder(verbs, mapper, point_form=form or "[X, Y]")
        point = grammar.point()
        if form:
            return grammar.build(point.lark, (point.longest,), closing_strings=(form[-1],))
        alternatives = [
            rule.lark
            for row in self.table.offered(verbs)
            if row.verb != "type" or "click" in verbs  # it clicks first
            for rule in row.rules(grammar, f'{{"action": "{row.name}"', lambda _, key: f', "{key}": ', "}")
        ]
        grammar.rule("act", " | ".join(alternatives))
        note, thought, action = map(literal, ('{"note": ', ', "thought": ', ', "action": '))
        text, digits = grammar.text().lark, grammar.digits
        inner = f'{{"action": "write_element_abs", "content": "", "element": "", "x": {digits}, "y": {digits}}}'
        longest = f'{{"note": "", "thought": "", "action": {inner}}}'
        return grammar.build(f'{note} {text} {thought} {text} {action} act "}}"', (longest,))

    def _schema(self, verbs: Verbs) -> Schema:
        """Return the navigator's JSON schema as the prompt shows it."""
        choices = []
        for row in self.table.offered(verbs):
            fields: Schema = {field.key: PROPERTIES.get(field.key, STRING) for field in row.fields}
            fields = {"action": {"const": row.name, "type": "string"}, **fields}
            choices.append(object_schema(fields, [key for key, value in fields.items() if "default" not in value]))
        note = {"default": "", "type": "string"}
        return object_schema({"note": note, "thought": STRING, "action": {"anyOf": choices}}, ["thought", "action"])


def _closed(properties: Schema) -> Schema:
    return object_schema(properties, additionalProperties=False)


def _summary(step: Step) -> str:
    text = step.reply.text
    if step.call is not None:
        action = {"action": step.call.name, **step.call.arguments}
        text = json.dumps({"thought": step.call.thought, "action": action}, ensure_ascii=False)
    return join_texts(escape(text), outcome_text(step), separator="\n")
