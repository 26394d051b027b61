"""The config.json and the image processor's settings of a model in GGUF files, from their metadata.

Source of the keys: gguf-py/gguf/constants.py, conversion/qwenvl.py, conversion/qwen3vl.py and tools/mtmd/clip.cpp of
llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable

from actions import UsageError
from model.checkpoints.gguf_file import DOWNLOAD_AGAIN, GgufFile
from model.json_file import JsonObject
from model.nn.config_section import ConfigSection

# (architecture of the model, projector of the vision encoder) -> model_type in config.json
MODEL_TYPES = {
    ("qwen2vl", "qwen2vl_merger"): "qwen2_vl",
    ("qwen2vl", "qwen2.5vl_merger"): "qwen2_5_vl",
    ("qwen3vl", "qwen3vl_merger"): "qwen3_vl",
    ("qwen3vlmoe", "qwen3vl_merger"): "qwen3_vl_moe",
}
VISION_ENCODER = "clip"  # architecture of mmproj files


def check_architectures(model: GgufFile, mmproj: GgufFile | None) -> None:
    """Raise UsageError when the architecture of a file is not supported.

    Args:
        model: The file of the decoder.
        mmproj: The file of the vision encoder, None while it has not been read.
    """
    architecture = model.text("general.architecture")
    if architecture == VISION_ENCODER:
        raise UsageError(
            f"{model.files[0]} is a vision encoder; pass the model's own file with --model, and this one with --mmproj"
        )
    if architecture not in {name for name, _ in MODEL_TYPES}:
        raise UsageError(
            f"{model.files[0]}: the architecture {architecture!r:.40} cannot be loaded from GGUF, only "
            f"{', '.join(dict.fromkeys(name for name, _ in MODEL_TYPES))}; use a safetensors checkpoint, or serve it "
            "with llama.cpp and pass its address (--model http://HOST:PORT/v1#NAME)"
        )
    if mmproj is None:
        return
    kind = mmproj.text("general.architecture")
    if kind != VISION_ENCODER:
        raise UsageError(f"--mmproj {mmproj.files[0]} is no vision encoder but of the architecture {kind!r:.40}")
    if (architecture, projector(mmproj)) not in MODEL_TYPES:
        expected = " or ".join(repr(name) for model_name, name in MODEL_TYPES if model_name == architecture)
        raise UsageError(
            f"--mmproj {mmproj.files[0]} has the projector {projector(mmproj)!r:.40}, which does not fit "
            f"{model.files[0]} ({architecture}): it needs {expected}"
        )


def projector(mmproj: GgufFile) -> str:
    """Return the kind of a vision encoder."""
    return mmproj.text("clip.projector_type") or mmproj.text("clip.vision.projector_type")


def make_config(model: GgufFile, mmproj: GgufFile, token_id: Callable[[str], int]) -> JsonObject:
    """Return the data of config.json.

    Args:
        model: The file of the decoder.
        mmproj: The file of the vision encoder.
        token_id: Returns the id of a token.

    Raises:
        UsageError: A key of the metadata is missing or invalid.
    """
    architecture, section = model.text("general.architecture"), model.metadata
    model_type = MODEL_TYPES[architecture, projector(mmproj)]

    def size(key: str, default: int | None = None) -> int:
        return section.size(f"{architecture}.{key}", default)

    hidden, heads = size("embedding_length"), size("attention.head_count")
    sections = section.sizes(f"{architecture}.rope.dimension_sections", ())[:3]
    if len(sections) != 3:
        raise UsageError(f"{section.source} has no {architecture}.rope.dimension_sections; {DOWNLOAD_AGAIN}")
    config: JsonObject = {
        "model_type": model_type,
        "vocab_size": model.shape("token_embd.weight")[0],
        "hidden_size": hidden,
        "intermediate_size": size("feed_forward_length"),
        "num_hidden_layers": size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": size("attention.head_count_kv", heads),
        "head_dim": size("attention.key_length", hidden // heads),
        "rms_norm_eps": section.number(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-6),
        "rope_theta": section.number(f"{architecture}.rope.freq_base", 0.0),
        "rope_scaling": {"type": "mrope", "mrope_section": list(sections), **_yarn(section, architecture)},
        "max_position_embeddings": size("context_length"),
        "tie_word_embeddings": "output.weight" not in model.tensors,
        "image_token_id": token_id("<|image_pad|>"),
        "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_config": _vision_config(mmproj, model_type, hidden),
    }
    if architecture == "qwen3vlmoe":
        config |= {
            "num_experts": size("expert_count"),
            "num_experts_per_tok": size("expert_used_count"),
            "moe_intermediate_size": size("expert_feed_forward_length"),
        }
    return config


def _yarn(section: ConfigSection, architecture: str) -> JsonObject:
    """Return the keys of rope_scaling for YaRN, none where the frequencies are not scaled."""
    prefix = f"{architecture}.rope.scaling"
    kind = section.data.get(f"{prefix}.type")
    if kind in (None, "none"):
        return {}
    if kind != "yarn":
        raise UsageError(f"{section.source}: {prefix}.type {kind!r:.40} is not supported, only 'yarn'")
    return {
        "type": "yarn",
        "factor": section.number(f"{prefix}.factor", 0.0),
        "original_max_position_embeddings": section.size(f"{prefix}.original_context_length"),
    }


def _vision_config(mmproj: GgufFile, model_type: str, out_hidden: int) -> JsonObject:
    section = mmproj.metadata

    def size(key: str, default: int | None = None) -> int:
        return section.size(f"clip.vision.{key}", default)

    hidden, depth = size("embedding_length"), size("block_count")
    inner = mmproj.shape("v.blk.0.ffn_up.weight")[0]  # files of early converters state 0 as feed_forward_length
    config: JsonObject = {
        "depth": depth,
        "num_heads": size("attention.head_count"),
        "patch_size": size("patch_size"),
        "spatial_merge_size": size("spatial_merge_size", 2),
        "temporal_patch_size": 2,
    }
    if model_type == "qwen2_vl":
        if inner % hidden:
            raise UsageError(f"{section.source}: v.blk.0.ffn_up.weight has {inner} rows, no multiple of {hidden}")
        return config | {"embed_dim": hidden, "mlp_ratio": inner // hidden, "hidden_size": out_hidden}
    config |= {"hidden_size": hidden, "intermediate_size": inner, "out_hidden_size": out_hidden}
    if model_type == "qwen2_5_vl":
        pattern = size("n_wa_pattern")  # every n-th layer attends to the whole frame
        return config | {
            "fullatt_block_indexes": list(range(pattern - 1, depth, pattern)),
            "window_size": size("window_size", 112),
        }
    has_deepstack = section.data.get("clip.vision.is_deepstack_layers")
    if not isinstance(has_deepstack, list):
        raise UsageError(f"{section.source} has no clip.vision.is_deepstack_layers; {DOWNLOAD_AGAIN}")
    return config | {
        "num_position_embeddings": mmproj.shape("v.position_embd.weight")[0],
        "deepstack_visual_indexes": [layer for layer, has_features in enumerate(has_deepstack) if has_features],
    }


def make_image_processor(mmproj: GgufFile) -> JsonObject:
    """Return the data of preprocessor_config.json; without a pixel budget where the file states none.

    Raises:
        UsageError: A key of the metadata is invalid.
    """
    section = mmproj.metadata
    settings: JsonObject = {
        "patch_size": section.size("clip.vision.patch_size"),
        "temporal_patch_size": 2,
        "merge_size": section.size("clip.vision.spatial_merge_size", 2),
    }
    for key in ("image_mean", "image_std"):
        values = section.data.get(f"clip.vision.{key}")
        if values is not None:
            settings[key] = values
    for key in ("min_pixels", "max_pixels"):
        if f"clip.vision.image_{key}" in section.data:
            settings[key] = section.size(f"clip.vision.image_{key}", maximum=10**10)
    return settings
