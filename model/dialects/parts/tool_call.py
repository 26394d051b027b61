"""Replies that are a function call in <tool_call>, in JSON or XML: prompt schema, parsing, formatting and grammar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from actions import Call, InvalidActionError, UsageError
from model.dialects.base import Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import NEXT_CALLS, BaseDialect
from model.dialects.parts.fields import PointField
from model.dialects.parts.grammar import VALUE_END, GrammarBuilder, literal
from model.dialects.parts.schema import Schema, function_schema, object_schema, value_schema
from model.dialects.parts.table import Actions
from model.engine.call_grammar import CallGrammar
from model.engine.point_uncertainty import POINT_PATTERN
from model.wire.points import show
from model.wire.tool_call import ParsedToolCall, ToolCallError, find_call
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN, Syntax
from model.wire.xml_call import TAG, decode_values

COORDINATE = PointField("coordinate").schema


class CallForm(NamedTuple):
    """The literal texts of a call between its tags; TOOL and KEY stand for names."""

    head: str  # before the action's name
    after_name: str
    label: str  # before an argument's value
    tail: str
    closing_strings: tuple[str, ...]


CALL_FORMS: dict[Syntax, CallForm] = {
    "json": CallForm('\n{"name": "TOOL", "arguments": {"action": "', '"', ', "KEY": ', "}}\n", ('"', "]", "}")),
    "xml": CallForm(
        "\n<function=TOOL>\n<parameter=action>\n", "\n</parameter>\n", "<parameter=KEY>\n", "</function>\n",
        ("<", "/", '"', "]"),
    ),
}  # fmt: skip


class ToolCallDialect(BaseDialect):
    """A family with one function for each tool."""

    ACTION_KEY: ClassVar[str] = "action"  # the argument that names the row of the table
    PROPERTIES: ClassVar[Mapping[str, Schema]] = {}  # of a tool's arguments, if they are not those of its fields
    DESCRIPTION: ClassVar[Mapping[str, str]] = {}
    STATED_SIZES: ClassVar[Mapping[str, tuple[int, int]]] = {}  # of the screen by tool, where not that of the image
    ENDS_WITH_CALL: ClassVar[bool] = True
    FUNCTIONS: ClassVar[tuple[str, ...]] = ()  # other accepted names of the function
    point_pattern: str = POINT_PATTERN

    def schema(self, verbs: Verbs, size: tuple[int, int]) -> Schema:
        """Return the function's schema."""
        rows = self.table.offered(verbs)
        used = {key for row in rows for key in row.keys}
        choices = "\n".join(f"* `{row.name}`: {row.description}" for row in rows)
        action = value_schema(f"What to do:\n{choices}", enum=[row.name for row in rows])
        fields = [argument for row in self.table.rows.values() for argument in row.fields]
        properties = self.PROPERTIES.get(self.tool) or {argument.key: argument.schema for argument in fields}
        others = {key: value for key, value in properties.items() if key in used}
        description = self.DESCRIPTION[self.tool].replace("{width}", str(size[0])).replace("{height}", str(size[1]))
        parameters = object_schema({self.ACTION_KEY: action, **others}, [self.ACTION_KEY])
        return function_schema(self.tool, description, parameters)

    def tools(self, verbs: Verbs, size: tuple[int, int]) -> tuple[Schema, ...]:
        """Return the schema, or nothing if a replaced prompt describes the functions itself."""
        size = self.STATED_SIZES.get(self.tool, size)
        return () if "<tools>" in (self.prompt or "") else (self.schema(verbs, size),)

    def find_call(self, text: str, form: str) -> ParsedToolCall:
        """Return the call in a reply; `form` is that of a call, for error messages."""
        try:
            return find_call(text)
        except ToolCallError as error:
            raise InvalidActionError(f"{error}; the reply must hold {form}") from None

    def parse_call(self, text: str) -> Call:
        call = self.find_call(text, self.call_form())
        self._check_function(call.name)
        if call.arguments.get(NEXT_CALLS):
            raise InvalidActionError(f"{self.tool} takes no {NEXT_CALLS!r}")
        arguments = decode_values(call.arguments, self.types(call.arguments)) if call.is_xml else call.arguments
        return Call(self.tool, arguments, call.thought)

    def types(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Return the JSON types of a call's arguments, by all their names."""
        row = self.table.rows.get(str(arguments.get(self.ACTION_KEY)).strip())
        fields = row.fields if row else ()
        return {key: argument.schema["type"] for argument in fields for key in (argument.key, *argument.aliases)}

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        self._check_function(name)
        row = self.table.find(arguments.get(self.ACTION_KEY))
        return self.table.to_actions(row, Arguments(row.name, arguments, mapper, thought), (self.ACTION_KEY,))

    def write_call(self, name: str, values: Values) -> str:
        form = CALL_FORMS[self.SYNTAX]
        arguments = "".join(form.label.replace("KEY", key) + self.write_value(value) for key, value in values.items())
        head = f"{CALL_OPEN}{form.head.replace('TOOL', self.tool)}{name}{form.after_name}"
        return f"{head}{arguments}{form.tail}{CALL_CLOSE}"

    def write_value(self, value: object) -> str:
        """Return the value of an argument, with what ends it.

        Raises:
            UsageError: a text holds a tag, which XML cannot tell from its own.
        """
        text = value if isinstance(value, str) and self.SYNTAX == "xml" else json.dumps(value, ensure_ascii=False)
        if self.SYNTAX == "json":
            return text
        if TAG.search(text):
            raise UsageError(f"dialect {self.NAME} has no words for a text with the tag {TAG.findall(text)[0]}")
        return f"{text}\n{VALUE_END}"

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        grammar, form = GrammarBuilder(verbs, mapper, self.SYNTAX), CALL_FORMS[self.SYNTAX]
        head = form.head.replace("TOOL", self.tool)
        alternatives, longest = [], []
        for row in self.table.offered(verbs):
            start = row.name + form.after_name
            for rule in row.rules(grammar, start, lambda _, key: form.label.replace("KEY", key), permute=True):
                alternatives.append(rule.lark)
                longest.append(f"{CALL_OPEN}{head}{rule.longest}{form.tail}{CALL_CLOSE}")
        grammar.rule("act", " | ".join(alternatives))
        return grammar.build(
            f"{literal(head)} act {literal(form.tail)}", longest, (CALL_OPEN, CALL_CLOSE),
            open_when_short=self.SYNTAX == "xml", ends_itself=self.ENDS_WITH_CALL, closing_strings=form.closing_strings,
        )  # fmt: skip

    def call_form(self) -> str:
        """Return the form of a call: a form and no example, which a model might repeat."""
        if self.SYNTAX == "xml":
            return f"{CALL_OPEN}<function={self.tool}><parameter=action>...</parameter> ...</function>{CALL_CLOSE}"
        return f'{CALL_OPEN}{{"name": "{self.tool}", "arguments": {{"action": <action>, ...}}}}{CALL_CLOSE}'

    def _check_function(self, name: str | None) -> None:
        if name not in (None, self.tool, *self.FUNCTIONS):
            hint = f", and {name} is an action of it: {self.call_form()}" if name in self.table.rows else ""
            raise InvalidActionError(f"there is no function {show(name)}; the one function is {self.tool}{hint}")
