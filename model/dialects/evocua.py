"""EvoCUA (on Qwen3-VL): GUI-Owl-1.5's turns and calls, screenshots before texts, coordinates from 0 to 999."""

from __future__ import annotations

from typing import ClassVar

from model.dialects import gui_owl15
from model.dialects.base import Detection
from model.dialects.parts.coordinates import SCALE_999
from model.dialects.parts.fields import KeysField
from model.dialects.parts.table import ActionTable, refused_row
from model.processing.image import ImageLimits

LIMITS = ImageLimits(max_pixels=16 * 16 * 4 * 12800, factor=32)  # mm_agents/evocua/utils.py


class Dialect(gui_owl15.Dialect):
    """EvoCUA in its authors' style S2."""

    NAME = "evocua"
    DETECTION = Detection(markers=(("key_down", "key_up"),), model_types=("qwen3_vl",))
    SPACE = SCALE_999
    IMAGE_FIRST = True
    ACTIONS: ClassVar = {
        "computer_use": ActionTable(
            *ActionTable(*gui_owl15.ROWS.values()).restrict(
                "key", "type", "mouse_move", "left_click", "left_click_drag", "right_click", "middle_click",
                "double_click", "triple_click", "scroll", "wait", "terminate",
            ).rows.values(),
            *(refused_row(name, "press all keys by `key`", KeysField("keys")) for name in ("key_down", "key_up")),
        )
    }  # fmt: skip
