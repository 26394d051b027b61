"""Tiny random checkpoints of transformers, and the same inputs for both implementations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

IMAGE, VIDEO, START, END, VOCABULARY = 290, 291, 292, 293, 300
TOLERANCE = 1e-4  # of float32 logits with a standard deviation of about 1
NEW_TOKENS = 32


def reference_config(*, heads: int = 4, kv_heads: int = 2, tied: bool = False, tokens_per_second: int = 2) -> Any:
    from transformers import Qwen2_5_VLConfig

    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": {4: [2, 3, 3], 8: [1, 1, 2]}[heads],
            },
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": tied,
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 80,
            "intermediate_size": 72,
            "num_heads": 2,  # of width 40, no power of two, like the official 80
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1, 3],
            "tokens_per_second": tokens_per_second,
        },
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
        tie_word_embeddings=tied,
    )


def reference(seed: int = 0, **sizes: Any) -> Any:
    """Return transformers' model with random weights, biases and norms, and logits with a deviation of about 1.

    Its own initialization gives nearly uniform attention, so that a wrong position would change nothing.
    """
    from transformers import Qwen2_5_VLForConditionalGeneration

    return randomize(Qwen2_5_VLForConditionalGeneration(reference_config(**sizes)), seed, sizes.get("tied", False))


def randomize(model: Any, seed: int = 0, tied: bool = False) -> Any:
    """Fill a model of transformers with random weights; see `reference`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.eval().named_parameters():
            values = torch.randn(weight.shape, generator=generator)
            if ("norm" in name or "ln_q" in name) and name.endswith("weight"):
                weight.copy_(1 + 0.3 * values)
            elif "embed_tokens" in name:
                weight.copy_(values * (0.12 if tied else 1.0))
            elif "pos_embed" in name:
                weight.copy_(values)
            else:
                fan_in = weight.shape[-1] if weight.dim() == 3 else weight[0].numel()  # 3: the matrices of experts
                scale = 0.3 if weight.dim() == 1 else fan_in**-0.5 * (3 if "q_proj" in name else 1)
                weight.copy_(values * scale)
    return model


@dataclass
class ModelInputs:
    """Model inputs under transformers' names; rows are padded on the left where the mask says so."""

    input_ids: Tensor
    attention_mask: Tensor | None = None
    pixel_values: Tensor | None = None
    image_grid_thw: Tensor | None = None
    pixel_values_videos: Tensor | None = None
    video_grid_thw: Tensor | None = None
    second_per_grid_ts: Tensor | None = None

    def for_model(self) -> dict[str, Any]:
        """Return the arguments of Qwen25VL."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def for_transformers(self) -> dict[str, Any]:
        """Return the arguments of transformers' model, which needs to know which ids are images and videos."""
        kinds = (self.input_ids == IMAGE).int() + 2 * (self.input_ids == VIDEO).int()
        return {**self.for_model(), "mm_token_type_ids": kinds}


def make_inputs(
    *rows: list[Any],
    seed: int = 0,
    seconds: list[float] | None = None,
    patch_dim: int = 1176,
    frame_timestamps: bool = False,
) -> ModelInputs:
    """Return inputs with random ids and patches.

    Each row is a list of parts: an int for that many text tokens, (h, w) for an image and (t, h, w) for a video in
    patches. With `frame_timestamps` each frame of a video is apart, after three text tokens, as in Qwen3-VL.
    """
    generator = torch.Generator().manual_seed(seed)
    ids: list[list[int]] = []
    grids: dict[int, list[tuple[int, int, int]]] = {IMAGE: [], VIDEO: []}
    for row in rows:
        ids.append([])
        for part in row:
            if isinstance(part, int):
                ids[-1] += torch.randint(2, 280, (part,), generator=generator).tolist()
                continue
            token = IMAGE if len(part) == 2 else VIDEO
            t, h, w = (1, *part) if len(part) == 2 else part
            grids[token].append((t, h, w))
            if frame_timestamps and token == VIDEO:
                for _ in range(t):
                    stamp = torch.randint(2, 280, (3,), generator=generator).tolist()
                    ids[-1] += [*stamp, START, *[token] * (h * w // 4), END]
                continue
            ids[-1] += [START, *[token] * (t * h * w // 4), END]
    longest = max(len(row) for row in ids)
    pads = [longest - len(row) for row in ids]
    inputs = ModelInputs(torch.tensor([[0] * pad + row for pad, row in zip(pads, ids, strict=True)]))
    if any(pads):
        inputs.attention_mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads])

    def patches(token: int) -> Tensor:
        return torch.randn(sum(t * h * w for t, h, w in grids[token]), patch_dim, generator=generator)

    if grids[IMAGE]:
        inputs.pixel_values, inputs.image_grid_thw = patches(IMAGE), torch.tensor(grids[IMAGE])
    if grids[VIDEO]:
        inputs.pixel_values_videos, inputs.video_grid_thw = patches(VIDEO), torch.tensor(grids[VIDEO])
        if not frame_timestamps:
            inputs.second_per_grid_ts = torch.tensor(seconds or [1.0] * len(grids[VIDEO]))
    return inputs


@torch.no_grad()
def reference_logits(model: Any, inputs: ModelInputs) -> Tensor:
    return model(**inputs.for_transformers()).logits


@torch.no_grad()
def reference_tokens(model: Any, inputs: ModelInputs) -> Tensor:
    """Return greedy tokens [B, NEW_TOKENS], without the settings of generation_config.json."""
    ids = model.generate(
        **inputs.for_transformers(),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        repetition_penalty=1.0,
        eos_token_id=None,
        pad_token_id=0,
    )
    return ids[:, inputs.input_ids.shape[1] :]


@torch.no_grad()
def our_logits(model: Any, inputs: ModelInputs) -> Tensor:
    return model(**inputs.for_model())


def our_tokens(model: Any, inputs: ModelInputs) -> Tensor:
    from model.engine.decode import generate_batch

    return generate_batch(model, **inputs.for_model(), max_new_tokens=NEW_TOKENS)


def distance(ours: Tensor, reference: Tensor, inputs: ModelInputs) -> float:
    """Return the largest difference of logits outside of padding."""
    assert ours.shape == reference.shape == (*inputs.input_ids.shape, VOCABULARY)
    difference = (ours - reference).abs().amax(-1)
    return float(difference.max() if inputs.attention_mask is None else difference[inputs.attention_mask.bool()].max())


NESTED = (("visual.", "model.visual."), ("model.", "model.language_model."))


def rewrite_nested(source: Path, target: Path) -> None:
    """Write a single-file checkpoint with the tensor names of transformers 4.52 and later."""
    target.mkdir(parents=True)
    (target / "config.json").write_text((source / "config.json").read_text())
    tensors = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        old, new = next((pair for pair in NESTED if name.startswith(pair[0])), ("", ""))
        tensors[new + name.removeprefix(old)] = tensor
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})


def rewrite_config_flat(folder: Path) -> None:
    """Rewrite config.json in the layout of the Hub: text sizes at the top level, rope_scaling, in_chans."""
    data = json.loads((folder / "config.json").read_text())
    text = data.pop("text_config")
    rope = text.pop("rope_parameters")
    data.pop("dtype")
    data["vision_config"]["in_chans"] = data["vision_config"].pop("in_channels")
    data = {
        **text,
        **data,
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(data))
