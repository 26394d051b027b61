"""Families whose replies are JSON items of an API: calls of a computer beside words, thoughts and refusals.

A reply is one item, a list of them, several one after the other, or the whole response that holds them; through chat
completions it is a <tool_call>. Their own protocols have no word for the end, a turn without a call is the end there:
items that hold words alone are the answer, a refusal is the end without success, and the function `finish` (ours, the
one that is offered beside theirs) ends a task in so many words. Words outside of JSON are no call. Knows no item's
fields: those are facts of each family's own file.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from actions import Call, InvalidActionError, Screen, make_action
from model.dialects._base import (
    MOST_ACTIONS,
    NEXT_CALLS,
    chain_calls,
    choice,
    escape,
    image_part,
    message,
    outcome_text,
    string_argument,
    text_part,
    unknown_action,
)
from model.dialects._coordinates import CoordinateMapper
from model.dialects._tool_calls import ToolCallDialect
from model.dialects.base import Conversation, HistoryStep
from model.wire.lenient_json import LenientJsonError, parse_json
from model.wire.tool_call import ToolCallError, find_call
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

COMPUTER, FINISH, ANSWER, ASK = "computer", "finish", "answer", "ask"
FUNCTIONS = (COMPUTER, FINISH)  # those that a model can call; the others are what its words and warnings mean
NEXT = "This is the screen now."
SYSTEM = (
    "You carry out a person's task on their screen, by pictures of it alone. Each turn you are shown the screen; "
    "think, then call the function computer. When the task is done, or cannot be, call the function finish and say "
    "what the person should know."
)
FINISH_FUNCTION = {
    "type": "function",
    "function": {
        "name": FINISH,
        "description": "End the task.",
        "parameters": {
            "properties": {
                "status": {"description": "How it ended.", "enum": ["success", "failure"], "type": "string"},
                "message": {"description": 'What the person should know, or "".', "type": "string"},
            },
            "required": ["status"],
            "type": "object",
        },
    },
}
_FENCE = re.compile(r"```[A-Za-z]*")
_BETWEEN = re.compile(r"[\s,;]*+")


@dataclass
class ParsedItems:
    """What the items of one reply come to."""

    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def call(self, name: Any, arguments: Any) -> None:
        if name not in FUNCTIONS:
            raise unknown_action(name, FUNCTIONS, "function")
        if not isinstance(arguments, Mapping):
            raise InvalidActionError(f"the arguments of {name} are no JSON object")
        if NEXT_CALLS in arguments:
            raise InvalidActionError(f"{name} takes no {NEXT_CALLS!r}")
        self.calls.append((name, arguments))


class ProviderItemDialect(ToolCallDialect):
    """A family of items: a subclass says what each kind of item means, and how an Action is written as one."""

    TOOLS = (COMPUTER,)
    FIRST_KEYS: ClassVar[tuple[str, ...]] = ()  # with which an object of theirs may begin
    FORM: ClassVar[str] = ""  # an item, for a model that wrote none

    @abstractmethod
    def take(self, item: Mapping[str, Any], heard: ParsedItems) -> None:
        """Note what one item says; BadCall for one that asks for what is not here."""

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        size = self.size(screen)
        messages = [message("system", text_part(self.render_prompt(SYSTEM, width=size[0], height=size[1])))]
        said = escape(goal)
        for shown in steps:
            seen = (image_part(shown.step.screen),) if shown.picture else ()
            messages.append(message("user", text_part(said), *seen))
            messages.append(message("assistant", text_part(escape(shown.step.reply.text) or "(no words)")))
            said = " ".join(part for part in (outcome_text(shown.step), NEXT) if part)
        messages.append(message("user", text_part(said), image_part(screen)))
        return Conversation(tuple(messages), self.tools(verbs, size))

    def tools(self, verbs: frozenset[str], size: tuple[int, int]) -> tuple[dict[str, Any], ...]:
        own = super().tools(verbs, size)
        return (*own, FINISH_FUNCTION) if own else ()

    def parse_call(self, text: str) -> Call:
        if CALL_OPEN in text:
            return self._tagged(text)
        items, thought = self._items(text)
        heard = ParsedItems(thoughts=[thought] if thought else [])
        for item in items:
            self.take(item, heard)
        _refuse_halves([heard.calls, heard.thoughts, heard.words, heard.refusals])
        if heard.calls:
            return chain_calls(heard.calls, "\n".join([*heard.thoughts, *heard.words]))
        said = "\n".join(heard.thoughts)
        if heard.refusals:
            return Call(FINISH, {"status": "failure", "message": "\n".join(heard.refusals)}, said)
        if not heard.words:
            raise InvalidActionError(f"the reply has no call and no words; answer with {self.FORM}")
        return Call(ANSWER, {"text": "\n".join(heard.words)}, said)

    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        if name == FINISH:
            status = choice(arguments, "status", ("success", "failure"))
            return make_action("done", status=status, message=string_argument(arguments, "message", default=""))
        if name == ANSWER:
            return make_action("answer", text=string_argument(arguments, "text"))
        if name == ASK:
            return make_action("ask", question=string_argument(arguments, "question"))
        return super().to_actions_of(name, arguments, frame, thought)

    def form(self, verbs: frozenset[str], screen: Screen) -> None:
        """None: their models are behind servers, which hold them to no grammar of ours."""

    def _tagged(self, text: str) -> Call:
        try:
            found = find_call(text)
        except ToolCallError as error:
            form = f'{CALL_OPEN}{{"name": "{COMPUTER}", "arguments": {{...}}}}{CALL_CLOSE}'
            raise InvalidActionError(f"{error}; the reply must hold {form}") from None
        heard = ParsedItems()
        self.function(found.name or COMPUTER, found.arguments, heard)
        return chain_calls(heard.calls, found.thought)

    def function(self, name: Any, arguments: Any, heard: ParsedItems) -> None:
        """Note the call of a function."""
        several = name == COMPUTER and isinstance(arguments, Mapping)
        for one in self.batch(arguments) if several else (arguments,):
            heard.call(name, one)

    def batch(self, arguments: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The acts in the arguments of one call of computer: one, where a family has no batches."""
        return (arguments,)

    def _items(self, text: str) -> tuple[list[Mapping[str, Any]], str]:
        """The items in a reply, and the words before and behind them."""
        keys = "|".join(self.FIRST_KEYS)
        opens = re.compile(rf"(?:\[[ \t\r\n]*+)?\{{[ \t\r\n]*+(['\"])(?:{keys})\1[ \t\r\n]*+:")
        first = opens.search(text)
        if first is None:
            raise InvalidActionError(f"the reply has no call; answer with {self.FORM}")
        found: list[Mapping[str, Any]] = []
        at: re.Match[str] | None = first
        end = first.start()
        while at is not None:
            try:
                value, end = parse_json(text, at.start())
            except LenientJsonError as error:
                raise InvalidActionError(f"the JSON cannot be read: {error}") from None
            found += value if isinstance(value, list) else [value]
            if len(found) > MOST_ACTIONS:
                raise InvalidActionError(f"the reply has more than {MOST_ACTIONS} items; ask for fewer at a time")
            between = _BETWEEN.match(text, end)
            at = opens.match(text, between.end() if between else end)
        if not all(isinstance(one, dict) for one in found):
            raise InvalidActionError(f"the reply's list holds more than objects; answer with {self.FORM}")
        around = (_FENCE.sub("", part).strip() for part in (text[: first.start()], text[end:]))
        return found, "\n".join(part for part in around if part)


def strings(parts: Any, kind: str, key: str) -> list[str]:
    """The texts under a key of the parts of one kind; none are empty."""
    found = parts if isinstance(parts, list) else []
    said = [part.get(key) for part in found if isinstance(part, Mapping) and part.get("type") == kind]
    return [one for one in said if isinstance(one, str) and one]


def _refuse_halves(values: Sequence[Any]) -> None:
    try:
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidActionError("the reply holds half a character (a lone surrogate); write it again") from None
