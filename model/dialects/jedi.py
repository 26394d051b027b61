"""Jedi's dialect (3B, 7B, 1080p): finds what is described, by a call of computer_use, in pixels of the resized picture.

A grounding model: it is asked where one thing is, and knows no steps; a planner says what to do. Sources: OSWorld's
jedi_7b_agent.py: the official function, the picture before the words, at most 2700 cells, and the glyph that sometimes
stands where the tags should. The sentences are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from actions import Call, Screen
from model.dialects._base import escape, image_part, message, text_part
from model.dialects._jedi_examples import EXAMPLES as _EXAMPLES
from model.dialects._qwen_tools import ACTS, QwenToolDialect
from model.dialects.base import Conversation, Example, HistoryStep
from model.processing.image import ImageLimits
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

__all__ = ["EXAMPLES", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES
LIMITS = ImageLimits(3136, 2700 * 28 * 28)  # jedi_7b_agent.py

GLYPH = "⚗"  # what the model sometimes writes for either tag
SYSTEM = "You point at things on a person's screen: make the one function call that does what is asked."


class Dialect(QwenToolDialect):
    """Jedi. The goal is what to find or to do in one step; earlier steps are not shown."""

    NAME = "jedi"
    HISTORIES = ("none",)
    ACTS: ClassVar = {"computer_use": ACTS["computer_use"]}

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        size = self.size(screen)
        system = self.render_prompt(SYSTEM, width=size[0], height=size[1])
        asked = message("user", image_part(screen), text_part("\n" + escape(goal)))
        return Conversation((message("system", text_part(system)), asked), self.tools(verbs, size))

    def parse_call(self, text: str) -> Call:
        if CALL_OPEN not in text:
            before, _, rest = text.partition(GLYPH)
            if rest.lstrip().startswith("{"):
                inside, closed, after = rest.rpartition(GLYPH)
                call = inside + CALL_CLOSE + after if closed and not after.strip() else rest
                text = before + CALL_OPEN + call
        return super().parse_call(text)
