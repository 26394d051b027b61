"""Write a checkpoint of Qwen2.5-VL as the two GGUF files of llama.cpp: `python -m perf.write_gguf CHECKPOINT FOLDER`.

llama.cpp's own converter needs its repository; this one needs the package gguf only and writes what the bench and the
tests of servers compare. Names of tensors and keys are those of llama.cpp's conversion/qwenvl.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from model.nn.qwen25vl import Qwen25VL

TypeName = Literal["f32", "f16", "q8_0", "q4_0"]
VISION_EPS = 1e-6
IMPOSSIBLE_MERGE = "ÿ þ"  # bytes 255 and 254, which no UTF-8 text has


def main(
    checkpoint: Annotated[str, typer.Argument(help="Folder of a Qwen2.5-VL checkpoint, a Hub id, or embedded.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the files.")],
    kind: Annotated[TypeName, typer.Option("--type", help="Type of the decoder's matrices.")] = "f16",
) -> None:
    """Write model.gguf and mmproj.gguf into a folder."""
    for path in write_gguf(checkpoint, folder, kind):
        print(path)


def write_gguf(checkpoint: str, folder: Path, kind: TypeName = "f16") -> tuple[Path, Path]:
    """Write a checkpoint as GGUF files and return the paths of the decoder's and the vision encoder's.

    Norms, biases and embeddings stay in float32, the vision encoder's matrices in float16 or float32.

    Args:
        checkpoint: A folder, a Hub id, or "embedded".
        folder: Where the files are written; made if missing.
        kind: Type of the decoder's matrices.

    Raises:
        UsageError: The checkpoint cannot be read, or is of another architecture.
    """
    from actions import UsageError
    from model.checkpoints.weights import load_model, resolve_checkpoint
    from model.nn.config import read_config

    source = resolve_checkpoint(checkpoint)
    config = read_config(source)
    if config.model_type != "qwen2_5_vl":
        raise UsageError(f"{checkpoint}: only Qwen2.5-VL is written as GGUF, not {config.model_type}")
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(source)
    decoder, encoder = folder / "model.gguf", folder / "mmproj.gguf"
    _write_decoder(model, source, decoder, kind)
    _write_encoder(model, encoder, "f32" if kind == "f32" else "f16")
    return decoder, encoder


def _write_decoder(model: Qwen25VL, source: Path, path: Path, kind: TypeName) -> None:
    import gguf

    config = model.config.text
    writer = gguf.GGUFWriter(path, "qwen2vl")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_sections([*config.mrope_section, 0])
    _add_vocabulary(writer, source, config.vocab_size)
    for name, weight in model.state_dict().items():
        if not name.startswith("visual.") and not (name == "lm_head.weight" and config.tie_word_embeddings):
            _add(writer, model, name, weight, kind if name.endswith("_proj.weight") else "f32")
    _finish(writer)


def _write_encoder(model: Qwen25VL, path: Path, kind: TypeName) -> None:
    import gguf

    config = model.config.vision
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type(gguf.VisionProjectorType.QWEN25VL)
    writer.add_vision_projection_dim(model.config.text.hidden_size)
    writer.add_vision_image_size(560)
    writer.add_vision_patch_size(config.patch_size)
    writer.add_vision_embedding_length(config.hidden_size)
    writer.add_vision_feed_forward_length(config.intermediate_size)
    writer.add_vision_block_count(config.depth)
    writer.add_vision_head_count(config.num_heads)
    writer.add_vision_attention_layernorm_eps(VISION_EPS)
    writer.add_vision_n_wa_pattern(config.fullatt_block_indexes[0] + 1)
    writer.add_vision_use_silu(True)
    writer.add_vision_image_mean([0.48145466, 0.4578275, 0.40821073])
    writer.add_vision_image_std([0.26862954, 0.26130258, 0.27577711])
    for name, weight in model.state_dict().items():
        if name.startswith("visual."):
            _add(writer, model, name, weight, kind if weight.dim() == 2 else "f32")
    _finish(writer)


def _add(writer: Any, model: Qwen25VL, name: str, weight: Tensor, kind: TypeName) -> None:
    import gguf
    import numpy as np

    from model.checkpoints.gguf_names import tensor_names

    targets = tensor_names(name, model.config, ())
    if name == "visual.patch_embed.proj.weight":
        parts = [weight[:, :, index] for index in range(len(targets))]
    else:
        parts = list(weight.chunk(len(targets)))
    for target, part in zip(targets, parts, strict=True):
        values = part.float().contiguous().numpy()
        if kind in ("f32", "f16"):
            writer.add_tensor(target, values.astype(np.float16) if kind == "f16" else values)
        else:
            quantization = gguf.GGMLQuantizationType[kind.upper()]
            writer.add_tensor(target, gguf.quants.quantize(values, quantization), raw_dtype=quantization)


def _add_vocabulary(writer: Any, source: Path, rows: int) -> None:
    """Add the tokens of tokenizer.json; rows of the embedding without a token get a name of their own."""
    import gguf

    data = json.loads((source / "tokenizer.json").read_text())
    names = {number: token for token, number in data["model"]["vocab"].items()}
    added = {token["id"]: token for token in data["added_tokens"]}
    tokens, types = [], []
    for number in range(rows):
        if number in added:
            tokens.append(added[number]["content"])
            types.append(gguf.TokenType.CONTROL if added[number]["special"] else gguf.TokenType.USER_DEFINED)
        else:
            tokens.append(names.get(number, f"[PAD{number}]"))
            types.append(gguf.TokenType.NORMAL if number in names else gguf.TokenType.UNUSED)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in data["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges or [IMPOSSIBLE_MERGE])  # an empty list cannot be written, and readers need one
    numbers = {token["content"]: number for number, token in added.items()}
    writer.add_eos_token_id(numbers["<|im_end|>"])
    writer.add_pad_token_id(numbers["<|endoftext|>"])
    writer.add_bos_token_id(numbers["<|endoftext|>"])
    writer.add_add_bos_token(False)
    template = source / "chat_template.jinja"
    if template.is_file():
        writer.add_chat_template(template.read_text())


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    typer.run(main)
