"""Fara-7B: computer_use for a browser, with actions of its own, in pixels of the resized image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar
from urllib.parse import quote_plus

from actions import Action, Done, Open, Screen, Step, make_action
from actions.types import MAX_TEXT
from model.dialects.base import Detection, Steps, Values
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import NOTCH_PIXELS, STATUS, AmountField, FlagField, TextField, page_notches
from model.dialects.parts.grammar import CHARACTERS, GrammarBuilder, Rule
from model.dialects.parts.history import Message, escape, join_texts, message, outcome_text
from model.dialects.parts.qwen_tools import AT, CLICK, KEY, MAYBE_AT, MOVE, TERMINATE, TEXT, TIME, WAIT
from model.dialects.parts.table import ActionSpec, ActionTable, constant_row
from model.dialects.parts.tool_call import ToolCallDialect
from model.processing.image import ImageLimits

LIMITS = ImageLimits(3136, 12845056)  # fara_agent.py, MLM_PROCESSOR_IM_CFG
SEARCH = "https://www.bing.com/search?q={query}&FORM=QBLH"
SCHEMES = ("https://", "http://", "file://", "about:")


class UrlField(TextField):
    """An address, without a scheme too; several words are a search."""

    def parse(self, arguments: Arguments) -> Values:
        url = arguments.text(self.key).strip()
        is_whole = url.startswith(SCHEMES) or not url
        return {"target": url if is_whole else _search(url) if " " in url else f"https://{url}"}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        is_address = isinstance(action, Open) and action.target.startswith(SCHEMES)
        return super().format(action, mapper) if is_address else None

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.quoted(grammar.terminal("URL", rf"[!#-\[\]-~]({CHARACTERS['json']})*"))


class PagesField(AmountField):
    """Pixels of which only the sign counts: a scroll is one page."""

    def parse(self, arguments: Arguments) -> Values:
        sign = -1 if arguments.amount(self.key, 10**6) > 0 else 1
        return {"down": sign * page_notches("down", arguments.mapper.screen)}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        down = getattr(action, "down", 0)
        return {self.key: -NOTCH_PIXELS * down} if abs(down) == page_notches("down", mapper.screen) else None


def _search(query: str) -> str:
    return SEARCH.replace("{query}", quote_plus(query))


_CLEAR = FlagField("delete_existing_text", attribute="clear", description="Whether the field is emptied first.")
_ENTER = FlagField(
    "press_enter", attribute="enter", default=True, description="Whether enter is pressed behind the text."
)
_QUERY = TextField("query", attribute="target", nonempty=True, description="What to search for.")
TYPE = ActionSpec("type", "type", (TEXT, _ENTER, _CLEAR, MAYBE_AT), "Type `text` at `coordinate`.")
SLOWER = replace(WAIT, fields=(replace(TIME, aliases=("duration",)),))
REFRESH = replace(constant_row("refresh", "press", keys=("f5",)), offered=False, writes=False)
TABLE = ActionTable(
    replace(KEY, description='Press `keys` one after the other and let them go in reverse: "Enter", "Control", '
            '"ArrowDown", "PageDown".'),
    TYPE,
    MOVE,
    CLICK,
    ActionSpec("scroll", "scroll", (PagesField("pixels"),), "Scroll the page."),
    ActionSpec(
        "visit_url", "open", (UrlField("url", attribute="target", description="The address."),),
        "Open the address `url`.",
    ),
    ActionSpec(
        "web_search", "open", (_QUERY,), "Search the web for `query`.", writes=False,
        parse=lambda arguments: make_action("open", target=_search(arguments.text("query"))),
    ),
    constant_row("history_back", "back", "Go back to the page before."),
    ActionSpec(
        "pause_and_memorize_fact", "wait", (TextField("fact", attribute="", description="What to remember."),),
        "Keep `fact` in mind for later.", {"seconds": 0.0}, writes=False,
    ),
    SLOWER,
    replace(TERMINATE, parse=lambda arguments: make_action(  # the reasoning is the final answer
        "done", **STATUS.parse(arguments), message=arguments.thought[:MAX_TEXT])),
    # their agent accepts these too
    REFRESH,
    ActionSpec("click", "click", AT, offered=False),
    ActionSpec("hover", "move", AT, offered=False),
    replace(KEY, name="keypress", offered=False),
    replace(SLOWER, name="sleep", offered=False),
    replace(REFRESH, name="reload"),
    replace(TYPE, name="input_text", offered=False),
)  # fmt: skip


class Dialect(ToolCallDialect):
    """Fara-7B: a turn for each step; earlier screenshots go, the task stays."""

    NAME = "fara"
    DETECTION = Detection(markers=(("pause_and_memorize_fact",),), other_model_types=("qwen3_5",))
    SYSTEM = load_prompt("fara")
    DESCRIPTION: ClassVar = {"computer_use": load_prompt("fara_tool")}
    ACTIONS: ClassVar = {"computer_use": TABLE}

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        messages, text = [], goal
        for earlier in steps:
            if earlier.picture:
                messages.append(message("user", earlier.step.screen, text))
            elif not messages:
                messages.append(message("user", text))  # the task stays without its screenshot
            messages.append(message("assistant", escape(earlier.step.reply.text)))
            text = self.next_text(earlier.step)
        return [*messages, message("user", screen, text)]

    def next_text(self, step: Step) -> str:
        return join_texts(outcome_text(step), "This is the screen now. Think about what to do next.")

    def format_action(self, action: Action, screen: Screen) -> str:
        if isinstance(action, Done) and action.message:  # the message precedes the call, as a thought
            if action.message != action.message.strip():
                raise self.unsupported(action)
            return f"{action.message}\n{super().format_action(Done(status=action.status), screen)}"
        return super().format_action(action, screen)
