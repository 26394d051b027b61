"""The dialect protocol: how a family of checkpoints is prompted and how its replies are parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actions import Action, Call, Screen, Step, UsageError
from model.engine.call_grammar import CallGrammar
from model.engine.point_uncertainty import POINT_PATTERN
from model.wire.tool_prompt import Syntax


@dataclass(frozen=True)
class HistoryStep:
    """An earlier step as it is shown to the model; its screenshot is part of the prompt only if `picture` is true."""

    step: Step
    picture: bool = False


Steps = Sequence[HistoryStep]
Verbs = frozenset[str]
Values = dict[str, object]  # of the arguments of a call, or of the attributes of an action
Calls = Sequence[tuple[str, Mapping[str, object]]]  # names and arguments


@dataclass(frozen=True)
class Conversation:
    """A prompt: messages of texts and screenshots, and schemas of functions for the checkpoint's chat template."""

    messages: tuple[dict[str, Any], ...]  # {"role", "content": [{"type": "text", "text"} | {"type": "image", "image"}]}
    tools: tuple[dict[str, Any], ...] = ()
    syntax: Syntax = "json"  # of calls, in a prompt whose chat template renders no tools
    thinking: bool | None = None  # enable_thinking of the chat template; None keeps the template's default


@dataclass(frozen=True)
class Detection:
    """What in a checkpoint's files names a dialect: texts of its chat template or model card, fields of config.json."""

    markers: tuple[tuple[str, ...], ...] = ()  # groups of texts; all of one group occur in files of this family only
    model_types: tuple[str, ...] = ()  # to which the markers are restricted
    other_model_types: tuple[str, ...] = ()  # for which the markers mean another dialect
    architectures: tuple[str, ...] = ()  # that this family alone has
    base_of: tuple[str, ...] = ()  # the model_types whose unchanged base model has this dialect
    nearest_of: tuple[str, ...] = ()  # the model_types without a dialect of their own that are most likely this family
    max_pixels: int = 0  # an image budget that only this family is run with; a hint, no proof

    def matches(self, text: str, model_type: str) -> bool:
        """Whether a text of a checkpoint names this dialect."""
        if model_type in self.other_model_types or (self.model_types and model_type not in self.model_types):
            return False
        return any(all(marker in text for marker in group) for group in self.markers)


@dataclass(frozen=True)
class PointSpan:
    """Where a reply writes a point: text[start:end], with the slices of its two numbers."""

    start: int
    end: int
    x: tuple[int, int]
    y: tuple[int, int]


class Dialect(Protocol):
    """Prompt, coordinate space and reply syntax of one family.

    Subclasses inherit: one action for each call; no grammar, schema, points or formatted replies.
    """

    prompt_hash: str
    point_pattern: str = POINT_PATTERN  # a regex for a point in a reply, with its two numbers as groups

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        """Return the prompt for the next step; `verbs` are those that the surface can perform."""
        ...

    def parse(self, text: str) -> Call:
        """Return the call in a reply, others being in its arguments, or raise InvalidActionError for the model."""
        ...

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the single action of a call, in screen pixels, or raise InvalidActionError for none or several."""
        ...

    def to_actions(self, call: Call, screen: Screen) -> tuple[Action, ...]:
        """Return the actions of a call and of those that follow it, or raise InvalidActionError if one is invalid."""
        return (self.to_action(call, screen),)

    def format_action(self, action: Action, screen: Screen) -> str:
        """Return the reply that stands for an action, or raise UsageError if the family cannot express it."""
        raise UsageError(f"{type(self).__name__} cannot write {action.verb}")

    def grammar(self, verbs: frozenset[str], screen: Screen) -> CallGrammar | None:
        """Return the grammar of the replies; None if there is none, and decoding is unconstrained."""
        return None

    def reply_schema(self, verbs: frozenset[str], screen: Screen) -> Mapping[str, object] | None:
        """Return the JSON schema of the replies; None where a reply is not a JSON document."""
        return None

    def supports(self, verb: str) -> bool:
        """Whether a reply can ask for an action of this verb."""
        return False

    def point_spans(self, text: str) -> tuple[PointSpan, ...]:
        """Return where a reply writes points as this family was trained to write them."""
        return ()

    def with_point(self, text: str, x: int, y: int, screen: Screen) -> str:
        """Return a reply with its first point replaced by a screen pixel."""
        return text
