"""Checkpoints with tiktoken.model in place of tokenizer.json get the ids of tiktoken's rule.

The rule is implemented here plainly, with another regular-expression library: split by the pattern, then join the
neighbors whose union has the lowest rank.
"""

from __future__ import annotations

import json
import random
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.tiktoken_files import (
    PATTERNS,
    SPECIAL,
    random_ranks,
    random_texts,
    reference_encoder,
    trained_ranks,
    write_tokenizer,
)

from actions import UsageError
from model.processing import tiktoken_loader
from model.processing.tiktoken_loader import (
    MAX_SPECIAL_TOKENS,
    MAX_TOKEN_BYTES,
    load_tokenizer,
    read_pattern,
    read_ranks,
)
from model.processing.tokenizer import Tokenizer


@pytest.mark.parametrize("pattern", PATTERNS)
def test_ids_match_reference_and_decode(tmp_path: Path, pattern: str) -> None:
    ranks = trained_ranks(pattern)
    tokens = load_tokenizer(tmp_path, write_tokenizer(tmp_path, ranks, pattern))
    encode = reference_encoder(ranks, pattern)
    shortened = 0
    for text in [*random_texts(1500, 1), Path(tiktoken_loader.__file__).read_text(encoding="utf-8")]:
        ids = tokens.encode(text, add_special_tokens=False).ids
        assert ids == encode(text), repr(text)
        assert tokens.decode(ids) == text
        shortened += len(ids) < len(text.encode())
    assert shortened > 1000  # else nothing was merged


@pytest.mark.parametrize("seed", range(8))
def test_random_ranks_match_reference(tmp_path: Path, seed: int) -> None:
    ranks = random_ranks(seed)
    tokens, encode = load_tokenizer(tmp_path, write_tokenizer(tmp_path, ranks)), reference_encoder(ranks, "kimi")
    generator = random.Random(seed)
    for _ in range(100):
        text = "".join(generator.choices("ab ", k=generator.randint(1, 40)))
        assert tokens.encode(text, add_special_tokens=False).ids == encode(text), text


def test_patterns_give_different_ids(tmp_path: Path) -> None:
    """The tests above would fail with another pattern."""
    ranks = trained_ranks("kimi")
    kimi, qwen = reference_encoder(ranks, "kimi"), reference_encoder(ranks, "qwen")
    assert sum(kimi(text) != qwen(text) for text in random_texts(200, 2)) > 50


def test_special_and_reserved_tokens_have_ids(tmp_path: Path) -> None:
    ranks = trained_ranks("kimi")
    first_id = len(ranks)
    config = write_tokenizer(tmp_path, ranks)
    config["added_tokens_decoder"][str(first_id + 6)]["special"] = False
    tokens, encode = load_tokenizer(tmp_path, config), reference_encoder(ranks, "kimi")
    assert tokens.get_vocab_size() == first_id + max(SPECIAL) + 1
    for offset in range(max(SPECIAL) + 1):
        name = SPECIAL.get(offset, f"<|reserved_token_{first_id + offset}|>")
        assert tokens.token_to_id(name) == first_id + offset
        assert tokens.encode(f"a {name}b", add_special_tokens=False).ids == [
            *encode("a "),
            first_id + offset,
            *encode("b"),
        ]
    assert tokens.decode([*encode("a"), first_id + 2, *encode("b"), first_id + 9]) == "ab"
    assert tokens.decode([first_id + 6, first_id + 7]) == "<|start_header_id|>"  # not flagged as special, so kept


def test_text_with_special_tokens_decodes(tmp_path: Path) -> None:
    ranks = trained_ranks("kimi")
    tokens = load_tokenizer(tmp_path, write_tokenizer(tmp_path, ranks))
    generator = random.Random(5)
    for text in random_texts(300, 6):
        index = generator.randint(0, len(text))
        combined = f"{text[:index]}{generator.choice([*SPECIAL.values()])}{text[index:]}"
        assert tokens.decode(tokens.encode(combined).ids, skip_special_tokens=False) == combined


