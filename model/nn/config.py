"""Model sizes, read from a checkpoint's config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path

from actions import UsageError
from model.json_file import read_text
from model.nn.config_section import ConfigSection
from model.nn.yarn import YarnScaling, yarn_attention_factor

MAX_SNAPSHOTS = 8  # of one context that are kept; see model.engine.state_snapshots


@dataclass(frozen=True)
class Variant:
    """What a `model_type` fixes or leaves out of its config.json; the defaults are Qwen2.5-VL's."""

    name: str = "Qwen2.5-VL"  # in messages
    image_key: str = "image_token_id"  # key of config.json with the id of the image placeholder
    image_id: int = 151655  # that id where config.json has no such key
    image_name: str = "<|image_pad|>"  # the placeholder's text in the tokenizer
    video_id: int = 151656
    vision_start_id: int = 151652
    videos: bool = True  # whether there is a placeholder for videos
    frame_timestamps: bool = False  # see Config.frame_timestamps
    # the decoder
    flat_rope: bool = False  # positions of image tokens are one-dimensional, like those of text
    interleaved_rope: bool = False  # see TextConfig.interleaved_rope
    mrope_section: tuple[int, int, int] = (16, 24, 24)
    rope_theta: float = 1e6
    attention_bias: bool = True  # see TextConfig.attention_bias
    qk_norm: bool = False
    has_experts: bool = False  # see TextConfig.num_experts
    has_delta_layers: bool = False  # see TextConfig.delta; with them, its gates and its norms
    partial_rotary_factor: float = 1.0  # share of a head that is rotated
    # the vision encoder
    vision_act: str = "silu"
    patch_size: int = 14
    windows: bool = True  # whether some of its layers attend within windows
    layer_norms: bool = False  # LayerNorms and MLPs of two layers instead of RMSNorms and gated MLPs
    patch_bias: bool = False  # of the projection of patches
    has_embed_dim: bool = False  # config.json has embed_dim, mlp_ratio and hidden_size for the sizes of VisionConfig
    position_embeddings: int = 0  # see VisionConfig.position_embeddings
    deepstack_indexes: tuple[int, ...] = ()  # see VisionConfig.deepstack_indexes
    tokens_per_second: float = 2  # see VisionConfig.tokens_per_second


VARIANTS: dict[str, Variant] = {
    "qwen2_5_vl": Variant(),
    # OpenCUA's modeling_opencua.py, and vLLM's opencua.py: Qwen2.5-VL's weights with a 1D RoPE and Kimi's tokenizer
    "opencua": Variant(
        "OpenCUA", "media_placeholder_token_id", 151664, "<|media_placeholder|>", flat_rope=True, videos=False
    ),
    "qwen2_vl": Variant(
        "Qwen2-VL",
        vision_act="quick_gelu",
        windows=False,
        layer_norms=True,
        has_embed_dim=True,
        tokens_per_second=0,
    ),
    "qwen3_vl": Variant(
        "Qwen3-VL",
        frame_timestamps=True,
        interleaved_rope=True,
        mrope_section=(24, 20, 20),
        rope_theta=5e6,
        attention_bias=False,
        qk_norm=True,
        vision_act="gelu_pytorch_tanh",
        patch_size=16,
        windows=False,
        layer_norms=True,
        patch_bias=True,
        position_embeddings=2304,
        deepstack_indexes=(8, 16, 24),
    ),
}
VARIANTS["qwen3_vl_moe"] = replace(VARIANTS["qwen3_vl"], name="Qwen3-VL-MoE", has_experts=True)
VARIANTS["qwen3_5"] = replace(
    VARIANTS["qwen3_vl"],
    name="Qwen3.5",
    image_id=248056,
    video_id=248057,
    vision_start_id=248053,
    mrope_section=(11, 11, 10),
    rope_theta=1e7,
    has_delta_layers=True,
    partial_rotary_factor=0.25,
    deepstack_indexes=(),
)
NO_TOKEN = -1  # equals no token id


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of the vision encoder; the defaults are those of every official checkpoint of Qwen2.5-VL.

    Some differ from the class defaults of transformers.
    """

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int
    patch_size: int = 14
    temporal_patch_size: int = 2
    spatial_merge_size: int = 2
    window_size: int = 112  # side of an attention window in pixels
    fullatt_block_indexes: tuple[int, ...] = (7, 15, 23, 31)
    tokens_per_second: float = 2  # the class default of transformers is 4; 0: videos count temporal patches
    in_channels: int = 3
    rms_norm_eps: float = 1e-6  # a constant in the reference code, not a key of config.json
    position_embeddings: int = 0  # learned embeddings of positions, a square of them; 0 for none
    deepstack_indexes: tuple[int, ...] = ()  # layers whose output is added to the first layers of the decoder

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def patch_dim(self) -> int:
        """Values of one patch: 1176 = 3 channels x 2 frames x 14 x 14 in Qwen2.5-VL."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def window_cells(self) -> int:
        """Side of an attention window in merged patches: 4 = 112 / (14 x 2)."""
        return self.window_size // (self.patch_size * self.spatial_merge_size)


