"""GTA1 (7B, 32B), a grounding model that answers `(x,y)`, in pixels of the resized image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from actions import Screen
from model.dialects.base import Detection, Steps
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.history import Message, message
from model.dialects.parts.point import POINT_TABLE, PointDialect
from model.processing.image import ImageLimits

LIMITS = ImageLimits(3136, 4096 * 2160)  # README


class Dialect(PointDialect):
    """GTA1: the goal is a description, the answer a click there; earlier steps are not shown."""

    NAME = "gta1"
    DETECTION = Detection(max_pixels=LIMITS.max_pixels)
    HISTORIES = ("none",)
    SYSTEM = load_prompt("gta1")
    ACTIONS: ClassVar = {"computer_use": POINT_TABLE}

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        return [message("user", screen, goal)]
