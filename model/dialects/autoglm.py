"""AutoGLM-Phone's dialect, for servers: `<answer>do(action="Tap", element=[x,y])</answer>`, from 0 to 1000.

Sources: zai-org/Open-AutoGLM: the actions of its prompts (prompts_zh.py, prompts_en.py), what its handler does with
them (handler.py: thousandths, a text replaces what stands in the field) and its turns (agent.py: the task and a
picture, later pictures, earlier ones taken out, thoughts and answers in their tags). The sentences are our own. The
authors also tell the name of the app in front; a dialect does not know it, and leaves it out.

Note and Call_API do nothing, as in their handler. A Tap with a message is a tap: what needs the person's consent is the
guard's to ask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from actions import Call, InvalidActionError, Screen, make_action
from model.dialects._autoglm_examples import EXAMPLES as _EXAMPLES
from model.dialects._base import (
    BaseDialect,
    available_names,
    clear_field,
    click,
    drag,
    escape,
    image_part,
    message,
    outcome_text,
    reject_unknown_arguments,
    seconds,
    string_argument,
    text_part,
    unknown_action,
    unsupported_action,
)
from model.dialects._call_parser import CallParser, CallSyntaxError
from model.dialects._coordinates import SCALE_1000, CoordinateMapper, number
from model.dialects._qwen25_functions import show
from model.dialects.base import Conversation, Example, HistoryStep
from model.processing.image import ImageLimits

__all__ = ["EXAMPLES", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES
LIMITS = ImageLimits(max_pixels=5_000_000)  # Open-AutoGLM

FORMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {  # the verb, what it takes, the form offered
    "Launch": (("open",), ("app",), 'do(action="Launch", app="xxx")\n    Start an app.'),
    "Tap": (("click",), ("element", "message"), 'do(action="Tap", element=[x,y])\n    Tap a point.'),
    "Type": (
        ("type",),
        ("text",),
        'do(action="Type", text="xxx")\n    Type into the field that has the focus; what stands there goes first.',
    ),
    "Type_Name": (("type",), ("text",), 'do(action="Type_Name", text="xxx")\n    The same, for a person\'s name.'),
    "Interact": (("ask",), (), 'do(action="Interact")\n    Ask the person which of several things they want.'),
    "Swipe": (("drag",), ("start", "end"), 'do(action="Swipe", start=[x1,y1], end=[x2,y2])\n    Swipe.'),
    "Note": (("wait",), ("message",), 'do(action="Note", message="True")\n    Note this page for later.'),
    "Call_API": (
        ("wait",),
        ("instruction",),
        'do(action="Call_API", instruction="xxx")\n    Sum up this page or what was noted.',
    ),
    "Long Press": (
        ("long_press",),
        ("element",),
        'do(action="Long Press", element=[x,y])\n    Press and hold a point.',
    ),
    "Double Tap": (("click",), ("element",), 'do(action="Double Tap", element=[x,y])\n    Tap a point twice.'),
    "Take_over": (
        ("ask",),
        ("message",),
        'do(action="Take_over", message="xxx")\n    Let the person do it: a log-in, a captcha.',
    ),
    "Back": (("back",), (), 'do(action="Back")\n    Go back.'),
    "Home": (("home",), (), 'do(action="Home")\n    Go to the home screen.'),
    "Wait": (("wait",), ("duration",), 'do(action="Wait", duration="x seconds")\n    Wait.'),
}
FINISH = 'finish(message="xxx")\n    End the task; message is what the person is to read.'
SYSTEM = """\
You carry out a person's task on their phone, by its screen alone, one action at a time. Answer in exactly this form:
<think>{think}</think>
<answer>{action}</answer>

{think} says in short why; {action} is one of these:
{actions}

