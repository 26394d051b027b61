"""UI-TARS-1.5's dialect: `Thought: ...` and `Action: click(start_box='(x,y)')`, in pixels of the resized picture.

Sources: the authors' package ui-tars 0.5.1 (prompt.py, action_parser.py) and their OSWorld agent. Names, arguments, the
five notches of a scroll and the five seconds of a wait are theirs; the sentences are our own. ui_tars_v1.py is the
same in thousandths. Several actions in a reply, one below the other, are all carried out, as their agent does.

The dialect takes a point in each of the authors' forms: (x,y), <|box_start|>(x,y)<|box_end|>, <point>x y</point>,
[x1,y1,x2,y2]. Not here: the key-down and key-up of their parser, which no verb of ours is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from actions import Call, InvalidActionError, Screen, make_action
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
from model.dialects._ui_tars_examples import EXAMPLES as _EXAMPLES
from model.dialects.base import Conversation, Example, HistoryStep
from model.processing.image import ImageLimits

__all__ = ["EXAMPLES", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES
LIMITS = ImageLimits(100 * 28 * 28, 16384 * 28 * 28)  # action_parser.py

NOTCHES = 5
WAIT_S = 5.0
HELD_S = 1.0  # of a long press, our own: theirs has no number
BUTTONS = {"right_single": "right"}
START, END = ("start_box", "start_point", "point"), ("end_box", "end_point")

_AT = "start_box='<|box_start|>(x1,y1)<|box_end|>'"
_TO = "end_box='<|box_start|>(x3,y3)<|box_end|>'"
_WAYS = "direction='down or up or right or left'"
_FINISHED = ("finished(content='xxx')", "The task is done; content is what the person is to read.")
_TYPE = ("type(content='xxx')", "Write \\', \\\" and \\n in it as in a Python string; end it with \\n to submit.")
SPACES: dict[str, dict[str, tuple[str, str]]] = {  # the authors' action spaces, each action with a comment of ours
    "computer_use": {
        "click": (f"click({_AT})", ""),
        "left_double": (f"left_double({_AT})", ""),
        "right_single": (f"right_single({_AT})", ""),
        "drag": (f"drag({_AT}, {_TO})", ""),
        "hotkey": ("hotkey(key='ctrl c')", "Lower case, a space between the keys, three at most."),
        "type": _TYPE,
        "scroll": (f"scroll({_AT}, {_WAYS})", "Show more of what is on that side."),
        "wait": ("wait()", "Five seconds; then look again."),
        "finished": _FINISHED,
        "call_user": ("call_user()", "The task cannot be solved, or the person's help is needed."),
    },
    "mobile_use": {
        "click": (f"click({_AT})", ""),
        "long_press": (f"long_press({_AT})", ""),
        "type": _TYPE,
        "scroll": (f"scroll({_AT}, {_WAYS})", "Show more of what is on that side."),
        "open_app": ("open_app(app_name='')", ""),
        "drag": (f"drag({_AT}, {_TO})", ""),
        "press_home": ("press_home()", ""),
        "press_back": ("press_back()", ""),
        "finished": _FINISHED,
    },
}
VERBS = {
    "click": ("click",),
    "left_double": ("click",),
    "right_single": ("click",),
    "long_press": ("long_press",),
    "drag": ("drag",),
    "hotkey": ("press",),
    "type": ("type",),
    "scroll": ("scroll",),
    "open_app": ("open",),
    "press_home": ("home",),
    "press_back": ("back",),
    "wait": ("wait",),
    "finished": ("done",),
    "call_user": ("ask",),
}
PROMPT = """\
You carry out a task by a screen alone. You are given the task, and the screenshots and actions so far. Say the next \
action.

## Output Format
```
Thought: ...
Action: ...
```

## Action Space
{action_space}

## Note
- Write the Thought in {language}: a short plan, then the next action and what it is done to, in one sentence.