@pytest.mark.slow
def test_real_vocabulary_size_loads(tmp_path: Path) -> None:
    """It has 151,643 tokens, longer than real ones."""
    generator, ranks = random.Random(0), {bytes([byte]): byte for byte in range(256)}
    parts = [*ranks]
    while len(ranks) < 151_643:
        token = generator.choice(parts) + generator.choice(parts[97:123])
        if len(token) <= 20 and token not in ranks:
            ranks[token] = len(ranks)
            parts.append(token)
    tokens = load_tokenizer(tmp_path, write_tokenizer(tmp_path, ranks))
    assert tokens.token_to_id("<|media_placeholder|>") == 151_664


PATTERN_CLASSES = {
    "joined": 'class V:\n    pat_str = "|".join([r"\\d", "b"])',
    "of its own": 'class A:\n    pat_str = "x"\nclass V(A):\n    pat_str = "\\\\d|b"',
    "of another class": 'class A:\n    pat_str: str = "\\\\d" + "|b"\nclass B(A): pass\nclass V(B, object): pass',
    "named above": 'PARTS = r"\\d|b"\nclass V:\n    pat_str = PARTS',
    "set twice": 'class V:\n    pat_str = "x"\n    pat_str = r"\\d|b"',
}
INVALID_CLASSES = {
    "no such class": 'class W:\n    pat_str = "x"',
    "no such attribute": "class V:\n    pass",
    "a number": "class V:\n    pat_str = 3",
    "a call": "class V:\n    pat_str = make()",
    "a name of nothing": "class V:\n    pat_str = PARTS",
    "a name of itself": "PARTS = PARTS\nclass V:\n    pat_str = PARTS",
    "classes in a ring": "class A(V): pass\nclass V(A): pass",
    "joined numbers": 'class V:\n    pat_str = "|".join([1])',
    "nothing in it": 'class V:\n    pat_str = ""',
}
CLASS_CONFIG = {"auto_map": {"AutoTokenizer": "owner/name--tokens.V"}}


@pytest.mark.parametrize("name", PATTERN_CLASSES)
def test_pattern_is_read_from_class(tmp_path: Path, name: str) -> None:
    (tmp_path / "tokens.py").write_text(PATTERN_CLASSES[name])
    assert read_pattern(tmp_path, CLASS_CONFIG) == r"\d|b"


@pytest.mark.parametrize("name", INVALID_CLASSES)
def test_class_without_pattern_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / "tokens.py").write_text(INVALID_CLASSES[name])
    with pytest.raises(UsageError, match=r"its class V must have pat_str as a string or as joined strings"):
        read_pattern(tmp_path, CLASS_CONFIG)


def test_tokenizer_file_is_never_run(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, trained_ranks("kimi"))
    assert "tiktoken_is_not_here" in (tmp_path / "tokenization_opencua.py").read_text()
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 3}')
    assert Tokenizer(tmp_path).encode("a")
    assert not {"tokenization_opencua", "tiktoken_is_not_here"} & {*sys.modules}


def appended(*more: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "tiktoken.model").open("ab").write(b"".join(more))


def config_change(**values: Any) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, **values}))

    return damage


def special_tokens_change(**tokens: Any) -> Callable[[Path], object]:
    return config_change(added_tokens_decoder={key.lstrip("_"): value for key, value in tokens.items()})


def python_file(text: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "tokenization_opencua.py").write_bytes(
        text.encode() if isinstance(text, str) else text
    )


def truncated(name: str, share: float) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: int((folder / name).stat().st_size * share)]
    )


def truncated_at_line(folder: Path) -> None:
    path = folder / "tiktoken.model"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:290]))


def without_one_byte(folder: Path) -> None:
    tokens = {token: rank for token, rank in RANKS.items() if token != b"\xff"}
    write_tokenizer(folder, {token: rank for rank, token in enumerate(tokens)})


