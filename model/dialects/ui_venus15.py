"""UI-Venus-1.5 (on Qwen3-VL): 1.0's turns and calls for phones and the web, and points; coordinates from 0 to 1000.

Tools: "mobile_use" and "browser_use", the navigator; "ground", the grounder.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from actions import Action, TypeText
from model.dialects import ui_venus
from model.dialects.base import Values
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import SCALE_1000, CoordinateMapper
from model.dialects.parts.dialect import load_prompt
from model.dialects.parts.fields import DirectionField, KeysField
from model.dialects.parts.point import POINT_TABLE
from model.dialects.parts.table import ActionSpec, ActionTable, Result, constant_row, type_actions
from model.processing.image import ImageLimits
from model.wire.call_parser import CallParser

LIMITS = ImageLimits(256 * 256, 12_845_056, factor=32)  # models/navigation/runner.py


def _type_and_enter(arguments: Arguments) -> Result:
    return type_actions(arguments.text("content"), enter=True)


def _write_entered(action: Action, mapper: CoordinateMapper) -> Values | None:
    if not isinstance(action, TypeText) or not action.text.endswith("\n"):
        return None
    return {"content": action.text[:-1]}


ROWS = ui_venus.TABLE.rows
RECENT = constant_row("PressRecent", "press", keys=("recents",))
MOBILE = ActionTable(*ROWS.values(), RECENT)
WEB = ActionTable(
    *{
        **ROWS,
        "Scroll": ActionSpec("Scroll", "scroll", (DirectionField("direction", form="'down or up'"),)),
        "Type": replace(ROWS["Type"], parse=_type_and_enter, format=_write_entered),
    }.values(),
    RECENT,
    ActionSpec("Hover", "move", ui_venus.BOX),
    ActionSpec("DoubleClick", "click", ui_venus.BOX, constants={"count": 2}),
    ActionSpec("Hotkey", "press", (KeysField("keys", form="['ctrl', 'c']"),)),
)


class Dialect(ui_venus.Dialect):
    """UI-Venus-1.5: one turn with the task, the reasoning and actions of earlier steps, and the screenshot."""

    NAME = "ui_venus15"
    DETECTION = replace(
        ui_venus.Dialect.DETECTION, model_types=("qwen3_vl", "qwen3_vl_moe"), other_model_types=(), max_pixels=0
    )
    SPACE = SCALE_1000
    SYSTEM: ClassVar = {
        tool: load_prompt("ui_venus15").replace("{device}", device).replace("{note}", note)
        for tool, device, note in (
            ("mobile_use", "phone", "- Where the task is a question, give its answer by CallUser before you finish."),
            (
                "browser_use",
                "web browser",
                "- Click a field before you type into it; Enter is pressed behind the text.",
            ),
        )
    } | {
        "ground": "Give the center of what is described: {instruction}. Answer with [x,y] alone. If there is no such "
        "thing on the picture, answer with [-1,-1].",
    }
    ACTIONS: ClassVar = {"mobile_use": MOBILE, "browser_use": WEB, "ground": POINT_TABLE}
    CALLS = CallParser({**MOBILE.rows, **WEB.rows})
    ANSWER, POINT, ABSENT = "[x,y]", "[X,Y]", "[-1,-1]"
    CALL = ("ground", "point")
    point_pattern = r"(?:=\(|\[)(\d+), ?(\d+)[\])]"
    IMAGE_FIRST = ("ground",)
