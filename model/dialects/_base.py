"""What the families in this folder share: their settings, their turns, and calls that mean several actions.

A reply may hold several calls, and one call may mean several actions (click a field, empty it, type, press enter).
`parse` gives one Call, the first, with the others under "then" in its arguments; `actions` gives all that it means;
`ground` gives the one action of the first call, and is a BadCall where this call means several.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from actions import (
    ACTION_TYPES,
    CONTROL_ACTIONS,
    Call,
    InvalidActionError,
    Reply,
    Screen,
    Step,
    UsageError,
    make_action,
)
from model.dialects._coordinates import RESIZED_PIXELS, CoordinateMapper, CoordinateSpace
from model.dialects._qwen25_functions import MAX_WAIT_S, show
from model.dialects.base import Conversation, HistoryStep
from model.processing.image import ImageLimits
from model.wire.tool_prompt import RESPONSE_CLOSE, RESPONSE_OPEN

NEXT_CALLS = "then"  # the key under which a call's arguments hold the calls that follow it in the reply
MOST_ACTIONS = 60
SELECT_ALL = ("ctrl", "a")
Parts = list[dict[str, Any]]


class BaseDialect(ABC):
    """One family: a subclass says how it asks, how it is read and what its calls mean.

    prompt: a text instead of our sentences (the authors' own, say); names in braces that the family knows ({goal},
    {width}, {height} and those of its authors) are filled in. tool and history: "" for the family's first.
    """

    NAME = ""
    TOOLS: tuple[str, ...] = ("computer_use",)
    HISTORIES: tuple[str, ...] = ("turns",)
    SPACE: CoordinateSpace = RESIZED_PIXELS
    GOAL: tuple[str, ...] = ()  # where the prompt is the turn that names the task: the braces it may stand in

    def __init__(self, limits: ImageLimits, tool: str = "", prompt: str | None = None, history: str = "") -> None:
        for what, value, known in (("tool", tool, self.TOOLS), ("history", history, self.HISTORIES)):
            if value and value not in known:
                raise UsageError(f"{what} of dialect {self.NAME} must be {' or '.join(known)}, not {value!r}")
        if prompt is not None and not prompt.strip():
            raise UsageError(
                "the prompt is empty; write the system text in it, or leave it out to use the built-in one"
            )
        if prompt is not None and self.GOAL and not any("{" + name + "}" in prompt for name in self.GOAL):
            raise UsageError(
                f"the prompt of dialect {self.NAME} must say where the task goes; write {{{self.GOAL[0]}}} there"
            )
        self.limits, self.prompt = limits, prompt
        self.tool, self.history = tool or self.TOOLS[0], history or self.HISTORIES[0]
        self.prompt_hash = self._fingerprint()

    # --- what a family says for itself ---

    @abstractmethod
    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        """The messages that ask for the next step, as the family was trained on them."""

    @abstractmethod
    def parse_call(self, text: str) -> Call:
        """The call in a reply; BadCall when there is none."""

    @abstractmethod
    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        """The Action that one call means, or a tuple of several; BadCall when it means none."""

    @abstractmethod
    def format_action(self, action: Any, screen: Screen) -> str:
        """The reply that means an Action; UsageError where the family has no words for it."""

    # --- what they share ---

    def parse(self, text: str) -> Call:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidActionError("the reply holds half a character (a lone surrogate); write it again") from None
        return self.parse_call(text)

    def to_actions(self, call: Call, screen: Screen) -> tuple[Any, ...]:
        """All that a call means, one Action after the other, each in pixels of the same screen."""
        frame = self.frame(screen)
        calls = [(call.name, call.arguments)]
        calls += [(one["name"], one["arguments"]) for one in _followers(call)]
        return self.merge_calls(calls, frame, call.thought)

    def to_action(self, call: Call, screen: Screen) -> Any:
        found = self.merge_calls([(call.name, call.arguments)], self.frame(screen), call.thought)
        if len(found) != 1:
            words = ", ".join(one.verb for one in found[:6])
            raise InvalidActionError(
                f"{show(call.name)} asks for {len(found)} actions at once ({words}); ask for one at a time"
            )
        return found[0]

    def merge_calls(
        self, calls: Sequence[tuple[str, Mapping[str, Any]]], frame: CoordinateMapper, thought: str
    ) -> tuple[Any, ...]:
        """The actions of some calls in their order."""
        found: list[Any] = []
        for name, arguments in calls:
            meant = self.to_actions_of(
                name, {key: one for key, one in arguments.items() if key != NEXT_CALLS}, frame, thought
            )
            found += meant if isinstance(meant, tuple) else (meant,)
            if len(found) > MOST_ACTIONS:
                raise InvalidActionError(
                    f"the reply asks for more than {MOST_ACTIONS} actions; ask for fewer at a time"
                )
        return tuple(found)

    def frame(self, screen: Screen) -> CoordinateMapper:
        return CoordinateMapper(self.SPACE, screen, self.size(screen))

    def size(self, screen: Screen) -> tuple[int, int]:
        return self.limits.resized(screen.width, screen.height)

    def render_prompt(self, ours: str, **values: Any) -> str:
        """Our text, or the person's prompt in its place, with the values in the braces that name them."""
        text = ours if self.prompt is None else self.prompt.strip()
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def _fingerprint(self) -> str:
        """sha256 of all that the model is told, shown on an invented run; the picture budget has no part in it."""
        own, self.limits = self.limits, ImageLimits()
        screen = Screen(np.zeros((56, 56, 3), np.uint8), timestamp=0.0)
        steps = [
            HistoryStep(
                Step(1, screen, Reply("reply"), Call("x", {"action": "wait"}, "thought"), notice="note"), picture=True
            ),
            HistoryStep(Step(2, screen, Reply("reply"), error="error")),
        ]
        talks = [self.conversation("goal", some, screen, frozenset(ACTION_TYPES)) for some in ([], steps)]
        self.limits = own
        told = json.dumps([[talk.messages, talk.tools] for talk in talks], default=lambda _: "picture")
        return hashlib.sha256(told.encode()).hexdigest()


