"""The functions computer_use and mobile_use: their schema as models see it, and what each action means on a screen.

Names, parameters, enums and formats are those of the authors' cookbook in its Qwen2.5-VL era (agent_function_call.py,
2025-01 to 2025-09); the sentences are our own. Knows no prompt and no syntax of replies.

Coordinates. The model sees the screen resized to (W, H) by smart_resize and answers in those pixels. A pixel of the
resized picture means the screen pixel that contains its centre, so a point on the picture is always on the screen:
x_screen = floor((x + 1/2) * screen_width / W). A number with a fraction is rounded to the nearest pixel first (half to
even), except between 0 and 1, where it is a share of the picture and no pixel. Nothing is clamped.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actions import CONTROL_ACTIONS, InvalidActionError, Screen, make_action

NOTCH_PIXELS = 100  # what one notch of a wheel scrolls, for the model's `pixels`
MAX_NOTCHES = 100
MAX_WAIT_S = 60

DESCRIPTION = {
    "computer_use": (
        "Operate a computer by its screen, with mouse and keyboard.\n"
        "* There is no terminal and no menu of programs: whatever you need is opened by what is on the screen.\n"
        "* Programs and pages take time. If nothing has changed yet, wait and look at the next picture.\n"
        "* The screen's resolution is {width}x{height}.\n"
        "* Look where a thing is before you point at it, and point at its centre, not at its edge.\n"
        "* If a click did nothing, even after a wait, click again a little to the side, so that the pointer's tip is "
        "on the thing."
    ),
    "mobile_use": (
        "Operate a phone by its touchscreen.\n"
        "* Apps take time. If nothing has changed yet, wait and look at the next picture.\n"
        "* The screen's resolution is {width}x{height}.\n"
        "* Look where a thing is before you touch it, and touch its centre, not its edge."
    ),
}


def to_screen(x: int, shown: int, real: int) -> int:
    """The pixel of an axis of `real` screen pixels that contains the centre of pixel x of `shown` resized ones."""
    return (2 * x + 1) * real // (2 * shown)


def to_model(x: int, real: int, shown: int) -> int:
    """The other way: the resized pixel that contains the centre of screen pixel x. Undoes to_screen where it can."""
    return (2 * x + 1) * shown // (2 * real)


@dataclass(frozen=True)
class Arguments:
    """A call's arguments, read strictly: each method returns what an Action needs or raises BadCall."""

    action: str
    given: Mapping[str, Any]
    screen: Screen
    shown: tuple[int, int]  # (width, height) of the resized picture

    def point(self, key: str = "coordinate") -> tuple[int, int]:
        """A pixel of the screen."""
        value = self._need(key, "[x, y]")
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise InvalidActionError(f"'{key}' must be two numbers [x, y], not {show(value)}")
        x, y = (self._pixel(number, key) for number in value)
        width, height = self.shown
        if not (0 <= x < width and 0 <= y < height):
            raise InvalidActionError(
                f"'{key}' {show(list(value))} is outside the picture; "
                f"x must be 0 to {width - 1} and y 0 to {height - 1}"
            )
        return to_screen(x, width, self.screen.width), to_screen(y, height, self.screen.height)

    def at(self, optional: bool = False) -> dict[str, int]:
        if optional and self.given.get("coordinate") is None:
            return {}
        x, y = self.point()
        return {"x": x, "y": y}

    def text(self, key: str = "text") -> str:
        value = self._need(key, "a string")
        if not isinstance(value, str):
            raise InvalidActionError(f"'{key}' must be a string, not {show(value)}")
        return value

    def keys(self) -> tuple[str, ...]:
        """Key names; a chord may also come as one string, "ctrl+c"."""
        value = self._need("keys", 'a list of key names such as ["ctrl", "c"]')
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise InvalidActionError(f"'keys' must be a list of key names, not {show(value)}")
        return tuple(part for name in names[:9] for part in ([name] if len(name) < 2 else name[:400].split("+")))

    def notches(self) -> int:
        """Of the wheel, up positive; a movement of less than one notch is one."""
        value = self._number("pixels", "a number of pixels, positive up and negative down")
        if value == 0 or abs(value) > MAX_NOTCHES * NOTCH_PIXELS:
            limit = MAX_NOTCHES * NOTCH_PIXELS
            raise InvalidActionError(f"'pixels' must be -{limit} to {limit} and not 0, not {show(value)}")
        count = max(1, round(abs(value) / NOTCH_PIXELS))
        return count if value > 0 else -count

    def seconds(self) -> dict[str, float]:
        if self.given.get("time") is None:
            return {}  # the verb has its own default
        value = self._number("time", "a number of seconds")
        if not 0 <= value <= MAX_WAIT_S:
            raise InvalidActionError(f"'time' must be 0 to {MAX_WAIT_S} seconds, not {show(value)}")
        return {"seconds": float(value)}

    def choice(self, key: str, options: Sequence[str]) -> str:
        value = self._need(key, " or ".join(options))
        if value not in options:
            raise InvalidActionError(f"'{key}' must be one of {', '.join(options)}, not {show(value)}")
        return str(value)

    def _need(self, key: str, what: str) -> Any:
        if self.given.get(key) is None:
            raise InvalidActionError(f"{self.action} needs '{key}': {what}")
        return self.given[key]

    def _number(self, key: str, what: str) -> int | float:
        value = self._need(key, what)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise InvalidActionError(f"'{key}' must be {what}, not {show(value)}")
        return value

    def _pixel(self, number: Any, key: str) -> int:
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise InvalidActionError(f"'{key}' must be two numbers [x, y], not with {show(number)}")
        if isinstance(number, int):
            return number
        width, height = self.shown
        if not math.isfinite(number) or 0 < number < 1:
            raise InvalidActionError(
                f"'{key}' is in whole pixels of the picture, x 0 to {width - 1} and y 0 to {height - 1}, not {number}"
            )
        return -1 if number < 0 else round(number)


