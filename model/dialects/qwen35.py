"""Qwen3.5 and 3.6: the functions of Qwen3-VL's era, called in XML, with coordinates from 0 to 1000."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from model.dialects import qwen3vl
from model.dialects.base import Detection
from model.dialects.parts.coordinates import SCALE_1000
from model.processing.image import ImageLimits
from model.wire.tool_call import ParsedToolCall

LIMITS = ImageLimits(256 * 256, 4096 * 4096, factor=32)  # of its processor


class Dialect(qwen3vl.Dialect):
    """Qwen3.5: one turn for each step, its outcome in <tool_response>; calls in JSON are understood."""

    NAME = "qwen35"
    DETECTION = Detection(base_of=("qwen3_5", "qwen3_5_moe"))
    SPACE = SCALE_1000
    SYNTAX = "xml"
    STATED_SIZES: ClassVar = dict.fromkeys(qwen3vl.Dialect.ACTIONS, (1000, 1000))
    point_pattern = r"=coordinate>\n?\[(\d+), ?(\d+)\]"
    FUNCTIONS = ("computer",)  # in the loop of cua, as <parameter=type> for the action

    def find_call(self, text: str, form: str) -> ParsedToolCall:
        call = super().find_call(text, form)
        if "action" in call.arguments or "type" not in call.arguments:
            return call
        return replace(
            call, arguments={"action" if key == "type" else key: call.arguments[key] for key in call.arguments}
        )
