"""A checkpoint with tiktoken.model in place of tokenizer.json: the same ids as by the book, and the way to a click.

The book is tiktoken's: split by the pattern, then join the neighbours whose joint has the lowest rank. It is written
down here plainly, over another library's regular expressions, and transformers' converter is a second opinion.
"""

from __future__ import annotations

import json
import random
import sys
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
import torch
from helpers.tiny_models import tiny_config
from safetensors.torch import load_file, save_file
from tokenizers import Regex as TokenizersRegex
from tokenizers import Tokenizer as Tokens
from tokenizers import models, pre_tokenizers, trainers

from actions import Click, Screen, UsageError
from agent.policies.factory import load_local_policy
from model.chat_model import load_chat
from model.nn.config import read_config
from model.nn.qwen25vl import Qwen25VL
from model.processing import tiktoken_loader
from model.processing.tiktoken_loader import (
    LETTERS,
    MOST_SPECIAL,
    MOST_TOKEN_BYTES,
    read_pattern,
    read_ranks,
    read_tokens,
)
from model.processing.tokenizer import Tokenizer

# What TikTokenTokenizer.pat_str is in tokenization_kimi.py and tokenization_moonshot.py, and in tokenization_kimia.py
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
# The special tokens of OpenCUA's tokenizer_config.json that we know, by their distance from [BOS] (151643 there)
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
TEMPLATE = (  # of the form that Kimi's checkpoints have
    "{%- for message in messages -%}"
    "{{ '<|im_' ~ message.role ~ '|>' ~ message.role ~ '<|im_middle|>' }}"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}"
    "<|media_begin|>image<|media_content|><|media_placeholder|><|media_end|>"
    "{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}<|im_end|>"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_assistant|>assistant<|im_middle|>{%- endif -%}"
)
CALL = "pyautogui.click(x=8, y=9)"
CLASS = """
import tiktoken_is_not_here  # so whoever runs this file fails


class TikTokenTokenizer:
    num_reserved_special_tokens = 256
    pat_str = "|".join([PARTS])

    def __init__(self, vocab_file):
        raise SystemExit("was run")


class TikTokenV3(TikTokenTokenizer):
    pass
"""
LETTERS_OF_MANY = [
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


def random_texts(count: int, seed: int, most: int = 40) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(LETTERS_OF_MANY, k=draw.randint(0, most))) for _ in range(count)]