@dataclass(frozen=True)
class DeltaConfig:
    """Sizes of the Gated DeltaNet layers; see `model.nn.delta_net`."""

    layers: tuple[int, ...]  # which of the decoder's layers they are; the others have attention
    key_heads: int
    value_heads: int
    key_size: int  # of a head
    value_size: int
    kernel_size: int  # of the convolution over tokens

    @property
    def key_width(self) -> int:
        """Width of the keys of all heads, and of the queries."""
        return self.key_heads * self.key_size

    @property
    def value_width(self) -> int:
        """Width of the values of all heads."""
        return self.value_heads * self.value_size


@dataclass(frozen=True)
class TextConfig:
    """Sizes of the text decoder, named as in config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    mrope_section: tuple[int, int, int] = (16, 24, 24)
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 128000
    tie_word_embeddings: bool = False
    flat_rope: bool = False  # see Variant.flat_rope
    interleaved_rope: bool = False  # the frequencies of time, rows and columns alternate; see model.nn.rope
    rotary_dim: int = 0  # width of the part of a head that is rotated; 0 for all of it
    attention_bias: bool = True  # of the projections to queries, keys and values
    attention_gate: bool = False  # attention's output is multiplied by the sigmoid of a further part of the queries
    qk_norm: bool = False  # an RMSNorm on the queries and keys of each head
    centered_norms: bool = False  # the weights of the RMSNorms are added to 1
    delta: DeltaConfig | None = None  # None where all layers have attention
    num_experts: int = 0  # of each layer, instead of its MLP; 0 for none, see model.nn.sparse_mlp
    num_experts_per_tok: int = 0
    moe_intermediate_size: int = 0  # of one expert
    yarn: YarnScaling | None = None  # None for the frequencies that the checkpoint was trained with

    @property
    def attention_layers(self) -> int:
        """Number of layers with attention, whose keys and values are cached."""
        return self.num_hidden_layers - (len(self.delta.layers) if self.delta else 0)


@dataclass(frozen=True)
class Config:
    """Sizes of both halves of the model, and the ids of the image and video placeholders."""

    vision: VisionConfig
    text: TextConfig
    image_token_id: int = 151655
    video_token_id: int = 151656
    vision_start_token_id: int = 151652
    dtype: str = "bfloat16"  # of the weights in the files
    image_name: str = "<|image_pad|>"  # the image placeholder's text in the tokenizer
    model_type: str = "qwen2_5_vl"  # key of VARIANTS and of model.nn.architectures.ARCHITECTURES
    frame_timestamps: bool = False  # frames of a video are apart, each after its time as text, at positions of an image

    @property
    def name(self) -> str:
        """Name of the architecture in messages."""
        return VARIANTS[self.model_type].name


def read_config(folder: Path) -> Config:
    """Return the config of the checkpoint in a folder.

    Raises:
        UsageError: config.json is missing, damaged or of an unsupported architecture.
    """
    path = folder / "config.json"
    try:
        data = json.loads(read_text(path))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing: a checkpoint folder has config.json beside its .safetensors") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
    return config_from_dict(data, str(path))


def supported_types() -> str:
    """Return the supported values of `model_type` with the names of their architectures, for messages."""
    return ", ".join(f"{kind!r} ({variant.name})" for kind, variant in VARIANTS.items())


def find_variant(model_type: object, source: str) -> Variant:
    """Return the variant of a `model_type`.

    Raises:
        UsageError: It is not supported.
    """
    variant = VARIANTS.get(model_type) if isinstance(model_type, str) else None
    if variant is None:
        raise UsageError(
            f"{source}: model_type {model_type!r:.60} is not supported; supported are {supported_types()}, "
            "and their fine-tunes"
        )
    return variant


def config_from_dict(data: Mapping[str, object], source: str = "config.json") -> Config:
    """Return the config of config.json's data.

    Args:
        data: The official flat layout, or the nested one of transformers 4.52 and later.
        source: Name of the file in error messages.

    Raises:
        UsageError: A key is missing or invalid, or the architecture is not supported.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"{source} must be a JSON object; download the checkpoint again")
    kind = data.get("model_type")
    variant = find_variant(kind, source)
    parts: dict[str, Mapping[str, object]] = {}
    for key in ("vision_config", "text_config"):
        part = data.get(key) or {}
        if not isinstance(part, Mapping) or (key == "vision_config" and not part):
            raise UsageError(f"{source}: {key} must be an object with the sizes in it; download the checkpoint again")
        parts[key] = part
    top = ConfigSection(data, source)
    text = ConfigSection({**data, **parts["text_config"]}, source)
    vision = ConfigSection(parts["vision_config"], source, "vision_config.")
    rope = text.data.get("rope_parameters") or text.data.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise UsageError(f"{source}: rope_scaling must be an object, not {rope!r:.60}; download the checkpoint again")
    rotary = ConfigSection({"rope_theta": text.data.get("rope_theta"), **rope}, source, "rope_scaling.")
    for key in ("type", "rope_type"):
        rotary.one_of(key, "mrope", "default", "yarn")
    text.one_of("hidden_act", "silu")
    vision.one_of("hidden_act", variant.vision_act)
    if not variant.attention_bias and text.flag("attention_bias", False):
        raise UsageError(f"{source}: attention_bias is true, which {variant.name} does not support")
    if text.flag("use_sliding_window", False):
        raise UsageError(f"{source}: use_sliding_window is true, which is not supported")
    heads, hidden = text.size("num_attention_heads"), text.size("hidden_size")
    head_dim = text.size("head_dim", hidden // heads)
    rotary_dim = _rotary_dim(text, rotary, head_dim, variant)
    section = rotary.sizes("mrope_section", (rotary_dim // 2, 0, 0) if variant.flat_rope else variant.mrope_section)
    if len(section) != 3 or sum(section) * 2 != rotary_dim:
        raise UsageError(f"{source}: mrope_section {list(section)} must be three numbers summing to {rotary_dim // 2}")
    if variant.interleaved_rope and not rotary.flag("mrope_interleaved", True):
        raise UsageError(f"{source}: rope_scaling.mrope_interleaved is false, which {variant.name} does not support")
    vocabulary, positions = text.size("vocab_size"), text.size("max_position_embeddings", 128000)
    yarn = _yarn_scaling(rotary, positions)
    experts, experts_per_token, expert_size = _expert_sizes(text) if variant.has_experts else (0, 0, 0)
    config = Config(
        vision=_vision_config(vision, variant),
        text=TextConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            intermediate_size=text.size("intermediate_size"),
            num_hidden_layers=text.size("num_hidden_layers", maximum=1000),
            num_attention_heads=heads,
            num_key_value_heads=text.size("num_key_value_heads"),
            head_dim=head_dim,
            mrope_section=section,
            rope_theta=float(rotary.number("rope_theta", variant.rope_theta)),
            rms_norm_eps=float(text.number("rms_norm_eps", 1e-6)),
            max_position_embeddings=positions if yarn is None else max(positions, yarn.max_position_embeddings),
            yarn=yarn,
            tie_word_embeddings=top.flag("tie_word_embeddings", text.flag("tie_word_embeddings", False)),
            flat_rope=variant.flat_rope,
            interleaved_rope=variant.interleaved_rope,
            rotary_dim=0 if rotary_dim == head_dim else rotary_dim,
            attention_bias=variant.attention_bias,
            attention_gate=variant.has_delta_layers,
            qk_norm=variant.qk_norm,
            centered_norms=variant.has_delta_layers,
            delta=_delta_config(text) if variant.has_delta_layers else None,
            num_experts=experts,
            num_experts_per_tok=experts_per_token,
            moe_intermediate_size=expert_size,
        ),
        image_token_id=top.size(variant.image_key, variant.image_id, 0, vocabulary - 1),
        video_token_id=top.size("video_token_id", variant.video_id, 0, vocabulary - 1) if variant.videos else NO_TOKEN,
        vision_start_token_id=top.size("vision_start_token_id", variant.vision_start_id, 0, vocabulary - 1)
        if variant.videos
        else NO_TOKEN,
        image_name=variant.image_name,
        model_type=str(kind),
        frame_timestamps=variant.frame_timestamps,
        dtype=str(data.get("dtype") or data.get("torch_dtype") or text.data.get("dtype") or "bfloat16"),
    )
    encoder = config.vision
    if encoder.out_hidden_size != hidden:
        raise UsageError(
            f"{source}: vision_config.out_hidden_size {encoder.out_hidden_size} must equal hidden_size {hidden}"
        )
    if len(encoder.deepstack_indexes) > config.text.num_hidden_layers:
        raise UsageError(
            f"{source}: vision_config.deepstack_visual_indexes has {len(encoder.deepstack_indexes)} layers, more than "
            f"the decoder, {config.text.num_hidden_layers}"
        )
    for name, value, divisor in (
        (
            "vision_config.hidden_size",
            encoder.hidden_size,
            4 * encoder.num_heads,
        ),  # the rotary embedding turns pairs of rows and pairs of columns
        ("vision_config.window_size", encoder.window_size, encoder.patch_size * encoder.spatial_merge_size),
        ("num_attention_heads", heads, config.text.num_key_value_heads),
    ):
        if value % divisor:
            raise UsageError(
                f"{source}: {name} {value} must be a multiple of {divisor}; config.json may be that of another model"
            )
    return config


def _expert_sizes(text: ConfigSection) -> tuple[int, int, int]:
    """Return the number of experts of a layer, of those that compute a token, and the width of one."""
    key = "num_experts" if text.data.get("num_local_experts") is None else "num_local_experts"
    experts = text.size(key, maximum=10**4)
    per_token = text.size("num_experts_per_tok")
    if per_token > experts:
        raise UsageError(f"{text.source}: num_experts_per_tok {per_token} must be at most num_experts {experts}")
    if text.size("decoder_sparse_step", 1) != 1 or text.sizes("mlp_only_layers", ()):
        raise UsageError(
            f"{text.source}: decoder_sparse_step and mlp_only_layers give some layers an MLP without experts, which is "
            "not supported"
        )
    if not text.flag("norm_topk_prob", True):
        raise UsageError(f"{text.source}: norm_topk_prob is false, which is not supported")
    return experts, per_token, text.size("moe_intermediate_size")


def _rotary_dim(text: ConfigSection, rotary: ConfigSection, head_dim: int, variant: Variant) -> int:
    """Return the width of the part of a head that is rotated."""
    if variant.partial_rotary_factor == 1:
        return head_dim
    factor = rotary.number("partial_rotary_factor", text.number("partial_rotary_factor", variant.partial_rotary_factor))
    rotary_dim = int(head_dim * factor)
    if factor > 1 or rotary_dim < 2 or rotary_dim % 2:
        raise UsageError(
            f"{text.source}: partial_rotary_factor {factor:g} must give an even part of head_dim {head_dim}"
        )
    return rotary_dim


def _delta_config(text: ConfigSection) -> DeltaConfig:
    """Return the sizes of the Gated DeltaNet layers, and which layers they are."""
    count, interval = text.size("num_hidden_layers", maximum=1000), text.size("full_attention_interval", 4)
    default = ["linear_attention" if (layer + 1) % interval else "full_attention" for layer in range(count)]
    kinds = default if text.data.get("layer_types") is None else text.data["layer_types"]
    if (
        not isinstance(kinds, list)
        or len(kinds) != count
        or any(kind not in ("linear_attention", "full_attention") for kind in kinds)
        or "full_attention" not in kinds
    ):
        raise UsageError(
            f"{text.source}: layer_types must be a list of 'linear_attention' and 'full_attention' for {count} layers, "
            "at least one of the latter; download the checkpoint again"
        )
    if not text.flag("attn_output_gate", True):
        raise UsageError(f"{text.source}: attn_output_gate is false, which is not supported")
    text.one_of("output_gate_type", "swish")
    delta = DeltaConfig(
        tuple(layer for layer, kind in enumerate(kinds) if kind == "linear_attention"),
        text.size("linear_num_key_heads", 16),
        text.size("linear_num_value_heads", 32),
        text.size("linear_key_head_dim", 128),
        text.size("linear_value_head_dim", 128),
        text.size("linear_conv_kernel_dim", 4, minimum=2, maximum=1000),
    )
    if delta.value_heads % delta.key_heads:
        raise UsageError(
            f"{text.source}: linear_num_value_heads {delta.value_heads} must be a multiple of {delta.key_heads}; "
            "config.json may be that of another model"
        )
    return delta


def _yarn_scaling(rotary: ConfigSection, positions: int) -> YarnScaling | None:
    """Return the parameters of YaRN in rope_scaling; None where the frequencies are not scaled."""
    if "yarn" not in (rotary.data.get("type"), rotary.data.get("rope_type")):
        return None
    factor = float(rotary.number("factor", 0.0))
    default = yarn_attention_factor(
        factor,
        *(float(rotary.number(key, 0.0)) if rotary.data.get(key) else 0.0 for key in ("mscale", "mscale_all_dim")),
    )
    return YarnScaling(
        factor,
        rotary.size("original_max_position_embeddings", positions),
        float(rotary.number("beta_fast", 32.0)),
        float(rotary.number("beta_slow", 1.0)),
        float(rotary.number("attention_factor", default)),
        rotary.flag("truncate", True),
    )


def _vision_config(vision: ConfigSection, variant: Variant) -> VisionConfig:
    """Return the config of the vision encoder; without windows all layers attend to the whole frame."""
    depth = vision.size("depth", maximum=1000)
    patch_size, merge = vision.size("patch_size", variant.patch_size), vision.size("spatial_merge_size", 2)
    positions = (
        vision.size("num_position_embeddings", variant.position_embeddings) if variant.position_embeddings else 0
    )
    deepstack = vision.sizes("deepstack_visual_indexes", variant.deepstack_indexes) if variant.deepstack_indexes else ()
    if isqrt(positions) ** 2 != positions:
        raise UsageError(f"{vision.source}: vision_config.num_position_embeddings {positions} must be a square number")
    if any(index >= depth for index in deepstack) or len(set(deepstack)) < len(deepstack):
        raise UsageError(
            f"{vision.source}: vision_config.deepstack_visual_indexes {list(deepstack)} must be different layers "
            f"of {depth}"
        )
    hidden = vision.size("embed_dim" if variant.has_embed_dim else "hidden_size")
    return VisionConfig(
        depth=depth,
        hidden_size=hidden,
        intermediate_size=hidden * vision.size("mlp_ratio", 4, maximum=1000)
        if variant.has_embed_dim
        else vision.size("intermediate_size"),
        num_heads=vision.size("num_heads"),
        out_hidden_size=vision.size("hidden_size" if variant.has_embed_dim else "out_hidden_size"),
        patch_size=patch_size,
        temporal_patch_size=vision.size("temporal_patch_size", 2),
        spatial_merge_size=merge,
        window_size=vision.size("window_size", 112) if variant.windows else patch_size * merge,
        fullatt_block_indexes=vision.sizes("fullatt_block_indexes", (7, 15, 23, 31))
        if variant.windows
        else tuple(range(depth)),
        tokens_per_second=vision.number("tokens_per_second", variant.tokens_per_second)
        if variant.tokens_per_second
        else 0,
        in_channels=vision.size("in_channels", vision.size("in_chans", 3)),
        position_embeddings=positions,
        deepstack_indexes=deepstack,
    )
