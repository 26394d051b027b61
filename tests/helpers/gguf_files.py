"""GGUF files of tiny random models of transformers, with the names and keys of llama.cpp's converter.

Tensor names are those of the tables in the package gguf where it has them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, quants
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import AddedToken, Qwen2Tokenizer

from helpers import parity, qwen3_parity
from training.vocabulary import CHAT_TEMPLATE

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>")  # fmt: skip
CALL = ("<tool_call>", "</tool_call>")
TEXTS = (
    "Click the button. Press OK, then scroll down; it's 12:30 and they've 3 items left to check.",
    "der Knopf ist grün, la città è bella, 点击按钮, нажмите кнопку\n\n  \tthe end  of the line",
    '{"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [101, 242]}}',
)
VOCABULARY = 640  # rows of the embedding, more than there are tokens
HIDDEN = 256  # a block of Q4_K


def make_tokenizer() -> Qwen2Tokenizer:
    """Return transformers' tokenizer of Qwen, with a small vocabulary."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.train_from_iterator(TEXTS * 3, trainer)
    model = json.loads(trained.to_str())["model"]
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in CALL])
    return tokenizer


def make_reference(kind: str, tokenizer: Qwen2Tokenizer, tied: bool = False, vocabulary: int = VOCABULARY) -> Any:
    """Return a random model of transformers whose decoder has the width HIDDEN."""
    from transformers import (
        Qwen2_5_VLForConditionalGeneration,
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen3VLForConditionalGeneration,
        Qwen3VLMoeForConditionalGeneration,
    )

    if kind == "qwen2_5_vl":
        config, network = parity.reference_config(tied=tied), Qwen2_5_VLForConditionalGeneration
    elif kind == "qwen2_vl":
        text = parity.reference_config(tied=tied).text_config.to_dict()
        text = {key: value for key, value in text.items() if key != "model_type"}
        config = Qwen2VLConfig(
            text_config=text,
            vision_config={"depth": 3, "embed_dim": 80, "num_heads": 2, "mlp_ratio": 3, "hidden_size": HIDDEN},
            tie_word_embeddings=tied,
        )
        network = Qwen2VLForConditionalGeneration
    else:
        experts = 4 if kind == "qwen3_vl_moe" else 0
        config = qwen3_parity.reference_config(tied=tied, head_dim=64, experts=experts, expert_size=256)
        network = Qwen3VLMoeForConditionalGeneration if kind == "qwen3_vl_moe" else Qwen3VLForConditionalGeneration
    config.text_config.vocab_size, config.text_config.hidden_size = vocabulary, HIDDEN
    config.text_config.intermediate_size, config.text_config.max_position_embeddings = 2 * HIDDEN, 65536
    if kind in ("qwen2_5_vl", "qwen2_vl"):
        config.text_config.rope_parameters["mrope_section"] = [8, 12, 12]
    if kind != "qwen2_vl":
        config.vision_config.out_hidden_size = HIDDEN
    placeholders = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    for key, token in placeholders.items():
        setattr(config, key, tokenizer.convert_tokens_to_ids(token))
    return parity.randomize(network(config), tied=tied)


@dataclass
class Encoded:
    """A tensor as it is in a file, and the values that it stands for."""

    data: np.ndarray
    type: GGMLQuantizationType
    values: Tensor


def encode(weight: Tensor, type_name: str, seed: int = 0) -> Encoded:
    """Return a tensor in a type; in types without a quantizer in the package gguf, random blocks of about its size."""
    kind, array = GGMLQuantizationType[type_name], weight.float().numpy()
    if type_name == "F32":
        data = array
    elif type_name == "F16":
        data = array.astype(np.float16)
    elif type_name.endswith("_K") or type_name.startswith("IQ"):
        data = random_blocks(array.shape, kind, float(weight.std()), seed)
    else:
        data = quants.quantize(array, kind)
    values = data if type_name in ("F32", "F16") else quants.dequantize(data, kind)
    return Encoded(data, kind, torch.from_numpy(values.astype(np.float32)).view(weight.shape))


