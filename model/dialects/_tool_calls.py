"""Families that answer with a JSON function call: their schema, how their replies are read, what their actions mean.

A family gives a table of acts, each with its parameters and its meaning. Knows the form of the functions and of
<tool_call>; the names in them are facts of each family's own file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from actions import Call, InvalidActionError, Screen
from model.dialects._base import (
    NEXT_CALLS,
    BaseDialect,
    available_names,
    reject_unknown_arguments,
    seconds,
    unknown_action,
)
from model.dialects._coordinates import CoordinateMapper
from model.dialects._qwen25_functions import Arguments, show, sized
from model.wire.tool_call import ToolCallError, find_call
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN


@dataclass(frozen=True)
class CallArguments(Arguments):
    """A call's arguments, read strictly; points in the family's own space, boxes by their centres."""

    frame: CoordinateMapper = None  # type: ignore[assignment]
    thought: str = ""

    def point(self, key: str = "coordinate") -> tuple[int, int]:
        return self.frame.to_screen(self._need(key, "[x, y]"), key)

    def wait(self, *keys: str) -> dict[str, float]:
        key = next((one for one in keys if self.given.get(one) is not None), None)
        return {} if key is None else {"seconds": seconds(self.given[key], key)}

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false, which some families write as 1 or 0."""
        value = self.given.get(key, default)
        if value not in (0, 1):  # True and False are 1 and 0
            raise InvalidActionError(f"'{key}' must be true or false, not {show(value)}")
        return bool(value)

    def amount(self, key: str, most: int) -> int:
        value = self._number(key, "a number")
        if not 1 <= abs(value) <= most:
            raise InvalidActionError(f"'{key}' must be -{most} to {most} and not 0, not {show(value)}")
        return round(value)


@dataclass(frozen=True)
class ActionSpec:
    """One value of the enum `action`. It is offered where the surface has one of the verbs (none: it never is)."""

    verbs: tuple[str, ...]
    takes: tuple[str, ...]
    says: str
    means: Callable[[CallArguments], Any]


class ToolCallDialect(BaseDialect):
    """A family of one function for each tool, called in <tool_call>."""

    WHICH: ClassVar[str] = "action"  # the argument that says which act is called
    ACTS: ClassVar[Mapping[str, Mapping[str, ActionSpec]]] = {}
    PARAMETERS: ClassVar[Mapping[str, Mapping[str, dict[str, Any]]]] = {}
    DESCRIPTION: ClassVar[Mapping[str, str]] = {}

    def schema(self, verbs: frozenset[str], size: tuple[int, int]) -> dict[str, Any]:
        """The function, for what the verbs can do and a picture of that size."""
        acts = self.ACTS[self.tool]
        names = available_names({name: act.verbs for name, act in acts.items()}, verbs)
        used = {key for name in names for key in acts[name].takes}
        choices = "\n".join(f"* `{name}`: {acts[name].says}" for name in names)
        which = {"description": f"What to do:\n{choices}", "enum": names, "type": "string"}
        others = {key: one for key, one in self.PARAMETERS[self.tool].items() if key in used}
        return {
            "type": "function",
            "function": {
                "name": self.tool,
                "description": sized(self.DESCRIPTION[self.tool], size),
                "parameters": {
                    "properties": {self.WHICH: which, **others},
                    "required": [self.WHICH],
                    "type": "object",
                },
            },
        }

    def tools(self, verbs: frozenset[str], size: tuple[int, int]) -> tuple[dict[str, Any], ...]:
        """The schema, unless the person's prompt brings its own."""
        return () if self.prompt is not None and "<tools>" in self.prompt else (self.schema(verbs, size),)

    def parse_call(self, text: str) -> Call:
        try:
            found = find_call(text)
        except ToolCallError as error:
            form = f'{CALL_OPEN}{{"name": "{self.tool}", "arguments": {{"action": <action>, ...}}}}{CALL_CLOSE}'
            raise InvalidActionError(f"{error}; the reply must hold {form}") from None
        if found.name is not None and found.name != self.tool:
            raise InvalidActionError(f"there is no function {show(found.name)}; the one function is {self.tool}")
        if NEXT_CALLS in found.arguments:
            raise InvalidActionError(f"{self.tool} takes no {NEXT_CALLS!r}")
        return Call(self.tool, found.arguments, found.thought)

    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        if name != self.tool:
            raise InvalidActionError(f"there is no function {show(name)}; the one function is {self.tool}")
        acts = self.ACTS[self.tool]
        action = arguments.get(self.WHICH)
        if not isinstance(action, str) or action not in acts:
            raise unknown_action(action, [one for one, act in acts.items() if act.says])
        reject_unknown_arguments(action, arguments, (self.WHICH, *acts[action].takes))
        return acts[action].means(CallArguments(action, arguments, frame.screen, frame.shown, frame, thought))

    def called(self, action: str, **arguments: Any) -> str:
        """A call as the family writes it."""
        call = {"name": self.tool, "arguments": {"action": action, **arguments}}
        return f"{CALL_OPEN}\n{json.dumps(call, ensure_ascii=False)}\n{CALL_CLOSE}"

    def at(self, screen: Screen, point: tuple[int, int], key: str = "coordinate") -> dict[str, Any]:
        return {key: list(self.frame(screen).to_model(*point))}
