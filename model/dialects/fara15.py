"""Fara1.5 (on Qwen3.5): Fara's browser with more calls, questions and an answer; coordinates from 0 to 1000."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

from actions import Action, InvalidActionError, Screen
from model.dialects import fara
from model.dialects.base import Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import SCALE_1000, CoordinateMapper
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import MAX_NOTCHES, NOTCH_PIXELS, AmountField, TextField
from model.dialects.parts.qwen_tools import COMPUTER, TYPE
from model.dialects.parts.table import ActionSpec, ActionTable, refused_row
from model.dialects.parts.tool_call import ToolCallDialect
from model.processing.image import ImageLimits

LIMITS = ImageLimits(3136, 12845056, factor=32)  # _fara_qwen3.py
ROWS = {**COMPUTER.rows, **fara.TABLE.rows, "type": TYPE}
QUESTION = TextField("question", attribute="question", nonempty=True, description="The question.")
ANSWER = TextField("answer", attribute="message", description="The final answer.")


@dataclass(frozen=True)
class ShareField(AmountField):
    """Thousandths of the screen's height, or of its width, that the page moves."""

    most: int = 2000

    def parse(self, arguments: Arguments) -> Values:
        pixels = arguments.number(self.key, "a number") * self.side(arguments.mapper) / 1000
        notches = max(1, round(abs(pixels) / NOTCH_PIXELS))
        if pixels == 0 or notches > MAX_NOTCHES:
            raise InvalidActionError(f"'{self.key}' must be -{self.most} to {self.most} and not 0")
        return {self.attribute: notches if pixels * self.unit > 0 else -notches}

    def format(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        notches = getattr(action, self.attribute)
        return {self.key: round(self.unit * notches * NOTCH_PIXELS * 1000 / self.side(mapper))} if notches else None

    def side(self, mapper: CoordinateMapper) -> int:
        return mapper.screen.height if self.attribute == "down" else mapper.screen.width


TABLE = ActionTable(
    *(replace(ROWS[name], offered=True) for name in (
        "key", "type", "mouse_move", "left_click", "left_click_drag", "right_click", "double_click", "triple_click",
    )),
    ActionSpec("scroll", "scroll", (ShareField("pixels", unit=-1),), "Scroll the page by thousandths of its height."),
    ActionSpec(
        "hscroll", "scroll", (ShareField("pixels", attribute="right", unit=1),),
        "Scroll the page sideways by thousandths of its width.",
    ),
    *(ROWS[name] for name in ("visit_url", "history_back", "web_search", "pause_and_memorize_fact")),
    ActionSpec("ask_user_question", "ask", (QUESTION,), "Ask the person `question` and wait for the answer."),
    ROWS["wait"],
    ActionSpec("terminate", "done", (ANSWER,), "End the task with `answer`."),
    refused_row("read_page_answer_question", "scroll, and read the page on its screenshots", QUESTION),
    *(ROWS[name] for name in ("refresh", "click", "hover", "keypress", "sleep", "reload")),
    replace(TYPE, name="input_text", offered=False),
)  # fmt: skip


class Dialect(fara.Dialect):
    """Fara1.5: a turn for each step with a screenshot, of which there are three at most; the task stays."""

    NAME = "fara15"
    DETECTION = replace(fara.Dialect.DETECTION, model_types=("qwen3_5",), other_model_types=())
    SPACE = SCALE_1000
    PICTURES = 2
    STATED_SIZES: ClassVar = {"computer_use": (1000, 1000)}
    THINKING = False  # else it reasons in prose and calls nothing
    TOOLS_IN_SYSTEM = True  # as JSON, where the template of its base asks for XML
    SYSTEM = load_prompt("fara15")
    ACTIONS: ClassVar = {"computer_use": TABLE}
    format_action = ToolCallDialect.format_action

    def prompt_values(self, goal: str, screen: Screen, verbs: Verbs) -> Mapping[str, object]:
        return {"today": f"{datetime.fromtimestamp(screen.timestamp, UTC):%B %d, %Y}"}
