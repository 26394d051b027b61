"""Surface: what the loop may ask of a machine with a screen. Protocol only; the surfaces live in envs/surfaces."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from actions.screen import Screen


@runtime_checkable
class Surface(Protocol):
    """A screen that can be seen and acted on. Every method raises SurfaceError when the machine fails."""

    name: str

    def capture(self) -> Screen:
        """What is on the screen now. Never a black or stale stand-in for a failed capture."""
        ...

    def perform(self, action: Any) -> str:
        """Carry out one action, its points in pixels of the last captured Screen; called by dispatch alone.

        Returns what the machine said that its pixels may not show (a dialog, a new tab), else "".
        """
        ...

    def verbs(self) -> frozenset[str]:
        """The verbs that perform can carry out."""
        ...

    def close(self) -> None:
        """Let go of everything the surface started. Safe to call twice."""
        ...
