"""Reply, Call and Step: what history is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from actions.screen import Screen


@dataclass(frozen=True)
class Reply:
    """The policy's own words, before anybody read them.

    prompt is the text that the model was shown (pictures as placeholders); pictures are the digests of the Screens in
    it, in order; timings_s names seconds by phase. looks: of each time that the model looked and pointed, where and how
    surely, in its own pixels: x, y, x_px and y_px (the spread), probability, and what else is known of that look.
    doubt: what a person who is there should know before it is done; "" where the policy is sure enough.
    """

    text: str
    prompt: str = ""
    prompt_tokens: int = 0
    reply_tokens: int = 0
    timings_s: Mapping[str, float] = field(default_factory=dict)
    image_digests: tuple[str, ...] = ()
    localizations: tuple[Mapping[str, Any], ...] = ()
    uncertainty: str = ""


@dataclass(frozen=True)
class Call:
    """One function call as the model said it: coordinates still in the model's own space."""

    name: str
    arguments: Mapping[str, Any]
    thought: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))


@dataclass(frozen=True)
class Step:
    """One turn: what was seen, said, done, and what came of it.

    actions are all that the reply meant and that were tried, in order; action is the last of them, None when the reply
    meant none. error holds the sentence that the model reads next turn: of a BadCall, or of an action not done.
    note is what the machine said beyond its pixels; reward is the environment's for this step.
    """

    index: int
    screen: Screen
    reply: Reply
    call: Call | None = None
    action: Any = None
    error: str = ""
    notice: str = ""
    reward: float = 0.0
    seconds: float = 0.0
    actions: tuple[Any, ...] = ()


def merge_parts(parts: Sequence[Step]) -> Step:
    """The parts of one turn as one Step: actions in order, notes one below the other, rewards and seconds summed."""
    return replace(
        parts[-1],
        notice="\n".join(part.notice for part in parts if part.notice),
        reward=sum(part.reward for part in parts),
        seconds=sum(part.seconds for part in parts),
        actions=tuple(part.action for part in parts if part.action is not None),
    )