## User Instruction
{instruction}
"""
READ_TOO = (
    "left_single",
    "hover",
    "select",
    "press",
)  # the authors' parser takes them; their prompts do not offer them
_CALLS = CallParser([*VERBS, *READ_TOO])
_ACTION = re.compile(r"Action[ \t]*[:：]")
_THOUGHT = re.compile(r"\A\s*(?:Thought|Reflection|Action_Summary)[ \t]*[:：]\s*")
_KEY_BREAK = re.compile(r"(?<=.)\+(?=.)|\s+")
_HELP = "How shall I go on?"


class Dialect(BaseDialect):
    """UI-TARS-1.5. tool: computer_use or mobile_use, the authors' two action spaces."""

    NAME = "ui_tars"
    TOOLS = ("computer_use", "mobile_use")
    GOAL = ("instruction", "goal")

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        space = SPACES[self.tool]
        lines = [space[name] for name in available_names({name: VERBS[name] for name in space}, verbs)]
        actions = "\n".join(form + (f" # {says}" if says else "") for form, says in lines)
        goal = escape(goal)
        asked = self.render_prompt(PROMPT, action_space=actions, language="English", instruction=goal, goal=goal)
        messages = [message("user", text_part(asked))]
        for shown in steps:
            if shown.picture:
                messages.append(message("user", image_part(shown.step.screen)))
            messages.append(message("assistant", text_part(escape(shown.step.reply.text))))
            if outcome_text(shown.step):
                messages.append(message("user", text_part(outcome_text(shown.step))))
        return Conversation((*messages, message("user", image_part(screen))))

    def parse_call(self, text: str) -> Call:
        mark = _ACTION.search(text)
        start = mark.end() if mark else 0
        try:
            calls = _CALLS.parse_call(text, start, certain=mark is not None)
        except CallSyntaxError as error:
            raise InvalidActionError(f"the action cannot be read: {error}") from None
        if not calls:
            raise InvalidActionError(
                f"the reply has no action; end it with a line such as Action: {SPACES[self.tool]['click'][0]}"
            )
        thought = _THOUGHT.sub("", text[: mark.start() if mark else calls[0].start]).strip()
        said: list[tuple[str, Mapping[str, Any]]] = []
        for call in calls:
            if len(call.given) > 1 or (call.given and START[0] in call.named):
                raise InvalidActionError(f"{call.name} takes its arguments by name, such as {START[0]}='(x,y)'")
            said.append((call.name, {**call.named, **({START[0]: call.given[0]} if call.given else {})}))
        return chain_calls(said, thought)

    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        def at(*keys: str) -> tuple[int, int]:
            key = next((one for one in keys if arguments.get(one)), keys[0])
            if not arguments.get(key):
                raise InvalidActionError(f"{name} needs '{keys[0]}': a point such as '(x,y)'")
            return frame.to_screen(arguments[key], key)

        if name in ("click", "left_single", "left_double", "right_single", "hover", "long_press"):
            reject_unknown_arguments(name, arguments, START)
            if name in ("hover", "long_press"):
                x, y = at(*START)
                return make_action("move", x=x, y=y) if name == "hover" else make_action(name, x=x, y=y, seconds=HELD_S)
            return click(at(*START), count=1 + (name == "left_double"), button=BUTTONS.get(name, "left"))
        if name in ("drag", "select"):
            reject_unknown_arguments(name, arguments, (*START, *END))
            return drag(at(*START), at(*END))
        if name in ("hotkey", "press"):
            reject_unknown_arguments(name, arguments, ("key", name))
            keys = [key for key in _KEY_BREAK.split(string_argument(arguments, "key", name).strip()) if key]
            return make_action("press", keys=keys[:9])
        if name == "type":
            reject_unknown_arguments(name, arguments, ("content",))
            return make_action("type", text=string_argument(arguments, "content"))
        if name == "scroll":
            reject_unknown_arguments(name, arguments, (*START, "direction"))
            where = dict(zip(("x", "y"), at(*START), strict=True)) if any(map(arguments.get, START)) else {}
            amount = {"down": {"down": NOTCHES}, "up": {"down": -NOTCHES}}
            amount |= {"right": {"right": NOTCHES}, "left": {"right": -NOTCHES}}
            way = string_argument(arguments, "direction").strip().lower()
            if way not in amount:
                raise InvalidActionError(f"'direction' must be one of {', '.join(amount)}, not {way!r:.40}")
            return make_action("scroll", **where, **amount[way])
        if name == "open_app":
            reject_unknown_arguments(name, arguments, ("app_name",))
            return make_action("open", target=string_argument(arguments, "app_name"))
        if name == "finished":
            reject_unknown_arguments(name, arguments, ("content",))
            return make_action("done", message=string_argument(arguments, "content", default=""))
        if name == "call_user":
            reject_unknown_arguments(name, arguments, ("content",))
            return make_action(
                "ask", question=string_argument(arguments, "content", default="") or thought[:2000] or _HELP
            )
        if name not in VERBS:
            raise unknown_action(name, list(VERBS))
        reject_unknown_arguments(name, arguments, ())
        return make_action("wait", seconds=WAIT_S) if name == "wait" else make_action(name.removeprefix("press_"))

    def format_action(self, action: Any, screen: Screen) -> str:
        return f"Action: {self._words(action, screen)}"

    def _words(self, action: Any, screen: Screen) -> str:
        def box(key: str, x: int, y: int) -> str:
            said_x, said_y = self.frame(screen).to_model(x, y)
            return f"{key}='({said_x},{said_y})'"

        verb = action.verb
        if verb in ("click", "move", "long_press"):
            names = {("left", 1): "click", ("left", 2): "left_double", ("right", 1): "right_single"}
            name = {"move": "hover"}.get(verb, verb) if verb != "click" else names.get((action.button, action.count))
            if name and not getattr(action, "modifiers", ()) and getattr(action, "seconds", HELD_S) == HELD_S:
                return f"{name}({box(START[0], action.x, action.y)})"
        if verb == "drag" and len(action.path) == 2 and not action.modifiers:
            return f"drag({box(START[0], *action.path[0])}, {box(END[0], *action.path[1])})"
        if verb == "press" and not {"+"}.intersection("".join(action.keys[1:])):
            return f"hotkey(key={quoted(' '.join(action.keys))})"
        if verb == "type":
            return f"type(content={quoted(action.text)})"
        if verb == "scroll" and sorted((abs(action.down), abs(action.right))) == [0, NOTCHES]:
            way = "down" if action.down > 0 else "up" if action.down else "right" if action.right > 0 else "left"
            where = "" if action.x is None else box(START[0], action.x, action.y) + ", "
            return f"scroll({where}direction='{way}')"
        if verb == "open":
            return f"open_app(app_name={quoted(action.target)})"
        if verb == "done" and action.status == "success":
            return f"finished(content={quoted(action.message)})"
        if verb == "ask" and action.question:
            return f"call_user(content={quoted(action.question)})"
        if verb == "wait" and action.seconds == WAIT_S:
            return "wait()"
        if verb in ("home", "back"):
            return f"press_{verb}()"
        raise unsupported_action(self, action)
