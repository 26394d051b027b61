"""The functions computer_use and mobile_use of Qwen2.5-VL and Qwen3-VL, for the families that use them.

Names, parameters, enums and formats follow the authors' cookbook (agent_function_call.py: 2025-01 to 2025-09 for
Qwen2.5-VL; triple_click, hscroll and answer are of the Qwen3-VL era); the descriptions are this project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from actions import Action, PressKeys, make_action
from actions.keys import KEYS
from model.dialects.base import Values
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import (
    STATUS,
    AmountField,
    Field,
    KeysField,
    PathField,
    PointField,
    SecondsField,
    TextField,
)
from model.dialects.parts.grammar import GrammarBuilder, Rule
from model.dialects.parts.schema import value_schema
from model.dialects.parts.table import ActionSpec, ActionTable
from model.dialects.parts.tool_call import COORDINATE, ToolCallDialect

# The description of each system button, and what it does.
BUTTONS: dict[str, tuple[str, Action]] = {
    "Back": ("Go to the view before.", make_action("back")),
    "Home": ("Go to the home screen.", make_action("home")),
    "Menu": ("Open the menu.", make_action("press", keys=("menu",))),
    "Enter": ("Press enter.", make_action("press", keys=("enter",))),
}
_ADB_KEYS = {key.android.removeprefix("KEYCODE_").lower(): name for name, key in KEYS.items() if key.android}
_ADB_KEYS |= {"dpad_center": "enter", **{f"{name}_right": name for name in ("ctrl", "shift", "alt", "meta")}}


def adb_key(name: str) -> Action:
    """Return the action of an adb key event; home and back are no keys there."""
    plain = name.strip().lower().removeprefix("keycode_")
    is_button = plain in ("back", "home")
    action: Action = make_action(plain) if is_button else make_action("press", keys=(_ADB_KEYS.get(plain, plain),))
    return action


def _write_adb_key(action: Action, mapper: CoordinateMapper) -> Values | None:
    keys = action.keys if isinstance(action, PressKeys) and not _write_button(action, mapper) else ()
    names = (*keys, *(name for name, key in _ADB_KEYS.items() if (key,) == keys))
    name = next((name for name in names if adb_key(name) == action), None)
    return None if name is None else {"text": name}


def _write_button(action: Action, mapper: CoordinateMapper) -> Values | None:
    name = next((name for name, (_, pressed) in BUTTONS.items() if pressed == action), None)
    return None if name is None else {"button": name}


def _button_rule(grammar: GrammarBuilder) -> Rule:
    return grammar.choice([name for name, (_, pressed) in BUTTONS.items() if pressed.verb in grammar.verbs])


AT = (PointField("coordinate"),)
MAYBE_AT = PointField("coordinate", optional=True)
TEXT = TextField("text")
TIME = SecondsField("time", optional=True)

TYPE = ActionSpec("type", "type", (TEXT,), "Type `text` where the focus is.")
WAIT = ActionSpec("wait", "wait", (TIME,), "Wait `time` seconds.")
TERMINATE = ActionSpec("terminate", "done", (STATUS,), "End the task and say by `status` how it went.")
ANSWER = ActionSpec("answer", "answer", (TEXT,), "Give `text` as the answer to the person's question.", offered=False)
KEY = ActionSpec("key", "press", (KeysField("keys"),), "Press `keys` one after the other and let them go in reverse.")
MOVE = ActionSpec("mouse_move", "move", AT, "Move the pointer to `coordinate`.")
CLICK = ActionSpec("left_click", "click", AT, "Click the left button at `coordinate`.")
RIGHT = ActionSpec("right_click", "click", AT, "Click the right button at `coordinate`.", {"button": "right"})
MIDDLE = ActionSpec("middle_click", "click", AT, "Click the middle button at `coordinate`.", {"button": "middle"})
DOUBLE = ActionSpec("double_click", "click", AT, "Click the left button twice at `coordinate`.", {"count": 2})
_THRICE = "Click the left button three times at `coordinate`."
TRIPLE = ActionSpec("triple_click", "click", AT, _THRICE, {"count": 3}, offered=False)

COMPUTER = ActionTable(
    KEY,
    TYPE,
    MOVE,
    CLICK,
    ActionSpec(
        "left_click_drag", "drag", (PathField("coordinate", length=1),),
        "Drag with the left button from where the pointer is to `coordinate`.",
    ),
    RIGHT,
    MIDDLE,
    DOUBLE,
    ActionSpec("scroll", "scroll", (MAYBE_AT, AmountField("pixels")), "Turn the wheel by `pixels`."),
    WAIT,
    TERMINATE,
    TRIPLE,
    ActionSpec(
        "hscroll", "scroll", (MAYBE_AT, AmountField("pixels", attribute="right", unit=100)),
        "Turn the wheel sideways by `pixels`.", offered=False,
    ),
    ANSWER,
)  # fmt: skip
MOBILE = ActionTable(
    ActionSpec(
        "key", "press", (Field("text", lark=lambda grammar: grammar.adb_key(_ADB_KEYS)),),
        "Send the key event `text`, by its name in adb: volume_up, power.",
        parse=lambda arguments: adb_key(arguments.text("text")), format=_write_adb_key,
    ),
    ActionSpec("click", "click", AT, "Tap at `coordinate`."),
    ActionSpec("long_press", "long_press", (*AT, TIME), "Press at `coordinate` for `time` seconds."),
    ActionSpec(
        "swipe", "drag", (PathField("coordinate", from_end=1), PathField("coordinate2")),
        "Swipe from `coordinate` to `coordinate2`.",
    ),
    TYPE,
    ActionSpec(
        "system_button", "back", (Field("button", lark=_button_rule),), "Press the system's `button`.",
        needs=("back", "home", "press"), format=_write_button,
        parse=lambda arguments: BUTTONS[arguments.choice("button", tuple(BUTTONS))][1],
    ),
    ActionSpec("open", "open", (replace(TEXT, attribute="target", nonempty=True),), "Open the app called `text`."),
    WAIT,
    TERMINATE,
    ANSWER,
)  # fmt: skip


class QwenToolDialect(ToolCallDialect):
    """A family with these functions, or with actions of its own under their names."""

    SYSTEM: ClassVar[str | Mapping[str, str]] = {
        "computer_use": load_prompt("qwen").replace("{device}", "computer"),
        "mobile_use": load_prompt("qwen").replace("{device}", "phone"),
    }
    DESCRIPTION: ClassVar = {tool: load_prompt(f"qwen_{tool}") for tool in ("computer_use", "mobile_use")}
    PROPERTIES: ClassVar = {
        "mobile_use": {
            "coordinate": COORDINATE,
            "coordinate2": value_schema("[x, y] in pixels: where a swipe ends.", "array"),
            "text": value_schema("What to type, the key's name, or the app's name."),
            "time": value_schema("Seconds.", "number"),
            "button": value_schema("Which button.", enum=list(BUTTONS)),
            "status": STATUS.schema,
        }
    }
