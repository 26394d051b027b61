"""The model families that the dialects declare, and the memory that their checkpoints need."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from actions import plugins
from model.checkpoints.model_family import Checkpoint, ModelFamily, VllmExample, read_family
from model.nn.config import MAX_SNAPSHOTS, VARIANTS, Config, TextConfig
from model.nn.official_sizes import OFFICIAL
from model.processing.image import ImageLimits

GRID_TOKENS = 16_384  # context length assumed in memory figures: about five 1080p screenshots
GROUP = 128  # weights that share a 16-bit scale in int8 and int4, in memory figures


@dataclass(frozen=True)
class ServeCommand:
    """How vLLM serves a checkpoint, and how its server is addressed.

    Attributes:
        hub_id: The checkpoint.
        arguments: Arguments of `vllm serve` beyond the checkpoint and the common ones.
        query: What follows the server's address in --model.
    """

    hub_id: str
    arguments: str
    query: str


def families() -> tuple[ModelFamily, ...]:
    """Return the family of each dialect, built-in or of a third party, by the dialect's name."""
    return tuple(load_family(name) for name in plugins.list_plugins("model.dialects"))


@cache
def load_family(name: str) -> ModelFamily:
    """Return the family of a dialect: its `MODELS`, the table beside its file, or a family without checkpoints."""
    module = plugins.load_plugin("model.dialects", name)
    table = Path(module.__file__).with_suffix(".toml") if module.__file__ else None
    if hasattr(module, "MODELS"):
        family: ModelFamily = module.MODELS
    elif table is not None and table.is_file():
        family = read_family(table)
    else:
        about = (module.__doc__ or "").strip().partition("\n")[0]
        family = ModelFamily(name, good_at=about, runs="server")
    return replace(family, dialect=name)


def serve_commands(family: ModelFamily) -> list[ServeCommand]:
    """Return the commands that serve a family with vLLM; none where no weights are published."""
    if not family.checkpoints:
        return []
    module = plugins.load_plugin("model.dialects", family.dialect)
    default: ImageLimits = getattr(module, "LIMITS", ImageLimits())
    return [_serve_command(family, example, default) for example in family.vllm]


def _serve_command(family: ModelFamily, example: VllmExample, default: ImageLimits) -> ServeCommand:
    of_7b = [checkpoint.hub_id for checkpoint in family.checkpoints if checkpoint.size == "7B"]
    hub_id = example.hub_id or (of_7b or [family.checkpoints[0].hub_id])[0]
    limits = example.limits or default
    arguments = example.arguments
    if arguments is None:
        budget = {"min_pixels": limits.min_pixels, "max_pixels": limits.max_pixels}
        arguments = f"--mm-processor-kwargs '{json.dumps(budget)}'"
    query = f"?dialect={family.dialect}" + (f"&tool={example.tool}" if example.tool else "")
    for key in ("min_pixels", "max_pixels"):
        if getattr(limits, key) != getattr(default, key):
            query += f"&{key}={getattr(limits, key)}"
    return ServeCommand(hub_id, arguments, query)


def parameters(config: Config) -> tuple[int, int]:
    """Return the numbers of parameters (in the decoder's linear layers, which int8 and int4 apply to; elsewhere)."""
    text = config.text
    heads, kv, hidden, inner = (
        text.num_attention_heads,
        text.num_key_value_heads,
        text.hidden_size,
        text.intermediate_size,
    )
    qkv = (heads * (2 if text.attention_gate else 1) + 2 * kv) * text.head_dim
    mlp = 3 * hidden * (text.num_experts * text.moe_intermediate_size if text.num_experts else inner)
    attention = text.attention_layers * (hidden * qkv + heads * text.head_dim * hidden)
    recurrent, recurrent_others = _recurrent_parameters(text)
    linear = attention + recurrent + text.num_hidden_layers * mlp
    routers = text.num_hidden_layers * text.num_experts * hidden
    biases = (qkv if text.attention_bias else 0) + (2 * text.head_dim if text.qk_norm else 0)
    biases_and_norms = text.attention_layers * biases + text.num_hidden_layers * 2 * hidden + hidden
    embeddings = text.vocab_size * hidden * (1 if text.tie_word_embeddings else 2)
    return linear, recurrent_others + routers + biases_and_norms + embeddings + _vision_parameters(config)


def _recurrent_parameters(text: TextConfig) -> tuple[int, int]:
    """Return the numbers of parameters of the recurrent layers, without their MLPs and norms, as `parameters` does."""
    delta = text.delta
    if delta is None:
        return 0, 0
    channels = 2 * delta.key_width + delta.value_width
    linear = text.hidden_size * (channels + 2 * delta.value_width)
    gates = 2 * delta.value_heads * (text.hidden_size + 1)
    return len(delta.layers) * linear, len(delta.layers) * (gates + channels * delta.kernel_size + delta.value_size)


def _state_bytes(text: TextConfig) -> int:
    """Return the bytes of the recurrent layers' states with their snapshots, in bfloat16 where they may be."""
    delta = text.delta
    if delta is None:
        return 0
    convolution = 2 * (2 * delta.key_width + delta.value_width) * (delta.kernel_size - 1)
    state = convolution + 4 * delta.value_heads * delta.key_size * delta.value_size
    return len(delta.layers) * state * (1 + MAX_SNAPSHOTS)


def _vision_parameters(config: Config) -> int:
    """Return the number of parameters of the vision encoder."""
    vision, variant = config.vision, VARIANTS[config.model_type]
    hidden, inner = vision.hidden_size, vision.intermediate_size
    norm = (2 if variant.layer_norms else 1) * hidden  # LayerNorm has a bias, RMSNorm has none
    mlp = 2 * hidden * inner + inner + hidden if variant.layer_norms else 3 * hidden * inner + 2 * inner + hidden
    block = 4 * hidden * hidden + 4 * hidden + mlp + 2 * norm
    merged = hidden * vision.spatial_merge_size**2
    merger = merged * merged + merged + merged * vision.out_hidden_size + vision.out_hidden_size
    deepstack = len(vision.deepstack_indexes) * (merger + 2 * merged)
    patches = vision.patch_dim * hidden + (hidden if variant.patch_bias else 0)
    return patches + vision.position_embeddings * hidden + vision.depth * block + merger + norm + deepstack


def memory_bytes(config: Config, precision: str, context_tokens: int = GRID_TOKENS) -> int:
    """Return the bytes of the weights, of the key-value cache and of the states of recurrent layers.

    Activations are not included; they take some hundred megabytes at 1080p.

    Args:
        config: Sizes of the model.
        precision: "bf16", or "int8" or "int4" for the decoder's linear layers.
        context_tokens: Length of the cache.
    """
    linear, others = parameters(config)
    bits = {"bf16": 16.0, "int8": 8 + 16 / GROUP, "int4": 4 + 16 / GROUP}[precision]
    text = config.text
    cache = 2 * 2 * text.attention_layers * text.num_key_value_heads * text.head_dim * context_tokens
    return int(linear * bits / 8) + 2 * others + cache + _state_bytes(text)


def required_bytes(checkpoint: Checkpoint) -> dict[str, int]:
    """Return bytes by precision; for a checkpoint of another shape only its weights in bf16."""
    if not checkpoint.size:
        return {"bf16": round(checkpoint.billions * 2e9)}
    return {precision: memory_bytes(OFFICIAL[checkpoint.size], precision) for precision in ("bf16", "int8", "int4")}
