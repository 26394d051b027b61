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

from actions import ACTION_TYPES, CONTROL_ACTIONS, Action, Call, InvalidActionError, Reply, Screen, Step, UsageError
from model.dialects.base import Calls, Conversation, Detection, Dialect, HistoryStep, PointSpan, Steps, Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import RESIZED_PIXELS, CoordinateMapper, CoordinateSpace
from model.dialects.parts.history import Message, chat_turns, escape, join_texts, message, outcome_text
from model.dialects.parts.schema import Schema
from model.dialects.parts.table import Actions, ActionTable
from model.engine.call_grammar import CallGrammar
from model.processing.image import ImageLimits
from model.wire.points import show
from model.wire.tool_prompt import Syntax, tools_block

NEXT_CALLS = "then"  # the argument that holds the calls that follow in the reply
MAX_ACTIONS = 60
PROMPTS = Path(__file__).parent.parent / "prompts"
LONE_SURROGATE = "the reply holds half a character (a lone surrogate); write it again"


class BaseDialect(Dialect):
    """A dialect with an action table for each of its tools.

    Args:
        limits: the image budget.
        tool: which of ACTIONS the model is prompted for; "" for the first.
        prompt: replaces the built-in prompt; names in braces that the family fills in ({goal}, {width}, ...) work too.
        history: which of HISTORIES lays out earlier steps; "" for the first.
    """

    NAME: ClassVar[str] = ""
    DETECTION: ClassVar[Detection] = Detection()
    HISTORIES: ClassVar[tuple[str, ...]] = ("turns",)
    SPACE: ClassVar[CoordinateSpace] = RESIZED_PIXELS
    ACTIONS: ClassVar[Mapping[str, ActionTable]] = {}  # by tool
    SYSTEM: ClassVar[str | Mapping[str, str]] = ""  # the built-in prompt, or that of each tool
    ROLE: ClassVar[str] = "system"  # of the message that holds the prompt
    SYNTAX: ClassVar[Syntax] = "json"  # of function calls
    TOOLS_IN_SYSTEM: ClassVar[bool] = False  # whether the prompt lists the functions, whatever the chat template does
    THINKING: ClassVar[bool | None] = None  # enable_thinking of the chat template; None keeps its default
    PICTURES: ClassVar[int] = 3  # earlier screenshots in the prompt, where a checkpoint's settings state no number
    GOAL: ClassVar[tuple[str, ...]] = ()  # names for the goal, of which a replaced prompt must hold one
    point_pattern: str = r"[(\[]\s*(\d+)\s*,\s*(\d+)\s*[)\]]"  # a point in a reply, with its two numbers as groups

    def __init__(self, limits: ImageLimits, tool: str = "", prompt: str | None = None, history: str = "") -> None:
        for setting, value, options in (("tool", tool, tuple(self.ACTIONS)), ("history", history, self.HISTORIES)):
            if value and value not in options:
                raise UsageError(f"{setting} of dialect {self.NAME} must be {' or '.join(options)}, not {value!r}")
        if prompt is not None and not prompt.strip():
            raise UsageError("the prompt is empty; write the system text in it, or omit it to use the built-in one")
        if prompt is not None and self.GOAL and not any("{" + name + "}" in prompt for name in self.GOAL):
            raise UsageError(
                f"the prompt of dialect {self.NAME} must say where the task goes; write {{{self.GOAL[0]}}} there"
            )
        self.limits, self.prompt = limits, prompt
        self.tool, self.history = tool or next(iter(self.ACTIONS)), history or self.HISTORIES[0]
        self._cached_grammar = lru_cache(maxsize=64)(self._grammar_for_size)
        self.prompt_hash = self._fingerprint()

    @property
    def table(self) -> ActionTable:
        """The action table of the tool."""
        return self.ACTIONS[self.tool]

    @property
    def built_in(self) -> str:
        """The built-in prompt of the tool."""
        return self.SYSTEM if isinstance(self.SYSTEM, str) else self.SYSTEM[self.tool]

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        goal = escape(goal)
        prompt = self.render_prompt(self.built_in, **self.prompt_values(goal, screen, verbs))
        tools = self.tools(verbs, self.size(screen))
        if self.TOOLS_IN_SYSTEM:
            prompt, tools = join_texts(prompt, tools_block(tools, self.SYNTAX), separator="\n\n"), ()
        messages = (message(self.ROLE, prompt), *self.turns(goal, steps, screen))
        return Conversation(messages, tools, self.SYNTAX, self.THINKING)

    def prompt_values(self, goal: str, screen: Screen, verbs: Verbs) -> Mapping[str, object]:
        """Return the values for the names in braces of the prompt."""
        return dict(zip(("width", "height"), self.size(screen), strict=True))

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        """Return the messages after the prompt."""
        return chat_turns(goal, steps, screen, self.next_text)

    def next_text(self, step: Step) -> str:
        """Return the user's text after a step."""
        return outcome_text(step)

    def tools(self, verbs: Verbs, size: tuple[int, int]) -> tuple[Schema, ...]:
        """Return the schemas of the functions, for a surface with these verbs and a screenshot of that size."""
        return ()

    def parse_call(self, text: str) -> Call:
        """Return the call in a reply that is valid Unicode, or raise InvalidActionError."""
        raise NotImplementedError  # each syntax overrides it

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        """Return the actions of one call, mostly one, or raise InvalidActionError."""
        return self.table.to_actions(self.table.find(name), Arguments(name, arguments, mapper, thought, lenient=True))

    def write_call(self, name: str, values: Values) -> str:
        """Return a call as the family writes it; only what `format_action` needs."""
        raise NotImplementedError  # overridden wherever format_action uses it

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        """Return the grammar of the replies; `verbs` include the control actions."""
        return None

    def parse(self, text: str) -> Call:
        check_surrogates(text)
        return self.parse_call(text)

    def to_actions(self, call: Call, screen: Screen) -> Actions:
        calls = [(call.name, _own_arguments(call.arguments)), *_next_calls(call)]
        return self.merge_calls(calls, self.mapper(screen), call.thought)

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the only action of a call, without those that follow it."""
        actions = self.merge_calls([(call.name, _own_arguments(call.arguments))], self.mapper(screen), call.thought)
        if len(actions) != 1:
            verbs = ", ".join(action.verb for action in actions[:6])
            raise InvalidActionError(
                f"{show(call.name)} asks for {len(actions)} actions at once ({verbs}); ask for one at a time"
            )
        return actions[0]

    def merge_calls(self, calls: Calls, mapper: CoordinateMapper, thought: str) -> Actions:
        """Return the actions of consecutive calls."""
        actions: list[Action] = []
        for name, arguments in calls:
            actions += self.actions_of(name, arguments, mapper, thought)
            check_count(len(actions))
        return tuple(actions)

    def format_action(self, action: Action, screen: Screen) -> str:
        return self.write_call(*self.call_for(action, screen))

    def call_for(self, action: Action, screen: Screen) -> tuple[str, Values]:
        """Return the name and the arguments of the call for an action, or raise UsageError."""
        call = self.table.format(action, self.mapper(screen))
        if call is None:
            raise self.unsupported(action)
        return call

    def grammar(self, verbs: Verbs, screen: Screen) -> CallGrammar | None:
        return self._cached_grammar(verbs | CONTROL_ACTIONS, screen.width, screen.height)

    def supports(self, verb: str) -> bool:
        return any(verb in (row.verb, *row.verbs) for row in self.table.rows.values())

    def point_spans(self, text: str) -> tuple[PointSpan, ...]:
        matches = re.finditer(self.point_pattern, text)
        return tuple(PointSpan(*match.span(), match.span(1), match.span(2)) for match in matches)

    def with_point(self, text: str, x: int, y: int, screen: Screen) -> str:
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

    def _grammar_for_size(self, verbs: Verbs, width: int, height: int) -> CallGrammar | None:
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
        return hash_prompt([[prompt.messages, prompt.tools] for prompt in prompts])


def hash_prompt(prompt: object) -> str:
    """Return the sha256 of messages and schemas, whatever their screenshots."""
    return hashlib.sha256(json.dumps(prompt, default=lambda _: "picture").encode()).hexdigest()


def load_prompt(name: str) -> str:
    """Return a built-in prompt from the folder `prompts`, without the line break at its end."""
    return (PROMPTS / f"{name}.md").read_text(encoding="utf-8").removesuffix("\n")


def chain_calls(calls: Calls, thought: str) -> Call:
    """Return the first call, with the others in its arguments."""
    (name, arguments), *others = calls
    then = {NEXT_CALLS: [{"name": other, "arguments": dict(values)} for other, values in others]} if others else {}
    return Call(name, {**arguments, **then}, thought)


def _own_arguments(arguments: Mapping[str, object]) -> Values:
    return {key: value for key, value in arguments.items() if key != NEXT_CALLS}


def _next_calls(call: Call) -> Calls:
    values, calls = call.arguments.get(NEXT_CALLS) or (), []
    for value in values if isinstance(values, (list, tuple)) else [None]:
        match value:
            case {"name": str(name), "arguments": Mapping() as arguments}:
                calls.append((name, _own_arguments(arguments)))
            case _:
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
