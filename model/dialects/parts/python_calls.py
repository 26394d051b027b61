"""Replies that write calls in a line: name(key=value, ...)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from actions import Action, Ask, Call, InvalidActionError
from model.dialects.base import Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import BaseDialect
from model.dialects.parts.fields import TextField
from model.dialects.parts.grammar import GrammarBuilder, Rule, write_point
from model.dialects.parts.table import ActionSpec
from model.engine.call_grammar import CallGrammar
from model.wire.call_parser import CallParser, CallSyntaxError, ParsedCall, quoted


class PythonCallDialect(BaseDialect):
    """A family whose replies hold calls from a closed list of names."""

    CALLS: ClassVar[CallParser]
    GRAMMAR: ClassVar[type[GrammarBuilder]] = GrammarBuilder
    MARK: ClassVar[re.Pattern[str]]  # what announces the calls
    QUOTES: ClassVar[str] = "single"  # or "double"
    POINT_FORM: ClassVar[str] = "(X, Y)"  # as format_action writes a point
    OPEN: ClassVar[str] = ""  # the text before the calls
    CLOSE: ClassVar[str] = ""  # the text after them
    CLOSING: ClassVar[tuple[str, ...]] = ("'", ")")  # ends of an open text and call, innermost first
    ENDS_WITH_CALL: ClassVar[bool] = True
    EXAMPLE: ClassVar[str] = ""  # a call, for error messages

    def find_calls(self, text: str) -> tuple[list[ParsedCall], str]:
        """Return the calls in a reply, at least one, and the text before them."""
        mark = self.MARK.search(text)
        try:
            calls = self.CALLS.parse_call(text, mark.end() if mark else 0, certain=mark is not None)
        except CallSyntaxError as error:
            raise InvalidActionError(f"the action cannot be read: {error}") from None
        if not calls:
            raise InvalidActionError(f"the reply has no action; it must hold one such as {self.EXAMPLE}")
        return calls, text[: mark.start() if mark else calls[0].start]

    def parse_call(self, text: str) -> Call:
        """Return the first call; its arguments must be named."""
        calls, before = self.find_calls(text)
        if calls[0].positional:
            raise InvalidActionError(f"{calls[0].name} takes its arguments by name, as in {self.EXAMPLE}")
        return Call(calls[0].name, calls[0].keywords, self.thought(text, before, calls[0].start))

    def thought(self, text: str, before: str, call_start: int) -> str:
        """Return the model's reasoning in a reply; `before` precedes the mark or, without one, the calls."""
        return before.strip()

    def write_call(self, name: str, values: Values) -> str:
        call = f"{name}({', '.join(f'{key}={self.write_value(value)}' for key, value in values.items())})"
        return f"{self.OPEN}{call}{self.CLOSE}"

    def write_value(self, value: object) -> str:
        if isinstance(value, list) and value and isinstance(value[0], str):
            return f"[{', '.join(map(self.write_value, value))}]"
        if isinstance(value, list):
            return write_point(self.POINT_FORM, value)
        return quoted(value, "'" if self.QUOTES == "single" else '"') if isinstance(value, str) else str(value)

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        grammar = self.GRAMMAR(verbs, mapper, self.QUOTES, self.POINT_FORM)
        rules = [rule for row in self.table.offered(verbs) for rule in self.call_rules(row, grammar)]
        longest = max((f"{self.OPEN}{rule.longest}{self.CLOSE}" for rule in rules), key=len)
        return grammar.build(
            " | ".join(rule.lark for rule in rules), (longest,), (self.OPEN, self.CLOSE),
            closing_strings=self.CLOSING, ends_itself=self.ENDS_WITH_CALL,
        )  # fmt: skip

    def call_rules(self, row: ActionSpec, grammar: GrammarBuilder) -> list[Rule]:
        """Return the alternatives of a row."""
        return [*row.rules(grammar, f"{row.name}(", lambda place, key: f"{', ' if place else ''}{key}=", ")")]


def call_form(row: ActionSpec) -> str:
    """Return a call as prompts show it."""
    return f"{row.name}({', '.join(f'{field.key}={field.form}' for field in row.fields if field.form)})"


@dataclass(frozen=True)
class QuestionField(TextField):
    """A question to the person; where the call omits it, the model's reasoning stands in, or `default`."""

    attribute: str = "question"

    def parse(self, arguments: Arguments) -> Values:
        text = arguments.text(self.key, default="")
        return {self.attribute: text or arguments.thought[:2000] or self.default}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        return {self.key: action.question} if isinstance(action, Ask) and action.question else None
