"""OpenAI's computer-use actions: items of type computer_call, in pixels of the picture that was sent.

Sources: the types of the openai package (computer_action.py, response_computer_tool_call.py and the items beside them:
names, fields, enums) and the guide to the computer tool (loop, batches in `actions`, the two seconds of a `wait`, the
spelling scrollX). The sentences are our own. Through chat completions the same actions are the arguments of a function
`computer`, told apart by `type`.

A screenshot comes anyway: asking for one is a wait of no length. A call with a pending safety check asks the person and
does nothing else. `forward` is no verb of ours, and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from actions import InvalidActionError, PressKeys, Screen, make_action
from model.dialects._base import choice, click, drag, unsupported_action
from model.dialects._openai_examples import EXAMPLES as _EXAMPLES
from model.dialects._provider_items import ASK, COMPUTER, FINISH, ParsedItems, ProviderItemDialect, strings
from model.dialects._qwen25_functions import MAX_NOTCHES, NOTCH_PIXELS, show
from model.dialects._tool_calls import ActionSpec, CallArguments
from model.dialects.base import Example
from model.processing.image import ImageLimits
from model.wire.lenient_json import LenientJsonError, parse_json

__all__ = ["EXAMPLES", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES
LIMITS = ImageLimits(
    max_pixels=1024 * 768
)  # the display of their first guide; larger pictures are shrunk on their side

WAIT_S = 2.0
BUTTONS = {"left": "left", "right": "right", "wheel": "middle"}
MODIFIERS = {"ctrl": "CTRL", "shift": "SHIFT", "alt": "ALT", "meta": "META"}
SAFETY = "OpenAI asks for a person's word before this goes on"
TEXT = "output_text", "text"  # a part's type, and the key of its words
_XY = ("x", "y")


def _at(given: CallArguments) -> tuple[int, int]:
    x, y = given.given.get("x"), given.given.get("y")
    return given.frame.to_screen(x if y is None else [x, y], "x, y")  # a point, or a box, in place of x


def _held(given: CallArguments) -> tuple[str, ...]:
    """The modifiers held, by our names."""
    if not given.given.get("keys"):
        return ()
    keys = cast(PressKeys, make_action("press", keys=given.keys())).keys
    for key in keys:
        if key not in MODIFIERS:
            raise InvalidActionError(
                f"'keys' of {given.action} are held, and may be {', '.join(MODIFIERS.values())}, not {key!r}"
            )
    return tuple(keys)


def _click(given: CallArguments) -> Any:
    button = choice(given.given, "button", (*BUTTONS, "back", "forward"), "left")
    if button == "forward":
        raise InvalidActionError(
            "there is no button 'forward' here; press the keys for it, or click the page's own button"
        )
    at = _at(given)
    return make_action("back") if button == "back" else click(at, button=BUTTONS[button], modifiers=_held(given))


def _drag(given: CallArguments) -> Any:
    path = given.given.get("path")
    if not isinstance(path, list) or len(path) < 2:
        raise InvalidActionError(f"'path' must be a list of two points or more, not {show(path)}")
    points = [[one.get("x"), one.get("y")] if isinstance(one, Mapping) else one for one in path]
    found = [given.frame.to_screen(point, "path") for point in points]
    return drag(*found) if not _held(given) else make_action("drag", path=found, modifiers=_held(given))


def _scroll(given: CallArguments) -> Any:
    x, y = _at(given)
    right, down = (_notches(given, name, other) for name, other in (("scroll_x", "scrollX"), ("scroll_y", "scrollY")))
    if not right and not down:
        raise InvalidActionError("'scroll_x' and 'scroll_y' are both 0; say how many pixels to scroll")
    return make_action("scroll", x=x, y=y, right=right, down=down)


def _notches(given: CallArguments, *names: str) -> int:
    """Pixels as notches of the wheel; less than one notch is one."""
    value = next((given.given[name] for name in names if given.given.get(name) is not None), 0)
    most = MAX_NOTCHES * NOTCH_PIXELS
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -most <= value <= most:
        raise InvalidActionError(f"'{names[0]}' must be -{most} to {most} pixels, not {show(value)}")
    count = max(1, round(abs(value) / NOTCH_PIXELS)) if value else 0
    return count if value > 0 else -count


class Dialect(ProviderItemDialect):
    """OpenAI's computer-use models, and whatever else answers in their items."""

    NAME = "openai"
    WHICH = "type"
    FIRST_KEYS = (
        "type", "id", "action", "actions", "call_id", "role", "status", "object", "output", "content",
        "summary", "pending_safety_checks", "name", "arguments", "button", "x", "y", "keys", "path", "text", "scroll_x",
    )  # fmt: skip
    FORM = '{"type": "computer_call", "action": {"type": "click", "button": "left", "x": <x>, "y": <y>}}'
    ACTS: ClassVar = {
        COMPUTER: {
            "click": ActionSpec(("click",), ("button", *_XY, "keys"), "Click `button` at `x`, `y`.", _click),
            "double_click": ActionSpec(
                ("click",),
                (*_XY, "keys"),
                "Click the left button twice at `x`, `y`.",
                lambda a: click(_at(a), count=2, modifiers=_held(a)),
            ),
            "drag": ActionSpec(("drag",), ("path", "keys"), "Drag with the left button along `path`.", _drag),
            "keypress": ActionSpec(
                ("press",),
                ("keys",),
                "Press `keys` together.",
                lambda a: make_action("press", keys=a.keys()),
            ),
            "move": ActionSpec(
                ("move",),
                _XY,
                "Move the pointer to `x`, `y`.",
                lambda a: make_action("move", x=_at(a)[0], y=_at(a)[1]),
            ),
            "screenshot": ActionSpec((), (), "", lambda a: make_action("wait", seconds=0.0)),
            "scroll": ActionSpec(
                ("scroll",),
                (*_XY, "scroll_x", "scroll_y", "scrollX", "scrollY"),
                "Turn the wheel at `x`, `y` by `scroll_x` and `scroll_y` pixels.",
                _scroll,
            ),
            "type": ActionSpec(
                ("type",), ("text",), "Type `text` where the focus is.", lambda a: make_action("type", text=a.text())
            ),
            "wait": ActionSpec(("wait",), (), "Wait two seconds.", lambda a: make_action("wait", seconds=WAIT_S)),
        }
    }
    PARAMETERS: ClassVar = {
        COMPUTER: {
            "button": {"description": "Which button.", "enum": [*BUTTONS, "back"], "type": "string"},
            "x": {"description": "Pixels from the screen's left edge.", "type": "integer"},
            "y": {"description": "Pixels from the screen's top edge.", "type": "integer"},
            "keys": {
                "description": 'Names of keys such as "CTRL", "ENTER", "A"; of a click or a drag: those held.',
                "items": {"type": "string"},
                "type": "array",
            },
            "path": {
                "description": "The points of a drag.",
                "items": {
                    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                    "required": ["x", "y"],
                    "type": "object",
                },
                "type": "array",
            },
            "scroll_x": {"description": "Positive: to the right.", "type": "integer"},
            "scroll_y": {"description": "Positive: down.", "type": "integer"},
            "text": {"description": "What to type.", "type": "string"},
        }
    }
    DESCRIPTION: ClassVar = {
        COMPUTER: "Operate a computer by its screen, with mouse and keyboard. The screen has {width}x{height} pixels."
    }

    def take(self, item: Mapping[str, Any], heard: ParsedItems) -> None:
        kind = item.get("type")
        if kind is None and isinstance(item.get("output"), list):  # the whole response
            for one in item["output"]:
                if not isinstance(one, Mapping) or one.get("type") is None:
                    raise InvalidActionError(f"an item of the output has no type: {show(one)}")
                self.take(one, heard)
        elif kind == "computer_call" or (kind is None and ("action" in item or "actions" in item)):
            self._computer_call(item, heard)
        elif kind == "function_call":
            self.function(item.get("name"), _object(item.get("arguments")), heard)
        elif kind == "message" or (kind is None and item.get("role") == "assistant"):
            content = item.get("content")
            heard.words += [content] if isinstance(content, str) and content else strings(content, *TEXT)
            heard.refusals += strings(content, "refusal", "refusal")
        elif kind == "reasoning":
            heard.thoughts += strings(item.get("summary"), "summary_text", "text")
        else:
            heard.call(COMPUTER, item)  # an action by itself; what is none is said where its meaning is asked

    def _computer_call(self, item: Mapping[str, Any], heard: ParsedItems) -> None:
        if item.get("status") == "incomplete":
            raise InvalidActionError("the computer_call is incomplete: the reply was cut off; make it shorter")
        checks = item.get("pending_safety_checks")
        if checks:
            if not isinstance(checks, list) or not all(isinstance(one, Mapping) for one in checks):
                raise InvalidActionError(f"'pending_safety_checks' must be a list of objects, not {show(checks)}")
            said = [one.get("message") or one.get("code") or one.get("id") for one in checks]
            why = "; ".join(str(one)[:300] for one in said[:5] if one) or "it does not say why"
            heard.calls.append((ASK, {"question": f"{SAFETY}: {why}. May it?"}))
            return
        for one in self.batch(item):
            heard.call(COMPUTER, one)

    def batch(self, arguments: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        if "type" in arguments and arguments["type"] != "computer_call":
            return (arguments,)
        one, several = arguments.get("action"), arguments.get("actions")
        acts = [*([one] if one is not None else []), *(several if isinstance(several, list) else [])]
        if not acts or not all(isinstance(act, Mapping) for act in acts):
            raise InvalidActionError(f"a call of computer must hold an action such as {self.FORM}")
        return acts

    def format_action(self, action: Any, screen: Screen) -> str:
        """Items as their API gives them; the ids are made up, for an Action has none."""
        if action.verb == "answer" and action.text:
            content = [{"type": "output_text", "text": action.text, "annotations": []}]
            return _said({"type": "message", "id": "msg_0", "role": "assistant", "status": "completed",
                          "content": content})  # fmt: skip
        if action.verb == "done":
            given = {"status": action.status, "message": action.message}
            arguments = json.dumps(given, ensure_ascii=False)
            return _said({"type": "function_call", "id": "fc_0", "call_id": "call_0", "name": FINISH,
                          "arguments": arguments, "status": "completed"})  # fmt: skip
        act = self._act(action, screen)
        if act is None:
            raise unsupported_action(self, action)
        return _said({"type": "computer_call", "id": "cu_0", "call_id": "call_0", "action": act,
                      "pending_safety_checks": [], "status": "completed"})  # fmt: skip

    def _act(self, action: Any, screen: Screen) -> dict[str, Any] | None:
        verb = action.verb
        say = self.frame(screen).to_model
        keys = {"keys": [MODIFIERS[key] for key in action.modifiers]} if getattr(action, "modifiers", ()) else {}
        at = dict(zip(_XY, say(action.x, action.y), strict=True)) if getattr(action, "x", None) is not None else {}
        if verb == "click" and action.count == 1:
            button = next(name for name, ours in BUTTONS.items() if ours == action.button)
            return {"type": "click", "button": button, **at, **keys}
        if verb == "click" and action.count == 2 and action.button == "left":
            return {"type": "double_click", **at, **keys}
        if verb == "back":
            return {"type": "click", "button": "back", "x": 0, "y": 0}
        if verb == "move":
            return {"type": "move", **at}
        if verb == "drag" and len(action.path) > 1:
            path = [dict(zip(_XY, say(*point), strict=True)) for point in action.path]
            return {"type": "drag", "path": path, **keys}
        if verb == "scroll" and at and (action.down or action.right):
            return {"type": "scroll", **at, "scroll_x": NOTCH_PIXELS * action.right,
                    "scroll_y": NOTCH_PIXELS * action.down}  # fmt: skip
        if verb == "type":
            return {"type": "type", "text": action.text}
        if verb == "press":
            return {"type": "keypress", "keys": list(action.keys)}
        if verb == "wait" and action.seconds in (0.0, WAIT_S):
            return {"type": "wait" if action.seconds else "screenshot"}
        return None


def _object(arguments: Any) -> Any:
    """A function call's arguments, which are JSON within a string."""
    if not isinstance(arguments, str):
        return arguments
    try:
        value, end = parse_json(arguments)
    except LenientJsonError as error:
        raise InvalidActionError(f"the call's arguments are no JSON object: {error}") from None
    if arguments[end:].strip():
        raise InvalidActionError("the call's arguments are a string that is no JSON object")
    return value


def _said(item: Mapping[str, Any]) -> str:
    return json.dumps(item, ensure_ascii=False)
