"""Tiny random checkpoints of Qwen3-VL by transformers; see helpers.parity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from helpers import parity

PATCH_DIM = 3 * 2 * 16 * 16


def reference_config(
    *,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 24,  # heads * head_dim is not the hidden size, as in the official 2B and 32B
    tied: bool = False,
    deepstack: tuple[int, ...] = (0, 2),
    experts: int = 0,
    experts_per_token: int = 2,
    expert_size: int = 96,
) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLMoeConfig

    expert_sizes = {
        "num_experts": experts,
        "num_experts_per_tok": experts_per_token,
        "moe_intermediate_size": expert_size,
    }
    return (Qwen3VLMoeConfig if experts else Qwen3VLConfig)(
        text_config={
            "vocab_size": parity.VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 4,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": head_dim,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_section": [head_dim // 2 - 2 * (head_dim // 7), head_dim // 7, head_dim // 7],
                "mrope_interleaved": True,
            },
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": tied,
            "bos_token_id": 0,
            "eos_token_id": 1,
            **(expert_sizes if experts else {}),
        },
        vision_config={
            "depth": 4,
            "hidden_size": 72,
            "intermediate_size": 90,
            "num_heads": 2,  # of width 36, half of the official 72
            "out_hidden_size": 64,
            "num_position_embeddings": 49,
            "deepstack_visual_indexes": list(deepstack),
        },
        image_token_id=parity.IMAGE,
        video_token_id=parity.VIDEO,
        vision_start_token_id=parity.START,
        vision_end_token_id=parity.END,
        tie_word_embeddings=tied,
    )


def reference(seed: int = 0, **sizes: Any) -> Any:
    """Return transformers' Qwen3-VL, dense or with experts, with random weights."""
    from transformers import Qwen3VLForConditionalGeneration, Qwen3VLMoeForConditionalGeneration

    network = Qwen3VLMoeForConditionalGeneration if sizes.get("experts") else Qwen3VLForConditionalGeneration
    return parity.randomize(network(reference_config(**sizes)), seed, bool(sizes.get("tied", False)))


def write_chat_folder(folder: Path) -> None:
    """Write a complete checkpoint: random weights of transformers with the embedded model's vocabulary."""
    from transformers import Qwen3VLForConditionalGeneration

    write_chat_files(
        folder,
        reference_config(tied=True),
        lambda config: parity.randomize(Qwen3VLForConditionalGeneration(config), tied=True),
    )


def write_chat_files(folder: Path, config: Any, make: Callable[[Any], Any]) -> None:
    """Write a complete checkpoint with the embedded model's vocabulary; `make` returns transformers' network."""
    from training import vocabulary

    special = vocabulary.special_token_ids(vocabulary.build())
    config.image_token_id, config.video_token_id = special["<|image_pad|>"], special["<|video_pad|>"]
    config.vision_start_token_id, config.vision_end_token_id = special["<|vision_start|>"], special["<|vision_end|>"]
    config.text_config.vocab_size, config.text_config.max_position_embeddings = vocabulary.VOCAB_SIZE, 65536
    make(config).save_pretrained(folder)
    vocabulary.build().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(vocabulary.CHAT_TEMPLATE, encoding="utf-8")
    files: dict[str, object] = {
        "generation_config.json": {"eos_token_id": [special["<|im_end|>"], special["<|endoftext|>"]]},
        "preprocessor_config.json": {  # with the values of the official one
            "size": {"longest_edge": 16777216, "shortest_edge": 65536},
            "patch_size": 16,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    }
    for name, data in files.items():
        (folder / name).write_text(json.dumps(data), encoding="utf-8")


def make_inputs(*rows: list[Any], seed: int = 0) -> parity.ModelInputs:
    """Return the inputs of `parity.make_inputs` in the form of Qwen3-VL."""
    return parity.make_inputs(*rows, seed=seed, patch_dim=PATCH_DIM, frame_timestamps=True)


def rewrite_flat(folder: Path) -> None:
    """Rename the tensors of a single-file checkpoint to the layout before transformers 4.52."""
    tensors = {
        name.replace("model.visual.", "visual.").replace("model.language_model.", "model."): tensor.clone()
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def rewrite_nested(folder: Path) -> None:
    """Rename the tensors of a single-file checkpoint to the layout of transformers 4.52 and later."""
    tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        old, new = next((pair for pair in parity.NESTED if name.startswith(pair[0])), ("", ""))
        tensors[new + name.removeprefix(old)] = tensor.clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
