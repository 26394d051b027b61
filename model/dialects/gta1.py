"""GTA1 (7B, 32B), a grounding model that answers `(x,y)`, in pixels of the resized image.

Sources: GTA1's README (the system turn names height and width; 3136 to 4096 * 2160 pixels) and the ScreenSpot-Pro
runner in inclusionAI's UI-Venus (image before text, the first pair in the reply, (-1,-1) for a missing target).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from actions import Action, Call, Screen
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.arguments import unknown_name
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import BaseDialect, load_prompt
from model.dialects.parts.grammar import GrammarBuilder
from model.dialects.parts.history import escape, image_part, message, text_part
from model.dialects.parts.point import POINT_TABLE, click_or_absent, format_place
from model.dialects.parts.table import Result
from model.engine.call_grammar import CallGrammar
from model.processing.image import ImageLimits
from model.wire.points import find_point

LIMITS = ImageLimits(3136, 4096 * 2160)  # README
SYSTEM = load_prompt("gta1").removesuffix("\n")


class Dialect(BaseDialect):
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

    def parse_call(self, text: str) -> Call:
        return Call("click", {"point": find_point(text, "(x,y)")}, "")

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Result:
        if name != "click":
            raise unknown_name(name, ("click",))
        return click_or_absent(arguments.get("point"), "point", mapper)

    def format_action(self, action: Action, screen: Screen) -> str:
        return format_place(self, action, screen, "(X,Y)", "(-1,-1)")

    def build_grammar(self, verbs: frozenset[str], mapper: CoordinateMapper) -> CallGrammar | None:
        point = GrammarBuilder(verbs, mapper, point_form="(X,Y)")
        rule = point.point()
        return point.build(f'{rule.lark} | "(-1,-1)"', (rule.longest,), closing=(")",))
