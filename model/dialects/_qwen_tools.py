"""The official functions computer_use and mobile_use, as families that speak them unchanged share them.

Their names, parameters and meanings are those of _qwen25_functions.py; here they can be written as well as read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from actions import Screen, make_action
from model.dialects import _qwen25_functions as qwen25
from model.dialects._base import unsupported_action
from model.dialects._coordinates import Number
from model.dialects._tool_calls import ActionSpec, ToolCallDialect

NEW = {  # of the Qwen3-VL era: the verb, and what is said of it where it is offered
    "triple_click": (("click",), "Click the left button three times at `coordinate`."),
    "hscroll": (("scroll",), "Turn the wheel sideways by `pixels`."),
    "answer": (("answer",), "Give `text` as the answer to the person's question."),
}
ACTS: dict[str, dict[str, ActionSpec]] = {
    tool: {act.name: ActionSpec(act.verbs, act.takes, act.says, act.means) for act in acts}
    for tool, acts in qwen25.ACTS.items()
}
OFFERED = {tool: [name for name, act in acts.items() if act.says] for tool, acts in ACTS.items()}


def restrict(acts: Mapping[str, ActionSpec], names: Sequence[str]) -> dict[str, ActionSpec]:
    """The acts with these offered, in this order; the others are understood and never offered."""
    new = {
        name: ActionSpec(NEW[name][0], act.takes, NEW[name][1], act.means) for name, act in acts.items() if name in NEW
    }
    unsaid = {name: ActionSpec((), act.takes, "", act.means) for name, act in acts.items() if name not in names}
    return {name: new.get(name, acts[name]) for name in names} | unsaid


class QwenToolDialect(ToolCallDialect):
    """A family that speaks the official functions; how it asks is its own."""

    ACTS: ClassVar = ACTS
    PARAMETERS: ClassVar = qwen25.PARAMETERS
    DESCRIPTION: ClassVar = qwen25.DESCRIPTION

    def format_action(self, action: Any, screen: Screen) -> str:
        frame = self.frame(screen)
        said = arguments_for(self.tool, action, lambda x, y: list(frame.to_model(x, y)))
        if said is None:
            raise unsupported_action(self, action)
        return self.called(said.pop("action"), **said)


def arguments_for(tool: str, action: Any, at: Callable[[int, int], list[Number]]) -> dict[str, Any] | None:
    """The arguments of the call that means an Action; None where the function has no words for it.

    at: the numbers that say a pixel of the screen.
    """
    return _computer(action, at) if tool == "computer_use" else _mobile(action, at)


def _computer(action: Any, at: Callable[[int, int], list[Number]]) -> dict[str, Any] | None:
    verb = action.verb
    if verb == "move":
        return {"action": "mouse_move", "coordinate": at(action.x, action.y)}
    if verb == "click" and not action.modifiers and (action.count == 1 or action.button == "left"):
        name = {2: "double_click", 3: "triple_click"}.get(action.count, f"{action.button}_click")
        return {"action": name, "coordinate": at(action.x, action.y)}
    if verb == "drag" and len(action.path) == 1 and not action.modifiers:
        return {"action": "left_click_drag", "coordinate": at(*action.path[0])}
    if verb == "press" and "+" not in "".join(key for key in action.keys if len(key) > 1):
        return {"action": "key", "keys": list(action.keys)}
    if verb == "scroll" and bool(action.down) != bool(action.right):
        where = {} if action.x is None else {"coordinate": at(action.x, action.y)}
        name, pixels = ("scroll", -100 * action.down) if action.down else ("hscroll", 100 * action.right)
        return {"action": name, **where, "pixels": pixels}
    return _common(action)


def _mobile(action: Any, at: Callable[[int, int], list[Number]]) -> dict[str, Any] | None:
    verb = action.verb
    if verb in ("click", "long_press") and action in (
        make_action("click", x=action.x, y=action.y),
        make_action("long_press", x=action.x, y=action.y, seconds=getattr(action, "seconds", 0)),
    ):
        held = {"time": action.seconds} if verb == "long_press" else {}
        return {"action": verb, "coordinate": at(action.x, action.y), **held}
    if verb == "drag" and len(action.path) == 2 and not action.modifiers:
        return {"action": "swipe", "coordinate": at(*action.path[0]), "coordinate2": at(*action.path[1])}
    if verb in ("home", "back"):
        return {"action": "system_button", "button": verb.capitalize()}
    if verb == "press":
        return _event(action)
    if verb == "open":
        return {"action": "open", "text": action.target}
    return _common(action)


def _event(action: Any) -> dict[str, Any] | None:
    """One key, as a button of the system or by its name in adb; None for chords and what has no such name."""
    if action in (make_action("press", keys=("menu",)), make_action("press", keys=("enter",))):
        return {"action": "system_button", "button": action.keys[0].capitalize()}
    names = (*action.keys, *(name for name, key in qwen25._ADB_KEYS.items() if (key,) == action.keys))
    return next(({"action": "key", "text": name} for name in names if qwen25.adb_key(name) == action), None)


def _common(action: Any) -> dict[str, Any] | None:
    """What both functions say in the same words."""
    if action.verb in ("type", "answer"):
        return {"action": action.verb, "text": action.text}
    if action.verb == "wait":
        return {"action": "wait", "time": action.seconds}
    if action.verb == "done" and not action.message:
        return {"action": "terminate", "status": action.status}
    return None
