"""The base class of dialects: settings, prompts, calls of several actions, and what follows from an action table.

A reply may hold several calls, and one call may stand for several actions (click a field, clear it, type, press
enter). `parse` returns the first call, with the others under "then" in its arguments.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from actions import (
    ACTION_TYPES,
    CONTROL_ACTIONS,
    Action,
    Call,
    InvalidActionError,
    Reply,
    Screen,
    Step,
    UsageError,
    make_action,
)
from model.dialects.base import Detection, Dialect, HistoryStep, PointSpan
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import RESIZED_PIXELS, CoordinateMapper, CoordinateSpace
from model.dialects.parts.fields import Values
from model.dialects.parts.table import ActionTable, Result
from model.engine.call_grammar import CallGrammar
from model.processing.image import ImageLimits
from model.wire.points import show

NEXT_CALLS = "then"  # the argument that holds the calls that follow in the reply
MAX_ACTIONS = 60
PROMPTS = Path(__file__).parent.parent / "prompts"
LONE_SURROGATE = "the reply holds half a character (a lone surrogate); write it again"


class BaseDialect(Dialect):
    """A dialect with an action table for each of its tools.

    Args:
        limits: the image budget.
        tool: which of TOOLS the model is prompted for; "" for the first.
        prompt: replaces the built-in prompt; names in braces that the family fills in ({goal}, {width}, ...) work too.
        history: which of HISTORIES lays out earlier steps; "" for the first.
    """

    NAME: ClassVar[str] = ""
    FAMILY: ClassVar[str] = ""
    DETECTION: ClassVar[Detection] = Detection()
    TOOLS: ClassVar[tuple[str, ...]] = ("computer_use",)
    HISTORIES: ClassVar[tuple[str, ...]] = ("turns",)
    SPACE: ClassVar[CoordinateSpace] = RESIZED_PIXELS
    ACTIONS: ClassVar[Mapping[str, ActionTable]] = {}
    GOAL: ClassVar[tuple[str, ...]] = ()  # names for the goal, of which a replaced prompt must hold one
    point_pattern: str = r"[(\[]\s*(\d+)\s*,\s*(\d+)\s*[)\]]"  # a point in a reply, with its two numbers as groups

    def __init__(self, limits: ImageLimits, tool: str = "", prompt: str | None = None, history: str = "") -> None:
        for setting, value, options in (("tool", tool, self.TOOLS), ("history", history, self.HISTORIES)):
            if value and value not in options:
                raise UsageError(f"{setting} of dialect {self.NAME} must be {' or '.join(options)}, not {value!r}")
        if prompt is not None and not prompt.strip():
            raise UsageError("the prompt is empty; write the system text in it, or omit it to use the built-in one")
        if prompt is not None and self.GOAL and not any("{" + name + "}" in prompt for name in self.GOAL):
            raise UsageError(
                f"the prompt of dialect {self.NAME} must say where the task goes; write {{{self.GOAL[0]}}} there"
            )
        self.limits, self.prompt = limits, prompt
        self.tool, self.history = tool or self.TOOLS[0], history or self.HISTORIES[0]
        self._cached_grammar = lru_cache(maxsize=64)(self._grammar_for_size)
        self.prompt_hash = self._fingerprint()

    @property
    def table(self) -> ActionTable:
        """The action table of the tool."""
        return self.ACTIONS[self.tool]

    def parse_call(self, text: str) -> Call:
        """Return the call in a reply that is valid Unicode, or raise InvalidActionError."""
        raise NotImplementedError  # each syntax overrides it

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Result:
        """Return the action of one call, or several, or raise InvalidActionError."""
        return self.table.to_actions(self.table.find(name), Arguments(name, arguments, mapper, thought, lenient=True))

    def write_call(self, name: str, values: Values) -> str:
        """Return a call as the family writes it; only what `format_action` needs."""
        raise NotImplementedError  # overridden wherever format_action uses it

    def build_grammar(self, verbs: frozenset[str], mapper: CoordinateMapper) -> CallGrammar | None:
        """Return the grammar of the replies; `verbs` include the control actions."""
        return None

    def parse(self, text: str) -> Call:
        """Return the call in a reply, or raise InvalidActionError."""
        check_surrogates(text)
        return self.parse_call(text)

    def to_actions(self, call: Call, screen: Screen) -> tuple[Action, ...]:
        """Return all actions of a call and of those that follow it, in screen pixels."""
        calls = [(call.name, call.arguments), *_next_calls(call)]
        return self.merge_calls(calls, self.mapper(screen), call.thought)

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the only action of a call, without those that follow it."""
        actions = self.merge_calls([(call.name, call.arguments)], self.mapper(screen), call.thought)
        if len(actions) != 1:
            verbs = ", ".join(action.verb for action in actions[:6])
            raise InvalidActionError(
                f"{show(call.name)} asks for {len(actions)} actions at once ({verbs}); ask for one at a time"
            )
        return actions[0]

    def merge_calls(
        self, calls: Sequence[tuple[str, Mapping[str, object]]], mapper: CoordinateMapper, thought: str
    ) -> tuple[Action, ...]:
        """Return the actions of consecutive calls."""
        actions: list[Action] = []
        for name, arguments in calls:
            own = {key: value for key, value in arguments.items() if key != NEXT_CALLS}
            result = self.actions_of(name, own, mapper, thought)
            actions += result if isinstance(result, tuple) else (result,)
            check_count(len(actions))
        return tuple(actions)

    def format_action(self, action: Action, screen: Screen) -> str:
        """Return the reply that stands for an action, or raise UsageError."""
        return self.write_call(*self.call_for(action, screen))

    def call_for(self, action: Action, screen: Screen) -> tuple[str, Values]:
        """Return the name and the arguments of the call for an action, or raise UsageError."""
        call = self.table.format(action, self.mapper(screen))
        if call is None:
            raise self.unsupported(action)
        return call

    def grammar(self, verbs: frozenset[str], screen: Screen) -> CallGrammar | None:
        """Return the grammar of the replies on a screen; None if decoding is unconstrained."""
        return self._cached_grammar(verbs | CONTROL_ACTIONS, screen.width, screen.height)

    def supports(self, verb: str) -> bool:
        """Whether a reply can ask for an action of this verb."""
        return any(verb in (row.verb, *row.verbs) for row in self.table.rows.values())

    def point_spans(self, text: str) -> tuple[PointSpan, ...]:
        """Return where a reply writes points."""
        return tuple(
            PointSpan(*match.span(), match.span(1), match.span(2)) for match in re.finditer(self.point_pattern, text)
        )

    def with_point(self, text: str, x: int, y: int, screen: Screen) -> str:
        """Return a reply with its first point replaced by a screen pixel."""
        span = self.point_spans(text)[0]
        model_x, model_y = self.mapper(screen).to_model(x, y)
        return f"{text[: span.x[0]]}{model_x}{text[span.x[1] : span.y[0]]}{model_y}{text[span.y[1] :]}"

    def mapper(self, screen: Screen) -> CoordinateMapper:
        return CoordinateMapper(self.SPACE, screen, self.size(screen))

    def size(self, screen: Screen) -> tuple[int, int]:
        """Return the (width, height) at which the model sees a screen."""
        return self.limits.resized(screen.width, screen.height)

    def render_prompt(self, built_in: str, **values: object) -> str:
        """Return the built-in or the replaced prompt, with values for the names in braces."""
        text = built_in if self.prompt is None else self.prompt.strip()
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def unsupported(self, action: Action) -> UsageError:
        return UsageError(f"dialect {self.NAME} has no words for {action!r:.100}; it has other verbs or other fields")

    def _grammar_for_size(self, verbs: frozenset[str], width: int, height: int) -> CallGrammar | None:
        screen = Screen(np.broadcast_to(np.uint8(0), (height, width, 3)), timestamp=0.0)
        return self.build_grammar(verbs, self.mapper(screen))

    def _fingerprint(self) -> str:
        """Return the sha256 of the prompts of a sample run; the image budget does not change it."""
        limits, self.limits = self.limits, ImageLimits()
        screen = Screen(np.zeros((56, 56, 3), np.uint8), timestamp=0.0)
        call = Call("x", {"action": "wait"}, "thought")
        steps = [
            HistoryStep(Step(1, screen, Reply("reply"), call, notice="note"), picture=True),
            HistoryStep(Step(2, screen, Reply("reply"), error="error")),
        ]
        prompts = [self.conversation("goal", some, screen, frozenset(ACTION_TYPES)) for some in ([], steps)]
        self.limits = limits
        text = json.dumps([[prompt.messages, prompt.tools] for prompt in prompts], default=lambda _: "picture")
        return hashlib.sha256(text.encode()).hexdigest()


