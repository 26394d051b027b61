"""Anthropic's computer-use actions: tool_use blocks of the tool `computer`, in pixels of the picture that was sent.

Sources: Anthropic's page on the computer use tool and the input schemas of its three versions (20241022, 20250124,
20251124: names, enums, fields), and the authors' demonstration (keys in xdotool's spelling, notches of a scroll, sizes
of pictures). The sentences are our own. Through chat completions the same inputs are the arguments of a function
`computer`.

A screenshot comes anyway: asking for one is a wait of no length. cursor_position, hold_key, left_mouse_down,
left_mouse_up and zoom have no verb of ours: they are never offered, and refused with what to do instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from actions import InvalidActionError, PressKeys, Screen, make_action
from model.dialects._anthropic_examples import EXAMPLES as _EXAMPLES
from model.dialects._base import MOST_ACTIONS, click, drag, unsupported_action
from model.dialects._provider_items import COMPUTER, FINISH, ParsedItems, ProviderItemDialect
from model.dialects._qwen25_functions import MAX_NOTCHES, show
from model.dialects._tool_calls import ActionSpec, CallArguments
from model.dialects.base import Example
from model.processing.image import ImageLimits

__all__ = ["EXAMPLES", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES
LIMITS = ImageLimits(max_pixels=1280 * 800)  # WXGA in the demonstration; larger pictures are shrunk on their side

MODIFIERS = ("ctrl", "shift", "alt", "meta")
WAYS = {"up": ("down", -1), "down": ("down", 1), "left": ("right", -1), "right": ("right", 1)}

# X11's names of keys (keysymdef.h), where they are neither ours nor an alias of ours.
_X_CHARACTERS = {
    "plus": "+",
    "minus": "-",
    "equal": "=",
    "comma": ",",
    "period": ".",
    "slash": "/",
    "backslash": "\\",
    "semicolon": ";",
    "colon": ":",
    "apostrophe": "'",
    "quotedbl": '"',
    "grave": "`",
    "bracketleft": "[",
    "bracketright": "]",
    "braceleft": "{",
    "braceright": "}",
    "parenleft": "(",
    "parenright": ")",
    "asterisk": "*",
    "underscore": "_",
    "exclam": "!",
    "question": "?",
    "at": "@",
    "numbersign": "#",
    "dollar": "$",
    "percent": "%",
    "asciicircum": "^",
    "ampersand": "&",
    "bar": "|",
    "less": "<",
    "greater": ">",
    "asciitilde": "~",
}
_X_KEYS = {"prior": "pageup", "next": "pagedown", "print": "printscreen", "kp_enter": "enter", "kp_add": "+"}
_X_KEYS |= {f"kp_{digit}": str(digit) for digit in range(10)}
_X_KEYS |= {f"{name}_{side}": ours for side in "lr" for name, ours in (
    ("control", "ctrl"), ("shift", "shift"), ("alt", "alt"), ("super", "meta"), ("meta", "meta"))}  # fmt: skip
_TO_X = {ours: name for name, ours in _X_CHARACTERS.items()}
_TO_X |= {"enter": "Return", "backspace": "BackSpace", "pageup": "Page_Up", "pagedown": "Page_Down", "meta": "super"}
_TO_X |= {key: key.capitalize() for key in ("tab", "escape", "delete", "home", "end", "up", "down", "left", "right")}


def _chord(text: str) -> tuple[str, ...]:
    """Keys of one combination in xdotool's spelling, by our names."""
    names = [text] if len(text) == 1 else text[:400].split("+")
    return tuple(cast(PressKeys, make_action("press", keys=[_ours(name) for name in names[:9]])).keys)


def _ours(name: str) -> str:
    if len(name) == 1:
        return name
    lower = name.lower()
    return _X_CHARACTERS.get(lower) or _X_KEYS.get(lower, name)


def _keys(given: CallArguments) -> Any:
    """One combination, or several with spaces between, as xdotool takes them; `repeat` times."""
    chords = given.text().split()
    again = given.given.get("repeat") or 1
    if isinstance(again, bool) or not isinstance(again, int) or not 1 <= again * max(1, len(chords)) <= MOST_ACTIONS:
        raise InvalidActionError(
            f"'repeat' must be a whole number, and all presses {MOST_ACTIONS} at most, not {show(again)}"
        )
    if given.text() == " ":
        chords = ["space"]
    if not chords:
        raise InvalidActionError('key needs \'text\': keys such as "ctrl+s" or "Return"')
    found = tuple(make_action("press", keys=_chord(chord)) for chord in chords) * again
    return found[0] if len(found) == 1 else found


