"""Sizes of the official checkpoints, for `agent models`, benchmarks on random weights and tests of parameter counts."""

from __future__ import annotations

from dataclasses import replace

from model.nn.config import Config, DeltaConfig, TextConfig, VisionConfig

OFFICIAL: dict[str, Config] = {
    name: Config(
        vision=VisionConfig(32, 1280, vit_intermediate, 16, hidden),
        text=TextConfig(vocab, hidden, intermediate, layers, heads, kv_heads, 128, tie_word_embeddings=tied),
    )
    for name, hidden, intermediate, layers, heads, kv_heads, vocab, tied, vit_intermediate in (
        ("3B", 2048, 11008, 36, 16, 2, 151936, True, 3420),
        ("7B", 3584, 18944, 28, 28, 4, 152064, False, 3420),
        ("32B", 5120, 27648, 64, 40, 8, 152064, False, 3456),
        ("72B", 8192, 29568, 80, 64, 8, 152064, False, 3456),
    )
}
OFFICIAL |= {
    name: Config(
        vision=VisionConfig(
            32,
            1280,
            5120,
            16,
            hidden,
            window_size=28,
            fullatt_block_indexes=tuple(range(32)),
            tokens_per_second=0,
        ),
        text=TextConfig(
            vocab,
            hidden,
            intermediate,
            layers,
            heads,
            kv_heads,
            128,
            max_position_embeddings=32768,
            tie_word_embeddings=tied,
        ),
        model_type="qwen2_vl",
    )
    for name, hidden, intermediate, layers, heads, kv_heads, vocab, tied in (
        ("Qwen2-VL-2B", 1536, 8960, 28, 12, 2, 151936, True),
        ("Qwen2-VL-7B", 3584, 18944, 28, 28, 4, 152064, False),
        ("Qwen2-VL-72B", 8192, 29568, 80, 64, 8, 152064, False),
    )
}
OFFICIAL |= {
    name: Config(
        vision=VisionConfig(
            depth,
            vit_hidden,
            vit_intermediate,
            16,
            hidden,
            patch_size=16,
            window_size=32,
            fullatt_block_indexes=tuple(range(depth)),
            position_embeddings=2304,
            deepstack_indexes=deepstack,
        ),
        text=TextConfig(
            151936,
            hidden,
            intermediate,
            layers,
            heads,
            8,
            128,
            mrope_section=(24, 20, 20),
            rope_theta=5e6,
            max_position_embeddings=262144,
            tie_word_embeddings=tied,
            interleaved_rope=True,
            attention_bias=False,
            qk_norm=True,
        ),
        model_type="qwen3_vl",
        frame_timestamps=True,
    )
    for name, hidden, intermediate, layers, heads, tied, depth, vit_hidden, vit_intermediate, deepstack in (
        ("Qwen3-VL-2B", 2048, 6144, 28, 16, True, 24, 1024, 4096, (5, 11, 17)),
        ("Qwen3-VL-4B", 2560, 9728, 36, 32, True, 24, 1024, 4096, (5, 11, 17)),
        ("Qwen3-VL-8B", 4096, 12288, 36, 32, False, 27, 1152, 4304, (8, 16, 24)),
        ("Qwen3-VL-32B", 5120, 25600, 64, 64, False, 27, 1152, 4304, (8, 16, 24)),
    )
}
_BASE = OFFICIAL["Qwen3-VL-8B"]
OFFICIAL |= {
    name: replace(
        _BASE,
        vision=replace(_BASE.vision, out_hidden_size=hidden),
        text=replace(
            _BASE.text,
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=4,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=expert_size,
        ),
        model_type="qwen3_vl_moe",
    )
    for name, hidden, intermediate, expert_size, layers, heads in (
        ("Qwen3-VL-30B-A3B", 2048, 6144, 768, 48, 32),
        ("Qwen3-VL-235B-A22B", 4096, 12288, 1536, 94, 64),
    )
}
OFFICIAL |= {
    name: Config(
        vision=VisionConfig(
            *encoder,  # depth, width, width of the MLPs, heads
            hidden,
            patch_size=16,
            window_size=32,
            fullatt_block_indexes=tuple(range(encoder[0])),
            position_embeddings=2304,
        ),
        text=TextConfig(
            248320,
            hidden,
            intermediate,
            layers,
            heads,
            kv_heads,
            256,
            mrope_section=(11, 11, 10),
            rope_theta=1e7,
            max_position_embeddings=262144,
            tie_word_embeddings=tied,
            interleaved_rope=True,
            rotary_dim=64,
            attention_bias=False,
            attention_gate=True,
            qk_norm=True,
            centered_norms=True,
            delta=DeltaConfig(tuple(layer for layer in range(layers) if layer % 4 != 3), 16, value_heads, 128, 128, 4),
        ),
        image_token_id=248056,
        video_token_id=248057,
        vision_start_token_id=248053,
        model_type="qwen3_5",
        frame_timestamps=True,
    )
    for name, hidden, intermediate, layers, heads, kv_heads, value_heads, tied, encoder in (
        ("Qwen3.5-0.8B", 1024, 3584, 24, 8, 2, 16, True, (12, 768, 3072, 12)),
        ("Qwen3.5-2B", 2048, 6144, 24, 8, 2, 16, True, (24, 1024, 4096, 16)),
        ("Qwen3.5-4B", 2560, 9216, 32, 16, 4, 32, True, (24, 1024, 4096, 16)),
        ("Qwen3.5-9B", 4096, 12288, 32, 16, 4, 32, False, (27, 1152, 4304, 16)),
        ("Qwen3.5-27B", 5120, 17408, 64, 24, 4, 48, False, (27, 1152, 4304, 16)),
    )
}
