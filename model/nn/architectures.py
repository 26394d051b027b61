"""The networks by `model_type`: Qwen2.5-VL and its siblings."""

from __future__ import annotations

from model.nn.config import Config
from model.nn.qwen2vl import Qwen2VL
from model.nn.qwen3vl import Qwen3VL
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import Rule

ARCHITECTURES: dict[str, type[Qwen25VL]] = {
    "qwen2_5_vl": Qwen25VL,
    "opencua": Qwen25VL,
    "qwen2_vl": Qwen2VL,
    "qwen3_vl": Qwen3VL,
    "qwen3_vl_moe": Qwen3VL,
    "qwen3_5": Qwen3VL,
}


def make_model(config: Config, mrope: Rule = "original") -> Qwen25VL:
    """Return the network of a config, with the arguments of `Qwen25VL`."""
    return ARCHITECTURES[config.model_type](config, mrope)
