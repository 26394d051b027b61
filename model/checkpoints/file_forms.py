"""The forms of weight files that can be loaded, for `agent models` and `agent doctor`."""

from __future__ import annotations

from importlib.util import find_spec

# (form, what is loaded of it, precision in memory without --dtype)
FILE_FORMS = (
    ("safetensors", "float32, float16 or bfloat16, in one file or several", "float32, on a GPU bfloat16"),
    ("AWQ", "quant_method awq, version gemm, 4 bits, groups of 32 to 256", "its 4 bits"),
    ("FP8", "quant_method fp8, or compressed-tensors of the format float-quantized", "float32, on a GPU bfloat16"),
    ("GGUF", "Q4_0 and Q4_K in the decoder's layers", "their 4 bits"),
    ("", "Q8_0, Q6_K, Q5_K, Q5_0, Q5_1, Q4_1, Q3_K, Q2_K, IQ4_NL, IQ4_XS", "bfloat16"),
    ("", "F16, BF16 or F32 alone", "float32, on a GPU bfloat16"),
)


def has_gguf_package() -> bool:
    """Return whether GGUF files can be read."""
    return find_spec("gguf") is not None


def form_table() -> str:
    """Return a table of the forms, one per line."""
    lines = [f"{'form':12} {'read':70} kept in"]
    lines += [f"{form:12} {contents:70} {precision}" for form, contents, precision in FILE_FORMS]
    if not has_gguf_package():
        lines.append("GGUF files need the package gguf: pip install 'pixelhand[gguf]'")
    return "\n".join(lines)
