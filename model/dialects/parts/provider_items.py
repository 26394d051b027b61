"""Replies that are JSON items of an API: calls of a computer beside texts, reasoning and refusals.

A reply is one item, a list of them, several one after the other, or the whole response; through chat completions it is
a <tool_call>. What each kind of reply means is in docs/dialects.md.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from actions import Action, Call, InvalidActionError, Screen, Step
from model.dialects.base import Steps, Values, Verbs
from model.dialects.parts.arguments import Arguments, unknown_name
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import (
    MAX_ACTIONS,
    NEXT_CALLS,
    chain_calls,
    check_count,
    check_surrogates,
    load_prompt,
)
from model.dialects.parts.fields import STATUS, TextField
from model.dialects.parts.history import Message, chat_turns, join_texts, outcome_text
from model.dialects.parts.schema import Schema, function_schema, object_schema, value_schema
from model.dialects.parts.table import Actions, ActionSpec, ActionTable
from model.dialects.parts.tool_call import ToolCallDialect
from model.engine.call_grammar import CallGrammar
from model.wire.lenient_json import LenientJsonError, find_values
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

COMPUTER, FINISH, ANSWER, ASK = "computer", "finish", "answer", "ask"
FUNCTIONS = (COMPUTER, FINISH)  # that a model can call; the others stand for its texts and safety checks
DESCRIPTION = {
    COMPUTER: "Operate a computer by its screen, with mouse and keyboard. The screen has {width}x{height} pixels."
}
FINISH_PARAMETERS = {
    "status": value_schema("How it ended.", enum=["success", "failure"]),
    "message": value_schema('What the person should know, or "".'),
}
FINISH_FUNCTION = function_schema(FINISH, "End the task.", object_schema(FINISH_PARAMETERS, ["status"]))
ENDS = ActionTable(
    ActionSpec(FINISH, "done", (STATUS, TextField("message", attribute="message", default=""))),
    ActionSpec(ANSWER, "answer", (TextField("text"),)),
    ActionSpec(ASK, "ask", (TextField("question", attribute="question"),)),
)
_FENCE = re.compile(r"```[A-Za-z]*")


@dataclass
class ParsedItems:
    """The contents of one reply."""

    calls: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def add_call(self, name: object, arguments: object) -> None:
        if name not in FUNCTIONS:
            raise unknown_name(name, FUNCTIONS, "function")
        if not isinstance(arguments, Mapping):
            raise InvalidActionError(f"the arguments of {name} are no JSON object")
        if NEXT_CALLS in arguments:
            raise InvalidActionError(f"{name} takes no {NEXT_CALLS!r}")
        self.calls.append((str(name), arguments))


class ProviderItemDialect(ToolCallDialect):
    """A family of items; a subclass parses each kind of item."""

    SYSTEM = load_prompt("provider_items")
    DESCRIPTION = DESCRIPTION
    FIRST_KEYS: ClassVar[tuple[str, ...]] = ()  # with which an object may start
    ITEM_FORM: ClassVar[str] = ""  # an item, for error messages

    @abstractmethod
    def parse_item(self, item: Mapping[str, object], items: ParsedItems) -> None:
        """Add the contents of one item, or raise InvalidActionError."""

    @abstractmethod
    def text_item(self, text: str) -> Values:
        """Return an item that holds a text, as the API gives it; ids are invented."""

    @abstractmethod
    def call_item(self, name: str, values: Values) -> Values:
        """Return an item that calls a function, as the API gives it; ids are invented."""

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        return chat_turns(goal, steps, screen, self.next_text, empty_reply="(no words)")

    def next_text(self, step: Step) -> str:
        return join_texts(outcome_text(step), "This is the screen now.")

    def tools(self, verbs: Verbs, size: tuple[int, int]) -> tuple[Schema, ...]:
        own = super().tools(verbs, size)
        return (*own, FINISH_FUNCTION) if own else ()

    def parse_call(self, text: str) -> Call:
        if CALL_OPEN in text:
            return self._parse_tagged(text)
        values, around = self._find_items(text)
        items = ParsedItems(thoughts=[around] if around else [])
        for value in values:
            self.parse_item(value, items)
        check_surrogates([items.calls, items.thoughts, items.texts, items.refusals])
        if items.calls:
            return chain_calls(items.calls, "\n".join([*items.thoughts, *items.texts]))
        thought = "\n".join(items.thoughts)
        if items.refusals:
            return Call(FINISH, {"status": "failure", "message": "\n".join(items.refusals)}, thought)
        if not items.texts:
            raise InvalidActionError(f"the reply has no call and no words; answer with {self.ITEM_FORM}")
        return Call(ANSWER, {"text": "\n".join(items.texts)}, thought)

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        row = ENDS.rows.get(name)
        if row is not None:  # unknown arguments are ignored
            return ENDS.to_actions(row, Arguments(name, arguments, mapper, thought, lenient=True), tuple(arguments))
        return super().actions_of(name, arguments, mapper, thought)

    def format_action(self, action: Action, screen: Screen) -> str:
        if action.verb == "answer" and action.text:
            item = self.text_item(action.text)
        elif action.verb == "done":
            item = self.call_item(FINISH, {"status": action.status, "message": action.message})
        else:
            name, values = self.call_for(action, screen)
            item = self.call_item(COMPUTER, {self.ACTION_KEY: name, **values})
        return json.dumps(item, ensure_ascii=False)

    def supports(self, verb: str) -> bool:
        return any(verb == row.verb for row in ENDS.rows.values()) or super().supports(verb)

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        return None  # these models are behind servers that take no grammar

    def batch(self, arguments: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
        """Return the actions in the arguments of one call of computer."""
        return (arguments,)

    def add_function_call(self, name: object, arguments: object, items: ParsedItems) -> None:
        is_batch = name == COMPUTER and isinstance(arguments, Mapping)
        for single in self.batch(arguments) if is_batch else [arguments]:  # type: ignore[arg-type]
            items.add_call(name, single)

    def _parse_tagged(self, text: str) -> Call:
        call = self.find_call(text, f'{CALL_OPEN}{{"name": "{COMPUTER}", "arguments": {{...}}}}{CALL_CLOSE}')
        items = ParsedItems()
        self.add_function_call(call.name or COMPUTER, call.arguments, items)
        return chain_calls(items.calls, call.thought)

    def _find_items(self, text: str) -> tuple[list[Mapping[str, object]], str]:
        """Return the items in a reply, and the text around them."""
        try:
            values, start, end = find_values(text, self.FIRST_KEYS, MAX_ACTIONS)
        except LenientJsonError as error:
            raise InvalidActionError(f"the JSON cannot be read: {error}") from None
        if not values:
            raise InvalidActionError(f"the reply has no call; answer with {self.ITEM_FORM}")
        check_count(len(values), "items")
        items: list[Mapping[str, object]] = [value for value in values if isinstance(value, dict)]
        if len(items) != len(values):
            raise InvalidActionError(f"the reply's list holds more than objects; answer with {self.ITEM_FORM}")
        return items, join_texts(*(_FENCE.sub("", part).strip() for part in (text[:start], text[end:])), separator="\n")


def texts_of(parts: object, kind: str, key: str) -> list[str]:
    """Return the non-empty texts under a key of the parts of one type."""
    items = parts if isinstance(parts, list) else []
    texts = [part.get(key) for part in items if isinstance(part, Mapping) and part.get("type") == kind]
    return [text for text in texts if isinstance(text, str) and text]
