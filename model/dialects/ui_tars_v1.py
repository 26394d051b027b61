"""UI-TARS 1.0 (on Qwen2-VL: 2B, 7B, 72B and their DPO versions): as 1.5, with coordinates from 0 to 1000."""

from __future__ import annotations

from dataclasses import replace

from model.dialects import ui_tars
from model.dialects.parts.coordinates import SCALE_1000
from model.processing.image import ImageLimits

LIMITS = ImageLimits(100 * 28 * 28, 2700 * 28 * 28)


class Dialect(ui_tars.Dialect):
    """UI-TARS 1.0."""

    NAME = "ui_tars_v1"
    DETECTION = replace(
        ui_tars.Dialect.DETECTION, model_types=("qwen2_vl",), other_model_types=(), nearest_of=("qwen2_vl",)
    )
    SPACE = SCALE_1000