@cache
def trained(pattern: str, count: int = 1500) -> dict[bytes, int]:
    """Ranks as training makes them: of our own source, and of odd texts."""
    tokens = Tokens(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(TokenizersRegex(PATTERNS[pattern]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    source = [Path(tiktoken_loader.__file__).read_text(encoding="utf-8"), Path(__file__).read_text(encoding="utf-8")]
    how = trainers.BpeTrainer(
        vocab_size=count, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokens.train_from_iterator([*source, *random_texts(500, 0)], how)
    back = {letter: byte for byte, letter in LETTERS.items()}
    return {bytes(back[letter] for letter in word): rank for word, rank in tokens.get_vocab().items()}


def untrained(seed: int, count: int = 420) -> dict[bytes, int]:
    """Ranks of no training: joints of any tokens of a, b and space, in any order."""
    draw = random.Random(seed)
    found = {bytes([byte]): byte for byte in range(256)}
    while len(found) < count:
        token = draw.choice([b"a", b"b", b" ", *[*found][256:]]) + draw.choice([b"a", b"b", b" ", *[*found][256:]])
        if len(token) <= 10:
            found.setdefault(token, len(found))
    return found


def config_of(first: int) -> dict[str, Any]:
    decoder = {str(first + after): {"content": name, "special": True} for after, name in SPECIAL.items()}
    return {"added_tokens_decoder": decoder, "auto_map": {"AutoTokenizer": ["tokenization_opencua.TikTokenV3", None]}}


def write(folder: Path, ranks: dict[bytes, int], pattern: str = "kimi") -> dict[str, Any]:
    """The files of a tokenizer, as OpenCUA's checkpoints have them; what tokenizer_config.json says."""
    lines = [b64encode(token) + b" %d\n" % rank for token, rank in ranks.items()]
    (folder / "tiktoken.model").write_bytes(b"".join(lines))
    config = config_of(len(ranks))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    parts = ", ".join(map(repr, PARTS[pattern]))
    (folder / "tokenization_opencua.py").write_text(CLASS.replace("PARTS", parts))
    return config


def by_the_book(ranks: dict[bytes, int], pattern: str) -> Callable[[str], list[int]]:
    splits = regex.compile(PATTERNS[pattern], regex.VERSION1)

    def encode(text: str) -> list[int]:
        found: list[int] = []
        for piece in splits.findall(text):
            whole = piece.encode()
            parts = [whole] if whole in ranks else [bytes([byte]) for byte in whole]
            while True:
                joints = [ranks.get(left + right, 1 << 30) for left, right in pairwise(parts)]
                if not joints or min(joints) == 1 << 30:
                    break
                at = joints.index(min(joints))
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
            found += [ranks[part] for part in parts]
        return found

    return encode


# --- ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", PATTERNS)
def test_ids_are_those_of_the_book_and_come_back_as_the_text(tmp_path: Path, pattern: str) -> None:
    ranks = trained(pattern)
    tokens = read_tokens(tmp_path, write(tmp_path, ranks, pattern))
    book = by_the_book(ranks, pattern)
    long = 0
    for text in [*random_texts(1500, 1), Path(tiktoken_loader.__file__).read_text(encoding="utf-8")]:
        ids = tokens.encode(text, add_special_tokens=False).ids
        assert ids == book(text), repr(text)
        assert tokens.decode(ids) == text
        long += len(ids) < len(text.encode())
    assert long > 1000  # or nothing was joined


@pytest.mark.parametrize("seed", range(8))
def test_ranks_of_no_training_are_joined_as_the_book_does(tmp_path: Path, seed: int) -> None:
    ranks = untrained(seed)
    tokens, book = read_tokens(tmp_path, write(tmp_path, ranks)), by_the_book(ranks, "kimi")
    draw = random.Random(seed)
    for _ in range(100):
        text = "".join(draw.choices("ab ", k=draw.randint(1, 40)))
        assert tokens.encode(text, add_special_tokens=False).ids == book(text), text


def test_the_two_patterns_make_different_ids(tmp_path: Path) -> None:
    """So the tests above could fail."""
    ranks = trained("kimi")
    kimi, qwen = by_the_book(ranks, "kimi"), by_the_book(ranks, "qwen")
    assert sum(kimi(text) != qwen(text) for text in random_texts(200, 2)) > 50


def test_vocabulary_and_merges_are_those_of_transformers_converter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.convert_slow_tokenizer import TikTokenConverter

    ranks = trained("kimi")
    config = write(tmp_path, ranks)
    monkeypatch.setattr(TikTokenConverter, "load_tiktoken_bpe", staticmethod(lambda path: ranks))
    vocabulary, merges = TikTokenConverter("").extract_vocab_merges_from_model("")
    ours = json.loads(read_tokens(tmp_path, config).to_str())["model"]
    assert ours["vocab"] == vocabulary and [tuple(pair) for pair in ours["merges"]] == merges and len(merges) > 1000


def test_special_tokens_have_their_ids_and_the_reserved_ones_between_them_too(tmp_path: Path) -> None:
    ranks = trained("kimi")
    first = len(ranks)
    config = write(tmp_path, ranks)
    config["added_tokens_decoder"][str(first + 6)]["special"] = False
    tokens, book = read_tokens(tmp_path, config), by_the_book(ranks, "kimi")
    assert tokens.get_vocab_size() == first + max(SPECIAL) + 1
    for after in range(max(SPECIAL) + 1):
        name = SPECIAL.get(after, f"<|reserved_token_{first + after}|>")
        assert tokens.token_to_id(name) == first + after
        assert tokens.encode(f"a {name}b", add_special_tokens=False).ids == [*book("a "), first + after, *book("b")]
    assert tokens.decode([*book("a"), first + 2, *book("b"), first + 9]) == "ab"
    assert tokens.decode([first + 6, first + 7]) == "<|start_header_id|>"  # not special by its flag: it is said


def test_text_between_special_tokens_comes_back(tmp_path: Path) -> None:
    ranks = trained("kimi")
    tokens = read_tokens(tmp_path, write(tmp_path, ranks))
    draw = random.Random(5)
    for text in random_texts(300, 6):
        cut = draw.randint(0, len(text))
        whole = f"{text[:cut]}{draw.choice([*SPECIAL.values()])}{text[cut:]}"
        assert tokens.decode(tokens.encode(whole).ids, skip_special_tokens=False) == whole


@pytest.mark.slow
def test_a_vocabulary_of_the_real_size_takes_seconds(tmp_path: Path) -> None:
    """Of processor time: 151,643 tokens, longer than real ones are."""
    import time

    draw, found = random.Random(0), {bytes([byte]): byte for byte in range(256)}
    parts = [*found]
    while len(found) < 151_643:
        token = draw.choice(parts) + draw.choice(parts[97:123])
        if len(token) <= 20 and token not in found:
            found[token] = len(found)
            parts.append(token)
    config = write(tmp_path, found)
    began = time.process_time()
    tokens = read_tokens(tmp_path, config)
    assert time.process_time() - began < 6
    assert tokens.token_to_id("<|media_placeholder|>") == 151_664


# --- the pattern --------------------------------------------------------------------------------------------------

CLASSES = {
    "joined": 'class V:\n    pat_str = "|".join([r"\\d", "b"])',
    "of its own": 'class A:\n    pat_str = "x"\nclass V(A):\n    pat_str = "\\\\d|b"',
    "of another class": 'class A:\n    pat_str: str = "\\\\d" + "|b"\nclass B(A): pass\nclass V(B, object): pass',
    "named above": 'PARTS = r"\\d|b"\nclass V:\n    pat_str = PARTS',
    "set twice": 'class V:\n    pat_str = "x"\n    pat_str = r"\\d|b"',
}
NOT_CLASSES = {
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
NAMED = {"auto_map": {"AutoTokenizer": "owner/name--tokens.V"}}


@pytest.mark.parametrize("name", CLASSES)
def test_the_pattern_is_read_from_the_tokenizers_class(tmp_path: Path, name: str) -> None:
    (tmp_path / "tokens.py").write_text(CLASSES[name])
    assert read_pattern(tmp_path, NAMED) == r"\d|b"


@pytest.mark.parametrize("name", NOT_CLASSES)
def test_a_class_without_a_pattern_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "tokens.py").write_text(NOT_CLASSES[name])
    with pytest.raises(UsageError, match=r"its class V must have pat_str as a text, or as texts that are joined"):
        read_pattern(tmp_path, NAMED)


def test_the_file_of_the_pattern_is_never_run(tmp_path: Path) -> None:
    write(tmp_path, trained("kimi"))
    assert "tiktoken_is_not_here" in (tmp_path / "tokenization_opencua.py").read_text()
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 3}')
    assert Tokenizer(tmp_path).encode("a")
    assert not {"tokenization_opencua", "tiktoken_is_not_here"} & {*sys.modules}


# --- damage -------------------------------------------------------------------------------------------------------


def lines(*changed: bytes) -> Callable[[Path], object]:
    return lambda at: (at / "tiktoken.model").open("ab").write(b"".join(changed))


def said(**values: Any) -> Callable[[Path], object]:
    def harm(at: Path) -> None:
        config = json.loads((at / "tokenizer_config.json").read_text())
        (at / "tokenizer_config.json").write_text(json.dumps({**config, **values}))

    return harm


def special(**tokens: Any) -> Callable[[Path], object]:
    return said(added_tokens_decoder={key.lstrip("_"): value for key, value in tokens.items()})


def python(text: str | bytes) -> Callable[[Path], object]:
    return lambda at: (at / "tokenization_opencua.py").write_bytes(text.encode() if isinstance(text, str) else text)


def cut(name: str, share: float) -> Callable[[Path], object]:
    return lambda at: (at / name).write_bytes((at / name).read_bytes()[: int((at / name).stat().st_size * share)])


def whole_lines(at: Path) -> None:
    path = at / "tiktoken.model"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:290]))


