"""Anthropic's computer-use actions: tool_use blocks of the tool `computer`, in pixels of the image that was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from actions import Action, Click, InvalidActionError, PressKeys, make_action
from model.dialects.base import Values
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import MAX_ACTIONS
from model.dialects.parts.fields import MAX_NOTCHES, DirectionField, Field, PathField, SecondsField, scroll_by
from model.dialects.parts.provider_items import COMPUTER, ParsedItems, ProviderItemDialect
from model.dialects.parts.qwen_tools import AT, CLICK, DOUBLE, MAYBE_AT, MIDDLE, MOVE, RIGHT, TRIPLE, TYPE
from model.dialects.parts.schema import value_schema
from model.dialects.parts.table import ActionSpec, ActionTable, Result, constant_row
from model.dialects.parts.tool_call import COORDINATE
from model.processing.image import ImageLimits
from model.wire.points import show

LIMITS = ImageLimits(max_pixels=1280 * 800)  # WXGA in the demonstration; their side shrinks larger images

MODIFIERS = ("ctrl", "shift", "alt", "meta")
SCROLLS = ("up", "down", "left", "right")

# X11's names of keys (keysymdef.h) that are neither this project's nor an alias of one.
_CHARACTER_NAMES = """
+ plus - minus = equal , comma . period / slash \\ backslash ; semicolon : colon ' apostrophe " quotedbl ` grave
[ bracketleft ] bracketright { braceleft } braceright ( parenleft ) parenright * asterisk _ underscore ! exclam
? question @ at # numbersign $ dollar % percent ^ asciicircum & ampersand | bar < less > greater ~ asciitilde
""".split()  # noqa: SIM905
_FROM_X = dict(zip(_CHARACTER_NAMES[1::2], _CHARACTER_NAMES[::2], strict=True))
_TO_X = {character: name for name, character in _FROM_X.items()}
_FROM_X |= {"prior": "pageup", "next": "pagedown", "print": "printscreen", "kp_enter": "enter", "kp_add": "+"}
_FROM_X |= {f"kp_{digit}": str(digit) for digit in range(10)}
_FROM_X |= {f"{name}_{side}": name for side in "lr" for name in ("control", "shift", "alt", "super")}
_FROM_X |= {f"meta_{side}": "meta" for side in "lr"}
_TO_X |= {"enter": "Return", "backspace": "BackSpace", "pageup": "Page_Up", "pagedown": "Page_Down", "meta": "super"}
_TO_X |= {key: key.capitalize() for key in ("tab", "escape", "delete", "home", "end", "up", "down", "left", "right")}


def _parse_chord(text: str) -> tuple[str, ...]:
    """Return the normalized keys of one combination in xdotool's spelling."""
    names = [text] if len(text) == 1 else text[:400].split("+")
    keys = [name if len(name) == 1 else _FROM_X.get(name.lower(), name) for name in names[:9]]
    return tuple(make_action("press", keys=keys).keys)


def _write_chord(keys: tuple[str, ...]) -> str:
    return "+".join(_TO_X.get(key, key) for key in keys)


class HeldField(Field):
    """The modifiers held during a click."""

    ATTRIBUTES: ClassVar = ("modifiers",)

    def parse(self, arguments: Arguments) -> Values:
        keys = _parse_chord(arguments.text(self.key)) if arguments.values.get(self.key) else ()
        for key in keys:
            if key not in MODIFIERS:
                names = ", ".join(MODIFIERS)
                raise InvalidActionError(f"'text' of {arguments.name} is held, and may be {names}, not {show(key)}")
        return {"modifiers": keys}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        modifiers = action.modifiers if isinstance(action, Click) else ()
        return {self.key: _write_chord(modifiers)} if modifiers else {}


