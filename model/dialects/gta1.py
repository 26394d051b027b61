"""GTA1's dialect (7B, 32B): finds what is described and answers `(x,y)`, in pixels of the resized picture.

A grounding model: it is asked where one thing is, and knows no steps; a planner says what to do. Sources: GTA1's README
(the system turn names height and width; 3136 to 4096 * 2160 pixels) and the ScreenSpot-Pro runner in inclusionAI's
UI-Venus (picture before words, the first pair in the reply, (-1,-1) for what is not there). The sentences are our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from actions import Call, Click, Done, InvalidActionError, Screen, make_action
from model.dialects._base import (
    BaseDialect,
    click,
    escape,
    image_part,
    message,
    text_part,
    unknown_action,
    unsupported_action,
)
from model.dialects._coordinates import FULLWIDTH_TABLE, CoordinateMapper, number, numbers
from model.dialects.base import Conversation, Example, HistoryStep
from model.processing.image import ImageLimits

__all__ = ["ABSENT", "EXAMPLES", "LIMITS", "Dialect", "absent"]
LIMITS = ImageLimits(3136, 4096 * 2160)  # README

ABSENT = "what was described is not on the screen"
SYSTEM = """\
You find things on a screen. Given its picture and a description, say where the thing is, as one point (x,y): its \
centre. The picture is {height} high and {width} wide.

If there is no such thing, answer (-1,-1).

Answer with the two numbers alone:
(x,y)"""
_DIGITS = r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?"
_PAIR = re.compile(
    rf"[(\[][ \t]*({_DIGITS})[ \t]*,[ \t]*({_DIGITS})(?:[ \t]*,[ \t]*({_DIGITS})[ \t]*,[ \t]*({_DIGITS}))?"
)


class Dialect(BaseDialect):
    """GTA1. The goal is a description; the answer is a click there."""

    NAME = "gta1"
    HISTORIES = ("none",)

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        width, height = self.size(screen)
        system = message("system", text_part(self.render_prompt(SYSTEM, width=width, height=height)))
        return Conversation((system, message("user", image_part(screen), text_part(escape(goal)))))

    def parse_call(self, text: str) -> Call:
        return Call("click", {"point": first_place(text, "(x,y)")}, "")

    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        if name != "click":
            raise unknown_action(name, ("click",))
        return absent(arguments.get("point"), "point") or click(frame.to_screen(arguments.get("point"), "point"))

    def format_action(self, action: Any, screen: Screen) -> str:
        if action == make_action("done", status="failure", message=ABSENT):
            return "(-1,-1)"
        if action.verb != "click" or action != make_action("click", x=action.x, y=action.y):
            raise unsupported_action(self, action)
        x, y = self.frame(screen).to_model(action.x, action.y)
        return f"({x},{y})"


def first_place(text: str, form: str) -> list[int | float]:
    """The first point or box in a reply; BadCall when there is none, or when it is cut off before its end."""
    plain_text = text.translate(FULLWIDTH_TABLE)
    match = _PAIR.search(plain_text)
    if match is None:
        raise InvalidActionError(f"the reply has no point; answer with {form}")
    rest = plain_text[match.end() : match.end() + 40].lstrip()
    if rest[:1] not in (")", "]"):
        raise InvalidActionError(
            f"the point is not closed, or has more or fewer numbers than it may; answer with {form}"
        )
    found = [number(one) for one in match.groups() if one is not None]
    if None in found:
        raise InvalidActionError(f"a number of the point is too large; answer with {form}")
    return found  # type: ignore[return-value]


def absent(place: Any, key: str) -> Any:
    """The end that (-1,-1) and its box mean, or None for a place."""
    return make_action("done", status="failure", message=ABSENT) if set(numbers(place, key)) == {-1} else None


DESKTOP, LAPTOP, SAME = (1920, 1080), (1280, 720), (1288, 728)
EXAMPLES: list[Example] = [  # 1920x1080 is shown as 1932x1092, 1280x720 as 1288x728, 1288x728 as it is
    Example("(966,546)", DESKTOP, Click(x=960, y=540)),
    Example("(966,546)", LAPTOP, Click(x=960, y=540)),
    Example("(966,546)", SAME, Click(x=966, y=546)),
    Example("(197, 525)", DESKTOP, Click(x=196, y=519)),
    Example("(1931,1091)", DESKTOP, Click(x=1919, y=1079)),
    Example("(0,0)", DESKTOP, Click(x=0, y=0)),
    Example("(8.0,9.4)", SAME, Click(x=8, y=9)),
    Example("(1e2,2E2)", SAME, Click(x=100, y=200)),
    Example("(-1,-1)", DESKTOP, Done(status="failure", message=ABSENT)),
    Example("(-1.0, -1.0)", DESKTOP, Done(status="failure", message=ABSENT)),
    Example("The button (blue) is at (8,9).", SAME, Click(x=8, y=9)),
    Example("```\n(8,9)\n```", SAME, Click(x=8, y=9)),
    Example("(8,9)\n(100,200)", SAME, Click(x=8, y=9)),
    Example("（８，９）", SAME, Click(x=8, y=9)),
    Example("[8, 9]", SAME, Click(x=8, y=9)),
    Example("(100,200,300,400)", SAME, Click(x=200, y=300)),
    Example("\n  (8,9)<|im_end|>", SAME, Click(x=8, y=9)),
]
