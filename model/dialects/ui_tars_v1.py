"""UI-TARS 1.0 (on Qwen2-VL: 2B, 7B, 72B and their DPO versions): as 1.5, with coordinates from 0 to 1000."""

from __future__ import annotations

from dataclasses import replace

from model.dialects import ui_tars
from model.dialects.parts.coordinates import SCALE_1000
from model.dialects.parts.model_family import OPENCUA_README, Checkpoint, ModelFamily, published
from model.processing.image import ImageLimits

LIMITS = ImageLimits(100 * 28 * 28, 2700 * 28 * 28)

MODELS = ModelFamily(
    "UI-TARS 1.0 (Qwen2-VL)",
    (
        Checkpoint("bytedance-research/UI-TARS-7B-SFT", "Qwen2-VL-7B", "Apache-2.0"),
        Checkpoint("bytedance-research/UI-TARS-72B-DPO", "Qwen2-VL-72B", "Apache-2.0"),
    ),
    "desktop programs; 1.5 is better",
    ("desktop",),
    scores=published(
        "UI-TARS README_v1",
        {"7B": {"ScreenSpot-v2": 91.6, "ScreenSpot-Pro": 35.7}, "72B": {"ScreenSpot-Pro": 38.1}},
    )
    + published(OPENCUA_README, {"72B-DPO": {"OSWorld-Verified": 27.1}}),
)


class Dialect(ui_tars.Dialect):
    """UI-TARS 1.0."""

    NAME = "ui_tars_v1"
    FAMILY = "UI-TARS 1.0 on Qwen2-VL"
    DETECTION = replace(
        ui_tars.Dialect.DETECTION, model_types=("qwen2_vl",), other_model_types=(), nearest_of=("qwen2_vl",)
    )
    SPACE = SCALE_1000