class NotchesField(DirectionField):
    """The direction of a scroll, whose amount is the argument `scroll_amount`."""

    def parse(self, arguments: Arguments) -> Values:
        direction = arguments.choice(self.key, self.options)
        amount = arguments.amount("scroll_amount", MAX_NOTCHES)
        if amount < 1:
            raise InvalidActionError(f"'scroll_amount' must be 1 to {MAX_NOTCHES} notches, not {show(amount)}")
        return {**scroll_by(direction, amount)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        amount = max(abs(getattr(action, name, 0)) for name in self.ATTRIBUTES)
        values = DirectionField(self.key, notches=amount).format(action, mapper)
        return {**values, "scroll_amount": amount} if values and amount else None


def _parse_keys(arguments: Arguments) -> Result:
    """Return one combination, or several with spaces between, as xdotool takes them; `repeat` times."""
    text = arguments.text("text")
    chords = ["space"] if text == " " else text.split()
    times = arguments.values.get("repeat") or 1
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times * max(1, len(chords)) <= MAX_ACTIONS:
        raise InvalidActionError(
            f"'repeat' must be a whole number, and all presses {MAX_ACTIONS} at most, not {show(times)}"
        )
    if not chords:
        raise InvalidActionError('key needs \'text\': keys such as "ctrl+s" or "Return"')
    actions = tuple(make_action("press", keys=_parse_chord(chord)) for chord in chords) * times
    return actions[0] if len(actions) == 1 else actions


def _unsupported(name: str, alternative: str) -> ActionSpec:
    def refuse(arguments: Arguments) -> Result:
        raise InvalidActionError(f"there is no {name} here; {alternative}")

    keys = ("coordinate", "start_coordinate", "text", "duration", "region", "scroll_direction", "scroll_amount")
    return ActionSpec(name, "", tuple(Field(key) for key in keys), offered=False, writes=False, parse=refuse)


HELD = (*AT, HeldField("text"))
START = PathField("start_coordinate", optional=True, from_end=1)
TABLE = ActionTable(
    ActionSpec(
        "key", "press", (Field("text"), Field("repeat")), 'Press `text`: "Return", "ctrl+s".', parse=_parse_keys,
        format=lambda action, mapper: {"text": _write_chord(action.keys)} if isinstance(action, PressKeys) else None,
    ),
    TYPE,
    MOVE,
    replace(CLICK, fields=HELD),
    ActionSpec(
        "left_click_drag", "drag", (START, PathField("coordinate")),
        "Drag with the left button from `start_coordinate` to `coordinate`.",
    ),
    *(replace(row, fields=HELD, offered=True) for row in (RIGHT, MIDDLE, DOUBLE, TRIPLE)),
    ActionSpec(
        "scroll", "scroll", (MAYBE_AT, NotchesField("scroll_direction", options=SCROLLS), Field("scroll_amount")),
        "Turn the wheel at `coordinate` by `scroll_amount` notches to `scroll_direction`.",
    ),
    ActionSpec("wait", "wait", (SecondsField("duration", optional=True),), "Wait `duration` seconds."),
    replace(constant_row("screenshot", "wait", seconds=0.0), offered=False, writes=False),
    _unsupported("cursor_position", "where the pointer is can be seen on the screen"),
    _unsupported("hold_key", "press it with key, or hold it during a click by the click's text"),
    _unsupported("left_mouse_down", "drag with left_click_drag"),
    _unsupported("left_mouse_up", "drag with left_click_drag"),
    _unsupported("zoom", "the screen is shown as large as it gets"),
)  # fmt: skip
TEXT = 'What to type, or the keys to press; of a click: the modifiers held, as in "ctrl+shift".'


class Dialect(ProviderItemDialect):
    """Claude, and other models that answer in Anthropic's blocks."""

    NAME = "anthropic"
    FIRST_KEYS = (
        "type", "id", "role", "name", "input", "content", "action", "coordinate", "start_coordinate", "text",
        "thinking", "model", "stop_reason", "scroll_direction", "scroll_amount", "duration",
    )  # fmt: skip
    ITEM_FORM = '{"type": "tool_use", "name": "computer", "input": {"action": "left_click", "coordinate": [<x>, <y>]}}'
    ACTIONS: ClassVar = {COMPUTER: TABLE}
    PROPERTIES: ClassVar = {
        COMPUTER: {
            "coordinate": COORDINATE,
            "start_coordinate": value_schema("[x, y] in pixels: where a drag begins.", "array"),
            "text": value_schema(TEXT),
            "scroll_direction": value_schema("Where to.", enum=list(SCROLLS)),
            "scroll_amount": value_schema("Notches of the wheel.", "integer"),
            "duration": value_schema("Seconds.", "number"),
        }
    }

    def parse_item(self, item: Mapping[str, object], items: ParsedItems) -> None:
        kind = item.get("type")
        if kind == "message" or (kind is None and item.get("role") == "assistant"):
            self._parse_message(item, items)
        elif kind == "tool_use" or (kind is None and "input" in item):
            self.add_function_call(item.get("name", COMPUTER), item.get("input"), items)
        elif kind in ("text", "thinking"):
            text = item.get(str(kind))
            if isinstance(text, str) and text:
                (items.texts if kind == "text" else items.thoughts).append(text)
        elif kind is None:
            items.add_call(COMPUTER, item)  # an input by itself; an unknown one is refused when it is converted
        elif kind != "redacted_thinking":
            raise InvalidActionError(f"a block of type {show(kind)} is not read here; answer with {self.ITEM_FORM}")

    def _parse_message(self, item: Mapping[str, object], items: ParsedItems) -> None:
        content = item.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list) or not all(
            isinstance(block, Mapping) and block.get("type") for block in blocks
        ):
            raise InvalidActionError("the content of a message must be blocks with a type")
        for block in blocks:
            if block["type"] == "message":
                raise InvalidActionError("a message stands in a message")
            self.parse_item(block, items)
        if item.get("stop_reason") == "refusal" and not items.calls:
            items.refusals += items.texts or ["the model refuses"]
        elif item.get("stop_reason") == "max_tokens" and not items.calls:
            raise InvalidActionError("the reply was cut off before its call; make it shorter")

    def text_item(self, text: str) -> Values:
        return {"type": "text", "text": text}

    def call_item(self, name: str, values: Values) -> Values:
        return {"type": "tool_use", "id": "toolu_0", "name": name, "input": values}