# What a system button does, and the verb that it takes.
BUTTONS = {
    "Back": ("Go to the view before.", "back"),
    "Home": ("Go to the home screen.", "home"),
    "Menu": ("Open the menu.", "press"),
    "Enter": ("Press enter.", "press"),
}


def _system_button(given: Arguments) -> Any:
    button = given.choice("button", tuple(BUTTONS))
    return (
        make_action("press", keys=(button.lower(),))
        if BUTTONS[button][1] == "press"
        else make_action(BUTTONS[button][1])
    )


# Names of adb's key events that say something else than the same name on a keyboard.
_ADB_KEYS = {
    "del": "backspace",
    "forward_del": "delete",
    "move_home": "home",
    "move_end": "end",
    "sysrq": "printscreen",
}
_ADB_KEYS |= {f"dpad_{way}": way for way in ("up", "down", "left", "right")} | {"dpad_center": "enter"}
_ADB_KEYS |= {f"{key}_{side}": key for key in ("ctrl", "shift", "alt", "meta") for side in ("left", "right")}


def adb_key(name: str) -> Any:
    """What the key event of that name means; BadCall where no key has it."""
    plain = name.strip().lower().removeprefix("keycode_")
    return (
        make_action(plain) if plain in ("back", "home") else make_action("press", keys=(_ADB_KEYS.get(plain, plain),))
    )


@dataclass(frozen=True)
class Act:
    """One value of the enum `action`. It is offered where the surface has one of the verbs (none: it never is)."""

    name: str
    verbs: tuple[str, ...]
    takes: tuple[str, ...]
    says: str
    means: Callable[[Arguments], Any]


_TERMINATE = Act(
    "terminate",
    ("done",),
    ("status",),
    "End the task and say by `status` how it went.",
    lambda a: make_action("done", status=a.choice("status", ("success", "failure"))),
)
_WAIT = Act("wait", ("wait",), ("time",), "Wait `time` seconds.", lambda a: make_action("wait", **a.seconds()))
_TYPE = Act(
    "type", ("type",), ("text",), "Type `text` where the focus is.", lambda a: make_action("type", text=a.text())
)
_ANSWER = Act("answer", (), ("text",), "", lambda a: make_action("answer", text=a.text()))


def _click(name: str, says: str, verbs: tuple[str, ...] = ("click",), **how: Any) -> Act:
    return Act(name, verbs, ("coordinate",), says, lambda a: make_action("click", **a.at(), **how))


