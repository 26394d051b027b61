"""The functions computer_use and mobile_use of Qwen2.5-VL and Qwen3-VL, for the families that use them.

Names, parameters, enums and formats follow the authors' cookbook (agent_function_call.py: 2025-01 to 2025-09 for
Qwen2.5-VL; triple_click, hscroll and answer are of the Qwen3-VL era); the descriptions are this project's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from actions import Action, PressKeys, make_action
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import (
    AmountField,
    ChoiceField,
    Field,
    KeysField,
    PathField,
    PointField,
    SecondsField,
    TextField,
    Values,
)
from model.dialects.parts.grammar import GrammarBuilder, Rule
from model.dialects.parts.schema import Schema
from model.dialects.parts.table import ActionSpec, ActionTable
from model.dialects.parts.tool_call import COORDINATE

_SYSTEM = load_prompt("qwen").removesuffix("\n")
SYSTEM = {
    "computer_use": _SYSTEM.replace("{device}", "computer"),
    "mobile_use": _SYSTEM.replace("{device}", "phone"),
}
DESCRIPTION = {tool: load_prompt(f"qwen_{tool}").removesuffix("\n") for tool in SYSTEM}

# The description of each system button, and the verb that it needs.
BUTTONS = {
    "Back": ("Go to the view before.", "back"),
    "Home": ("Go to the home screen.", "home"),
    "Menu": ("Open the menu.", "press"),
    "Enter": ("Press enter.", "press"),
}
# Names of adb's key events that mean another key than the same name on a keyboard.
_ADB_KEYS = {
    "del": "backspace",
    "forward_del": "delete",
    "move_home": "home",
    "move_end": "end",
    "sysrq": "printscreen",
}
_ADB_KEYS |= {f"dpad_{direction}": direction for direction in ("up", "down", "left", "right")}
_ADB_KEYS |= {"dpad_center": "enter"}
_ADB_KEYS |= {f"{key}_{side}": key for key in ("ctrl", "shift", "alt", "meta") for side in ("left", "right")}


def adb_key(name: str) -> Action:
    """Return the action of an adb key event."""
    plain = name.strip().lower().removeprefix("keycode_")
    action: Action = (
        make_action(plain) if plain in ("back", "home") else make_action("press", keys=(_ADB_KEYS.get(plain, plain),))
    )
    return action


@dataclass(frozen=True)
class AdbKeyField(Field):
    """The name of a key event, as adb knows it."""

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        keys = action.keys if isinstance(action, PressKeys) else ()
        names = (*keys, *(name for name, key in _ADB_KEYS.items() if (key,) == keys))
        name = next((name for name in names if adb_key(name) == action), None)
        return None if name is None else {self.key: name}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.adb_key(_ADB_KEYS)


@dataclass(frozen=True)
class ButtonField(Field):
    """One of the system buttons that the surface has."""

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        name = next((name for name in BUTTONS if _press_button(name) == action), None)
        return None if name is None else {self.key: name}

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.choice([name for name, (_, verb) in BUTTONS.items() if verb in grammar.verbs])


def _press_button(button: str) -> Action:
    verb = BUTTONS[button][1]
    return make_action(verb, keys=(button.lower(),)) if verb == "press" else make_action(verb)


def _parse_button(arguments: Arguments) -> Action:
    return _press_button(arguments.choice("button", tuple(BUTTONS)))


AT = (PointField("coordinate"),)
MAYBE_AT = PointField("coordinate", optional=True)
TEXT = TextField("text")
TIME = SecondsField("time", optional=True)
_KEY_EVENT, _BUTTON = AdbKeyField("text"), ButtonField("button")

TYPE = ActionSpec("type", "type", (TEXT,), "Type `text` where the focus is.")
WAIT = ActionSpec("wait", "wait", (TIME,), "Wait `time` seconds.")
TERMINATE = ActionSpec("terminate", "done", (ChoiceField("status"),), "End the task and say by `status` how it went.")
ANSWER = ActionSpec("answer", "answer", (TEXT,), "Give `text` as the answer to the person's question.", offered=False)
KEY = ActionSpec("key", "press", (KeysField("keys"),), "Press `keys` one after the other and let them go in reverse.")
MOVE = ActionSpec("mouse_move", "move", AT, "Move the pointer to `coordinate`.")
CLICK = ActionSpec("left_click", "click", AT, "Click the left button at `coordinate`.")
RIGHT = ActionSpec("right_click", "click", AT, "Click the right button at `coordinate`.", {"button": "right"})
MIDDLE = ActionSpec("middle_click", "click", AT, "Click the middle button at `coordinate`.", {"button": "middle"})
DOUBLE = ActionSpec("double_click", "click", AT, "Click the left button twice at `coordinate`.", {"count": 2})
TRIPLE = ActionSpec(
    "triple_click", "click", AT, "Click the left button three times at `coordinate`.", {"count": 3}, offered=False
)
BUTTON_PRESS = ActionSpec(
    "system_button", "back", (_BUTTON,), "Press the system's `button`.", needs=("back", "home", "press"),
    parse=_parse_button, format=_BUTTON.format,
)  # fmt: skip
LONG_PRESS = ActionSpec("long_press", "long_press", (*AT, TIME), "Press at `coordinate` for `time` seconds.")
SWIPE = ActionSpec(
    "swipe", "drag", (PathField("coordinate", from_end=1), PathField("coordinate2")),
    "Swipe from `coordinate` to `coordinate2`.",
)  # fmt: skip
OPEN = ActionSpec(
    "open", "open", (TextField("text", attribute="target", nonempty=True),), "Open the app called `text`."
)

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
        "key", "press", (_KEY_EVENT,), "Send the key event `text`, by its name in adb: volume_up, power.",
        parse=lambda arguments: adb_key(arguments.text("text")),
        format=lambda action, mapper: None if _BUTTON.format(action, mapper) else _KEY_EVENT.format(action, mapper),
    ),
    ActionSpec("click", "click", AT, "Tap at `coordinate`."),
    LONG_PRESS,
    SWIPE,
    TYPE,
    BUTTON_PRESS,
    OPEN,
    WAIT,
    TERMINATE,
    ANSWER,
)  # fmt: skip

PROPERTIES: dict[str, dict[str, Schema]] = {
    "mobile_use": {
        "coordinate": COORDINATE,
        "coordinate2": {"description": "[x, y] in pixels: where a swipe ends.", "type": "array"},
        "text": {"description": "What to type, the key's name, or the app's name.", "type": "string"},
        "time": {"description": "Seconds.", "type": "number"},
        "button": {"description": "Which button.", "enum": list(BUTTONS), "type": "string"},
        "status": TERMINATE.fields[0].schema,
    },
}


def restrict(table: ActionTable, *names: str) -> ActionTable:
    """Return a table with these rows offered, in this order; the others are only understood."""
    others = [replace(row, offered=False) for row in table.rows.values() if row.name not in names]
    return ActionTable(*(replace(table.rows[name], offered=True) for name in names), *others)