def _click(**how: Any) -> Callable[[CallArguments], Any]:
    return lambda given: click(given.point(), **how, modifiers=_held(given))


def _held(given: CallArguments) -> tuple[str, ...]:
    if not given.given.get("text"):
        return ()
    keys = _chord(given.text())
    for key in keys:
        if key not in MODIFIERS:
            raise InvalidActionError(
                f"'text' of {given.action} is held, and may be {', '.join(MODIFIERS)}, not {show(key)}"
            )
    return keys


def _drag(given: CallArguments) -> Any:
    if given.given.get("start_coordinate") is None:
        return drag(given.point())
    return drag(given.point("start_coordinate"), given.point())


def _scroll(given: CallArguments) -> Any:
    axis, sign = WAYS[given.choice("scroll_direction", tuple(WAYS))]
    amount = given.amount("scroll_amount", MAX_NOTCHES)
    if amount < 1:
        raise InvalidActionError(f"'scroll_amount' must be 1 to {MAX_NOTCHES} notches, not {show(amount)}")
    where = {} if given.given.get("coordinate") is None else dict(zip("xy", given.point(), strict=True))
    return make_action("scroll", **where, **{axis: sign * amount})


def _not(what: str) -> ActionSpec:
    def means(given: CallArguments) -> Any:
        raise InvalidActionError(f"there is no {given.action} here; {what}")

    takes = ("coordinate", "start_coordinate", "text", "duration", "region", "scroll_direction", "scroll_amount")
    return ActionSpec((), takes, "", means)


_POINT = ("coordinate", "text")


