"""Holo1's and Holo1.5's dialect: a navigator that answers in JSON, and two localisers; pixels of the resized picture.

Sources: H Company's hai-cookbook (utils/navigation.py, utils/localization.py) and surfer-h-cli (localization.py,
localization_1_5.py, navigation_step.py): schemas, names, the tags around the parts of a turn. The sentences are our
own. tool "navigate": Holo1 as an agent; "click": Holo1 finds a thing, `Click(x, y)`; "click_absolute": Holo1.5 finds a
thing, {"action": "click_absolute", "x": .., "y": ..}.

Budgets: 1280 cells for Holo1's localiser. For Holo1.5 the sources differ (1000x500 in surfer-h, 2560x1440 in
ScreenSpot-Pro's runner), so the checkpoint's own preprocessor_config.json decides. Not here: how their agent names an
element and has it found by a second request; the navigator's own x and y are used. `restart` goes home.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from actions import Call, InvalidActionError, Screen, Step, make_action
from model.dialects._base import (
    BaseDialect,
    available_names,
    choice,
    click,
    escape,
    image_part,
    message,
    outcome_text,
    reject_unknown_arguments,
    scroll_page,
    seconds,
    string_argument,
    text_part,
    type_and_enter,
    unknown_action,
    unsupported_action,
)
from model.dialects._call_parser import CallParser, CallSyntaxError
from model.dialects._coordinates import CoordinateMapper
from model.dialects._holo_examples import EXAMPLES as _EXAMPLES
from model.dialects._holo_examples import LOCALISED
from model.dialects.base import Conversation, Example, HistoryStep
from model.processing.image import ImageLimits
from model.wire.lenient_json import LenientJsonError
from model.wire.lenient_json import parse_json as read_json

__all__ = ["EXAMPLES", "LIMITS", "LOCALISED", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES  # of "navigate"; LOCALISED are of the other two
LIMITS = ImageLimits(4 * 28 * 28, 1280 * 28 * 28)  # localization.py, Holo1

WAIT_S = 2  # the schema's default
WAYS = ("down", "up", "left", "right")
_PLACE = ("element", "x", "y")
TAKES: dict[str, tuple[str, ...]] = {
    "click_element": _PLACE,
    "write_element_abs": ("content", *_PLACE),
    "write_element": ("content", *_PLACE),  # the same in surfer-h
    "scroll": ("direction",),
    "go_back": (),
    "refresh": (),
    "goto": ("url",),
    "wait": ("seconds",),
    "restart": (),
    "answer": ("content",),
    "click": ("x", "y"),  # of the localisers
    "click_absolute": ("x", "y"),
}
_STRING, _WHOLE = {"type": "string"}, {"type": "integer"}
FIELDS: dict[str, dict[str, Any]] = {  # what the navigator is told of each action: its own fields, by the schema
    "click_element": {"element": _STRING, "x": _WHOLE, "y": _WHOLE},
    "write_element_abs": {"content": _STRING, "element": _STRING, "x": _WHOLE, "y": _WHOLE},
    "scroll": {"direction": {"enum": list(WAYS), "type": "string"}},
    "go_back": {},
    "refresh": {},
    "wait": {"seconds": {"default": WAIT_S, "minimum": 0, "maximum": 10, "type": "integer"}},
    "restart": {},
    "answer": {"content": _STRING},
    "goto": {"url": _STRING},
}
VERBS = {
    "click_element": ("click",),
    "write_element_abs": ("type",),
    "scroll": ("scroll",),
    "go_back": ("back",),
    "refresh": ("press",),
    "wait": ("wait",),
    "restart": ("home",),
    "answer": ("answer",),
    "goto": ("open",),
}
SYSTEM = """\
You carry out a person's task in a web browser, step by step. Each step you are given screenshots and what you noted. \
Think before you act. Note whatever the task will need, exactly; leave the note empty when there is nothing new. Once \
you have all, answer, in full.

- Writing clicks the field first and presses Enter behind the text: name the field by its kind and its present text.
- Use links that lead straight to the goal. Do not scroll more than three times, nor at the end of a page.
- Never log in; go back instead.