ACTS: dict[str, tuple[Act, ...]] = {
    "computer_use": (
        Act(
            "key",
            ("press",),
            ("keys",),
            "Press `keys` one after the other and let them go in reverse.",
            lambda a: make_action("press", keys=a.keys()),
        ),
        _TYPE,
        Act(
            "mouse_move",
            ("move",),
            ("coordinate",),
            "Move the pointer to `coordinate`.",
            lambda a: make_action("move", **a.at()),
        ),
        _click("left_click", "Click the left button at `coordinate`."),
        Act(
            "left_click_drag",
            ("drag",),
            ("coordinate",),
            "Drag with the left button from where the pointer is to `coordinate`.",
            lambda a: make_action("drag", path=(a.point(),)),
        ),
        _click("right_click", "Click the right button at `coordinate`.", button="right"),
        _click("middle_click", "Click the middle button at `coordinate`.", button="middle"),
        _click("double_click", "Click the left button twice at `coordinate`.", count=2),
        Act(
            "scroll",
            ("scroll",),
            ("pixels", "coordinate"),
            "Turn the wheel by `pixels`.",
            lambda a: make_action("scroll", **a.at(optional=True), down=-a.notches()),
        ),
        _WAIT,
        _TERMINATE,
        # of the Qwen3-VL era: understood, not offered
        _click("triple_click", "", verbs=(), count=3),
        Act(
            "hscroll",
            (),
            ("pixels", "coordinate"),
            "",
            lambda a: make_action("scroll", **a.at(optional=True), right=a.notches()),
        ),
        _ANSWER,
    ),
    "mobile_use": (
        Act(
            "key",
            ("press",),
            ("text",),
            "Send the key event `text`, by its name in adb: volume_up, power.",
            lambda a: adb_key(a.text()),
        ),
        _click("click", "Tap at `coordinate`."),
        Act(
            "long_press",
            ("long_press",),
            ("coordinate", "time"),
            "Press at `coordinate` for `time` seconds.",
            lambda a: make_action("long_press", **a.at(), **a.seconds()),
        ),
        Act(
            "swipe",
            ("drag",),
            ("coordinate", "coordinate2"),
            "Swipe from `coordinate` to `coordinate2`.",
            lambda a: make_action("drag", path=(a.point(), a.point("coordinate2"))),
        ),
        _TYPE,
        Act("system_button", ("back", "home", "press"), ("button",), "Press the system's `button`.", _system_button),
        Act(
            "open", ("open",), ("text",), "Open the app called `text`.", lambda a: make_action("open", target=a.text())
        ),
        _WAIT,
        _TERMINATE,
        _ANSWER,
    ),
}

_STATUS = {"description": "How the task ended.", "type": "string", "enum": ["success", "failure"]}
PARAMETERS: dict[str, dict[str, dict[str, Any]]] = {
    "computer_use": {
        "keys": {"description": "Names of keys.", "type": "array"},
        "text": {"description": "What to type.", "type": "string"},
        "coordinate": {
            "description": "[x, y] in pixels: x from the screen's left edge, y from its top edge.",
            "type": "array",
        },
        "pixels": {"description": "How far to scroll: positive up, negative down.", "type": "number"},
        "time": {"description": "Seconds.", "type": "number"},
        "status": _STATUS,
    },
    "mobile_use": {
        "coordinate": {
            "description": "[x, y] in pixels: x from the screen's left edge, y from its top edge.",
            "type": "array",
        },
        "coordinate2": {"description": "[x, y] in pixels: where a swipe ends.", "type": "array"},
        "text": {"description": "What to type, the key's name, or the app's name.", "type": "string"},
        "time": {"description": "Seconds.", "type": "number"},
        "button": {"description": "Which button.", "enum": list(BUTTONS), "type": "string"},
        "status": _STATUS,
    },
}


def function_schema(tool: str, verbs: frozenset[str], width: int, height: int) -> dict[str, Any]:
    """The function as the cookbook renders it, for what the verbs can do and a picture of width x height pixels."""
    able = verbs | CONTROL_ACTIONS
    offered = [act for act in ACTS[tool] if able.intersection(act.verbs)]
    used = {key for act in offered for key in act.takes}
    properties = {key: one for key, one in PARAMETERS[tool].items() if key in used}
    if "button" in properties:
        buttons = {name: says for name, (says, verb) in BUTTONS.items() if verb in able}
        words = " ".join(f"{name}: {says}" for name, says in buttons.items())
        properties["button"] = {"description": words, "enum": list(buttons), "type": "string"}
    choices = "\n".join(f"* `{act.name}`: {act.says}" for act in offered)
    action = {"description": f"What to do:\n{choices}", "enum": [act.name for act in offered], "type": "string"}
    return {
        "type": "function",
        "function": {
            "name_for_human": tool,
            "name": tool,
            "description": sized(DESCRIPTION[tool], (width, height)),
            "parameters": {
                "properties": {"action": action, **properties},
                "required": ["action"],
                "type": "object",
            },
            "args_format": "Write the arguments as a JSON object.",
        },
    }


def sized(text: str, size: tuple[int, int]) -> str:
    return text.replace("{width}", str(size[0])).replace("{height}", str(size[1]))


def show(value: Any) -> str:
    """A value of the model's, short, on one line, control characters spelled out."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes out no number of more than 4300 digits
        return "a number too long to write"