def without_a_byte(at: Path) -> None:
    kept = {token: rank for token, rank in PLAIN.items() if token != b"\xff"}
    write(at, {token: rank for rank, token in enumerate(kept)})


PLAIN = untrained(0, 300)
TOKEN = {"content": "[BOS]"}
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no base64": (lines(b"!!! 300\n"), "line 301 must be a token in base64 and its rank, not b'!!! 300'"),
    "no rank": (lines(b"YWJj\n"), "line 301 must be a token in base64"),
    "a rank in words": (lines(b"YWJj many\n"), "line 301 must be a token in base64"),
    "a rank left out": (lines(b64encode(b"zzz"), b" 301\n"), "its 301 tokens must have the ranks from 0 on"),
    "a rank twice": (lines(b64encode(b"zzz"), b" 299\n"), "its 301 tokens must have the ranks from 0 on"),
    "a token twice": (lines(b"YQ== 300\n"), "its 300 tokens must have the ranks from 0 on"),
    "an empty token": (lines(b" 300\n"), "a token must have 1 to 4096 bytes, not 0"),
    "an endless token": (
        lines(b64encode(b"z" * (MOST_TOKEN_BYTES + 1)), b" 300\n"),
        "a token must have 1 to 4096 bytes, not 4097",
    ),
    "a byte left out": (without_a_byte, "no token for the byte 255 (1 bytes have none)"),
    "ranks cut off": (cut("tiktoken.model", 0.5), "tiktoken.model"),
    "ranks cut off between lines": (whole_lines, "must begin with 290, not 300"),
    "ranks of nothing": (cut("tiktoken.model", 0), "no token for the byte 0 (256 bytes have none)"),
    "a pointer to the file": (
        lambda at: (at / "tiktoken.model").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "line 1 must be a token in base64",
    ),
    "a config cut off": (cut("tokenizer_config.json", 0.5), "tokenizer_config.json cannot be read"),
    "no special tokens": (special(), "must name the special tokens in added_tokens_decoder"),
    "special tokens in a list": (said(added_tokens_decoder=[1]), "must name the special tokens"),
    "an id in words": (special(x=TOKEN), "added_tokens_decoder must have ids with objects of content, not 'x'"),
    "a token without a name": (special(_300={}), "must have ids with objects of content, not '300': {}"),
    "a token of no object": (special(_300="[BOS]"), "must have ids with objects of content"),
    "another's ids": (special(_299=TOKEN), "must begin with 300, not 299"),
    "an id far away": (
        special(_300=TOKEN, _999999999={"content": "z"}),
        f"{MOST_SPECIAL} at most (the last is 9999999",
    ),
    "a name twice": (special(_300=TOKEN, _301=TOKEN), "has one name for two ids"),
    "a name that is a token": (special(_300={"content": "a"}), "the special token 'a' is a token of tiktoken.model"),
    "no class": (said(auto_map={}), "auto_map.AutoTokenizer must name the tokenizer's file and class"),
    "a class elsewhere": (said(auto_map={"AutoTokenizer": "../x.V"}), "must name the tokenizer's file and class"),
    "no file of the class": (
        lambda at: (at / "tokenization_opencua.py").unlink(),
        "tokenization_opencua.py is missing: it holds the pattern that tiktoken.model needs",
    ),
    "a file of bytes": (python(b"\xff\xfe\x00"), "tokenization_opencua.py cannot be read"),
    "a file of no Python": (python("class TikTokenV3("), "tokenization_opencua.py cannot be read"),
    "a deep file": (python("x = " + "(" * 5000), "tokenization_opencua.py cannot be read"),
    "a pattern that is none": (python('class TikTokenV3:\n    pat_str = "("'), "its tokenizer's pat_str is no pattern"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_sentence(tmp_path: Path, name: str) -> None:
    harm, words = DAMAGE[name]
    write(tmp_path, PLAIN)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 301}')
    assert Tokenizer(tmp_path).size == 300 + max(SPECIAL) + 1
    harm(tmp_path)
    with pytest.raises(UsageError) as caught:
        Tokenizer(tmp_path)
    text = str(caught.value)
    assert words in text and str(tmp_path) in text and "\n" not in text and len(text) < 400 + len(str(tmp_path))


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tiktoken.model").mkdir()
    with pytest.raises(UsageError, match=r"tiktoken\.model cannot be read"):
        read_ranks(tmp_path / "tiktoken.model")