RANKS = random_ranks(0, 300)
TOKEN = {"content": "[BOS]"}
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no base64": (appended(b"!!! 300\n"), "line 301 must be a token in base64 and its rank, not b'!!! 300'"),
    "no rank": (appended(b"YWJj\n"), "line 301 must be a token in base64"),
    "a rank in words": (appended(b"YWJj many\n"), "line 301 must be a token in base64"),
    "a rank left out": (appended(b64encode(b"zzz"), b" 301\n"), "its 301 tokens must have the ranks from 0 on"),
    "a rank twice": (appended(b64encode(b"zzz"), b" 299\n"), "its 301 tokens must have the ranks from 0 on"),
    "a token twice": (appended(b"YQ== 300\n"), "its 300 tokens must have the ranks from 0 on"),
    "an empty token": (appended(b" 300\n"), "a token must have 1 to 4096 bytes, not 0"),
    "an endless token": (
        appended(b64encode(b"z" * (MAX_TOKEN_BYTES + 1)), b" 300\n"),
        "a token must have 1 to 4096 bytes, not 4097",
    ),
    "a byte left out": (without_one_byte, "no token for the byte 255 (1 bytes have none)"),
    "ranks cut off": (truncated("tiktoken.model", 0.5), "tiktoken.model"),
    "ranks cut off between lines": (truncated_at_line, "must begin with 290, not 300"),
    "ranks of nothing": (truncated("tiktoken.model", 0), "no token for the byte 0 (256 bytes have none)"),
    "a pointer to the file": (
        lambda at: (at / "tiktoken.model").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "line 1 must be a token in base64",
    ),
    "a config cut off": (truncated("tokenizer_config.json", 0.5), "tokenizer_config.json cannot be read"),
    "no special tokens": (special_tokens_change(), "must name the special tokens in added_tokens_decoder"),
    "special tokens in a list": (config_change(added_tokens_decoder=[1]), "must name the special tokens"),
    "an id in words": (
        special_tokens_change(x=TOKEN),
        "added_tokens_decoder must map ids to objects with content, not 'x'",
    ),
    "a token without a name": (special_tokens_change(_300={}), "must map ids to objects with content, not '300': {}"),
    "a token of no object": (special_tokens_change(_300="[BOS]"), "must map ids to objects with content"),
    "another's ids": (special_tokens_change(_299=TOKEN), "must begin with 300, not 299"),
    "an id far away": (
        special_tokens_change(_300=TOKEN, _999999999={"content": "z"}),
        f"{MAX_SPECIAL_TOKENS} at most (the last is 9999999",
    ),
    "a name twice": (special_tokens_change(_300=TOKEN, _301=TOKEN), "has the same name for two ids"),
    "a name that is a token": (
        special_tokens_change(_300={"content": "a"}),
        "the special token 'a' is a token of tiktoken.model",
    ),
    "no class": (config_change(auto_map={}), "auto_map.AutoTokenizer must name the tokenizer's file and class"),
    "a class elsewhere": (
        config_change(auto_map={"AutoTokenizer": "../x.V"}),
        "must name the tokenizer's file and class",
    ),
    "no file of the class": (
        lambda at: (at / "tokenization_opencua.py").unlink(),
        "tokenization_opencua.py is missing: it holds the pattern that tiktoken.model needs",
    ),
    "a file of bytes": (python_file(b"\xff\xfe\x00"), "tokenization_opencua.py cannot be read"),
    "a file of no Python": (python_file("class TikTokenV3("), "tokenization_opencua.py cannot be read"),
    "a deep file": (python_file("x = " + "(" * 5000), "tokenization_opencua.py cannot be read"),
    "a pattern that is none": (
        python_file('class TikTokenV3:\n    pat_str = "("'),
        "pat_str of its tokenizer is not a valid pattern",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_reported(tmp_path: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    write_tokenizer(tmp_path, RANKS)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 301}')
    assert Tokenizer(tmp_path).size == 300 + max(SPECIAL) + 1
    damage(tmp_path)
    with pytest.raises(UsageError) as caught:
        Tokenizer(tmp_path)
    text = str(caught.value)
    assert message in text
    assert str(tmp_path) in text
    assert "\n" not in text
    assert len(text) < 400 + len(str(tmp_path))


def test_unreadable_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "tiktoken.model").mkdir()
    with pytest.raises(UsageError, match=r"tiktoken\.model cannot be read"):
        read_ranks(tmp_path / "tiktoken.model")
