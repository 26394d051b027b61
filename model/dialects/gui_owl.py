"""GUI-Owl's dialect (7B, 32B): computer_use and mobile_use with actions of its own, in pixels of the resized picture.

Sources: the Mobile-Agent-v3 cookbook (its computer_use.py and mobile_use.py, and the prompt and reply in the notebook)
and OSWorld's owl_agent.py: names, parameters, enums, the words before the parts of the user's turn, the history of
conclusions; a scroll's pixels are notches, -5 to 5. The sentences are our own. GUI-Owl-1.5, on Qwen3-VL, is another
dialect and not here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from actions import Call, Screen, Step, make_action
from actions.keys import KEYS
from model.dialects._base import (
    clear_field,
    click,
    drag,
    escape,
    image_part,
    message,
    outcome_text,
    text_part,
    type_and_enter,
    unsupported_action,
)
from model.dialects._gui_owl_examples import EXAMPLES as _EXAMPLES
from model.dialects._gui_owl_examples import MOBILE_EXAMPLES
from model.dialects._qwen25_functions import ACTS as QWEN_ACTS
from model.dialects._qwen25_functions import DESCRIPTION, PARAMETERS
from model.dialects._tool_calls import ActionSpec, CallArguments, ToolCallDialect
from model.dialects.base import Conversation, Example, HistoryStep
from model.dialects.qwen25 import SYSTEM
from model.processing.image import ImageLimits

__all__ = ["EXAMPLES", "LIMITS", "MOBILE_EXAMPLES", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES  # of computer_use; MOBILE_EXAMPLES are of mobile_use
LIMITS = ImageLimits(3136, 12800 * 28 * 28)  # of the cookbook's computer_use; its mobile_use has at most 10035200

MOST_NOTCHES = 5


def _type(given: CallArguments) -> Any:
    typed = given.text()
    action = type_and_enter(typed) if given.flag("enter") else make_action("type", text=typed)
    return (*clear_field(), action) if given.flag("clear") else action


def _mobile(name: str) -> ActionSpec:
    act = next(one for one in QWEN_ACTS["mobile_use"] if one.name == name)
    return ActionSpec(act.verbs, act.takes, act.says, act.means)


_TERMINATE = ActionSpec(
    ("done",),
    ("status",),
    "End the task and say by `status` how it went.",
    lambda a: make_action("done", status=a.choice("status", ("success", "failure"))),
)
_POINT = ("coordinate",)
COMPUTER = {
    "key": ActionSpec(
        ("press",),
        ("keys",),
        "Press `keys` one after the other and let them go in reverse.",
        lambda a: make_action("press", keys=a.keys()),
    ),
    "type": ActionSpec(
        ("type",),
        ("text", "clear", "enter"),
        "Type `text`; `clear` says whether what stands there goes first, `enter` whether enter is pressed behind it.",
        _type,
    ),
    "mouse_move": ActionSpec(
        ("move",), _POINT, "Move the pointer to `coordinate`.", lambda a: make_action("move", **a.at())
    ),
    "click": ActionSpec(("click",), _POINT, "Click the left button at `coordinate`.", lambda a: click(a.point())),
    "drag": ActionSpec(
        ("drag",),
        ("coordinate", "coordinate2"),
        "Drag with the left button from `coordinate` to `coordinate2`.",
        lambda a: drag(a.point(), a.point("coordinate2")),
    ),
    "right_click": ActionSpec(
        ("click",), _POINT, "Click the right button at `coordinate`.", lambda a: click(a.point(), button="right")
    ),
    "middle_click": ActionSpec(
        ("click",), _POINT, "Click the middle button at `coordinate`.", lambda a: click(a.point(), button="middle")
    ),
    "double_click": ActionSpec(
        ("click",), _POINT, "Click the left button twice at `coordinate`.", lambda a: click(a.point(), count=2)
    ),
    "scroll": ActionSpec(
        ("scroll",),
        ("pixels",),
        "Turn the wheel.",
        lambda a: make_action("scroll", down=-a.amount("pixels", MOST_NOTCHES)),
    ),
    "wait": ActionSpec(("wait",), ("time",), "Wait `time` seconds.", lambda a: make_action("wait", **a.wait("time"))),
    "terminate": _TERMINATE,
    # their agent reads these too
    "left_click": ActionSpec((), _POINT, "", lambda a: click(a.point())),
    "left_click_drag": ActionSpec(
        (), ("coordinate", "coordinate2"), "", lambda a: drag(a.point(), a.point("coordinate2"))
    ),
}
_NAMES = ("key", "click", "long_press", "swipe", "type", "system_button", "open", "wait")
_OWN = {
    "clear": {"description": "1 to empty the field first, else 0.", "type": "number"},
    "enter": {"description": "1 to press enter behind the text, else 0.", "type": "number"},
    "coordinate2": {"description": "[x2, y2] in pixels: where a drag ends.", "type": "array"},
    "pixels": {"description": "How far to scroll, -5 to 5: positive up, negative down.", "type": "number"},
}
_ORDER = ("keys", "text", "clear", "enter", "coordinate", "coordinate2", "pixels", "time", "status")

ASKED = {
    "computer_use": (
        "Say the next move, from the screenshot, the instruction and the previous actions.\n"
        "Instruction: {instruction}\nPrevious actions:\n{history}\n\n"
    ),
    "mobile_use": (
        "The user query: {instruction}\nTask progress (what you have done on this device so far): {history}.\n\n"
    ),
}
FORM = (
    "First reason step by step inside <thinking></thinking>, before <tool_call></tool_call>.\n"
    "Afterwards sum up what you did inside <conclusion></conclusion>, behind it.\n"
)
_TAGS = re.compile(r"<(conclusion|thinking)>\s*(.*?)\s*(?:</\1>|\Z)", re.DOTALL)


class Dialect(ToolCallDialect):
    """GUI-Owl. One turn for all: the task, what was concluded at each earlier step, and the picture."""

    NAME = "gui_owl"
    TOOLS = ("computer_use", "mobile_use")
    HISTORIES = ("progress",)
    ACTS: ClassVar = {
        "computer_use": COMPUTER,
        "mobile_use": {**{name: _mobile(name) for name in _NAMES}, "terminate": _TERMINATE},
    }
    PARAMETERS: ClassVar = {
        "computer_use": {key: ({**PARAMETERS["computer_use"], **_OWN})[key] for key in _ORDER},
        "mobile_use": PARAMETERS["mobile_use"],
    }
    DESCRIPTION = DESCRIPTION

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        size = self.size(screen)
        system = self.render_prompt(SYSTEM[self.tool], width=size[0], height=size[1])
        done = [f"Step {shown.step.index}: {_concluded(shown.step)}" for shown in steps]
        if self.tool == "computer_use":
            history = "\n".join(done) or "No history. This is the first step."
        else:
            history = "".join(f"{one}; " for one in done)
        asked = ASKED[self.tool].replace("{history}", escape(history)).replace("{instruction}", escape(goal)) + FORM
        parts = (
            [text_part(asked), text_part("Current screenshot:\n")]
            if self.tool == "computer_use"
            else [text_part(asked)]
        )
        messages = (message("system", text_part(system)), message("user", *parts, image_part(screen)))
        return Conversation(messages, self.tools(verbs, size))

    def parse_call(self, text: str) -> Call:
        call = super().parse_call(text)
        found = {match.group(1): match.group(2) for match in _TAGS.finditer(text)}
        return Call(call.name, call.arguments, found.get("thinking") or call.thought)

    def format_action(self, action: Any, screen: Screen) -> str:
        verb, mobile = action.verb, self.tool == "mobile_use"
        if verb == "click" and not action.modifiers and (action.count == 1 or action.button == "left"):
            names = {("left", 1): "click", ("right", 1): "right_click", ("middle", 1): "middle_click"}
            name = names.get((action.button, action.count), {2: "double_click"}.get(action.count))
            if name and (name == "click" or not mobile):
                return self.called(name, **self.at(screen, (action.x, action.y)))
        if verb == "drag" and len(action.path) == 2 and not action.modifiers:
            ends = self.at(screen, action.path[0]) | self.at(screen, action.path[1], "coordinate2")
            return self.called("swipe" if mobile else "drag", **ends)
        if verb == "type":
            return self.called("type", text=action.text)
        if verb == "wait":
            return self.called("wait", time=action.seconds)
        if verb == "done" and not action.message:
            return self.called("terminate", status=action.status)
        if mobile and verb == "long_press":
            return self.called("long_press", **self.at(screen, (action.x, action.y)), time=action.seconds)
        if mobile and verb in ("home", "back"):
            return self.called("system_button", button=verb.capitalize())
        if mobile and verb == "open":
            return self.called("open", text=action.target)
        if mobile and verb == "press" and len(action.keys) == 1 and action.keys[0] in KEYS and action.keys[0] != "home":
            return self.called("key", text=action.keys[0])
        if not mobile and verb == "press":
            return self.called("key", keys=list(action.keys))
        if not mobile and verb == "move":
            return self.called("mouse_move", **self.at(screen, (action.x, action.y)))
        turned = verb == "scroll" and action.x is None and not action.right and abs(action.down) <= MOST_NOTCHES
        if not mobile and turned and action.down:
            return self.called("scroll", pixels=-action.down)
        raise unsupported_action(self, action)


def _concluded(step: Step) -> str:
    """A step as later ones remember it: its conclusion, else its thought, and what went wrong."""
    found = {match.group(1): match.group(2) for match in _TAGS.finditer(step.reply.text)}
    said = found.get("conclusion") or found.get("thinking") or (step.call.thought if step.call else "")
    return " ".join(part for part in (" ".join(said.split()), outcome_text(step)) if part) or "no words"
