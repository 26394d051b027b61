"""Tokenizer files as OpenCUA's checkpoints have them, and tiktoken's rule as a reference encoder."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import regex
from tokenizers import Regex as TokenizersRegex
from tokenizers import Tokenizer as Tokens
from tokenizers import models, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from model.processing import tiktoken_loader

# TikTokenTokenizer.pat_str in tokenization_kimi.py and tokenization_moonshot.py, and in tokenization_kimia.py
KIMI = (
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
)
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r"\p{N}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
)
PARTS = {"kimi": KIMI, "qwen": QWEN}
PATTERNS = {name: "|".join(parts) for name, parts in PARTS.items()}
# Special tokens of OpenCUA's tokenizer_config.json, by their offset from [BOS] (151643 there)
SPECIAL = {
    0: "[BOS]",
    1: "[EOS]",
    2: "<|im_end|>",
    3: "<|im_user|>",
    4: "<|im_assistant|>",
    5: "<|reserved_token_0|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    10: "<|im_system|>",
    17: "<|im_middle|>",
    18: "<|media_begin|>",
    19: "<|media_content|>",
    20: "<|media_end|>",
    21: "<|media_placeholder|>",
    30: "[PAD]",
}
TOKENIZER_FILE = """
import tiktoken_is_not_here  # fails when this file is run


class TikTokenTokenizer:
    num_reserved_special_tokens = 256
    pat_str = "|".join([PARTS])

    def __init__(self, vocab_file):
        raise SystemExit("was run")


class TikTokenV3(TikTokenTokenizer):
    pass
"""
TEXT_PIECES = [
    *"abcdefgstxyzABCDEXYZ0123456789.,;:!?()[]{}<|>-_=+/*&^%$#@~`\"\\'’",
    *" \t\n\u3000\u00a0\u0085\u2028\u200b\u200d\ufeff\x00",
    *"界世你好中文漢字々𠮷ひらがなカタカナ한국어",
    *"éßñǅʰΣςжЖאबक्षไทย٣①Ⅷ½",
    *(
        "e\u0301",
        "n\u0303",
        "'s",
        "'LL",
        "'re",
        "don't",
        "I'VE",
        " the",
        "Click",
        "clickHere",
        "pyautogui",
        "(x=",
        "\r\n",
    ),
    *("😀", "👍🏽", "👩\u200d💻", "🇩🇪", "   ", "\n\n\n", "\t\t", "1234567", "GPT4", "3.14"),
]


def random_texts(count: int, seed: int, max_length: int = 40) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices(TEXT_PIECES, k=generator.randint(0, max_length))) for _ in range(count)]


@cache
def trained_ranks(pattern: str, count: int = 1500) -> dict[bytes, int]:
    """Return ranks trained on this repository's source and on odd texts."""
    tokenizer = Tokens(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(TokenizersRegex(PATTERNS[pattern]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    texts = [Path(tiktoken_loader.__file__).read_text(encoding="utf-8"), Path(__file__).read_text(encoding="utf-8")]
    trainer = trainers.BpeTrainer(
        vocab_size=count, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([*texts, *random_texts(500, 0)], trainer)
    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    return {bytes(byte_of[letter] for letter in word): rank for word, rank in tokenizer.get_vocab().items()}


def random_ranks(seed: int, count: int = 420) -> dict[bytes, int]:
    """Return ranks without training: unions of any tokens of a, b and space, in random order."""
    generator = random.Random(seed)
    ranks = {bytes([byte]): byte for byte in range(256)}
    while len(ranks) < count:
        token = generator.choice([b"a", b"b", b" ", *[*ranks][256:]]) + generator.choice(
            [b"a", b"b", b" ", *[*ranks][256:]]
        )
        if len(token) <= 10:
            ranks.setdefault(token, len(ranks))
    return ranks


def tokenizer_config(first_id: int) -> dict[str, Any]:
    decoder = {str(first_id + offset): {"content": name, "special": True} for offset, name in SPECIAL.items()}
    return {"added_tokens_decoder": decoder, "auto_map": {"AutoTokenizer": ["tokenization_opencua.TikTokenV3", None]}}


def write_tokenizer(folder: Path, ranks: dict[bytes, int], pattern: str = "kimi") -> dict[str, Any]:
    """Write the tokenizer files as OpenCUA's checkpoints have them; return tokenizer_config.json."""
    lines = [b64encode(token) + b" %d\n" % rank for token, rank in ranks.items()]
    (folder / "tiktoken.model").write_bytes(b"".join(lines))
    config = tokenizer_config(len(ranks))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    parts = ", ".join(map(repr, PARTS[pattern]))
    (folder / "tokenization_opencua.py").write_text(TOKENIZER_FILE.replace("PARTS", parts))
    return config


def reference_encoder(ranks: dict[bytes, int], pattern: str) -> Callable[[str], list[int]]:
    splits = regex.compile(PATTERNS[pattern], regex.VERSION1)

    def encode(text: str) -> list[int]:
        ids: list[int] = []
        for piece in splits.findall(text):
            data = piece.encode()
            parts = [data] if data in ranks else [bytes([byte]) for byte in data]
            while True:
                union_ranks = [ranks.get(left + right, 1 << 30) for left, right in pairwise(parts)]
                if not union_ranks or min(union_ranks) == 1 << 30:
                    break
                index = union_ranks.index(min(union_ranks))
                parts[index : index + 2] = [parts[index] + parts[index + 1]]
            ids += [ranks[part] for part in parts]
        return ids

    return encode