# --- the whole way ------------------------------------------------------------------------------------------------


@pytest.fixture
def opencua(tmp_path: Path) -> Path:
    """A tiny checkpoint in OpenCUA's form that says one click to all that it is shown, and then ends its turn."""
    ranks = dict(trained("kimi", 600))
    ranks[CALL.encode()] = len(ranks)  # a token that no text becomes, as the pattern splits it
    config = write(tmp_path, ranks)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    first = len(ranks)
    size = tiny_config()
    files = {
        "config.json": {
            "architectures": ["OpenCUAForConditionalGeneration"],
            "model_type": "opencua",
            "media_placeholder_token_id": first + 21,
            "text_config": {
                "model_type": "qwen2",
                "vocab_size": first + 64,
                "hidden_size": size.text.hidden_size,
                "intermediate_size": size.text.intermediate_size,
                "num_hidden_layers": size.text.num_hidden_layers,
                "num_attention_heads": size.text.num_attention_heads,
                "num_key_value_heads": size.text.num_key_value_heads,
                "rope_theta": 1e6,
            },
            "vision_config": {
                "depth": size.vision.depth,
                "hidden_size": size.vision.hidden_size,
                "intermediate_size": size.vision.intermediate_size,
                "num_heads": size.vision.num_heads,
                "out_hidden_size": size.vision.out_hidden_size,
                "fullatt_block_indexes": [1],
            },
        },
        "generation_config.json": {"max_length": 32768, "eos_token_id": first + 1},  # [EOS] alone
        "preprocessor_config.json": {"min_pixels": 3136, "max_pixels": 12845056},
    }
    for name, data in files.items():
        (tmp_path / name).write_text(json.dumps(data))
    torch.manual_seed(0)
    model = Qwen25VL(read_config(tmp_path))
    tensors = {name: torch.randn(value.shape) * 0.2 for name, value in model.state_dict().items()}
    for name, tensor in tensors.items():
        if "norm" in name or name.endswith("ln_q.weight"):
            tensor.fill_(1.0)
        elif name.startswith("model.layers") and ("o_proj" in name or "down_proj" in name):
            tensor.zero_()  # so what comes next depends on the last token alone
    words, head = tensors["model.embed_tokens.weight"], tensors["lm_head.weight"]
    words[:, :2] = 0
    head.zero_()
    for axis, (now, then) in enumerate([(first + 17, ranks[CALL.encode()]), (ranks[CALL.encode()], first + 2)]):
        words[now], head[then] = 0, 0
        words[now, axis] = head[then, axis] = 1
    theirs = (
        ("visual.", "vision_tower."),
        ("lm_head.", "language_model.lm_head."),
        ("model.", "language_model.model."),
    )
    named = {}
    for name, tensor in tensors.items():
        old, new = next(pair for pair in theirs if name.startswith(pair[0]))
        named[new + name.removeprefix(old)] = tensor
    save_file(named, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def screen() -> Screen:
    return Screen(np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8))