def random_blocks(shape: tuple[int, ...], kind: GGMLQuantizationType, deviation: float, seed: int) -> np.ndarray:
    block, nbytes = gguf.GGML_QUANT_SIZES[kind]
    generator = np.random.default_rng(seed)
    data = generator.integers(0, 256, (*shape[:-1], shape[-1] // block, nbytes), dtype=np.uint8)
    # where the float16 scale is, the deviation of weights with a scale of 1, and the middle of values from 0 on
    start, spread, middle = {
        "Q2_K": (80, 12, 1.5),
        "Q3_K": (108, 42, None),
        "Q4_K": (0, 220, 7.5),
        "Q5_K": (0, 440, 15.5),
        "Q6_K": (208, 1330, None),
        "IQ4_NL": (0, 70, None),
        "IQ4_XS": (0, 1300, None),
    }[kind.name]
    step = deviation / spread
    scales = np.array([step] if middle is None else [step, middle * step], np.float16).view(np.uint8)
    data[..., start : start + len(scales)] = scales
    return data.reshape(*shape[:-1], -1)


class GgufPair:
    """The two files of a model.

    Args:
        folder: Where they are written.
        kind: The model_type.
        type_name: Type of the matrices of the decoder.
        vision_type: Type of the matrices of the vision encoder.
        embedding_type: Type of the embeddings.
        tied: Whether the embeddings are tied.
        vocabulary: Rows of the embedding.
        is_early: Write the vision encoder as early converters did.
        writer: Arguments of the writer.

    Attributes:
        reference: The model of transformers, with the weights that the files stand for.
        model: The file of the decoder.
        mmproj: The file of the vision encoder.
    """

    def __init__(
        self, folder: Path, kind: str, type_name: str = "F32", vision_type: str = "F32", embedding_type: str = "F32",
        tied: bool = False, vocabulary: int = VOCABULARY, is_early: bool = False, **writer: Any,
    ) -> None:  # fmt: skip
        self.tokenizer = make_tokenizer()
        self.reference = make_reference(kind, self.tokenizer, tied, vocabulary)
        self.model, self.mmproj = folder / f"tiny-{type_name}.gguf", folder / "mmproj-tiny.gguf"
        self._kind, self._is_early, self._embedding_type = kind, is_early, embedding_type
        self._exact: dict[str, Tensor] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._write_model(type_name, writer)
        self._write_mmproj(vision_type)
        missing, unexpected = self.reference.load_state_dict(self._exact, strict=False)
        assert not unexpected
        assert set(missing) <= {"lm_head.weight"}

    def _write_model(self, type_name: str, settings: dict[str, Any]) -> None:
        config = self.reference.config.text_config
        arch = {"qwen3_vl": "QWEN3VL", "qwen3_vl_moe": "QWEN3VLMOE"}.get(self._kind, "QWEN2VL")
        writer = gguf.GGUFWriter(self.model, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH[arch]], **settings)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_rope_dimension_sections([*config.rope_parameters["mrope_section"], 0])
        if arch != "QWEN2VL":
            writer.add_key_length(config.head_dim)
            writer.add_value_length(config.head_dim)
            writer.add_num_deepstack_layers(len(self.reference.config.vision_config.deepstack_visual_indexes))
        if arch == "QWEN3VLMOE":
            writer.add_expert_count(config.num_experts)
            writer.add_expert_used_count(config.num_experts_per_tok)
            writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        self._add_vocabulary(writer)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch], config.num_hidden_layers)
        for name, weight in self.reference.state_dict().items():
            if "visual." in name or (name == "lm_head.weight" and self.reference.config.tie_word_embeddings):
                continue
            flat = name.replace("model.language_model.", "model.")
            if ".mlp.experts." in name:
                self._add_experts(writer, names, name, flat, weight, type_name)
                continue
            target = names.get_name(flat, try_suffixes=(".weight", ".bias"))
            assert target is not None, name
            types = {"_proj.weight": type_name, "embed_tokens.weight": self._embedding_type}
            kind = next((kind for end, kind in types.items() if flat.endswith(end)), "F32")
            self._add(writer, target, name, weight, kind)
        finish(writer)

    def _add_experts(self, writer: Any, names: Any, name: str, flat: str, weight: Tensor, type_name: str) -> None:
        """Add the experts' matrices [E, N, K], as transformers 5 has them: gates and values in one."""
        prefix = flat.rpartition(".")[0]
        matrices = ["down_proj"] if flat.endswith("down_proj") else ["gate_proj", "up_proj"]
        exact = []
        for matrix, values in zip(matrices, weight.chunk(len(matrices), dim=1), strict=True):
            target = names.get_name(f"{prefix}.{matrix}.weight", try_suffixes=(".weight",))
            assert target is not None, matrix
            encoded = encode(values.contiguous(), type_name, seed=len(self._exact))
            writer.add_tensor(target, encoded.data, raw_dtype=encoded.type)
            exact.append(encoded.values)
        self._exact[name] = torch.cat(exact, dim=1)

    def _add(self, writer: Any, target: str, name: str, weight: Tensor, type_name: str) -> None:
        encoded = encode(weight, type_name, seed=len(self._exact))
        writer.add_tensor(target, encoded.data, raw_dtype=encoded.type)
        self._exact[name] = encoded.values

    def _add_vocabulary(self, writer: Any) -> None:
        tokens, types = [], []
        names = {number: token for token, number in self.tokenizer.get_vocab().items()}
        added = self.tokenizer.added_tokens_decoder
        for number in range(VOCABULARY):
            if number not in names:
                tokens.append(f"[PAD{number}]")
                types.append(gguf.TokenType.UNUSED)
                continue
            tokens.append(names[number])
            is_special = number in added and added[number].special
            kind = gguf.TokenType.CONTROL if is_special else gguf.TokenType.USER_DEFINED
            types.append(kind if number in added else gguf.TokenType.NORMAL)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges([" ".join(merge) for merge in self.tokenizer._merges])
        writer.add_eos_token_id(self.tokenizer.convert_tokens_to_ids("<|im_end|>"))
        writer.add_pad_token_id(self.tokenizer.convert_tokens_to_ids("<|endoftext|>"))
        writer.add_chat_template(CHAT_TEMPLATE)

    def _write_mmproj(self, type_name: str) -> None:
        config = self.reference.config.vision_config
        is_qwen2 = self._kind == "qwen2_vl"
        width = config.embed_dim if is_qwen2 else config.hidden_size
        writer = gguf.GGUFWriter(self.mmproj, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.MMPROJ])
        kind = {"qwen2_vl": gguf.VisionProjectorType.QWEN2VL, "qwen2_5_vl": gguf.VisionProjectorType.QWEN25VL}
        writer.add_clip_has_vision_encoder(True)
        writer.add_clip_projector_type(kind.get(self._kind, gguf.VisionProjectorType.QWEN3VL))
        writer.add_vision_projection_dim(HIDDEN)
        writer.add_vision_image_size(560)
        writer.add_vision_patch_size(config.patch_size)
        writer.add_vision_embedding_length(width)
        writer.add_vision_feed_forward_length(0 if is_qwen2 else config.intermediate_size)
        writer.add_vision_block_count(config.depth)
        writer.add_vision_head_count(config.num_heads)
        writer.add_vision_attention_layernorm_eps(1e-6)
        if self._kind == "qwen2_5_vl":
            writer.add_vision_n_wa_pattern(config.fullatt_block_indexes[0] + 1)
        if self._kind.startswith("qwen3"):
            writer.add_vision_spatial_merge_size(config.spatial_merge_size)
            writer.add_vision_is_deepstack_layers(
                [layer in config.deepstack_visual_indexes for layer in range(config.depth)]
            )
            writer.add_vision_image_mean([0.5, 0.5, 0.5])
            writer.add_vision_image_std([0.5, 0.5, 0.5])
        else:
            writer.add_vision_image_mean([0.48145466, 0.4578275, 0.40821073])
            writer.add_vision_image_std([0.26862954, 0.26130258, 0.27577711])
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, config.depth)
        for name, weight in self.reference.state_dict().items():
            if "visual." in name:
                self._add_vision(writer, names, name, weight, type_name)
        if self._is_early:
            writer.add_tensor("v.position_embd.weight", np.zeros((10, 10), np.float32))
        finish(writer)

    def _add_vision(self, writer: Any, names: Any, name: str, weight: Tensor, type_name: str) -> None:
        flat = name.replace("model.visual.", "visual.")
        kind = type_name if weight.dim() == 2 and "pos_embed" not in name else "F32"
        suffix = flat.rpartition(".")[2]
        if flat == "visual.patch_embed.proj.weight":
            for index in range(2):
                target = "v.patch_embd.weight" + (".1" if index else "")
                writer.add_tensor(target, weight[:, :, index].contiguous().numpy())
            self._exact[name] = weight
        elif ".qkv." in flat and not self._kind.startswith("qwen3"):
            parts = [encode(part.contiguous(), kind) for part in weight.chunk(3)]
            for letter, part in zip("qkv", parts, strict=True):
                target = names.get_name(flat.replace("qkv", letter), try_suffixes=(".weight", ".bias"))
                writer.add_tensor(target, part.data, raw_dtype=part.type)
            self._exact[name] = torch.cat([part.values for part in parts])
        elif ".deepstack_merger_list." in flat:
            _, _, index, module, _ = flat.split(".")
            layer = self.reference.config.vision_config.deepstack_visual_indexes[int(index)]
            key = {"norm": "V_DS_NORM", "linear_fc1": "V_DS_FC1", "linear_fc2": "V_DS_FC2"}[module]
            target = gguf.TENSOR_NAMES[gguf.MODEL_TENSOR[key]].format(bid=layer)
            self._add(writer, f"{target}.{suffix}", name, weight, kind)
        elif flat.startswith("visual.merger.") and self._kind.startswith("qwen3"):
            module = flat.split(".")[2]
            projection = gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.V_MMPROJ]
            target = {"linear_fc1": projection.format(bid=0), "linear_fc2": projection.format(bid=2),
                      "norm": gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.V_POST_NORM]}[module]  # fmt: skip
            self._add(writer, f"{target}.{suffix}", name, weight, kind)
        else:
            target = names.get_name(flat, try_suffixes=(".weight", ".bias"))
            assert target is not None, name
            if self._is_early:
                target = target.replace("ffn_up", "X").replace("ffn_down", "ffn_up").replace("X", "ffn_down")
            self._add(writer, target, name, weight, kind)


def finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
