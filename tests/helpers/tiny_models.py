"""Sizes of the tiny model that the model tests use."""

from __future__ import annotations

from model.nn.config import Config, TextConfig, VisionConfig


def tiny_config(**text: object) -> Config:
    """Return the config of a model with a few thousand parameters."""
    sizes: dict = {
        "vocab_size": 384,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "mrope_section": (2, 1, 1),
        **text,
    }
    return Config(
        VisionConfig(2, 32, 48, 2, sizes["hidden_size"], fullatt_block_indexes=(1,)),
        TextConfig(**sizes),
        image_token_id=262,
        video_token_id=263,
        vision_start_token_id=259,
    )