def test_a_checkpoint_with_tiktoken_model_is_loaded_asked_and_understood(opencua: Path) -> None:
    policy = load_local_policy(str(opencua), "cpu", grammar=False)
    assert policy.metadata["dialect"] == "opencua"
    shown = screen()
    reply = policy.decide("press the button", [], shown, frozenset({"click"}))
    assert (reply.text, reply.reply_tokens) == (CALL, 2)  # the call, and the end of the turn, which no file names
    assert policy.to_action(policy.parse(reply), shown) == Click(x=8, y=9)
    assert reply.prompt.startswith("<|im_system|>system<|im_middle|>")
    assert reply.prompt.endswith("<|im_end|><|im_assistant|>assistant<|im_middle|>")
    assert reply.prompt.count("<|media_begin|>image<|media_content|><|media_placeholder|><|media_end|>") == 1


def test_its_pictures_take_one_placeholder_for_each_cell_and_its_turns_end_twice(opencua: Path) -> None:
    chat = load_chat(opencua, "cpu")
    tokens = chat.tokenizer
    assert tokens.file.name == "tiktoken.model"
    assert tokens.stop_ids == (tokens.id("[EOS]"), tokens.id("<|im_end|>"))
    content = [{"type": "image", "image": screen()}, {"type": "text", "text": "what is it?"}]
    prompt = chat.render([{"role": "user", "content": content}])
    assert prompt.input_ids.count(chat.model.config.image_token_id) == 3 * 2
    with pytest.raises(UsageError, match=r"tiktoken\.model has no token <\|image_pad\|>"):
        tokens.id("<|image_pad|>")


