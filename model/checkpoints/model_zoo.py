"""The families of GUI checkpoints: sizes, licences, published scores with their sources, what they are good at.

Facts only, as their authors publish them; nothing here was measured by us. A licence or score that was not at hand is
left out, never guessed. Scores of different sources and benchmarks do not compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model.nn.config import OFFICIAL, Config

GRID_TOKENS = 16_384  # of context that the memory figures allow for: some five screenshots of 1080p
GROUP = 128  # weights that share a 16-bit scale in int8 and int4

UseCase = Literal["desktop", "browser", "phone", "grounding"]
SEE_MODEL_CARD = "see its model card"


@dataclass(frozen=True)
class Checkpoint:
    """One on the hub. size: the key of model.config.OFFICIAL whose shape it has, "" where it is of another shape.

    use: what it is for, where that is not all that the family is.
    """

    hub_id: str
    size: str
    licence: str
    billions: float = 0.0  # of parameters, where size is ""
    use: tuple[UseCase, ...] = ()


@dataclass(frozen=True)
class Score:
    """value in percent, of one checkpoint (the end of its hub id) on one benchmark, as source says."""

    checkpoint: str
    benchmark: str
    value: float
    source: str


@dataclass(frozen=True)
class ModelFamily:
    """runs: "here" in our engine, "server" only behind RemotePolicy. use: what it is good at, the best first."""

    dialect: str
    name: str
    checkpoints: tuple[Checkpoint, ...]
    good_at: str
    use: tuple[UseCase, ...]
    runs: Literal["here", "server"] = "here"
    scores: tuple[Score, ...] = ()


def _of(source: str, *rows: tuple[str, str, float]) -> tuple[Score, ...]:
    return tuple(Score(*row, source) for row in rows)


QWEN = "Qwen2.5-VL README f0af299"
CUA = "OpenCUA README f9f965b (OSWorld-Verified: 100 steps)"
FARA = "Fara README 061717c"
VENUS = "UI-Venus README 01ca24a"
TARS = "UI-TARS README 09a8b4b"
TARS_1 = "UI-TARS README_v1"
OWL = "arXiv 2508.15144"

FAMILIES: tuple[ModelFamily, ...] = (
    ModelFamily(
        "qwen25",
        "Qwen2.5-VL",
        (
            Checkpoint("Qwen/Qwen2.5-VL-3B-Instruct", "3B", "Qwen Research License (not for commercial use)"),
            Checkpoint("Qwen/Qwen2.5-VL-7B-Instruct", "7B", "Apache-2.0"),
            Checkpoint("Qwen/Qwen2.5-VL-32B-Instruct", "32B", "Apache-2.0"),
            Checkpoint("Qwen/Qwen2.5-VL-72B-Instruct", "72B", "Qwen License (its own terms)"),
        ),
        "pointing at things and reading screens; seldom finishes long tasks",
        ("grounding", "phone"),
        scores=_of(
            QWEN,
            ("3B", "ScreenSpot", 55.5),
            ("3B", "ScreenSpot-Pro", 23.9),
            ("7B", "ScreenSpot", 84.7),
            ("7B", "ScreenSpot-Pro", 29.0),
            ("72B", "ScreenSpot", 87.1),
            ("72B", "ScreenSpot-Pro", 43.6),
            ("72B", "AndroidWorld", 35.0),
            ("72B", "OSWorld", 8.83),
        )
        + _of(
            CUA,
            ("32B", "ScreenSpot-v2", 87.0),
            ("32B", "ScreenSpot-Pro", 39.4),
            ("32B", "OSWorld-Verified", 3.9),
            ("72B", "OSWorld-Verified", 5.0),
        ),
    ),
    ModelFamily(
        "ui_tars",
        "UI-TARS-1.5",
        (Checkpoint("ByteDance-Seed/UI-TARS-1.5-7B", "7B", f"{SEE_MODEL_CARD} (repository: Apache-2.0)"),),
        "desktop programs, and web pages as well",
        ("desktop", "browser", "phone"),
        scores=_of(TARS, ("7B", "OSWorld", 27.5), ("7B", "ScreenSpot-Pro", 49.6))
        + _of(CUA, ("7B", "OSWorld-Verified", 27.4))
        + _of(FARA, ("7B", "WebVoyager", 66.4), ("7B", "Online-Mind2Web", 31.3), ("7B", "WebTailBench", 19.5)),
    ),
    ModelFamily(
        "ui_tars_v1",
        "UI-TARS 1.0 (Qwen2-VL)",
        (
            Checkpoint("bytedance-research/UI-TARS-7B-SFT", "", "Apache-2.0", 8.3),
            Checkpoint("bytedance-research/UI-TARS-72B-DPO", "", "Apache-2.0", 73.4),
        ),
        "desktop programs; 1.5 is better",
        ("desktop",),
        "server",
        _of(TARS_1, ("7B", "ScreenSpot-v2", 91.6), ("7B", "ScreenSpot-Pro", 35.7), ("72B", "ScreenSpot-Pro", 38.1))
        + _of(CUA, ("72B-DPO", "OSWorld-Verified", 27.1)),
    ),
    ModelFamily(
        "opencua",
        "OpenCUA",
        (
            Checkpoint("xlangai/OpenCUA-7B", "7B", "MIT"),
            Checkpoint("xlangai/OpenCUA-32B", "32B", "MIT"),
            Checkpoint("xlangai/OpenCUA-72B-preview", "72B", "MIT"),
        ),
        "long tasks in desktop programs, with thoughts",
        ("desktop", "grounding"),
        scores=_of(
            CUA,
            ("7B", "OSWorld-Verified", 26.6),
            ("7B", "ScreenSpot-Pro", 50.0),
            ("7B", "OSWorld-G", 55.3),
            ("32B", "OSWorld-Verified", 34.8),
            ("32B", "ScreenSpot-Pro", 55.3),
            ("32B", "OSWorld-G", 59.6),
            ("72B", "OSWorld-Verified", 45.0),
            ("72B", "ScreenSpot-Pro", 60.8),
        ),
    ),
    ModelFamily(
        "gui_owl",
        "GUI-Owl",
        (
            Checkpoint("mPLUG/GUI-Owl-7B", "7B", f"{SEE_MODEL_CARD} (repository: MIT)"),
            Checkpoint("mPLUG/GUI-Owl-32B", "32B", f"{SEE_MODEL_CARD} (repository: MIT)"),
        ),
        "phones, and desktop programs as well",
        ("phone", "desktop"),
        scores=_of(OWL, ("7B", "AndroidWorld", 66.4), ("7B", "OSWorld", 29.4)),
    ),
    ModelFamily(
        "fara",
        "Fara",
        (Checkpoint("microsoft/Fara-7B", "7B", f"{SEE_MODEL_CARD} (repository: MIT)"),),
        "errands on the web: shopping, bookings, searches",
        ("browser",),
        scores=_of(
            FARA,
            ("7B", "WebVoyager", 73.5),
            ("7B", "Online-Mind2Web", 34.1),
            ("7B", "DeepShop", 26.2),
            ("7B", "WebTailBench", 38.4),
        ),
    ),
    ModelFamily(
        "holo",
        "Holo1, Holo1.5",
        (
            Checkpoint("Hcompany/Holo1-3B", "3B", SEE_MODEL_CARD),
            Checkpoint("Hcompany/Holo1-7B", "7B", "Apache-2.0"),
            Checkpoint("Hcompany/Holo1.5-7B", "7B", f"{SEE_MODEL_CARD} (reported: Apache-2.0)"),
        ),
        "finding things on web pages; with a planner, whole tasks on the web",
        ("grounding", "browser"),
        scores=_of("Holo1-7B model card (with Surfer-H and its validator)", ("Holo1-7B", "WebVoyager", 92.2)),
    ),
    ModelFamily(
        "gta1",
        "GTA1",
        (
            Checkpoint("HelloKKMe/GTA1-7B", "7B", SEE_MODEL_CARD),
            Checkpoint("HelloKKMe/GTA1-32B", "32B", SEE_MODEL_CARD),
        ),
        "finding what is described; plans nothing",
        ("grounding",),
        scores=_of(VENUS, ("7B", "ScreenSpot-Pro", 50.1)),
    ),
    ModelFamily(
        "jedi",
        "Jedi",
        (
            Checkpoint("xlangai/Jedi-3B-1080p", "3B", SEE_MODEL_CARD),
            Checkpoint("xlangai/Jedi-7B-1080p", "7B", SEE_MODEL_CARD),
        ),
        "finding what is described, at 1080p; plans nothing",
        ("grounding",),
    ),
    ModelFamily(
        "ui_venus",
        "UI-Venus-1.0",
        (
            Checkpoint(
                "inclusionAI/UI-Venus-Navi-7B", "7B", f"{SEE_MODEL_CARD} (repository: Apache-2.0)", use=("phone",)
            ),
            Checkpoint(
                "inclusionAI/UI-Venus-Ground-7B", "7B", f"{SEE_MODEL_CARD} (repository: Apache-2.0)", use=("grounding",)
            ),
            Checkpoint(
                "inclusionAI/UI-Venus-Ground-72B",
                "72B",
                f"{SEE_MODEL_CARD} (repository: Apache-2.0)",
                use=("grounding",),
            ),
        ),
        "Navi: phones; Ground: finding what is described",
        ("phone", "grounding"),
        scores=_of(
            VENUS,
            ("Navi-7B", "AndroidWorld", 49.1),
            ("Ground-7B", "ScreenSpot-v2", 94.1),
            ("Ground-7B", "ScreenSpot-Pro", 50.8),
            ("Ground-72B", "ScreenSpot-v2", 95.3),
            ("Ground-72B", "ScreenSpot-Pro", 61.9),
        ),
    ),
    ModelFamily(
        "qwen3vl",
        "Qwen3-VL",
        (
            Checkpoint("Qwen/Qwen3-VL-8B-Instruct", "", "Apache-2.0", 8.8),
            Checkpoint("Qwen/Qwen3-VL-32B-Instruct", "", "Apache-2.0", 33.4),
        ),
        "pointing and tools; of another architecture",
        ("grounding",),
        "server",
    ),
    ModelFamily(
        "autoglm",
        "AutoGLM-Phone (GLM-4.1V)",
        (
            Checkpoint("zai-org/AutoGLM-Phone-9B", "", SEE_MODEL_CARD, 9.0),
            Checkpoint("zai-org/AutoGLM-Phone-9B-Multilingual", "", SEE_MODEL_CARD, 9.0),
        ),
        "phone apps: Chinese ones, and with Multilingual English ones too",
        ("phone",),
        "server",
    ),
    ModelFamily(
        "openai",
        "OpenAI's computer use",
        (),
        "the items of OpenAI's computer tool; its models are not to be had as weights",
        ("desktop", "browser"),
        "server",
    ),
    ModelFamily(
        "anthropic",
        "Anthropic's computer use",
        (),
        "the blocks of Anthropic's computer tool; its models are not to be had as weights",
        ("desktop", "browser"),
        "server",
    ),
)


def parameters(config: Config) -> tuple[int, int]:
    """(those of the decoder's linear layers, which int8 and int4 shrink; all the others)."""
    text, vision = config.text, config.vision
    heads, kv, hidden, inner = (
        text.num_attention_heads,
        text.num_key_value_heads,
        text.hidden_size,
        text.intermediate_size,
    )
    qkv = (heads + 2 * kv) * text.head_dim
    linear = text.num_hidden_layers * (hidden * qkv + heads * text.head_dim * hidden + 3 * hidden * inner)
    small = text.num_hidden_layers * (qkv + 2 * hidden) + hidden  # biases and norms
    words = text.vocab_size * hidden * (1 if text.tie_word_embeddings else 2)
    wide = vision.hidden_size
    block = 4 * wide * wide + 4 * wide + 3 * wide * vision.intermediate_size + 2 * vision.intermediate_size + 3 * wide
    merged = wide * vision.spatial_merge_size**2
    merger = wide + merged * merged + merged + merged * vision.out_hidden_size + vision.out_hidden_size
    return linear, small + words + vision.patch_dim * wide + vision.depth * block + merger


def memory_bytes(config: Config, kind: str, context_tokens: int = GRID_TOKENS) -> int:
    """Bytes for weights and the keys and values of a context. kind: bf16, int8 or int4 (the decoder's layers only).

    What a forward pass needs beside them, some hundred megabytes at 1080p, is not in it.
    """
    linear, others = parameters(config)
    bits = {"bf16": 16.0, "int8": 8 + 16 / GROUP, "int4": 4 + 16 / GROUP}[kind]
    text = config.text
    cache = 2 * 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * context_tokens
    return int(linear * bits / 8) + 2 * others + cache


def needs(checkpoint: Checkpoint) -> dict[str, int]:
    """Bytes by kind; of checkpoints of another shape their weights in bf16 only."""
    if not checkpoint.size:
        return {"bf16": round(checkpoint.billions * 2e9)}
    return {kind: memory_bytes(OFFICIAL[checkpoint.size], kind) for kind in ("bf16", "int8", "int4")}
