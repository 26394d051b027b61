"""Jedi (3B, 7B, 1080p), a grounding model: one call of computer_use, in pixels of the resized image.

Source: OSWorld's jedi_7b_agent.py: the official function, the image before the text, at most 2700 cells, and the glyph
that sometimes replaces the tags. A planner decides what to do; earlier steps are not shown.
"""

from __future__ import annotations

from typing import ClassVar

from actions import Call, Screen
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.history import escape, image_part, message, text_part
from model.dialects.parts.model_family import SEE_MODEL_CARD, Checkpoint, ModelFamily
from model.dialects.parts.qwen_tools import COMPUTER, DESCRIPTION, PROPERTIES
from model.dialects.parts.tool_call import ToolCallDialect
from model.processing.image import ImageLimits
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

LIMITS = ImageLimits(3136, 2700 * 28 * 28)  # jedi_7b_agent.py

GLYPH = "⚗"  # sometimes written for either tag
SYSTEM = "You point at things on a person's screen: make the one function call that does what is asked."


MODELS = ModelFamily(
    "Jedi",
    (
        Checkpoint("xlangai/Jedi-3B-1080p", "3B", SEE_MODEL_CARD),
        Checkpoint("xlangai/Jedi-7B-1080p", "7B", SEE_MODEL_CARD),
    ),
    "finding what is described, at 1080p; plans nothing",
    ("grounding",),
)


class Dialect(ToolCallDialect):
    """Jedi: the goal is what to find, or what to do in one step."""

    NAME = "jedi"
    FAMILY = "Jedi 3B, 7B"
    DETECTION = Detection(max_pixels=LIMITS.max_pixels)
    HISTORIES = ("none",)
    ACTIONS: ClassVar = {"computer_use": COMPUTER}
    PROPERTIES = PROPERTIES
    DESCRIPTION = DESCRIPTION

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        size = self.size(screen)
        system = self.render_prompt(SYSTEM, width=size[0], height=size[1])
        question = message("user", image_part(screen), text_part("\n" + escape(goal)))
        return Conversation((message("system", text_part(system)), question), self.tools(verbs, size))

    def parse_call(self, text: str) -> Call:
        if CALL_OPEN not in text:
            before, _, rest = text.partition(GLYPH)
            if rest.lstrip().startswith("{"):
                inside, closed, after = rest.rpartition(GLYPH)
                call = inside + CALL_CLOSE + after if closed and not after.strip() else rest
                text = before + CALL_OPEN + call
        return super().parse_call(text)