def load_prompt(name: str) -> str:
    """Return a built-in prompt from the folder `prompts`."""
    return (PROMPTS / f"{name}.md").read_text(encoding="utf-8")


def chain_calls(calls: Sequence[tuple[str, Mapping[str, object]]], thought: str) -> Call:
    """Return the first call, with the others in its arguments."""
    (name, arguments), *others = calls
    then = {NEXT_CALLS: [{"name": other, "arguments": dict(values)} for other, values in others]} if others else {}
    return Call(name, {**arguments, **then}, thought)


def _next_calls(call: Call) -> list[tuple[str, Mapping[str, object]]]:
    values = call.arguments.get(NEXT_CALLS) or ()
    calls = [
        (value["name"], value["arguments"])
        for value in (values if isinstance(values, (list, tuple)) else ())
        if isinstance(value, Mapping)
        and isinstance(value.get("name"), str)
        and isinstance(value.get("arguments"), Mapping)
    ]
    if not isinstance(values, (list, tuple)) or len(calls) != len(values):
        raise InvalidActionError(f"'{NEXT_CALLS}' must be a list of calls, not {show(values)}")
    return calls


def check_count(count: int, items: str = "actions") -> None:
    """Raise InvalidActionError when a reply asks for too many actions."""
    if count > MAX_ACTIONS:
        raise InvalidActionError(f"the reply asks for more than {MAX_ACTIONS} {items}; ask for fewer at a time")


def check_surrogates(value: object) -> None:
    """Raise InvalidActionError if a text, or any text in a JSON value, holds half of a character."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidActionError(LONE_SURROGATE) from None


def click(point: tuple[int, int], **attributes: object) -> Action:
    """Return a click at a point."""
    return make_action("click", x=point[0], y=point[1], **attributes)


def type_actions(
    *, text: str, place: tuple[int, int] | None = None, clear: bool = False, enter: bool = False
) -> Result:
    """Return the actions that click a field, clear it, type, and press Enter."""
    cleared = [make_action("press", keys=("ctrl", "a")), make_action("press", keys=("backspace",))] if clear else []
    typed = make_action("type", text=f"{text}\n" if enter and not text.endswith("\n") else text)
    actions = (*([click(place)] if place else []), *cleared, typed)
    return actions if len(actions) > 1 else typed
