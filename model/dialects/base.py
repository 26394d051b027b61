"""What a dialect is: how one family of checkpoints is asked and how it answers. The families live in model/dialects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actions import Call, Screen, Step


@dataclass(frozen=True)
class HistoryStep:
    """An earlier step as the model is shown it: its words always, its picture only where picture is true."""

    step: Step
    picture: bool = False


@dataclass(frozen=True)
class Conversation:
    """What is said to the model.

    messages: [{"role", "content": [{"type": "image", "image": Screen} | {"type": "text", "text": str}]}];
    tools: JSON function schemas, rendered by the checkpoint's chat template where it can.
    """

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Example:
    """A reply, and the action it means on a screen of the given (width, height)."""

    text: str
    screen_size: tuple[int, int]
    action: Any


class Dialect(Protocol):
    """Prompt, coordinate space and syntax of one family. Knows text and numbers; knows no tensors."""

    prompt_hash: str

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation: ...

    def parse(self, text: str) -> Call:
        """The one call in a reply; BadCall, in a sentence the model can act on, when there is none."""
        ...

    def to_action(self, call: Call, screen: Screen) -> Any:
        """The Action that a call means, in pixels of the screen; BadCall when it means none."""
        ...


def to_actions(dialect: Dialect, call: Call, screen: Screen) -> tuple[Any, ...]:
    """All that a call means, one Action after the other: of most dialects the one of ground.

    Families whose replies hold several actions, or whose calls mean several, say them in a method `actions`; their
    ground gives the one action of the first call. All are in pixels of the same screen.
    """
    several = getattr(dialect, "to_actions", None)
    return (dialect.to_action(call, screen),) if several is None else tuple(several(call, screen))