def _followers(call: Call) -> Sequence[Mapping[str, Any]]:
    followers = call.arguments.get(NEXT_CALLS, ())
    whole = isinstance(followers, (list, tuple)) and all(
        isinstance(one, Mapping) and isinstance(one.get("name"), str) and isinstance(one.get("arguments"), Mapping)
        for one in followers
    )
    if not whole:
        raise InvalidActionError(f"'{NEXT_CALLS}' must be a list of calls, not {show(followers)}")
    return cast(Sequence[Mapping[str, Any]], followers)


def chain_calls(calls: Sequence[tuple[str, Mapping[str, Any]]], thought: str) -> Call:
    """Calls as one: the first, and the others under THEN."""
    (name, arguments), *others = calls
    then = {NEXT_CALLS: [{"name": other, "arguments": dict(given)} for other, given in others]} if others else {}
    return Call(name, {**arguments, **then}, thought)


# --- turns ---


def text_part(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image_part(screen: Screen) -> dict[str, Any]:
    return {"type": "image", "image": screen}


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": [part for part in parts if part.get("text") != ""]}


def escape(words: str) -> str:
    """Words of a person, a page or the model as plain words: the chat's marks and the response tag lose their form."""
    for mark in ("<|", RESPONSE_OPEN, RESPONSE_CLOSE):
        words = words.replace(mark, f"< {mark[1:]}")
    return words


def outcome_text(step: Step) -> str:
    """What the model must know of a step that its next picture does not show; "" mostly."""
    parts = [f"Not done: {step.error}." if step.error else "", step.notice]
    return escape(" ".join(part for part in parts if part))


# --- what calls mean ---


def click(at: tuple[int, int], **how: Any) -> Any:
    return make_action("click", x=at[0], y=at[1], **how)


def drag(*path: tuple[int, int]) -> Any:
    return make_action("drag", path=path)


def clear_field() -> tuple[Any, ...]:
    """Empty the field that has the focus."""
    return make_action("press", keys=SELECT_ALL), make_action("press", keys=("backspace",))


def type_and_enter(words: str) -> Any:
    """Type a text and press enter."""
    return make_action("type", text=words if words.endswith("\n") else words + "\n")


def scroll_page(direction: str, screen: Screen, at: tuple[int, int] | None = None) -> Any:
    """Scroll by about what the screen shows: families that give no amount mean a page."""
    notches = {"down": (screen.height, "down", 1), "up": (screen.height, "down", -1)}
    notches |= {"right": (screen.width, "right", 1), "left": (screen.width, "right", -1)}
    pixels, axis, sign = notches[direction]
    where = {} if at is None else {"x": at[0], "y": at[1]}
    return make_action("scroll", **where, **{axis: sign * min(100, max(1, round(pixels / 100)))})


def seconds(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_WAIT_S:
        raise InvalidActionError(f"'{key}' must be 0 to {MAX_WAIT_S} seconds, not {show(value)}")
    return float(value)


def string_argument(arguments: Mapping[str, Any], *keys: str, default: str | None = None) -> str:
    """The string under the first of the keys that is there; a number that stands for a text is taken as it is."""
    for key in keys:
        value = arguments.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            return str(value)  # content=2024: a bare word that happens to be a number
        if value is not None:
            raise InvalidActionError(f"'{key}' must be a string, not {show(value)}")
    if default is None:
        raise InvalidActionError(f"'{keys[0]}' is missing: a string")
    return default


def choice(arguments: Mapping[str, Any], key: str, options: Sequence[str], default: str | None = None) -> str:
    value = arguments.get(key, default)
    plain_value = value.strip().lower() if isinstance(value, str) else value
    if plain_value not in options:
        raise InvalidActionError(f"'{key}' must be one of {', '.join(options)}, not {show(value)}")
    return str(plain_value)


def reject_unknown_arguments(name: str, arguments: Mapping[str, Any], takes: Sequence[str]) -> None:
    """BadCall for an argument that a call does not take: it may change what was meant. Empty ones say nothing."""
    for key, value in arguments.items():
        if key not in takes and value not in (None, "", 0, False) and value != []:
            known = ", ".join(f"'{one}'" for one in takes) or "nothing"
            raise InvalidActionError(f"{name} takes {known} only, not {show(key)}; do that in a call of its own")


def unknown_action(name: Any, known: Sequence[str], what: str = "action") -> InvalidActionError:
    near = difflib.get_close_matches(name[:40], known, n=1) if isinstance(name, str) else []
    hint = f"did you mean '{near[0]}'?" if near else f"the {what}s are {', '.join(known)}"
    return InvalidActionError(f"there is no {what} {show(name)}; {hint}")


def available_names(acts: Mapping[str, tuple[str, ...]], verbs: frozenset[str]) -> list[str]:
    """The names whose verb the surface has, in their order; a name without verbs is never offered."""
    able = verbs | CONTROL_ACTIONS
    return [name for name, needs in acts.items() if able.intersection(needs)]


def unsupported_action(family: BaseDialect, action: Any) -> UsageError:
    return UsageError(f"dialect {family.NAME} has no words for {action!r:.100}; it has other verbs or other fields")
