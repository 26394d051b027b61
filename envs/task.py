"""Task protocol: a goal on a surface and the function that scores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from actions import Surface


@dataclass(frozen=True)
class TaskStatus:
    """State of an episode. reward: None until `done`."""

    done: bool = False
    reward: float | None = None


class Task(Protocol):
    """A goal with a reward. A task may require optional capabilities of its surface, such as SupportsPages."""

    def setup(self, surface: Surface, seed: int) -> str:
        """Bring the surface to the start of the episode with this seed and return the goal."""
        ...

    def verdict(self, surface: Surface) -> TaskStatus:
        """Return the state of the episode without changing the surface."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A task whose surface may lose the episode, for instance when a page crashes and is reopened."""

    def resume(self, surface: Surface) -> str:
        """Restart the present episode if it was lost; return a notice of it, or "" if there was nothing to do."""
        ...
