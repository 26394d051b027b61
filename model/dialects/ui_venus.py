"""UI-Venus-1.0's dialect: a navigator for phones, `<action>Click(box=(x,y))</action>`, and a grounder, `[x1,y1,x2,y2]`.

In pixels of the resized picture. Sources: inclusionAI/UI-Venus, ui_venus_navi_agent.py and utils.py (actions, history,
tags) and ui_venus_ground_7b.py (boxes; four times -1 for what is not there; 2 to 4.8 million pixels). The sentences are
our own. tool "mobile_use": the navigator; "ground": the grounder, whose box means its centre.

Not here: Scroll with a direction alone, since the sources do not say how far and which way the finger moves; and
PressRecent, which no key of ours is. UI-Venus-1.5 and later, in thousandths, are another dialect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from actions import Call, InvalidActionError, Screen, Step, make_action
from model.dialects._base import (
    BaseDialect,
    available_names,
    chain_calls,
    click,
    drag,
    escape,
    image_part,
    message,
    outcome_text,
    reject_unknown_arguments,
    string_argument,
    text_part,
    unknown_action,
    unsupported_action,
)
from model.dialects._call_parser import CallParser, CallSyntaxError, quoted
from model.dialects._coordinates import CoordinateMapper
from model.dialects._ui_venus_examples import EXAMPLES as _EXAMPLES
from model.dialects._ui_venus_examples import GROUNDED
from model.dialects.base import Conversation, Example, HistoryStep
from model.dialects.gta1 import ABSENT, absent, first_place
from model.processing.image import ImageLimits

__all__ = ["EXAMPLES", "GROUNDED", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES  # of "mobile_use"; GROUNDED are of "ground"
LIMITS = ImageLimits(3136, 12845056)  # of the navigator
GROUND_LIMITS = ImageLimits(2_000_000, 4_800_000)  # ui_venus_ground_7b.py

FORMS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {  # the verb, the form offered, what it takes
    "Click": (("click",), "Click(box=(x1, y1))", ("box",)),
    "Drag": (("drag",), "Drag(start=(x1, y1), end=(x2, y2))", ("start", "end")),
    "Scroll": (("drag",), "Scroll(start=(x1, y1), end=(x2, y2))", ("start", "end", "direction")),
    "Type": (("type",), "Type(content='')", ("content",)),
    "Launch": (("open",), "Launch(app='')", ("app", "url")),
    "Wait": (("wait",), "Wait()", ()),
    "Finished": (("done",), "Finished(content='')", ("content",)),
    "CallUser": (("answer",), "CallUser(content='')", ("content",)),
    "LongPress": (("long_press",), "LongPress(box=(x1, y1))", ("box",)),
    "PressBack": (("back",), "PressBack()", ()),
    "PressHome": (("home",), "PressHome()", ()),
    "PressEnter": (("press",), "PressEnter()", ()),
}
PROMPT = """\
**You operate a phone by its screen.**
From the task, the screenshot and the previous actions, say the next action.

### User Task
{user_task}

### Previous Actions
{previous_actions}

### Available Actions
One of these functions:
{actions}