<output_json_format>
```json
{output_format}
```
</output_json_format>
"""
ASKED = {
    "click": "Find a thing on the picture of a screen and answer with a click on it, as Click(x, y), "
    "x pixels from the left edge and y from the top edge.\n\n",
    "click_absolute": "Find a thing on the picture of a screen, and answer with a click on it.\n"
    " * Answer with JSON of this schema: {schema}\n The thing is:\n\n",
}
CLICK_ABSOLUTE = {
    "properties": {
        "action": {"const": "click_absolute", "default": "click_absolute", "type": "string"},
        "x": {"description": "Pixels from the left edge.", "type": "integer"},
        "y": {"description": "Pixels from the top edge.", "type": "integer"},
    },
    "required": ["x", "y"],
    "type": "object",
}
_OBJECT = re.compile(r"""\{(?=\s*+["']?(?:thought|note|notes|action|x|y)["']?\s*+:)""")
_FENCE = re.compile(r"```[A-Za-z]*\s*\Z")
_CLICKS = CallParser(["Click", "click", "Point"])


class Dialect(BaseDialect):
    """Holo. navigate: one turn, the notes and thoughts so far and the picture; the localisers: one question."""

    NAME = "holo"
    TOOLS = ("navigate", "click", "click_absolute")
    HISTORIES = ("progress",)

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        goal = escape(goal)
        if self.tool != "navigate":
            asked = self.render_prompt(ASKED[self.tool], schema=json.dumps(CLICK_ABSOLUTE)) + goal
            return Conversation((message("user", image_part(screen), text_part(asked)),))
        system = self.render_prompt(SYSTEM, output_format=json.dumps(_schema(verbs)))
        done = "".join(f"<step number={shown.step.index}>\n{_remembered(shown.step)}\n</step>\n" for shown in steps)
        number = steps[-1].step.index + 1 if steps else 1
        user = message(
            "user",
            text_part(f"<task>\n{goal}\n</task>\n"),
            text_part(f"<previous_actions>\n{done}</previous_actions>\n" if done else ""),
            text_part(f"<observation step={number}>\n<screenshot>\n"),
            image_part(screen),
            text_part("\n</screenshot>\n\n</observation>\n"),
        )
        return Conversation((message("system", text_part(system)), user))

    def parse_call(self, text: str) -> Call:
        found = _OBJECT.search(text)
        if found is not None:
            try:
                value, _ = read_json(text, found.start())
            except LenientJsonError as error:
                raise InvalidActionError(f"the JSON cannot be read: {error}") from None
            return self._call(value, text[: found.start()])
        try:
            calls = _CLICKS.parse_call(text)
        except CallSyntaxError as error:
            raise InvalidActionError(f"the click cannot be read: {error}") from None
        if not calls or self.tool == "navigate":
            raise InvalidActionError(f"the reply has no action; answer with {self._form()}")
        given = [*calls[0].given, *calls[0].named.values()]
        place = given[0] if len(given) == 1 else given
        return Call("click", {"x": place, "y": None}, text[: calls[0].start].strip())

    def _call(self, value: Any, before: str) -> Call:
        action = value.get("action")
        inner = action if isinstance(action, dict) else value
        name = inner.get("action") if isinstance(action, dict) else action
        if name is None and set(inner) >= {"x", "y"}:
            name = "click"
        if not isinstance(name, str):
            raise InvalidActionError(f"the JSON names no action; answer with {self._form()}")
        arguments = {key: one for key, one in inner.items() if key not in ("action", "thought", "note", "notes")}
        said = [value.get(key) for key in ("thought", "note", "notes")] if isinstance(action, dict) else []
        said = [_FENCE.sub("", before).strip(), *said]
        thought = "\n".join(one for one in said if isinstance(one, str) and one)
        _refuse_halves([thought, name, arguments])
        return Call(name, arguments, thought)

    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        if name not in TAKES:
            raise unknown_action(name, list(FIELDS) if self.tool == "navigate" else [self.tool])
        reject_unknown_arguments(name, arguments, TAKES[name])
        if "x" in TAKES[name]:
            whole = arguments.get("y") is None  # a point, or a box, in place of x
            at = frame.to_screen(arguments.get("x") if whole else [arguments.get("x"), arguments["y"]], "x, y")
            if name.startswith("write"):
                return click(at), type_and_enter(string_argument(arguments, "content"))
            return click(at)
        if name == "scroll":
            return scroll_page(choice(arguments, "direction", WAYS, "down"), frame.screen)
        if name == "wait":
            return make_action("wait", seconds=seconds(arguments.get("seconds", WAIT_S), "seconds"))
        if name == "answer":
            return make_action("answer", text=string_argument(arguments, "content"))
        if name == "goto":
            return make_action("open", target=string_argument(arguments, "url"))
        if name == "refresh":
            return make_action("press", keys=("f5",))
        return make_action({"go_back": "back", "restart": "home"}[name])

    def _form(self) -> str:
        if self.tool == "click":
            return "Click(x, y)"
        return '{"action": "click_absolute", "x": <x>, "y": <y>}' if self.tool == "click_absolute" else _FORM

    def reply_schema(self, verbs: frozenset[str], screen: Screen) -> dict[str, Any] | None:
        """What a reply must be, for servers that hold to a JSON schema; None where replies are no JSON."""
        width, height = self.size(screen)
        at = {"x": {**_WHOLE, "minimum": 0, "maximum": width - 1}, "y": {**_WHOLE, "minimum": 0, "maximum": height - 1}}
        if self.tool == "click_absolute":
            fields = {"action": {"const": "click_absolute"}, **at}
            return {"properties": fields, "required": list(fields), "additionalProperties": False, "type": "object"}
        return _closed(_schema(verbs), at) if self.tool == "navigate" else None

    def format_action(self, action: Any, screen: Screen) -> str:
        verb = action.verb
        if verb == "click" and action == make_action("click", x=action.x, y=action.y):
            x, y = self.frame(screen).to_model(action.x, action.y)
            if self.tool == "click":
                return f"Click({x}, {y})"
            if self.tool == "click_absolute":
                return json.dumps({"action": "click_absolute", "x": x, "y": y})
            return _said("click_element", element="", x=x, y=y)
        if self.tool != "navigate":
            raise unsupported_action(self, action)
        if verb in ("back", "home"):
            return _said({"back": "go_back", "home": "restart"}[verb])
        if verb == "answer":
            return _said("answer", content=action.text)
        if verb == "open":
            return _said("goto", url=action.target)
        if verb == "wait":
            return _said("wait", seconds=action.seconds)
        if verb == "press" and action.keys == ("f5",):
            return _said("refresh")
        for way in WAYS:
            if action == scroll_page(way, screen):
                return _said("scroll", direction=way)
        raise unsupported_action(self, action)


_FORM = '{"note": <note>, "thought": <thought>, "action": {"action": <action>, ...}}'


def _said(name: str, **arguments: Any) -> str:
    said = {"note": "", "thought": "", "action": {"action": name, **arguments}}
    return json.dumps(said, ensure_ascii=False)


def _schema(verbs: frozenset[str]) -> dict[str, Any]:
    """The navigator's JSON schema, with the actions that the verbs can do."""
    choices = []
    for name in available_names(VERBS, verbs):
        fields = {"action": {"const": name, "type": "string"}, **FIELDS[name]}
        needed = [key for key, one in fields.items() if "default" not in one]
        choices.append({"properties": fields, "required": needed, "type": "object"})
    return {
        "properties": {
            "note": {"default": "", "type": "string"},
            "thought": {"type": "string"},
            "action": {"anyOf": choices},
        },
        "required": ["thought", "action"],
        "type": "object",
    }


def _closed(schema: dict[str, Any], at: dict[str, Any]) -> dict[str, Any]:
    """The navigator's schema with nothing left open: all fields said, places on the picture, no empty address."""
    choices = []
    for one in schema["properties"]["action"]["anyOf"]:
        fields = {key: at.get(key, field) for key, field in one["properties"].items()}
        if "url" in fields:
            fields["url"] = {**fields["url"], "minLength": 1}
        choices.append(
            {"properties": fields, "required": list(fields), "additionalProperties": False, "type": "object"}
        )
    parts = {**schema["properties"], "action": {"anyOf": choices}}
    return {"properties": parts, "required": list(parts), "additionalProperties": False, "type": "object"}


def _remembered(step: Step) -> str:
    said = (
        step.reply.text
        if step.call is None
        else json.dumps(
            {"thought": step.call.thought, "action": {"action": step.call.name, **step.call.arguments}},
            ensure_ascii=False,
        )
    )
    return "\n".join(part for part in (escape(said), outcome_text(step)) if part)


def _refuse_halves(values: Sequence[Any]) -> None:
    try:
        json.dumps(list(values), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidActionError("the reply holds half a character (a lone surrogate); write it again") from None
