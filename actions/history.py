"""Records of a run: a policy's reply, the call in it, and the step it led to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from actions.screen import Screen
from actions.types import Action


@dataclass(frozen=True)
class Reply:
    """A policy's reply, as text, before it is parsed."""

    text: str
    prompt: str = ""  # the rendered prompt, with placeholders for images
    prompt_tokens: int = 0
    reply_tokens: int = 0
    timings_s: Mapping[str, float] = field(default_factory=dict)  # seconds by phase
    image_digests: tuple[str, ...] = ()  # Screen.digest of each image in the prompt, in order
    localizations: tuple[Mapping[str, object], ...] = ()  # one per predicted point: x, y, x_px, y_px, probability, ...
    uncertainty: str = ""  # why the predicted point is uncertain, for the user; "" when it is not
    is_truncated: bool = False  # cut off by the token limit


@dataclass(frozen=True)
class Call:
    """A function call as the model wrote it, with coordinates still in the model's own space."""

    name: str
    arguments: Mapping[str, object]
    thought: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))


@dataclass(frozen=True)
class Step:
    """One turn of a run: the screen, the reply, the actions that were tried, and their result."""

    index: int
    screen: Screen
    reply: Reply
    call: Call | None = None
    action: Action | None = None  # the last action that was tried; None when the reply has none
    error: str = ""  # why the reply was invalid or the action was not done; the model reads it in the next turn
    notice: str = ""  # what the surface reported beyond its pixels
    reward: float = 0.0  # the environment's reward for this step
    seconds: float = 0.0
    actions: tuple[Action, ...] = ()  # every action of the reply that was tried, in order


def merge_parts(parts: Sequence[Step]) -> Step:
    """Return the parts of one turn as one Step: actions in order, notices joined, rewards and seconds summed."""
    return replace(
        parts[-1],
        notice="\n".join(part.notice for part in parts if part.notice),
        reward=sum(part.reward for part in parts),
        seconds=sum(part.seconds for part in parts),
        actions=tuple(part.action for part in parts if part.action is not None),
    )
