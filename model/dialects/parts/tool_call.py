"""Replies that are a JSON function call in <tool_call>: prompt schema, parsing, formatting and grammar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from actions import Call, InvalidActionError
from model.dialects.base import Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import NEXT_CALLS, BaseDialect
from model.dialects.parts.fields import PointField
from model.dialects.parts.grammar import GrammarBuilder, literal
from model.dialects.parts.schema import Schema, function_schema, object_schema, value_schema
from model.dialects.parts.table import Actions
from model.engine.call_grammar import CallGrammar
from model.engine.point_uncertainty import POINT_PATTERN
from model.wire.points import show
from model.wire.tool_call import ParsedToolCall, ToolCallError, find_call
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

COORDINATE = PointField("coordinate").schema


class ToolCallDialect(BaseDialect):
    """A family with one function for each tool."""

    ACTION_KEY: ClassVar[str] = "action"  # the argument that names the row of the table
    PROPERTIES: ClassVar[Mapping[str, Schema]] = {}  # of a tool's arguments, if they are not those of its fields
    DESCRIPTION: ClassVar[Mapping[str, str]] = {}
    ENDS_WITH_CALL: ClassVar[bool] = True
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
        return Call(self.tool, call.arguments, call.thought)

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        self._check_function(name)
        row = self.table.find(arguments.get(self.ACTION_KEY))
        return self.table.to_actions(row, Arguments(row.name, arguments, mapper, thought), (self.ACTION_KEY,))

    def write_call(self, name: str, values: Values) -> str:
        call = {"name": self.tool, "arguments": {"action": name, **values}}
        return f"{CALL_OPEN}\n{json.dumps(call, ensure_ascii=False)}\n{CALL_CLOSE}"

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        grammar = GrammarBuilder(verbs, mapper)
        head = f'\n{{"name": "{self.tool}", "arguments": {{"action": "'
        alternatives, longest = [], []
        for row in self.table.offered(verbs):
            for rule in row.rules(grammar, f'{row.name}"', lambda _, key: f', "{key}": ', permute=True):
                alternatives.append(rule.lark)
                longest.append(f"{CALL_OPEN}{head}{rule.longest}}}}}\n{CALL_CLOSE}")
        grammar.rule("act", " | ".join(alternatives))
        return grammar.build(
            f"{literal(head)} act {literal('}}' + chr(10))}", longest, (CALL_OPEN, CALL_CLOSE),
            open_when_short=False, ends_itself=self.ENDS_WITH_CALL,
        )  # fmt: skip

    def call_form(self) -> str:
        """Return the form of a call: a form and no example, which a model might repeat."""
        return f'{CALL_OPEN}{{"name": "{self.tool}", "arguments": {{"action": <action>, ...}}}}{CALL_CLOSE}'

    def _check_function(self, name: str | None) -> None:
        if name is not None and name != self.tool:
            hint = f", and {name} is an action of it: {self.call_form()}" if name in self.table.rows else ""
            raise InvalidActionError(f"there is no function {show(name)}; the one function is {self.tool}{hint}")
