"""OpenAI's computer-use actions: items of type computer_call, in pixels of the image that was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from actions import Action, Click, Drag, InvalidActionError, make_action
from model.dialects.base import Values
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.fields import MAX_NOTCHES, NOTCH_PIXELS, Field, KeysField, TextField, XYField
from model.dialects.parts.provider_items import ASK, COMPUTER, ParsedItems, ProviderItemDialect, texts_of
from model.dialects.parts.schema import object_schema, value_schema
from model.dialects.parts.table import ActionSpec, ActionTable, Result, click, constant_row
from model.processing.image import ImageLimits
from model.wire.lenient_json import LenientJsonError
from model.wire.points import show
from model.wire.tool_call import ToolCallError, decode_arguments

LIMITS = ImageLimits(max_pixels=1024 * 768)  # the display of their first guide; their side shrinks larger images

WAIT_S = 2.0
BUTTONS = {"left": "left", "right": "right", "wheel": "middle"}
MODIFIERS = {"ctrl": "CTRL", "shift": "SHIFT", "alt": "ALT", "meta": "META"}
SAFETY = "OpenAI asks for a person's word before this goes on"


class HeldKeysField(Field):
    """The modifiers that are held."""

    ATTRIBUTES: ClassVar = ("modifiers",)

    def parse(self, arguments: Arguments) -> Values:
        keys = make_action("press", keys=arguments.keys()).keys if arguments.values.get(self.key) else ()
        for key in keys:
            if key not in MODIFIERS:
                names = ", ".join(MODIFIERS.values())
                raise InvalidActionError(f"'keys' of {arguments.name} are held, and may be {names}, not {key!r}")
        return {"modifiers": keys}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        modifiers = action.modifiers if isinstance(action, (Click, Drag)) else ()
        return {self.key: [MODIFIERS[key] for key in modifiers]} if modifiers else {}


class PathsField(Field):
    """The points of a drag, at least two."""

    ATTRIBUTES: ClassVar = ("path",)

    def parse(self, arguments: Arguments) -> Values:
        path = arguments.values.get(self.key)
        if not isinstance(path, list) or len(path) < 2:
            raise InvalidActionError(f"'path' must be a list of two points or more, not {show(path)}")
        points = [[point.get("x"), point.get("y")] if isinstance(point, Mapping) else point for point in path]
        return {"path": tuple(arguments.mapper.to_screen(point, self.key) for point in points)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        path = action.path if isinstance(action, Drag) else ()
        points = [dict(zip("xy", mapper.to_model(*point), strict=True)) for point in path]
        return {self.key: points} if len(points) > 1 else None


class ScrollField(Field):
    """Pixels to scroll; less than one notch is one."""

    def parse(self, arguments: Arguments) -> Values:
        value = 0 if self.is_missing(arguments) else arguments.get(self.key, *self.aliases)
        most = MAX_NOTCHES * NOTCH_PIXELS
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -most <= value <= most:
            raise InvalidActionError(f"'{self.key}' must be -{most} to {most} pixels, not {show(value)}")
        notches = max(1, round(abs(value) / NOTCH_PIXELS)) if value else 0
        return {self.attribute: notches if value > 0 else -notches}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        is_zero = not (getattr(action, "down", 0) or getattr(action, "right", 0))
        return None if is_zero else {self.key: NOTCH_PIXELS * getattr(action, self.attribute)}


def _parse_click(arguments: Arguments) -> Result:
    button = arguments.choice("button", (*BUTTONS, "back", "forward"), "left")
    if button == "forward":
        raise InvalidActionError("there is no button 'forward' here; press its keys, or click the page's own button")
    place = XY.place(arguments)
    back: Action = make_action("back")
    return back if button == "back" else click(place, button=BUTTONS[button], **HELD.parse(arguments))


def _write_click(action: Action, mapper: CoordinateMapper) -> Values | None:
    if action.verb == "back":
        return {"button": "back", "x": 0, "y": 0}
    if not isinstance(action, Click) or action.count > 1:
        return None
    button = next(name for name, value in BUTTONS.items() if value == action.button)
    return {"button": button, **(XY.format(action, mapper) or {}), **(HELD.format(action, mapper) or {})}


def _parse_scroll(arguments: Arguments) -> Result:
    x, y = XY.place(arguments)
    amounts = {**SCROLL_X.parse(arguments), **SCROLL_Y.parse(arguments)}
    if not any(amounts.values()):
        raise InvalidActionError("'scroll_x' and 'scroll_y' are both 0; say how many pixels to scroll")
    return make_action("scroll", x=x, y=y, **amounts)


XY, HELD = XYField(), HeldKeysField("keys")
SCROLL_X = ScrollField("scroll_x", ("scrollX",), attribute="right")
SCROLL_Y = ScrollField("scroll_y", ("scrollY",), attribute="down")
TABLE = ActionTable(
    ActionSpec(
        "click", "click", (Field("button"), XY, HELD), "Click `button` at `x`, `y`.", needs=("click", "back"),
        parse=_parse_click, format=_write_click,
    ),
    ActionSpec("double_click", "click", (XY, HELD), "Click the left button twice at `x`, `y`.", {"count": 2}),
    ActionSpec("drag", "drag", (PathsField("path"), HELD), "Drag with the left button along `path`."),
    ActionSpec("keypress", "press", (KeysField("keys"),), "Press `keys` together."),
    ActionSpec("move", "move", (XY,), "Move the pointer to `x`, `y`."),
    replace(constant_row("screenshot", "wait", seconds=0.0), offered=False),
    ActionSpec(
        "scroll", "scroll", (XY, SCROLL_X, SCROLL_Y),
        "Turn the wheel at `x`, `y` by `scroll_x` and `scroll_y` pixels.", parse=_parse_scroll,
    ),
    ActionSpec("type", "type", (TextField("text"),), "Type `text` where the focus is."),
    constant_row("wait", "wait", "Wait two seconds.", seconds=WAIT_S),
)  # fmt: skip


class Dialect(ProviderItemDialect):
    """OpenAI's computer-use models, and others that answer in their items."""

    NAME = "openai"
    ACTION_KEY = "type"
    FIRST_KEYS = (
        "type", "id", "action", "actions", "call_id", "role", "status", "object", "output", "content",
        "summary", "pending_safety_checks", "name", "arguments", "button", "x", "y", "keys", "path", "text", "scroll_x",
    )  # fmt: skip
    ITEM_FORM = '{"type": "computer_call", "action": {"type": "click", "button": "left", "x": <x>, "y": <y>}}'
    point_pattern = r'"x": (\d+), "y": (\d+)'
    ACTIONS: ClassVar = {COMPUTER: TABLE}
    PROPERTIES: ClassVar = {
        COMPUTER: {
            "button": value_schema("Which button.", enum=[*BUTTONS, "back"]),
            "x": value_schema("Pixels from the screen's left edge.", "integer"),
            "y": value_schema("Pixels from the screen's top edge.", "integer"),
            "keys": value_schema(
                'Names of keys such as "CTRL", "ENTER", "A"; of a click or a drag: those held.', "array",
                items={"type": "string"},
            ),
            "path": value_schema(
                "The points of a drag.", "array",
                items=object_schema({"x": {"type": "integer"}, "y": {"type": "integer"}}),
            ),
            "scroll_x": value_schema("Positive: to the right.", "integer"),
            "scroll_y": value_schema("Positive: down.", "integer"),
            "text": value_schema("What to type."),
        }
    }  # fmt: skip

    def parse_item(self, item: Mapping[str, object], items: ParsedItems) -> None:
        kind, output = item.get("type"), item.get("output")
        if kind is None and isinstance(output, list):  # the whole response
            for inner in output:
                if not isinstance(inner, Mapping) or inner.get("type") is None:
                    raise InvalidActionError(f"an item of the output has no type: {show(inner)}")
                self.parse_item(inner, items)
        elif kind == "computer_call" or (kind is None and ("action" in item or "actions" in item)):
            self._parse_computer_call(item, items)
        elif kind == "function_call":
            self.add_function_call(item.get("name"), _decoded(item.get("arguments")), items)
        elif kind == "message" or (kind is None and item.get("role") == "assistant"):
            content = item.get("content")
            is_text = isinstance(content, str) and content
            items.texts += [str(content)] if is_text else texts_of(content, "output_text", "text")
            items.refusals += texts_of(content, "refusal", "refusal")
        elif kind == "reasoning":
            items.thoughts += texts_of(item.get("summary"), "summary_text", "text")
        else:
            items.add_call(COMPUTER, item)  # an action by itself; an unknown one is refused when it is converted

    def _parse_computer_call(self, item: Mapping[str, object], items: ParsedItems) -> None:
        if item.get("status") == "incomplete":
            raise InvalidActionError("the computer_call is incomplete: the reply was cut off; make it shorter")
        checks = item.get("pending_safety_checks")
        if checks:
            if not isinstance(checks, list) or not all(isinstance(check, Mapping) for check in checks):
                raise InvalidActionError(f"'pending_safety_checks' must be a list of objects, not {show(checks)}")
            texts = [check.get("message") or check.get("code") or check.get("id") for check in checks]
            reason = "; ".join(str(text)[:300] for text in texts[:5] if text) or "it does not say why"
            items.calls.append((ASK, {"question": f"{SAFETY}: {reason}. May it?"}))
            return
        self.add_function_call(COMPUTER, item, items)

    def batch(self, arguments: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
        if "type" in arguments and arguments["type"] != "computer_call":
            return (arguments,)
        single, several = arguments.get("action"), arguments.get("actions")
        values = [*([single] if single is not None else []), *(several if isinstance(several, list) else [])]
        actions = [value for value in values if isinstance(value, Mapping)]
        if not actions or len(actions) != len(values):
            raise InvalidActionError(f"a call of computer must hold an action such as {self.ITEM_FORM}")
        return actions

    def text_item(self, text: str) -> Values:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        return {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": content}

    def call_item(self, name: str, values: Values) -> Values:
        if name == COMPUTER:
            return {"type": "computer_call", "id": "cu_0", "call_id": "call_0", "action": values,
                    "pending_safety_checks": [], "status": "completed"}  # fmt: skip
        return {"type": "function_call", "id": "fc_0", "call_id": "call_0", "name": name,
                "arguments": json.dumps(values, ensure_ascii=False), "status": "completed"}  # fmt: skip


def _decoded(arguments: object) -> object:
    """Return a function call's arguments, which may be JSON within a string."""
    try:
        return decode_arguments(arguments)
    except LenientJsonError as error:
        raise InvalidActionError(f"the call's arguments are no JSON object: {error}") from None
    except ToolCallError as error:
        raise InvalidActionError(str(error)) from None
