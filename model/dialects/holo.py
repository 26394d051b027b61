"""Holo1 and Holo1.5: a navigator that answers in JSON, and two localizers; pixels of the resized image.

Sources: H Company's hai-cookbook (utils/navigation.py, utils/localization.py) and surfer-h-cli (localization.py,
localization_1_5.py, navigation_step.py): schemas, names, the tags around the parts of a turn. Tool "navigate": Holo1 as
an agent; "click": Holo1 as a localizer, `Click(x, y)`; "click_absolute": Holo1.5 as a localizer, {"action":
"click_absolute", "x": .., "y": ..}.

Image budgets: 1280 cells for Holo1's localizer. For Holo1.5 the sources differ (1000x500 in surfer-h, 2560x1440 in
ScreenSpot-Pro's runner), so the checkpoint's own preprocessor_config.json decides. Not supported: their agent's second
request that locates an element by name; the navigator's own x and y are used. `restart` goes home.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from actions import Action, Call, InvalidActionError, Screen, Step
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.arguments import Arguments, unknown_name
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import BaseDialect, check_surrogates, load_prompt, type_actions
from model.dialects.parts.fields import DIRECTIONS, DirectionField, Field, SecondsField, TextField, Values, XYField
from model.dialects.parts.grammar import GrammarBuilder, Rule, literal, write_point
from model.dialects.parts.history import escape, image_part, message, outcome_text, text_part
from model.dialects.parts.model_family import SEE_MODEL_CARD, Checkpoint, ModelFamily, VllmExample, published
from model.dialects.parts.schema import Schema, object_schema
from model.dialects.parts.table import ActionSpec, ActionTable, Result, constant_row
from model.engine.call_grammar import CallGrammar
from model.processing.image import ImageLimits
from model.wire.call_parser import CallParser, CallSyntaxError
from model.wire.lenient_json import LenientJsonError, parse_json

LIMITS = ImageLimits(4 * 28 * 28, 1280 * 28 * 28)  # localization.py, Holo1

WAIT_S = 2  # the schema's default
SYSTEM = load_prompt("holo")
QUESTION = {
    "click": "Find a thing on the picture of a screen and answer with a click on it, as Click(x, y), "
    "x pixels from the left edge and y from the top edge.\n\n",
    "click_absolute": "Find a thing on the picture of a screen, and answer with a click on it.\n"
    " * Answer with JSON of this schema: {schema}\n The thing is:\n\n",
}
CLICK_ABSOLUTE = object_schema(
    {
        "action": {"const": "click_absolute", "default": "click_absolute", "type": "string"},
        "x": {"description": "Pixels from the left edge.", "type": "integer"},
        "y": {"description": "Pixels from the top edge.", "type": "integer"},
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
INTEGER: Schema = {"type": "integer"}
PROPERTIES: dict[str, Schema] = {
    "element": STRING,
    "x": INTEGER,
    "y": INTEGER,
    "content": STRING,
    "url": STRING,
    "direction": {"enum": list(DIRECTIONS), "type": "string"},
    "seconds": {"default": WAIT_S, "minimum": 0, "maximum": 10, "type": "integer"},
}
_OBJECT = re.compile(r"""\{(?=\s*+["']?(?:thought|note|notes|action|x|y)["']?\s*+:)""")
_FENCE = re.compile(r"```[A-Za-z]*\s*\Z")
_CLICKS = CallParser(["Click", "click", "Point"])


@dataclass(frozen=True)
class XField(XYField):
    """x, which stands for the whole place; y has a grammar of its own."""

    aliases: tuple[str, ...] = ()

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return Rule(grammar.x(), grammar.digits)


@dataclass(frozen=True)
class YField(Field):
    """y; its value is read and written with x."""

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return Rule(grammar.y(), grammar.digits)


@dataclass(frozen=True)
class ElementField(Field):
    """The element's name, for people."""

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: ""}


@dataclass(frozen=True)
class WholeSecondsField(SecondsField):
    """Seconds, 0 to 10 in constrained replies."""

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return Rule(grammar.terminal("SECONDS", r"([0-9]|10)(\.0)?"), "10.0")


def _write(arguments: Arguments) -> Result:
    return type_actions(place=PLACE[0].place(arguments), text=arguments.text("content"), enter=True)


PLACE = (XField(), YField("y"))
ELEMENT, CONTENT = ElementField("element"), TextField("content")
CLICK_ROWS = tuple(ActionSpec(name, "click", PLACE, offered=False) for name in ("click_absolute", "click"))
TABLE = ActionTable(
    ActionSpec("click_element", "click", (ELEMENT, *PLACE)),
    ActionSpec("write_element_abs", "type", (CONTENT, ELEMENT, *PLACE), parse=_write, writes=False),
    ActionSpec("scroll", "scroll", (DirectionField("direction", default="down"),)),
    constant_row("go_back", "back"),
    constant_row("refresh", "press", keys=("f5",)),
    ActionSpec("wait", "wait", (WholeSecondsField("seconds", optional=True, default=WAIT_S),)),
    constant_row("restart", "home"),
    ActionSpec("answer", "answer", (TextField("content", nonempty=True),)),
    ActionSpec("goto", "open", (TextField("url", attribute="target", nonempty=True),)),
    # the same in surfer-h
    ActionSpec("write_element", "type", (CONTENT, ELEMENT, *PLACE), offered=False, parse=_write, writes=False),
    *CLICK_ROWS,
)  # fmt: skip
LOCALIZER = ActionTable(*CLICK_ROWS)


MODELS = ModelFamily(
    "Holo1, Holo1.5",
    (
        Checkpoint("Hcompany/Holo1-3B", "3B", SEE_MODEL_CARD),
        Checkpoint("Hcompany/Holo1-7B", "7B", "Apache-2.0"),
        Checkpoint("Hcompany/Holo1.5-7B", "7B", f"{SEE_MODEL_CARD} (reported: Apache-2.0)"),
    ),
    "finding things on web pages; with a planner, whole tasks on the web",
    ("grounding", "browser"),
    scores=published("Holo1-7B model card (with Surfer-H and its validator)", ("Holo1-7B", "WebVoyager", 92.2)),
    vllm=(VllmExample(), VllmExample("Hcompany/Holo1.5-7B", "click_absolute", ImageLimits(LIMITS.min_pixels, 3686400))),
)


class Dialect(BaseDialect):
    """Holo. navigate: one turn with the notes and thoughts so far; the localizers: one question."""

    NAME = "holo"
    FAMILY = "Holo1, Holo1.5"
    DETECTION = Detection(
        markers=(("click_absolute",), ("click_element", "write_element")), max_pixels=LIMITS.max_pixels
    )
    TOOLS = ("navigate", "click", "click_absolute")
    HISTORIES = ("progress",)
    ACTIONS: ClassVar = {"navigate": TABLE, "click": LOCALIZER, "click_absolute": LOCALIZER}
    point_pattern = r'(?:"x": |Click\()(\d+), (?:"y": )?(\d+)[)}]'

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        goal = escape(goal)
        if self.tool != "navigate":
            prompt = self.render_prompt(QUESTION[self.tool], schema=json.dumps(CLICK_ABSOLUTE)) + goal
            return Conversation((message("user", image_part(screen), text_part(prompt)),))
        system = self.render_prompt(SYSTEM, output_format=json.dumps(self._schema(verbs)))
        done = "".join(f"<step number={item.step.index}>\n{_summary(item.step)}\n</step>\n" for item in steps)
        number = steps[-1].step.index + 1 if steps else 1
        user = message(
            "user",
            text_part(f"<task>\n{goal}\n</task>\n"),
            text_part(f"<previous_actions>\n{done}</previous_actions>\n" if done else ""),
            text_part(f"<observation step={number}>\n<screenshot>\n"),
            image_part(screen),
            text_part("\n</screenshot>\n\n</observation>\n"),
        )
        return Conversation((message("system", text_part(system)), user))

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
        action = value.get("action")
        nested = isinstance(action, dict)
        inner: Mapping[str, object] = action if isinstance(action, dict) else value
        name = inner.get("action")
        if name is None and set(inner) >= {"x", "y"}:
            name = "click"
        if not isinstance(name, str):
            raise InvalidActionError(f"the JSON names no action; answer with {REPLY_FORM[self.tool]}")
        arguments = {key: item for key, item in inner.items() if key not in ("action", "thought", "note", "notes")}
        parts = [_FENCE.sub("", before).strip(), *(value.get(key) for key in ("thought", "note", "notes") if nested)]
        thought = "\n".join(part for part in parts if isinstance(part, str) and part)
        check_surrogates([thought, name, arguments])
        return Call(name, arguments, thought)

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Result:
        if name not in TABLE.rows:
            offered = [row.name for row in TABLE.rows.values() if row.offered]
            raise unknown_name(name, offered if self.tool == "navigate" else [self.tool])
        return TABLE.to_actions(TABLE.rows[name], Arguments(name, arguments, mapper, thought, lenient=True))

    def write_call(self, name: str, values: Values) -> str:
        if self.tool in POINT_FORM:
            return write_point(POINT_FORM[self.tool], [values["x"], values["y"]])
        return json.dumps({"note": "", "thought": "", "action": {"action": name, **values}}, ensure_ascii=False)

    def reply_schema(self, verbs: frozenset[str], screen: Screen) -> Mapping[str, object] | None:
        """Return the JSON schema of a reply, with all fields required and places on the screen."""
        limits = zip("xy", self.mapper(screen).limits, strict=True)
        place = {key: {**INTEGER, "minimum": 0, "maximum": limit} for key, limit in limits}
        if self.tool == "click_absolute":
            return _closed({"action": {"const": "click_absolute"}, **place})
        if self.tool == "click":
            return None
        overrides: Schema = {**place, "url": {**STRING, "minLength": 1}}
        parts = self._schema(verbs)["properties"]
        choices = [
            _closed({key: overrides.get(key, value) for key, value in choice["properties"].items()})
            for choice in parts["action"]["anyOf"]
        ]
        return _closed({**parts, "action": {"anyOf": choices}})

    def build_grammar(self, verbs: frozenset[str], mapper: CoordinateMapper) -> CallGrammar | None:
        form = POINT_FORM.get(self.tool, "")
        grammar = GrammarBuilder(verbs, mapper, point_form=form or "[X, Y]")
        point, digits = grammar.point(), grammar.digits
        if form:
            return grammar.build(point.lark, (point.longest,), closing=(form[-1],))
        rows = self.table.offered(verbs)
        if "click" not in verbs:
            rows = [row for row in rows if row.name != "write_element_abs"]  # it clicks first
        alternatives = []
        for row in rows:
            rules = row.rules(grammar, f'{{"action": "{row.name}"', lambda _, key: f', "{key}": ', "}")
            alternatives += [rule.lark for rule in rules]
        grammar.rule("act", " | ".join(alternatives))
        note, thought, action = map(literal, ('{"note": ', ', "thought": ', ', "action": '))
        text = grammar.text().lark
        inner = f'{{"action": "write_element_abs", "content": "", "element": "", "x": {digits}, "y": {digits}}}'
        longest = f'{{"note": "", "thought": "", "action": {inner}}}'
        return grammar.build(f'{note} {text} {thought} {text} {action} act "}}"', (longest,))

    def _schema(self, verbs: frozenset[str]) -> Schema:
        """Return the navigator's JSON schema as the prompt shows it."""
        choices = []
        for row in self.table.offered(verbs):
            fields: Schema = {field.key: PROPERTIES[field.key] for field in row.fields}
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
    return "\n".join(part for part in (escape(text), outcome_text(step)) if part)
