"""Sizes of a Qwen2.5-VL, read from a checkpoint's config.json. Knows no tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actions import UsageError

MODEL_TYPE = "qwen2_5_vl"


@dataclass(frozen=True)
class VisionConfig:
    """The picture encoder. Defaults are what every official checkpoint has (transformers' class says otherwise)."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int
    patch_size: int = 14
    temporal_patch_size: int = 2
    spatial_merge_size: int = 2
    window_size: int = 112  # pixels
    fullatt_block_indexes: tuple[int, ...] = (7, 15, 23, 31)
    tokens_per_second: float = 2  # the class default of transformers is 4
    in_channels: int = 3
    rms_norm_eps: float = 1e-6  # fixed in the reference, never read from a file

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def patch_dim(self) -> int:
        """Values of one patch: 1176 = 3 channels x 2 frames x 14 x 14."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def window_cells(self) -> int:
        """Side of an attention window in merged cells: 4 = 112 / (14 x 2)."""
        return self.window_size // (self.patch_size * self.spatial_merge_size)


@dataclass(frozen=True)
class TextConfig:
    """The decoder."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    mrope_section: tuple[int, int, int] = (16, 24, 24)
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 128000
    tie_word_embeddings: bool = False


@dataclass(frozen=True)
class Config:
    """A whole checkpoint: both halves, and the ids of the tokens that stand for pictures."""

    vision: VisionConfig
    text: TextConfig
    image_token_id: int = 151655
    video_token_id: int = 151656
    vision_start_token_id: int = 151652
    dtype: str = "bfloat16"


def read_config(folder: Path) -> Config:
    """Config of the checkpoint in a folder. UsageError, one sentence, when it is none of ours."""
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing: a checkpoint folder has config.json beside its .safetensors") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
    return config_from_dict(data, str(path))


def config_from_dict(data: Mapping[str, Any], source: str = "config.json") -> Config:
    """Config from config.json's data: the official flat layout, or the nested one of transformers 4.52 and later."""
    kind = data.get("model_type")
    if kind != MODEL_TYPE:
        raise UsageError(
            f"{source} is of a '{kind}' model; this core runs '{MODEL_TYPE}' (Qwen2.5-VL and its fine-tunes)"
        )
    text = {**data, **data.get("text_config", {})}
    vision = data.get("vision_config")
    if not isinstance(vision, Mapping):
        raise UsageError(f"{source} has no vision_config, so the picture encoder's sizes are unknown; it is incomplete")

    def size(section: Mapping[str, Any], key: str, where: str) -> int:
        value = section.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{source}: {where}{key} must be a positive whole number, not {value!r}; it is incomplete")
        return value

    rope = {**(text.get("rope_scaling") or {}), **(text.get("rope_parameters") or {})}
    heads = size(text, "num_attention_heads", "")
    hidden = size(text, "hidden_size", "")
    head_dim = int(text.get("head_dim") or hidden // heads)
    section = tuple(int(part) for part in rope.get("mrope_section", (16, 24, 24)))
    if len(section) != 3 or sum(section) * 2 != head_dim:
        raise UsageError(f"{source}: mrope_section {list(section)} must be three numbers summing to {head_dim // 2}")
    if text.get("use_sliding_window"):
        raise UsageError(f"{source}: use_sliding_window is set, which no Qwen2.5-VL checkpoint uses; not supported")
    config = Config(
        vision=VisionConfig(
            depth=size(vision, "depth", "vision_config."),
            hidden_size=size(vision, "hidden_size", "vision_config."),
            intermediate_size=size(vision, "intermediate_size", "vision_config."),
            num_heads=size(vision, "num_heads", "vision_config."),
            out_hidden_size=size(vision, "out_hidden_size", "vision_config."),
            patch_size=int(vision.get("patch_size", 14)),
            temporal_patch_size=int(vision.get("temporal_patch_size", 2)),
            spatial_merge_size=int(vision.get("spatial_merge_size", 2)),
            window_size=int(vision.get("window_size", 112)),
            fullatt_block_indexes=tuple(vision.get("fullatt_block_indexes", (7, 15, 23, 31))),
            tokens_per_second=vision.get("tokens_per_second", 2),
            in_channels=int(vision.get("in_channels", vision.get("in_chans", 3))),
        ),
        text=TextConfig(
            vocab_size=size(text, "vocab_size", ""),
            hidden_size=hidden,
            intermediate_size=size(text, "intermediate_size", ""),
            num_hidden_layers=size(text, "num_hidden_layers", ""),
            num_attention_heads=heads,
            num_key_value_heads=size(text, "num_key_value_heads", ""),
            head_dim=head_dim,
            mrope_section=section,
            rope_theta=float(rope.get("rope_theta", text.get("rope_theta", 1e6))),
            rms_norm_eps=float(text.get("rms_norm_eps", 1e-6)),
            max_position_embeddings=int(text.get("max_position_embeddings", 128000)),
            tie_word_embeddings=bool(data.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        ),
        image_token_id=int(data.get("image_token_id", 151655)),
        video_token_id=int(data.get("video_token_id", 151656)),
        vision_start_token_id=int(data.get("vision_start_token_id", 151652)),
        dtype=str(data.get("dtype") or data.get("torch_dtype") or text.get("dtype") or "bfloat16"),
    )
    if config.vision.out_hidden_size != hidden:
        raise UsageError(
            f"{source}: vision_config.out_hidden_size {config.vision.out_hidden_size} must equal hidden_size {hidden}"
        )
    for name, value, parts in (
        ("hidden_size", config.vision.hidden_size, config.vision.num_heads),
        ("num_attention_heads", heads, config.text.num_key_value_heads),
    ):
        if value % parts:
            raise UsageError(f"{source}: {name} {value} must be a multiple of {parts}")
    return config


# The official sizes, for `agent models`, for benchmarks on random weights and for tests of parameter counts.
_VISION = {"depth": 32, "hidden_size": 1280, "num_heads": 16}
OFFICIAL: dict[str, Config] = {
    name: Config(
        vision=VisionConfig(**_VISION, intermediate_size=vit_intermediate, out_hidden_size=hidden),
        text=TextConfig(vocab, hidden, intermediate, layers, heads, kv_heads, 128, tie_word_embeddings=tied),
    )
    for name, hidden, intermediate, layers, heads, kv_heads, vocab, tied, vit_intermediate in (
        ("3B", 2048, 11008, 36, 16, 2, 151936, True, 3420),
        ("7B", 3584, 18944, 28, 28, 4, 152064, False, 3420),
        ("32B", 5120, 27648, 64, 40, 8, 152064, False, 3456),
        ("72B", 8192, 29568, 80, 64, 8, 152064, False, 3456),
    )
}
