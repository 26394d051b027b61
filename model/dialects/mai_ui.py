"""MAI-UI (on Qwen3-VL): a navigator for phones and a grounder, which reason first; coordinates from 0 to 999."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from actions import Action, Call, Screen, make_action
from model.dialects.base import Detection, Steps, Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import SCALE_999, CoordinateMapper
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import DIRECTIONS, ChoiceField, Field, PathField, PointField, TextField
from model.dialects.parts.grammar import GrammarBuilder, Rule
from model.dialects.parts.history import Message, escape, image_turns, message, tagged_texts
from model.dialects.parts.point import POINT_TABLE, PointDialect
from model.dialects.parts.qwen_tools import BUTTONS, MOBILE
from model.dialects.parts.schema import Schema
from model.dialects.parts.table import ActionSpec, ActionTable, Result
from model.dialects.parts.tool_call import ToolCallDialect
from model.processing.image import ImageLimits

LIMITS = ImageLimits(256 * 256, 4096 * 4096, factor=32)  # Qwen3-VL's; the authors' code states none

AT = (PointField("coordinate", form="[x, y]"),)
TEXT = TextField("text", form='""')
STATUS = ChoiceField("status", form='"success or fail"', written={"failure": "fail"})
_BUTTON = MOBILE.rows["system_button"]


def _button_rule(grammar: GrammarBuilder) -> Rule:
    return grammar.choice([name.lower() for name, (_, pressed) in BUTTONS.items() if pressed.verb in grammar.verbs])


def _write_button(action: Action, mapper: CoordinateMapper) -> Values | None:
    values = _BUTTON.format(action, mapper) if _BUTTON.format else None
    return values and {key: str(value).lower() for key, value in values.items()}


def _swipe(arguments: Arguments) -> Result:
    """Return the drag of a swipe as MobileWorld's controller does it: 0.4 of the width up or down, 0.2 to a side."""
    screen, direction = arguments.mapper.screen, arguments.choice("direction", DIRECTIONS)
    at = arguments.get("coordinate")
    x, y = (screen.width // 2, screen.height // 2) if at is None else arguments.point("coordinate")
    step = screen.width // 10 * 2 * (1 if direction in ("right", "down") else -1)
    end_x, end_y = (x + step, y) if direction in ("left", "right") else (x, y + 2 * step)
    end = (min(max(end_x, 0), screen.width - 1), min(max(end_y, 0), screen.height - 1))  # the finger leaves the screen
    return make_action("drag", path=((x, y), end))


TABLE = ActionTable(
    ActionSpec("click", "click", AT),
    ActionSpec("long_press", "long_press", AT),
    ActionSpec("type", "type", (TEXT,)),
    ActionSpec(
        "swipe", "drag", (Field("direction", options=DIRECTIONS, form='"up or down or left or right"'),
                          replace(AT[0], optional=True)),
        parse=_swipe, writes=False,
    ),
    ActionSpec("open", "open", (TextField("text", form='"app_name"', attribute="target", nonempty=True),)),
    ActionSpec(
        "drag", "drag", (PathField("start_coordinate", form="[x1, y1]", from_end=1),
                         PathField("end_coordinate", form="[x2, y2]")),
    ),
    replace(
        _BUTTON, fields=(Field("button", lark=_button_rule, form='"back or home or menu or enter"'),),
        format=_write_button,
    ),
    ActionSpec("wait", "wait"),
    ActionSpec("terminate", "done", (STATUS,)),
    ActionSpec("answer", "answer", (TEXT,)),
    # in the authors' prompt with MCP tools
    ActionSpec("ask_user", "ask", (replace(TEXT, attribute="question", nonempty=True),), offered=False),
    ActionSpec("double_click", "click", AT, constants={"count": 2}, offered=False),
)  # fmt: skip


class Dialect(PointDialect, ToolCallDialect):
    """MAI-UI: the task, then a turn with the reply for each step, the latest with their screenshots before them."""

    NAME = "mai_ui"
    DETECTION = Detection(markers=(("<grounding_think>",),))
    HISTORIES = ("window",)
    SPACE = SCALE_999
    PICTURES = 2
    SYSTEM: ClassVar = {"mobile_use": load_prompt("mai_ui"), "ground": load_prompt("mai_ui_ground")}
    ACTIONS: ClassVar = {"mobile_use": TABLE, "ground": ActionTable(POINT_TABLE.rows["click"])}
    point_pattern = r'coordinate": ?\[(\d+), ?(\d+)\]'
    POINT_TOOL, ANSWER, CALL = "ground", '<answer>{"coordinate": [x,y]}</answer>', ("ground", "coordinate")
    POINT, POINT_TAGS = '{"coordinate": [X, Y]}', ("<answer>\n", "\n</answer>")

    def prompt_values(self, goal: str, screen: Screen, verbs: Verbs) -> Mapping[str, object]:
        return {"actions": "\n".join(_call_form(row) for row in self.table.offered(verbs))}

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        if self.tool == "ground":
            return [message("user", f"{goal}\n", screen)]
        earlier = image_turns(steps, lambda step: escape(step.reply.text))
        return [message("user", goal), *earlier, message("user", screen)]

    def tools(self, verbs: Verbs, size: tuple[int, int]) -> tuple[Schema, ...]:
        return ()  # the prompt lists the actions

    def parse_call(self, text: str) -> Call:
        tags = tagged_texts(text, "thinking", "grounding_think", "answer")
        call = super().parse_call(tags.get("answer", text) if self.tool == "ground" else text)
        return replace(call, thought=tags.get("thinking") or tags.get("grounding_think") or call.thought)


def _call_form(row: ActionSpec) -> str:
    """Return a call's arguments as the prompt shows them."""
    arguments = "".join(f', "{field.key}": {field.form}' for field in row.fields if field.form)
    return f'{{"action": "{row.name}"{arguments}}}'