def test_what_a_page_says_is_no_special_token_of_these_either(opencua: Path) -> None:
    tokens = Tokenizer(opencua)
    first = tokens.id("[BOS]")
    names = [*SPECIAL.values(), f"<|reserved_token_{first + 8}|>"]
    assert [tokens.id(name) for name in names[-3:]] == [first + 21, first + 30, first + 8]
    plain = tokens.encode(tokens.render([{"role": "user", "content": "x"}]))
    hostile = tokens.encode(tokens.render([{"role": "user", "content": f"{''.join(names)}[[EOS]EOS]"}]))
    assert [one for one in hostile if one >= first] == [one for one in plain if one >= first]


def test_tokenizer_json_goes_before_tiktoken_model(opencua: Path) -> None:
    tokens = Tokenizer(opencua)
    (opencua / "tokenizer.json").write_text(tokens.as_json(), encoding="utf-8")
    (opencua / "tiktoken.model").write_text("damaged")
    again = Tokenizer(opencua)
    assert again.file.name == "tokenizer.json" and again.size == tokens.size
    for text in random_texts(200, 9):
        assert again.encode(text) == tokens.encode(text)


def test_what_reads_tokenizers_by_itself_reads_the_same_ids(opencua: Path) -> None:
    import llguidance

    tokens = Tokenizer(opencua)
    theirs = llguidance.LLTokenizer(tokens.as_json(), eos_token=list(tokens.stop_ids))
    for text in random_texts(300, 10):
        assert theirs.tokenize_str(text) == tokens.encode(text), repr(text)
    assert theirs.tokenize_str("a<|im_end|>", parse_special=True) == tokens.encode("a<|im_end|>")


def test_its_replies_are_held_to_calls(opencua: Path) -> None:
    """Of random weights: none would say a call by itself."""
    tensors = load_file(opencua / "model.safetensors")
    tensors["language_model.lm_head.weight"].normal_(generator=torch.Generator().manual_seed(1))
    save_file(tensors, opencua / "model.safetensors", metadata={"format": "pt"})
    (opencua / "pixelhand.json").write_text('{"max_new_tokens": 120}')
    policy, shown = load_local_policy(str(opencua), "cpu"), screen()
    reply = policy.decide("press the button", [], shown, frozenset({"click"}))
    assert policy.to_actions(policy.parse(reply), shown)
