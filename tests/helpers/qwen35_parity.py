"""Tiny random checkpoints of Qwen3.5 by transformers; see helpers.parity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from helpers import parity, qwen3_parity

KEYS = {"key_heads": 2, "value_heads": 4, "key_size": 16, "value_size": 24, "kernel_size": 4}
# The gated norm of the recurrent layers amplifies rounding where a head's output is near zero. With some seeds such a
# token puts transformers' float32 logits 2e-4 from its float64 ones; with this one they differ by 3e-5 at most.
SEED = 11


def reference_config(
    *,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 32,
    rotary_share: float = 0.5,
    layers: int = 4,
    layer_types: list[str] | None = None,
    tied: bool = False,
    rope: dict[str, Any] | None = None,
    **delta: int,
) -> Any:
    from transformers import Qwen3_5Config

    sizes = {**KEYS, **delta}
    pairs = int(head_dim * rotary_share) // 2
    return Qwen3_5Config(
        text_config={
            "vocab_size": parity.VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": head_dim,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e7,
                "partial_rotary_factor": rotary_share,
                "mrope_section": [pairs - 2 * (pairs // 4), pairs // 4, pairs // 4],
                "mrope_interleaved": True,
                **(rope or {}),
            },
            "layer_types": layer_types,
            "linear_num_key_heads": sizes["key_heads"],
            "linear_num_value_heads": sizes["value_heads"],
            "linear_key_head_dim": sizes["key_size"],
            "linear_value_head_dim": sizes["value_size"],
            "linear_conv_kernel_dim": sizes["kernel_size"],
            "max_position_embeddings": 4096,
            "tie_word_embeddings": tied,
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
        vision_config={
            "depth": 3,
            "hidden_size": 72,
            "intermediate_size": 90,
            "num_heads": 2,
            "out_hidden_size": 64,
            "num_position_embeddings": 49,
        },
        image_token_id=parity.IMAGE,
        video_token_id=parity.VIDEO,
        vision_start_token_id=parity.START,
        vision_end_token_id=parity.END,
        tie_word_embeddings=tied,
    )


def reference(seed: int = SEED, **sizes: Any) -> Any:
    """Return transformers' Qwen3.5 with random weights, and states that remember tens of tokens."""
    return make_network(reference_config(**sizes), seed)


def make_network(config: Any, seed: int = SEED) -> Any:
    """Return the network of a config; see `reference`."""
    from transformers import Qwen3_5ForConditionalGeneration

    model = parity.randomize(Qwen3_5ForConditionalGeneration(config), seed, config.tie_word_embeddings)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("A_log"):
                weight.copy_(torch.linspace(-5, 0.5, len(weight)))
            elif "language_model" in name and "norm" in name and "linear_attn" not in name:
                weight.sub_(1)  # these are added to 1
    return model


def write_chat_folder(folder: Path) -> None:
    """Write a complete checkpoint; see `qwen3_parity.write_chat_files`."""
    qwen3_parity.write_chat_files(folder, reference_config(tied=True), make_network)