### Instruction
- Trust the screenshot more than the previous actions: not all of them did what they should.
- Where the task is a question, give its answer by CallUser before you finish.
- Reason inside <think></think>, then give the action inside <action></action>, and last sum it up inside \
<conclusion></conclusion>.
"""
GROUND = (
    "Give the box of what is described: {instruction}. Answer with [x1,y1,x2,y2] alone. If there is no such thing on "
    "the picture, answer with [-1,-1,-1,-1]."
)
_CALLS = CallParser(FORMS)
_ACTION = re.compile(r"<action>\s*")
_TAG = re.compile(r"<(think|action|conclusion)>\s*(.*?)\s*(?:</\1>|\Z)", re.DOTALL)


class Dialect(BaseDialect):
    """UI-Venus-1.0. One turn for all: the task, what was thought and done at each earlier step, and the picture."""

    NAME = "ui_venus"
    TOOLS = ("mobile_use", "ground")
    HISTORIES = ("progress",)
    GOAL = ("user_task", "instruction", "goal")

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        goal = escape(goal)
        if self.tool == "ground":
            return Conversation(
                (
                    message(
                        "user",
                        image_part(screen),
                        text_part(self.render_prompt(GROUND, **dict.fromkeys(self.GOAL, goal))),
                    ),
                )
            )
        names = available_names({name: form[0] for name, form in FORMS.items()}, verbs)
        asked = self.render_prompt(
            PROMPT,
            actions="\n".join(FORMS[name][1] for name in names),
            previous_actions="\n".join(_remembered(number, shown.step) for number, shown in enumerate(steps)),
            **dict.fromkeys(self.GOAL, goal),
        )
        return Conversation((message("user", image_part(screen), text_part(asked)),))

    def parse_call(self, text: str) -> Call:
        if self.tool == "ground":
            return Call("ground", {"box": first_place(text, "[x1,y1,x2,y2]")})
        mark = _ACTION.search(text)
        try:
            calls = _CALLS.parse_call(text, mark.end() if mark else 0, certain=mark is not None)
        except CallSyntaxError as error:
            raise InvalidActionError(f"the action cannot be read: {error}") from None
        if not calls:
            raise InvalidActionError(
                "the reply has no action; it must hold one such as <action>Click(box=(x, y))</action>"
            )
        found = {match.group(1): match.group(2) for match in _TAG.finditer(text)}
        said: list[tuple[str, Mapping[str, Any]]] = []
        for call in calls[:1]:  # one action a step is their form; what follows is left alone
            if call.given:
                raise InvalidActionError(f"{call.name} takes its arguments by name, as in {FORMS[call.name][1]}")
            said.append((call.name, call.named))
        return chain_calls(said, found.get("think") or text[: mark.start() if mark else calls[0].start].strip())

    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        if self.tool == "ground":
            if name != "ground":
                raise unknown_action(name, ("ground",))
            return absent(arguments.get("box"), "box") or click(frame.to_screen(arguments.get("box"), "box"))
        if name not in FORMS:
            raise unknown_action(name, list(FORMS))
        reject_unknown_arguments(name, arguments, FORMS[name][2])

        def at(key: str) -> tuple[int, int]:
            if not arguments.get(key):
                raise InvalidActionError(f"{name} needs '{key}', as in {FORMS[name][1]}")
            return frame.to_screen(arguments[key], key)

        if name == "Click":
            return click(at("box"))
        if name == "LongPress":
            x, y = at("box")
            return make_action("long_press", x=x, y=y)
        if name in ("Drag", "Scroll"):
            return drag(at("start"), at("end"))
        if name == "Type":
            return make_action("type", text=string_argument(arguments, "content"))
        if name == "Launch":
            return make_action(
                "open", target=string_argument(arguments, "app", default="") or string_argument(arguments, "url")
            )
        if name == "Finished":
            return make_action("done", message=string_argument(arguments, "content", default=""))
        if name == "CallUser":
            return make_action("answer", text=string_argument(arguments, "content"))
        if name == "PressEnter":
            return make_action("press", keys=("enter",))
        return make_action({"Wait": "wait", "PressBack": "back", "PressHome": "home"}[name])

    def format_action(self, action: Any, screen: Screen) -> str:
        if self.tool != "ground":
            return f"<action>{self._words(action, screen)}</action>"
        if action == make_action("done", status="failure", message=ABSENT):
            return "[-1,-1,-1,-1]"
        if action.verb != "click" or action != make_action("click", x=action.x, y=action.y):
            raise unsupported_action(self, action)
        x, y = self.frame(screen).to_model(action.x, action.y)
        return f"[{x},{y},{x},{y}]"

    def _words(self, action: Any, screen: Screen) -> str:
        def at(point: tuple[int, int]) -> str:
            x, y = self.frame(screen).to_model(*point)
            return f"({x}, {y})"

        verb = action.verb
        if verb == "click" and action == make_action("click", x=action.x, y=action.y):
            return f"Click(box={at((action.x, action.y))})"
        if verb == "long_press" and action == make_action("long_press", x=action.x, y=action.y):
            return f"LongPress(box={at((action.x, action.y))})"
        if verb == "drag" and len(action.path) == 2 and not action.modifiers:
            return f"Drag(start={at(action.path[0])}, end={at(action.path[1])})"
        if verb == "type":
            return f"Type(content={quoted(action.text)})"
        if verb == "open":
            return f"Launch(app={quoted(action.target)})"
        if verb == "done" and action.status == "success":
            return f"Finished(content={quoted(action.message)})"
        if verb == "answer":
            return f"CallUser(content={quoted(action.text)})"
        if action in (
            make_action("wait"),
            make_action("back"),
            make_action("home"),
            make_action("press", keys=("enter",)),
        ):
            return {"wait": "Wait()", "back": "PressBack()", "home": "PressHome()", "press": "PressEnter()"}[verb]
        raise unsupported_action(self, action)


def _remembered(number: int, step: Step) -> str:
    """A step as later ones remember it; the authors count from 0."""
    found = {match.group(1): match.group(2) for match in _TAG.finditer(step.reply.text)}
    said = f"Step {number}: <think>{found.get('think', '')}</think><action>{found.get('action', '')}</action>"
    return " ".join(part for part in (escape(said), outcome_text(step)) if part)