class Dialect(ProviderItemDialect):
    """Claude, and whatever else answers in Anthropic's blocks."""

    NAME = "anthropic"
    FIRST_KEYS = (
        "type", "id", "role", "name", "input", "content", "action", "coordinate", "start_coordinate", "text",
        "thinking", "model", "stop_reason", "scroll_direction", "scroll_amount", "duration",
    )  # fmt: skip
    FORM = '{"type": "tool_use", "name": "computer", "input": {"action": "left_click", "coordinate": [<x>, <y>]}}'
    ACTS: ClassVar = {
        COMPUTER: {
            "key": ActionSpec(("press",), ("text", "repeat"), 'Press `text`: "Return", "ctrl+s".', _keys),
            "type": ActionSpec(
                ("type",), ("text",), "Type `text` where the focus is.", lambda a: make_action("type", text=a.text())
            ),
            "mouse_move": ActionSpec(
                ("move",), ("coordinate",), "Move the pointer to `coordinate`.", lambda a: make_action("move", **a.at())
            ),
            "left_click": ActionSpec(("click",), _POINT, "Click the left button at `coordinate`.", _click()),
            "left_click_drag": ActionSpec(
                ("drag",),
                ("coordinate", "start_coordinate"),
                "Drag with the left button from `start_coordinate` to `coordinate`.",
                _drag,
            ),
            "right_click": ActionSpec(
                ("click",), _POINT, "Click the right button at `coordinate`.", _click(button="right")
            ),
            "middle_click": ActionSpec(
                ("click",), _POINT, "Click the middle button at `coordinate`.", _click(button="middle")
            ),
            "double_click": ActionSpec(
                ("click",), _POINT, "Click the left button twice at `coordinate`.", _click(count=2)
            ),
            "triple_click": ActionSpec(
                ("click",), _POINT, "Click the left button three times at `coordinate`.", _click(count=3)
            ),
            "scroll": ActionSpec(
                ("scroll",),
                ("coordinate", "scroll_direction", "scroll_amount"),
                "Turn the wheel at `coordinate` by `scroll_amount` notches to `scroll_direction`.",
                _scroll,
            ),
            "wait": ActionSpec(
                ("wait",),
                ("duration",),
                "Wait `duration` seconds.",
                lambda a: make_action("wait", **a.wait("duration")),
            ),
            "screenshot": ActionSpec((), (), "", lambda a: make_action("wait", seconds=0.0)),
            "cursor_position": _not("where the pointer is can be seen on the screen"),
            "hold_key": _not("press it with key, or hold it during a click by the click's text"),
            "left_mouse_down": _not("drag with left_click_drag"),
            "left_mouse_up": _not("drag with left_click_drag"),
            "zoom": _not("the screen is shown as large as it gets"),
        }
    }
    PARAMETERS: ClassVar = {
        COMPUTER: {
            "coordinate": {
                "description": "[x, y] in pixels: x from the screen's left edge, y from its top edge.",
                "type": "array",
            },
            "start_coordinate": {"description": "[x, y] in pixels: where a drag begins.", "type": "array"},
            "text": {
                "description": "What to type, or the keys to press; of a click: the modifiers held, as in "
                '"ctrl+shift".',
                "type": "string",
            },
            "scroll_direction": {"description": "Where to.", "enum": list(WAYS), "type": "string"},
            "scroll_amount": {"description": "Notches of the wheel.", "type": "integer"},
            "duration": {"description": "Seconds.", "type": "number"},
        }
    }
    DESCRIPTION: ClassVar = {
        COMPUTER: "Operate a computer by its screen, with mouse and keyboard. The screen has {width}x{height} pixels."
    }

    def take(self, item: Mapping[str, Any], heard: ParsedItems) -> None:
        kind = item.get("type")
        if kind == "message" or (kind is None and item.get("role") == "assistant"):
            self._message(item, heard)
        elif kind == "tool_use" or (kind is None and "input" in item):
            self.function(item.get("name", COMPUTER), item.get("input"), heard)
        elif kind == "text":
            _noted(item.get("text"), heard.words)
        elif kind == "thinking":
            _noted(item.get("thinking"), heard.thoughts)
        elif kind is None:
            heard.call(COMPUTER, item)  # an input by itself; what is none is said where its meaning is asked
        elif kind != "redacted_thinking":
            raise InvalidActionError(f"a block of type {show(kind)} is not read here; answer with {self.FORM}")

    def _message(self, item: Mapping[str, Any], heard: ParsedItems) -> None:
        content = item.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list) or not all(isinstance(one, Mapping) and one.get("type") for one in blocks):
            raise InvalidActionError("the content of a message must be blocks with a type")
        for block in blocks:
            if block["type"] == "message":
                raise InvalidActionError("a message stands in a message")
            self.take(block, heard)
        if item.get("stop_reason") == "refusal" and not heard.calls:
            heard.refusals += heard.words or ["the model refuses"]
        elif item.get("stop_reason") == "max_tokens" and not heard.calls:
            raise InvalidActionError("the reply was cut off before its call; make it shorter")

    def format_action(self, action: Any, screen: Screen) -> str:
        """A block as their API gives it; the id is made up, for an Action has none."""
        if action.verb == "answer" and action.text:
            return _said({"type": "text", "text": action.text})
        if action.verb == "done":
            name, given = FINISH, {"status": action.status, "message": action.message}
        else:
            found = self._input(action, screen)
            if found is None:
                raise unsupported_action(self, action)
            name, given = COMPUTER, found
        return _said({"type": "tool_use", "id": "toolu_0", "name": name, "input": given})

    def _input(self, action: Any, screen: Screen) -> dict[str, Any] | None:
        verb = action.verb
        if verb == "click" and (action.count == 1 or action.button == "left"):
            name = {2: "double_click", 3: "triple_click"}.get(action.count, f"{action.button}_click")
            held = {"text": "+".join(_TO_X.get(key, key) for key in action.modifiers)} if action.modifiers else {}
            return {"action": name, **self.at(screen, (action.x, action.y)), **held}
        if verb == "move":
            return {"action": "mouse_move", **self.at(screen, (action.x, action.y))}
        if verb == "drag" and len(action.path) <= 2 and not action.modifiers:
            start = self.at(screen, action.path[0], "start_coordinate") if len(action.path) == 2 else {}
            return {"action": "left_click_drag", **start, **self.at(screen, action.path[-1])}
        if verb == "scroll" and bool(action.down) != bool(action.right):
            axis, amount = ("down", action.down) if action.down else ("right", action.right)
            way = next(way for way, found in WAYS.items() if found == (axis, 1 if amount > 0 else -1))
            where = {} if action.x is None else self.at(screen, (action.x, action.y))
            return {"action": "scroll", **where, "scroll_direction": way, "scroll_amount": abs(amount)}
        if verb == "type":
            return {"action": "type", "text": action.text}
        if verb == "press":
            return {"action": "key", "text": "+".join(_TO_X.get(key, key) for key in action.keys)}
        if verb == "wait":
            return {"action": "wait", "duration": action.seconds}
        return None


def _noted(said: Any, where: list[str]) -> None:
    if isinstance(said, str) and said:
        where.append(said)


def _said(block: Mapping[str, Any]) -> str:
    return json.dumps(block, ensure_ascii=False)
