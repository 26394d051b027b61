"""UI-TARS 1.0 (on Qwen2-VL: 2B, 7B, 72B and their DPO versions): ui_tars.py with coordinates from 0 to 1000.

Sources: the authors' action_parser.py (factor 1000 for any model type but qwen25vl), UI-TARS-desktop for the budget.
"""

from __future__ import annotations

from model.dialects import ui_tars
from model.dialects._coordinates import SCALE_1000
from model.dialects._ui_tars_examples import THOUSANDTHS
from model.dialects.base import Example
from model.processing.image import ImageLimits

__all__ = ["EXAMPLES", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = THOUSANDTHS
LIMITS = ImageLimits(100 * 28 * 28, 2700 * 28 * 28)


class Dialect(ui_tars.Dialect):
    NAME = "ui_tars_v1"
    SPACE = SCALE_1000
