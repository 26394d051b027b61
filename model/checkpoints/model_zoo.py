"""Families of GUI models: sizes, licenses, published scores with their sources, and uses.

All facts are as the authors publish them; none were measured here. A license or score that could not be found is left
out. Scores from different sources or benchmarks are not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model.nn.config import OFFICIAL, Config

GRID_TOKENS = 16_384  # context length assumed in memory figures: about five 1080p screenshots
GROUP = 128  # weights that share a 16-bit scale in int8 and int4, in memory figures

UseCase = Literal["desktop", "browser", "phone", "grounding"]
SEE_MODEL_CARD = "see its model card"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on the Hub."""

    hub_id: str
    size: str  # key of model.nn.config.OFFICIAL with its shape, "" for another shape
    license: str
    billions: float = 0.0  # parameters, where size is ""
    use: tuple[UseCase, ...] = ()  # where it differs from the family's


@dataclass(frozen=True)
class PublishedScore:
    """A published score of a checkpoint on a benchmark."""

    checkpoint: str  # end of its Hub id
    benchmark: str
    value: float  # percent
    source: str


@dataclass(frozen=True)
class ModelFamily:
    """A family of checkpoints that share a dialect."""

    dialect: str
    name: str
    checkpoints: tuple[Checkpoint, ...]
    good_at: str
    use: tuple[UseCase, ...]  # the most suitable first
    runs: Literal["here", "server"] = "here"  # "server": only behind a server
    scores: tuple[PublishedScore, ...] = ()


def _scores(source: str, *rows: tuple[str, str, float]) -> tuple[PublishedScore, ...]:
    return tuple(PublishedScore(*row, source) for row in rows)


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
        scores=_scores(
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
        + _scores(
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
        scores=_scores(TARS, ("7B", "OSWorld", 27.5), ("7B", "ScreenSpot-Pro", 49.6))
        + _scores(CUA, ("7B", "OSWorld-Verified", 27.4))
        + _scores(FARA, ("7B", "WebVoyager", 66.4), ("7B", "Online-Mind2Web", 31.3), ("7B", "WebTailBench", 19.5)),
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
        _scores(TARS_1, ("7B", "ScreenSpot-v2", 91.6), ("7B", "ScreenSpot-Pro", 35.7), ("72B", "ScreenSpot-Pro", 38.1))
        + _scores(CUA, ("72B-DPO", "OSWorld-Verified", 27.1)),
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
        scores=_scores(
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
        scores=_scores(OWL, ("7B", "AndroidWorld", 66.4), ("7B", "OSWorld", 29.4)),
    ),
    ModelFamily(
        "fara",
        "Fara",
        (Checkpoint("microsoft/Fara-7B", "7B", f"{SEE_MODEL_CARD} (repository: MIT)"),),
        "errands on the web: shopping, bookings, searches",
        ("browser",),
        scores=_scores(
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
        scores=_scores("Holo1-7B model card (with Surfer-H and its validator)", ("Holo1-7B", "WebVoyager", 92.2)),
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
        scores=_scores(VENUS, ("7B", "ScreenSpot-Pro", 50.1)),
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
        scores=_scores(
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
        "the items of OpenAI's computer tool; its models are not released as weights",
        ("desktop", "browser"),
        "server",
    ),
    ModelFamily(
        "anthropic",
        "Anthropic's computer use",
        (),
        "the blocks of Anthropic's computer tool; its models are not released as weights",
        ("desktop", "browser"),
        "server",
    ),
)


def parameters(config: Config) -> tuple[int, int]:
    """Return the numbers of parameters (in the decoder's linear layers, which int8 and int4 apply to; elsewhere)."""
    text, vision = config.text, config.vision
    heads, kv, hidden, inner = (
        text.num_attention_heads,
        text.num_key_value_heads,
        text.hidden_size,
        text.intermediate_size,
    )
    qkv = (heads + 2 * kv) * text.head_dim
    linear = text.num_hidden_layers * (hidden * qkv + heads * text.head_dim * hidden + 3 * hidden * inner)
    biases_and_norms = text.num_hidden_layers * (qkv + 2 * hidden) + hidden
    embeddings = text.vocab_size * hidden * (1 if text.tie_word_embeddings else 2)
    vision_hidden = vision.hidden_size
    block = (
        4 * vision_hidden * vision_hidden
        + 4 * vision_hidden
        + 3 * vision_hidden * vision.intermediate_size
        + 2 * vision.intermediate_size
        + 3 * vision_hidden
    )
    merged = vision_hidden * vision.spatial_merge_size**2
    merger = vision_hidden + merged * merged + merged + merged * vision.out_hidden_size + vision.out_hidden_size
    return linear, biases_and_norms + embeddings + vision.patch_dim * vision_hidden + vision.depth * block + merger


def memory_bytes(config: Config, precision: str, context_tokens: int = GRID_TOKENS) -> int:
    """Return the bytes of the weights and of the key-value cache.

    Activations are not included; they take some hundred megabytes at 1080p.

    Args:
        config: Sizes of the model.
        precision: "bf16", or "int8" or "int4" for the decoder's linear layers.
        context_tokens: Length of the cache.
    """
    linear, others = parameters(config)
    bits = {"bf16": 16.0, "int8": 8 + 16 / GROUP, "int4": 4 + 16 / GROUP}[precision]
    text = config.text
    cache = 2 * 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * context_tokens
    return int(linear * bits / 8) + 2 * others + cache


def required_bytes(checkpoint: Checkpoint) -> dict[str, int]:
    """Return bytes by precision; for a checkpoint of another shape only its weights in bf16."""
    if not checkpoint.size:
        return {"bf16": round(checkpoint.billions * 2e9)}
    return {precision: memory_bytes(OFFICIAL[checkpoint.size], precision) for precision in ("bf16", "int8", "int4")}