Points are from (0,0), the top left corner, to (999,999), the bottom right one."""
_CALLS = CallParser(("do", "finish"))
_ANSWER = re.compile(r"<answer>\s*")
_THINK = re.compile(r"</?(?:think|answer)>")
_SECONDS = re.compile(r"\s*(\S{1,20}?)\s*(?:s|sec|secs|second|seconds)?\s*")
_ASK = "Which one do you want?"


class Dialect(BaseDialect):
    """AutoGLM-Phone. A turn for each step, its picture only where history says so (theirs keeps none)."""

    NAME = "autoglm"
    TOOLS = ("mobile_use",)
    SPACE = SCALE_1000

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        names = available_names({name: form[0] for name, form in FORMS.items()}, verbs)
        forms = "\n".join(f"- {form}" for form in [*(FORMS[name][2] for name in names), FINISH])
        messages = [message("system", text_part(self.render_prompt(SYSTEM, actions=forms)))]
        said = escape(goal)
        for shown in steps:
            seen = (image_part(shown.step.screen),) if shown.picture else ()
            messages.append(message("user", *seen, text_part(said)))
            messages.append(message("assistant", text_part(escape(shown.step.reply.text))))
            said = outcome_text(shown.step) or "Done."
        messages.append(message("user", image_part(screen), text_part(said)))
        return Conversation(tuple(messages))

    def parse_call(self, text: str) -> Call:
        mark = _ANSWER.search(text)
        try:
            calls = _CALLS.parse_call(text, mark.end() if mark else 0, certain=mark is not None)
        except CallSyntaxError as error:
            raise InvalidActionError(f"the action cannot be read: {error}") from None
        form = '<answer>do(action="Tap", element=[x,y])</answer>'
        if not calls:
            raise InvalidActionError(f"the reply has no action; it must hold one such as {form}")
        call = calls[0]
        if call.given:
            raise InvalidActionError(f"{call.name} takes its arguments by name, as in {form}")
        return Call(call.name, call.named, _THINK.sub("", text[: call.start]).strip())

    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        if name == "finish":
            reject_unknown_arguments(name, arguments, ("message",))
            return make_action("done", message=string_argument(arguments, "message", default=""))
        action = arguments.get("action")
        if name != "do":
            raise unknown_action(name, ("do", "finish"), "function")
        if not isinstance(action, str) or action not in FORMS:
            raise unknown_action(action, list(FORMS))
        reject_unknown_arguments(action, arguments, ("action", *FORMS[action][1]))

        def at(key: str) -> tuple[int, int]:
            if not arguments.get(key):
                raise InvalidActionError(f"{action} needs '{key}': [x,y]")
            return frame.to_screen(arguments[key], key)

        if action in ("Tap", "Double Tap"):
            return click(at("element"), count=1 if action == "Tap" else 2)
        if action == "Long Press":
            x, y = at("element")
            return make_action("long_press", x=x, y=y)
        if action == "Swipe":
            return drag(at("start"), at("end"))
        if action in ("Type", "Type_Name"):
            return *clear_field(), make_action("type", text=string_argument(arguments, "text"))
        if action == "Launch":
            return make_action("open", target=string_argument(arguments, "app"))
        if action in ("Interact", "Take_over"):
            return make_action(
                "ask", question=string_argument(arguments, "message", default="") or thought[:2000] or _ASK
            )
        if action in ("Note", "Call_API"):
            return make_action("wait", seconds=0.0)
        if action == "Wait":
            return make_action("wait", seconds=_duration(arguments.get("duration", "1 seconds")))
        return make_action(action.lower())

    def format_action(self, action: Any, screen: Screen) -> str:
        return f"<answer>{self._words(action, screen)}</answer>"

    def _words(self, action: Any, screen: Screen) -> str:
        def at(key: str, point: tuple[int, int]) -> str:
            x, y = self.frame(screen).to_model(*point)
            return f"{key}=[{x},{y}]"

        verb = action.verb
        if verb == "click" and (action.button, action.modifiers) == ("left", ()) and action.count < 3:
            name = "Tap" if action.count == 1 else "Double Tap"
            return f'do(action="{name}", {at("element", (action.x, action.y))})'
        if verb == "long_press" and action == make_action("long_press", x=action.x, y=action.y):
            return f'do(action="Long Press", {at("element", (action.x, action.y))})'
        if verb == "drag" and len(action.path) == 2 and not action.modifiers:
            return f'do(action="Swipe", {at("start", action.path[0])}, {at("end", action.path[1])})'
        if verb == "open":
            return f'do(action="Launch", app={_double(action.target)})'
        if verb == "ask" and action.question:
            return f'do(action="Take_over", message={_double(action.question)})'
        if verb == "wait":
            return f'do(action="Wait", duration="{action.seconds} seconds")'
        if verb == "done" and action.status == "success":
            return f"finish(message={_double(action.message)})"
        if verb in ("back", "home"):
            return f'do(action="{verb.capitalize()}")'
        raise unsupported_action(self, action)


def _double(words_: str) -> str:
    """A text between double quotes, so that it is read back as it was."""
    escaped = words_.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _duration(value: Any) -> float:
    """Seconds, from "3 seconds" or a number."""
    if isinstance(value, str):
        match = _SECONDS.fullmatch(value) if len(value) < 60 else None
        value = number(match.group(1)) if match else None
    if value is None:
        raise InvalidActionError(f"'duration' must be such as '3 seconds', not {show(value)}")
    return seconds(value, "duration")
