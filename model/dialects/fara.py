"""Fara-7B's dialect: computer_use for a browser, with actions of its own, in pixels of the resized picture.

Sources: microsoft/fara, _prompts.py (names, parameters, enum) and fara_agent.py (turns, three pictures, what actions
do: a scroll is one page whatever its pixels, a text is typed at `coordinate` and entered unless `press_enter` is
false, a bare name is an https address, words are a search). The sentences are our own. The authors also tell the
address of the page each turn; a dialect does not know it, and leaves it out.

`type` mostly means several actions (click, empty, type). pause_and_memorize_fact does nothing: the fact stays in the
history, in the model's own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import quote_plus

from actions import Screen, make_action
from actions.types import MAX_TEXT
from model.dialects._base import (
    clear_field,
    click,
    escape,
    image_part,
    message,
    outcome_text,
    scroll_page,
    text_part,
    type_and_enter,
    unsupported_action,
)
from model.dialects._fara_examples import EXAMPLES as _EXAMPLES
from model.dialects._tool_calls import ActionSpec, CallArguments, ToolCallDialect
from model.dialects.base import Conversation, Example, HistoryStep
from model.processing.image import ImageLimits

__all__ = ["EXAMPLES", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES
LIMITS = ImageLimits(3136, 12845056)  # fara_agent.py, MLM_PROCESSOR_IM_CFG

SEARCH = "https://www.bing.com/search?q={query}&FORM=QBLH"
SCHEMES = ("https://", "http://", "file://", "about:")
SYSTEM = (
    "You carry out a person's task in a web browser, by its screen alone. Each turn you are shown the screen; think, "
    "then make one function call. Stop, and say what is ready, at a critical point: where going on would need the "
    "person's data or consent, or bind them, such as a log-in, an order, a payment or a message to somebody."
)
NEXT = "This is the screen now. Think about what to do next."
DESCRIPTION = (
    "Operate a web browser by its screen, with mouse and keyboard.\n"
    "* Pages take time. If nothing has changed yet, wait and look at the next picture.\n"
    "* The screen's resolution is {width}x{height}.\n"
    "* Look where a thing is before you point at it, and point at its centre.\n"
    "* To scroll inside a part of the page, move the pointer over it first.\n"
    "* If a pop-up does not close by its button, press Escape.\n"
    "* Dates are picked by clicks, not typed."
)


def _type(given: CallArguments) -> Any:
    at = () if given.given.get("coordinate") is None else (click(given.point()),)
    empty = clear_field() if given.flag("delete_existing_text") else ()
    typed = given.text()
    last = type_and_enter(typed) if given.flag("press_enter", default=True) else make_action("type", text=typed)
    found = (*at, *empty, last)
    return found[0] if len(found) == 1 else found


def _visit(given: CallArguments) -> Any:
    url = given.text("url").strip()
    if url.startswith(SCHEMES) or not url:
        return make_action("open", target=url)
    return make_action("open", target=SEARCH.replace("{query}", quote_plus(url)) if " " in url else f"https://{url}")


def _scroll(given: CallArguments) -> Any:
    return scroll_page("up" if given.amount("pixels", 10**6) > 0 else "down", given.screen)


_CLICK = ActionSpec(("click",), ("coordinate",), "Click the left button at `coordinate`.", lambda a: click(a.point()))
_MOVE = ActionSpec(
    ("move",), ("coordinate",), "Move the pointer to `coordinate`.", lambda a: make_action("move", **a.at())
)
_KEY = ActionSpec(
    ("press",),
    ("keys",),
    'Press `keys` one after the other and let them go in reverse: "Enter", "Control", "ArrowDown", "PageDown".',
    lambda a: make_action("press", keys=a.keys()),
)
_WAIT = ActionSpec(
    ("wait",), ("time", "duration"), "Wait `time` seconds.", lambda a: make_action("wait", **a.wait("time", "duration"))
)
_REFRESH = ActionSpec((), (), "", lambda a: make_action("press", keys=("f5",)))
_END = ActionSpec(
    ("done",),
    ("status",),
    "End the task and say by `status` how it went.",
    lambda a: make_action("done", status=a.choice("status", ("success", "failure")), message=a.thought[:MAX_TEXT]),
)
_TYPED = ("text", "press_enter", "delete_existing_text", "coordinate")


class Dialect(ToolCallDialect):
    """Fara-7B. A turn for each step, the latest three pictures; what the model thought is the final answer."""

    NAME = "fara"
    ACTS: ClassVar = {
        "computer_use": {
            "key": _KEY,
            "type": ActionSpec(("type",), _TYPED, "Type `text` at `coordinate`.", _type),
            "mouse_move": _MOVE,
            "left_click": _CLICK,
            "scroll": ActionSpec(("scroll",), ("pixels",), "Scroll the page.", _scroll),
            "visit_url": ActionSpec(("open",), ("url",), "Open the address `url`.", _visit),
            "web_search": ActionSpec(
                ("open",),
                ("query",),
                "Search the web for `query`.",
                lambda a: make_action("open", target=SEARCH.replace("{query}", quote_plus(a.text("query")))),
            ),
            "history_back": ActionSpec(("back",), (), "Go back to the page before.", lambda a: make_action("back")),
            "pause_and_memorize_fact": ActionSpec(
                ("wait",),
                ("fact",),
                "Keep `fact` in mind for later.",
                lambda a: make_action("wait", seconds=0.0 * len(a.text("fact"))),
            ),
            "wait": _WAIT,
            "terminate": _END,
            # their agent reads these too
            "refresh": _REFRESH,
            "click": ActionSpec((), ("coordinate",), "", _CLICK.means),
            "hover": ActionSpec((), ("coordinate",), "", _MOVE.means),
            "keypress": ActionSpec((), ("keys",), "", _KEY.means),
            "sleep": ActionSpec((), ("time", "duration"), "", _WAIT.means),
            "reload": _REFRESH,
            "input_text": ActionSpec((), _TYPED, "", _type),
        }
    }
    PARAMETERS: ClassVar = {
        "computer_use": {
            "keys": {"description": "Names of keys.", "type": "array"},
            "text": {"description": "What to type.", "type": "string"},
            "press_enter": {"description": "Whether enter is pressed behind the text.", "type": "boolean"},
            "delete_existing_text": {"description": "Whether the field is emptied first.", "type": "boolean"},
            "coordinate": {
                "description": "[x, y] in pixels: x from the screen's left edge, y from its top edge.",
                "type": "array",
            },
            "pixels": {"description": "How far to scroll: positive up, negative down.", "type": "number"},
            "url": {"description": "The address.", "type": "string"},
            "query": {"description": "What to search for.", "type": "string"},
            "fact": {"description": "What to remember.", "type": "string"},
            "time": {"description": "Seconds.", "type": "number"},
            "status": {"description": "How the task ended.", "type": "string", "enum": ["success", "failure"]},
        }
    }
    DESCRIPTION: ClassVar = {"computer_use": DESCRIPTION}

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        size = self.size(screen)
        messages = [message("system", text_part(self.render_prompt(SYSTEM, width=size[0], height=size[1])))]
        said = escape(goal)
        for shown in steps:
            if shown.picture:
                messages.append(message("user", image_part(shown.step.screen), text_part(said)))
            elif not messages[1:]:
                messages.append(message("user", text_part(said)))  # the task stays when its picture goes
            messages.append(message("assistant", text_part(escape(shown.step.reply.text))))
            said = " ".join(part for part in (outcome_text(shown.step), NEXT) if part)
        messages.append(message("user", image_part(screen), text_part(said)))
        return Conversation(tuple(messages), self.tools(verbs, size))

    def format_action(self, action: Any, screen: Screen) -> str:
        verb = action.verb
        if verb == "click" and (action.button, action.count, action.modifiers) == ("left", 1, ()):
            return self.called("left_click", **self.at(screen, (action.x, action.y)))
        if verb == "move":
            return self.called("mouse_move", **self.at(screen, (action.x, action.y)))
        if verb == "press":
            return self.called("key", keys=list(action.keys))
        if verb == "type":
            return self.called("type", text=action.text, press_enter=False)
        if verb == "wait":
            return self.called("wait", time=action.seconds)
        if verb == "back":
            return self.called("history_back")
        if verb == "open" and action.target.startswith(SCHEMES):
            return self.called("visit_url", url=action.target)
        if verb == "done" and action.message == action.message.strip():  # read as a thought, whose edges are cut
            call = self.called("terminate", status=action.status)
            return f"{action.message}\n{call}" if action.message else call
        if verb == "scroll" and action in (scroll_page("up", screen), scroll_page("down", screen)):
            return self.called("scroll", pixels=-100 * action.down)
        raise unsupported_action(self, action)
