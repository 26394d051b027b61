"""The tensors of GGUF files that hold each parameter, as llama.cpp names them.

Queries and keys are not permuted. The three projections of an attention of the vision encoder may be apart, the
convolution over patches is one tensor per time slice, and experts are one tensor for each of their three matrices.
Source: gguf-py/gguf/tensor_mapping.py, conversion/qwenvl.py and conversion/qwen3vl.py of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from model.nn.config import Config

TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "visual.pos_embed.weight": "v.position_embd.weight",
}
LAYER = {  # of the decoder
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}
BLOCK = {  # of the vision encoder
    "norm1": "ln1",
    "norm2": "ln2",
    "attn.qkv": "attn_qkv",
    "attn.proj": "attn_out",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
    "mlp.linear_fc1": "ffn_up",
    "mlp.linear_fc2": "ffn_down",
}
MERGER = {
    "merger.ln_q": "v.post_ln",
    "merger.norm": "v.post_ln",
    "merger.mlp.0": "mm.0",
    "merger.mlp.2": "mm.2",
    "merger.linear_fc1": "mm.0",
    "merger.linear_fc2": "mm.2",
}
DEEPSTACK = {"norm": "norm", "linear_fc1": "fc1", "linear_fc2": "fc2"}
EXPERTS = {"gate_up_proj": ("ffn_gate_exps.weight", "ffn_up_exps.weight"), "down_proj": ("ffn_down_exps.weight",)}


def tensor_names(parameter: str, config: Config, present: Collection[str]) -> tuple[str, ...]:
    """Return the names of the tensors whose values are those of a parameter, in order.

    Args:
        parameter: Its name in the model.
        config: Sizes of the model.
        present: Names of the tensors in the files, which tell apart the layouts of the vision encoder.
    """
    if parameter in TOP:
        return (TOP[parameter],)
    module, _, kind = parameter.rpartition(".")
    if match := re.fullmatch(r"model\.layers\.(\d+)\.mlp\.experts", module):
        return tuple(f"blk.{match[1]}.{name}" for name in EXPERTS[kind])
    if match := re.fullmatch(r"model\.layers\.(\d+)\.(.+)", module):
        return (f"blk.{match[1]}.{LAYER[match[2]]}.{kind}",)
    if match := re.fullmatch(r"visual\.blocks\.(\d+)\.(.+)", module):
        prefix = f"v.blk.{match[1]}."
        name = f"{prefix}{BLOCK[match[2]]}.{kind}"
        if match[2] == "attn.qkv" and name not in present:
            return tuple(f"{prefix}attn_{part}.{kind}" for part in "qkv")
        return (name,)
    if match := re.fullmatch(r"visual\.deepstack_merger_list\.(\d+)\.(.+)", module):
        layer = config.vision.deepstack_indexes[int(match[1])]
        return (f"v.deepstack.{layer}.{DEEPSTACK[match[2]]}.{kind}",)
    if parameter == "visual.patch_embed.proj.weight":
        slices = range(config.vision.temporal_patch_size)
        return tuple(f"v.patch_embd.weight{f'.{index}' if index else ''}" for index in slices)
    if parameter == "visual.patch_embed.proj.bias":
        return ("v.patch_embd.bias",)
    return (f"{MERGER[module.removeprefix('visual.')]}.{kind}",)
