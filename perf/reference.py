"""transformers' Qwen2.5-VL over the same weights, as the baseline of the engine's benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from actions import Screen
from model.nn.config import Config
from model.nn.qwen25vl import Qwen25VL
from model.processing.image import ImageLimits

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

GREEDY: dict[str, Any] = {"do_sample": False, "repetition_penalty": 1.0, "eos_token_id": None, "pad_token_id": 0}


def reference_name(name: str) -> str:
    """Return transformers' name of a tensor."""
    if name.startswith("visual."):
        return f"model.{name}"
    return name if name.startswith("lm_head") else f"model.language_model.{name.removeprefix('model.')}"


def reference_config(config: Config) -> Qwen2_5_VLConfig:
    """Return transformers' configuration of the same shape."""
    from transformers import Qwen2_5_VLConfig

    vision, text = config.vision, config.text
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": text.vocab_size,
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "head_dim": text.head_dim,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": text.rope_theta,
                "mrope_section": list(text.mrope_section),
            },
            "rms_norm_eps": text.rms_norm_eps,
            "max_position_embeddings": text.max_position_embeddings,
            "tie_word_embeddings": text.tie_word_embeddings,
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": vision.depth,
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_heads": vision.num_heads,
            "out_hidden_size": vision.out_hidden_size,
            "fullatt_block_indexes": list(vision.fullatt_block_indexes),
            "window_size": vision.window_size,
            "tokens_per_second": vision.tokens_per_second,
        },
        image_token_id=config.image_token_id,
        video_token_id=config.video_token_id,
        vision_start_token_id=config.vision_start_token_id,
        tie_word_embeddings=text.tie_word_embeddings,
    )


def reference_model(model: Qwen25VL, device: str) -> Qwen2_5_VLForConditionalGeneration:
    """Return transformers' model over the same tensors."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    with torch.device("meta"):
        reference = Qwen2_5_VLForConditionalGeneration(reference_config(model.config))
    state = {reference_name(name): value for name, value in model.state_dict().items()}
    if model.config.text.tie_word_embeddings:
        state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    reference.load_state_dict(state, assign=True)
    for module in reference.modules():  # rotary tables, which no checkpoint holds
        if hasattr(module, "inv_freq"):
            for name, table in type(module)(module.config).named_buffers():
                setattr(module, name, table.to(device))
    return reference.eval()


def reference_processor(limits: ImageLimits) -> Qwen2VLImageProcessorPil:
    """Return transformers' image processor with the same pixel budget."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(size={"shortest_edge": limits.min_pixels, "longest_edge": limits.max_pixels})


def generate_reply(
    reference: Qwen2_5_VLForConditionalGeneration,
    processor: Qwen2VLImageProcessorPil,
    ids: Sequence[int],
    screens: Sequence[Screen],
    *,
    image_token_id: int,
    count: int,
    device: str,
    dtype: torch.dtype,
) -> list[int]:
    """Return the token ids of a greedy reply to a prompt with screenshots.

    Args:
        reference: The model.
        processor: The image processor.
        ids: The prompt, with a placeholder per image token.
        screens: The screenshots, in order.
        image_token_id: The placeholder.
        count: Number of tokens of the reply.
        device: The model's device.
        dtype: The model's dtype.
    """
    import torch
    from PIL import Image

    inputs = processor(images=[Image.fromarray(screen.pixels) for screen in screens], return_tensors="pt")
    tokens = torch.tensor([list(ids)], device=device)
    output: Tensor = cast(Any, reference).generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        mm_token_type_ids=(tokens == image_token_id).int(),
        pixel_values=inputs["pixel_values"].to(device, dtype),
        image_grid_thw=inputs["image_grid_thw"].to(device),
        max_new_tokens=count,
        min_new_tokens=count,
        **GREEDY,
    )
    reply: list[int] = output[0, len(ids) :].tolist()
    return reply


def time_decode(
    reference: Qwen2_5_VLForConditionalGeneration, ids: Sequence[int], count: int, device: str
) -> tuple[list[int], float]:
    """Return (token ids, milliseconds per token from the first to the last) of a greedy reply to a text prompt."""
    import torch
    from transformers.generation.streamers import BaseStreamer

    from perf.timing import now_ms

    class FirstTokenTimer(BaseStreamer):
        """Records when generate() yields the first new token; its first call is the prompt."""

        def __init__(self) -> None:
            self.calls, self.first_ms = 0, 0.0

        def put(self, value: Tensor) -> None:
            self.calls += 1
            if self.calls == 2:
                self.first_ms = now_ms(device)

        def end(self) -> None:
            return

    timer = FirstTokenTimer()
    tokens = torch.tensor([list(ids)], device=device)
    output: Tensor = cast(Any, reference).generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=count + 1,
        min_new_tokens=count + 1,
        streamer=timer,
        **GREEDY,
    )
    per_token_ms = (now_ms(device) - timer.first_ms) / count
    reply: list[int] = output[0, len(ids) :].tolist()
    return reply, per_token_ms
