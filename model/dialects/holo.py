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
STRING: Schema = {"type": "string"}
PROPERTIES: dict[str, Schema] = {  # of the navigator's arguments, where they are no plain text
    "x": {"type": "integer"},
    "y": {"type": "integer"},
    "direction": {"enum": list(DIRECTIONS), "type": "string"},
    "keys": {"items": STRING, "minItems": 1, "type": "array"},
    "press_enter": {"default": False, "type": "boolean"},
    "seconds": {"default": WAIT_S, "minimum": 0, "maximum": 10, "type": "integer"},
}
_OBJECT = re.compile(r"""\{(?=\s*+["']?(?:thought|note|notes|action|tool_call|tool_name|x|y)["']?\s*+:)""")
_FENCE = re.compile(r"```[A-Za-z]*\s*\Z")
_CLICKS = CallParser(["Click", "click", "Point"])


class ElementField(Field):
    """The element's name, for people."""

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: ""}


class NumberField(Field):
    """A coordinate whose value is read and written with another one's."""

    TYPE: ClassVar = "integer"

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return Rule(grammar.y() if self.key.endswith("y") else grammar.x(), grammar.digits)


PLACE = (XYField(aliases=()), NumberField("y"))
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
    CALL_KEY, NAME_KEY = "action", "action"  # in the navigator's reply: of the call, and of the name in it
    POINT_SCHEMA: ClassVar[Schema] = CLICK_ABSOLUTE  # in a localizer's prompt
    EMPTY_NOTE: ClassVar[str | None] = ""
    REPLY_TAGS: ClassVar[tuple[str, str]] = ("", "")  # around the navigator's JSON in a constrained reply
    POINT_FORM: ClassVar[dict[str, str]] = {  # of the localizers' replies; X and Y stand for the numbers
        "click": "Click(X, Y)", "click_absolute": '{"action": "click_absolute", "x": X, "y": Y}',
    }  # fmt: skip
    point_pattern = r'(?:"x": |Click\()(\d+), (?:"y": )?(\d+)[)}]'

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        goal = escape(goal)
        if self.tool in self.POINT_FORM:
            prompt = self.render_prompt(self.built_in, schema=json.dumps(self.POINT_SCHEMA)) + goal
            return Conversation((message("user", screen, prompt),))
        system = self.render_prompt(self.built_in, output_format=json.dumps(self.schema(verbs)))
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
        if not calls or self.tool not in self.POINT_FORM:
            raise InvalidActionError(f"the reply has no action; answer with {self.reply_form()}")
        values = [*calls[0].positional, *calls[0].keywords.values()]
        place = values[0] if len(values) == 1 else values
        return Call("click", {"x": place, "y": None}, text[: calls[0].start].strip())

    def _parse_object(self, value: Mapping[str, object], before: str) -> Call:
        action, thoughts = value.get(self.CALL_KEY), [_FENCE.sub("", before).strip()]
        if isinstance(action, dict):
            thoughts += [part for key in ("thought", "note", "notes") if isinstance(part := value.get(key), str)]
            value = action
        name = value.get(self.NAME_KEY)
        if name is None and value.keys() >= {"x", "y"}:
            name = "click"
        if not isinstance(name, str):
            raise InvalidActionError(f"the JSON names no action; answer with {self.reply_form()}")
        others = (self.NAME_KEY, "thought", "note", "notes")
        arguments = {key: item for key, item in value.items() if key not in others}
        check_surrogates([*thoughts, name, arguments])
        return Call(name, arguments, join_texts(*thoughts, separator="\n"))

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        table = self.ACTIONS["navigate"]
        if name not in table.rows:
            offered = [row.name for row in table.rows.values() if row.offered]
            raise unknown_name(name, [self.tool] if self.tool in self.POINT_FORM else offered)
        return table.to_actions(table.rows[name], Arguments(name, arguments, mapper, thought, lenient=True))

    def write_call(self, name: str, values: Values) -> str:
        if self.tool in self.POINT_FORM:
            return write_point(self.POINT_FORM[self.tool], [values["x"], values["y"]])
        call = {self.NAME_KEY: name, **values}
        return json.dumps({"note": self.EMPTY_NOTE, "thought": "", self.CALL_KEY: call}, ensure_ascii=False)

    def reply_form(self) -> str:
        """Return the form of a reply, for error messages."""
        if self.tool in self.POINT_FORM:
            return self.POINT_FORM[self.tool].replace("X", "x").replace("Y", "y")
        return f'{{"note": <note>, "thought": <thought>, "{self.CALL_KEY}": {{"{self.NAME_KEY}": <action>, ...}}}}'

    def reply_schema(self, verbs: Verbs, screen: Screen) -> Mapping[str, object] | None:
        """Return the JSON schema of a reply, with all fields required and places on the screen."""
        limits = zip("xy", self.mapper(screen).limits, strict=True)
        place = {key: {"type": "integer", "minimum": 0, "maximum": limit} for key, limit in limits}
        if self.tool in self.POINT_FORM:
            names = {"action": {"const": "click_absolute"}} if self.tool == "click_absolute" else {}
            return None if self.tool == "click" else _closed({**names, **place})
        overrides: Schema = {**place, "url": {**STRING, "minLength": 1}}
        overrides |= {f"{end}_{key}": place[key] for end in ("start", "end") for key in place}
        parts = self.schema(verbs)["properties"]
        choices = [choice["properties"] for choice in parts[self.CALL_KEY]["anyOf"]]
        choices = [_closed({key: overrides.get(key, fields[key]) for key in fields}) for fields in choices]
        return _closed({**parts, self.CALL_KEY: {"anyOf": choices}})

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        form = self.POINT_FORM.get(self.tool, "")
        grammar = GrammarBuilder(verbs, mapper, point_form=form or "[X, Y]")
        point = grammar.point()
        if form:
            return grammar.build(point.lark, (point.longest,), closing_strings=(form[-1],))
        rules = [
            rule
            for row in self.table.offered(verbs)
            if row.verb != "type" or "x" not in row.keys or "click" in verbs  # it clicks first
            for rule in row.rules(grammar, f'{{"{self.NAME_KEY}": "{row.name}"', lambda _, key: f', "{key}": ', "}")
        ]
        grammar.rule("act", " | ".join(rule.lark for rule in rules))
        note, thought, action = map(literal, ('{"note": ', ', "thought": ', f', "{self.CALL_KEY}": '))
        text = grammar.text().lark
        maybe_text = text if self.EMPTY_NOTE is not None else f'({text} | "null")'
        inner = max((rule.longest for rule in rules), key=len)
        longest = f'{{"note": {json.dumps(self.EMPTY_NOTE)}, "thought": "", "{self.CALL_KEY}": {inner}}}'
        return grammar.build(f'{note} {maybe_text} {thought} {text} {action} act "}}"', (longest,), self.REPLY_TAGS)

    def schema(self, verbs: Verbs) -> Schema:
        """Return the navigator's JSON schema as the prompt shows it."""
        choices = []
        for row in self.table.offered(verbs):
            fields: Schema = {field.key: PROPERTIES.get(field.key, {"type": field.TYPE}) for field in row.fields}
            fields = {self.NAME_KEY: {"const": row.name, "type": "string"}, **fields}
            choices.append(object_schema(fields, [key for key, value in fields.items() if "default" not in value]))
        note = {"default": self.EMPTY_NOTE, "type": "string" if self.EMPTY_NOTE is not None else ["string", "null"]}
        parts = {"note": note, "thought": STRING, self.CALL_KEY: {"anyOf": choices}}
        return object_schema(parts, ["thought", self.CALL_KEY])


def _closed(properties: Schema) -> Schema:
    return object_schema(properties, additionalProperties=False)


def _summary(step: Step) -> str:
    text = step.reply.text
    if step.call is not None:
        action = {"action": step.call.name, **step.call.arguments}
        text = json.dumps({"thought": step.call.thought, "action": action}, ensure_ascii=False)
    return join_texts(escape(text), outcome_text(step), separator="\n")
