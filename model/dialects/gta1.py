"""GTA1 (7B, 32B), a grounding model that answers `(x,y)`, in pixels of the resized image.

Sources: GTA1's README (the system turn names height and width; 3136 to 4096 * 2160 pixels) and the ScreenSpot-Pro
runner in inclusionAI's UI-Venus (image before text, the first pair in the reply, (-1,-1) for a missing target).
"""

from __future__ import annotations

from typing import ClassVar

from actions import Screen
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.history import escape, image_part, message, text_part
from model.dialects.parts.model_family import SEE_MODEL_CARD, VENUS_README, Checkpoint, ModelFamily, published
from model.dialects.parts.point import POINT_TABLE, PointDialect
from model.processing.image import ImageLimits

LIMITS = ImageLimits(3136, 4096 * 2160)  # README
SYSTEM = load_prompt("gta1").removesuffix("\n")


MODELS = ModelFamily(
    "GTA1",
    (
        Checkpoint("HelloKKMe/GTA1-7B", "7B", SEE_MODEL_CARD),
        Checkpoint("HelloKKMe/GTA1-32B", "32B", SEE_MODEL_CARD),
    ),
    "finding what is described; plans nothing",
    ("grounding",),
    scores=published(VENUS_README, ("7B", "ScreenSpot-Pro", 50.1)),
)


class Dialect(PointDialect):
    """GTA1: the goal is a description, the answer a click there; earlier steps are not shown."""

    NAME = "gta1"
    FAMILY = "GTA1 7B, 32B"
    DETECTION = Detection(max_pixels=LIMITS.max_pixels)
    HISTORIES = ("none",)
    ACTIONS: ClassVar = {"computer_use": POINT_TABLE}

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        width, height = self.size(screen)
        system = message("system", text_part(self.render_prompt(SYSTEM, width=width, height=height)))
        return Conversation((system, message("user", image_part(screen), text_part(escape(goal)))))
