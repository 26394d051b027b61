"""Fara-7B: computer_use for a browser, with actions of its own, in pixels of the resized image.

Sources: microsoft/fara, _prompts.py (names, parameters, enum) and fara_agent.py (turns, three screenshots, what actions
do: a scroll is one page whatever its pixels, a text is typed at `coordinate` and entered unless `press_enter` is
false, a bare name is an https address, several words are a search). Their prompt also names the page's address, which
is not known here. `type` mostly stands for several actions (click, clear, type). pause_and_memorize_fact does nothing:
the fact stays in the history, in the model's own words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import quote_plus

from actions import Action, Done, Open, Screen, make_action
from actions.types import MAX_TEXT
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import load_prompt, type_actions
from model.dialects.parts.fields import (
    NOTCH_PIXELS,
    AmountField,
    FlagField,
    SecondsField,
    TextField,
    Values,
    page_notches,
)
from model.dialects.parts.grammar import CHARACTERS, GrammarBuilder, Rule
from model.dialects.parts.history import escape, image_part, message, outcome_text, text_part
from model.dialects.parts.model_family import FARA_README, SEE_MODEL_CARD, Checkpoint, ModelFamily, published
from model.dialects.parts.qwen_tools import AT, CLICK, KEY, MAYBE_AT, MOVE, TERMINATE, TEXT, WAIT
from model.dialects.parts.table import ActionSpec, ActionTable, Result, constant_row
from model.dialects.parts.tool_call import ToolCallDialect
from model.processing.image import ImageLimits

LIMITS = ImageLimits(3136, 12845056)  # fara_agent.py, MLM_PROCESSOR_IM_CFG

SEARCH = "https://www.bing.com/search?q={query}&FORM=QBLH"
SCHEMES = ("https://", "http://", "file://", "about:")
SYSTEM = load_prompt("fara").removesuffix("\n")
NEXT = "This is the screen now. Think about what to do next."
DESCRIPTION = load_prompt("fara_tool").removesuffix("\n")


@dataclass(frozen=True)
class UrlField(TextField):
    """An address, without a scheme too; several words are a search."""

    attribute: str = "target"

    def parse(self, arguments: Arguments) -> Values:
        url = arguments.text(self.key).strip()
        if url.startswith(SCHEMES) or not url:
            return {"target": url}
        return {"target": _search(url) if " " in url else f"https://{url}"}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        is_address = isinstance(action, Open) and action.target.startswith(SCHEMES)
        return super().format(action, mapper) if is_address else None

    def rule(self, grammar: GrammarBuilder) -> Rule:
        return grammar.quoted(grammar.terminal("URL", rf"[!#-\[\]-~]({CHARACTERS['json']})*"))


@dataclass(frozen=True)
class QueryField(TextField):
    """Words to search for."""

    attribute: str = "target"
    nonempty: bool = True

    def parse(self, arguments: Arguments) -> Values:
        return {"target": _search(arguments.text(self.key))}


@dataclass(frozen=True)
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


def _type(arguments: Arguments) -> Result:
    return type_actions(
        place=None if arguments.get("coordinate") is None else arguments.point("coordinate"),
        clear=arguments.flag("delete_existing_text"),
        text=arguments.text("text"),
        enter=arguments.flag("press_enter", default=True),
    )


def _terminate(arguments: Arguments) -> Result:
    status = arguments.choice("status", ("success", "failure"))
    return make_action("done", status=status, message=arguments.thought[:MAX_TEXT])


def _memorize(arguments: Arguments) -> Result:
    arguments.text("fact")
    return make_action("wait", seconds=0.0)


TYPE = ActionSpec(
    "type", "type",
    (
        TEXT,
        FlagField("press_enter", optional=True, description="Whether enter is pressed behind the text."),
        FlagField("delete_existing_text", optional=True, description="Whether the field is emptied first."),
        MAYBE_AT,
    ),
    "Type `text` at `coordinate`.", parse=_type,
    format=lambda action, mapper: {"text": getattr(action, "text", ""), "press_enter": False},
)  # fmt: skip
SCROLL = ActionSpec("scroll", "scroll", (PagesField("pixels"),), "Scroll the page.")
TABLE = ActionTable(
    replace(KEY, description='Press `keys` one after the other and let them go in reverse: "Enter", "Control", '
            '"ArrowDown", "PageDown".'),
    TYPE,
    MOVE,
    CLICK,
    SCROLL,
    ActionSpec("visit_url", "open", (UrlField("url", description="The address."),), "Open the address `url`."),
    ActionSpec(
        "web_search",
        "open",
        (QueryField("query", description="What to search for."),),
        "Search the web for `query`.",
        writes=False,
    ),
    constant_row("history_back", "back", "Go back to the page before."),
    ActionSpec(
        "pause_and_memorize_fact",
        "wait",
        (TextField("fact", description="What to remember."),),
        "Keep `fact` in mind for later.",
        parse=_memorize,
        writes=False,
    ),
    WAIT_ROW := replace(WAIT, fields=(SecondsField("time", ("duration",), optional=True),)),
    replace(TERMINATE, parse=_terminate),  # the reasoning is the final answer
    # their agent accepts these too
    replace(constant_row("refresh", "press", keys=("f5",)), offered=False, writes=False),
    ActionSpec("click", "click", AT, offered=False),
    ActionSpec("hover", "move", AT, offered=False),
    replace(KEY, name="keypress", offered=False),
    replace(WAIT_ROW, name="sleep", offered=False),
    replace(constant_row("reload", "press", keys=("f5",)), offered=False, writes=False),
    replace(TYPE, name="input_text", offered=False),
)  # fmt: skip


MODELS = ModelFamily(
    "Fara",
    (Checkpoint("microsoft/Fara-7B", "7B", f"{SEE_MODEL_CARD} (repository: MIT)"),),
    "errands on the web: shopping, bookings, searches",
    ("browser",),
    scores=published(
        FARA_README,
        ("7B", "WebVoyager", 73.5),
        ("7B", "Online-Mind2Web", 34.1),
        ("7B", "DeepShop", 26.2),
        ("7B", "WebTailBench", 38.4),
    ),
)


class Dialect(ToolCallDialect):
    """Fara-7B: a turn for each step; earlier screenshots go, the task stays."""

    NAME = "fara"
    FAMILY = "Fara-7B"
    DETECTION = Detection(markers=(("pause_and_memorize_fact",),))
    ACTIONS: ClassVar = {"computer_use": TABLE}
    DESCRIPTION: ClassVar = {"computer_use": DESCRIPTION}

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        size = self.size(screen)
        messages = [message("system", text_part(self.render_prompt(SYSTEM, width=size[0], height=size[1])))]
        text = escape(goal)
        for earlier in steps:
            if earlier.picture:
                messages.append(message("user", image_part(earlier.step.screen), text_part(text)))
            elif not messages[1:]:
                messages.append(message("user", text_part(text)))  # the task stays without its screenshot
            messages.append(message("assistant", text_part(escape(earlier.step.reply.text))))
            text = " ".join(part for part in (outcome_text(earlier.step), NEXT) if part)
        messages.append(message("user", image_part(screen), text_part(text)))
        return Conversation(tuple(messages), self.tools(verbs, size))

    def format_action(self, action: Action, screen: Screen) -> str:
        if isinstance(action, Done) and action.message:  # the message precedes the call, as a thought
            if action.message != action.message.strip():
                raise self.unsupported(action)
            return f"{action.message}\n{super().format_action(Done(status=action.status), screen)}"
        return super().format_action(action, screen)
