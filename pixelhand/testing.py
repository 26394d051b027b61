"""Fakes and contract checks for code that uses pixelhand, and for third-party surfaces and dialects."""

from __future__ import annotations

import numpy as np

from actions import Action, Click, Screen, SurfaceError, TypeText
from actions.dispatch import validate
from agent.policies.scripted import ScriptPolicy
from envs.surface_check import check_surface
from model.dialect_check import check_dialect

__all__ = ["FakeSurface", "ScriptPolicy", "check_dialect", "check_surface"]

BUTTON = (100, 100, 140, 130)  # left, top, right, bottom, in pixels; right and bottom are outside


class FakeSurface:
    """A gray screen of 280 x 364 pixels with a blue button; a click on the button draws a green bar at the top.

    Attributes:
        performed: the actions so far.
        clicked: whether the button was clicked.
        closed: whether `close` was called.
        failure: when not "", the next action raises SurfaceError with this message.
    """

    name = "fake"
    is_user_owned = False

    def __init__(self) -> None:
        self.pixels = np.full((364, 280, 3), 200, np.uint8)
        left, top, right, bottom = BUTTON
        self.pixels[top:bottom, left:right] = (40, 60, 220)
        self.performed: list[Action] = []
        self.clicked = self.closed = False
        self.failure = ""

    def capture(self) -> Screen:
        """Return the screen."""
        if self.closed:
            raise SurfaceError("the surface is closed")
        return Screen(self.pixels.copy())

    def verbs(self) -> frozenset[str]:
        """Return the supported verbs."""
        return frozenset({"click", "type", "wait", "open"})

    def perform(self, action: Action) -> str:
        """Record the action; typing returns a notice with the number of characters."""
        if self.failure or self.closed:
            raise SurfaceError(self.failure or "the surface is closed")
        validate(action, self, self.capture())
        self.performed.append(action)
        left, top, right, bottom = BUTTON
        if isinstance(action, Click) and left <= action.x < right and top <= action.y < bottom:
            self.clicked = True
            self.pixels[:20] = (0, 200, 0)
        if isinstance(action, TypeText):
            self.pixels[20 + len(self.performed) % 300] = len(self.performed) % 250
            return f"typed {len(action.text)} characters"
        return ""

    def close(self) -> None:
        """Mark the surface as closed."""
        self.closed = True
