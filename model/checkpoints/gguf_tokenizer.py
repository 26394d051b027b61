"""The tokenizer in the metadata of a GGUF file, in the form of tokenizer.json."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from actions import UsageError
from model.checkpoints.gguf_file import DOWNLOAD_AGAIN, GgufFile

CONTROL, USER_DEFINED, UNUSED = 3, 4, 5  # types of tokens. Source: gguf.TokenType
# How texts are split into words before merging. Source: transformers tokenization_qwen2.py
SPLITS = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+",
}


def build_tokenizer(model: GgufFile) -> Tokenizer:
    """Return the tokenizer of a model.

    Raises:
        UsageError: Its kind is not supported, or its tokens are damaged.
    """
    source, metadata = model.files[0], model.metadata.data
    kind, split = model.text("tokenizer.ggml.model"), model.text("tokenizer.ggml.pre")
    if kind != "gpt2" or split not in SPLITS:
        raise UsageError(
            f"{source}: its tokenizer {kind or 'without a name'!r} with the word splitting {split!r} cannot be read, "
            f"only 'gpt2' with {' or '.join(map(repr, SPLITS))}"
        )
    tokens, types = metadata.get("tokenizer.ggml.tokens"), metadata.get("tokenizer.ggml.token_type")
    merges = metadata.get("tokenizer.ggml.merges")
    if not isinstance(tokens, list) or not isinstance(types, list) or len(tokens) != len(types):
        raise UsageError(f"{source} has no list of tokens with a type each; {DOWNLOAD_AGAIN}")
    if not isinstance(merges, list):
        raise UsageError(f"{source} has no list of merges; {DOWNLOAD_AGAIN}")
    vocabulary = {
        token: number
        for number, (token, token_type) in enumerate(zip(tokens, types, strict=True))
        if token_type not in (CONTROL, USER_DEFINED, UNUSED)
    }
    try:
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[_split_merge(merge) for merge in merges]))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise UsageError(f"{source}: its tokens and merges do not fit ({str(error)[:120]}); {DOWNLOAD_AGAIN}") from None
    untyped: Any = tokenizer  # the stubs of tokenizers have no setters
    untyped.normalizer = normalizers.NFC()
    untyped.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLITS[split]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    untyped.decoder = decoders.ByteLevel()
    added = [(number, token_type) for number, token_type in enumerate(types) if token_type in (CONTROL, USER_DEFINED)]
    tokenizer.add_tokens(
        [
            AddedToken(tokens[number], special=token_type == CONTROL, normalized=False, lstrip=False, rstrip=False)
            for number, token_type in added
        ]
    )
    for number, _ in added:
        if tokenizer.token_to_id(tokens[number]) != number:
            raise UsageError(
                f"{source}: its tokens are not in the order of a vocabulary followed by added tokens, from "
                f"{tokens[number]!r:.40} at {number} on, which cannot be read"
            )
    return tokenizer


def _split_merge(merge: object) -> tuple[str, str]:
    first, _, second = str(merge).partition(" ")
    return first, second
