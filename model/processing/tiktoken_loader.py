"""tiktoken.model -> a tokenizer, for a checkpoint that brings this file in place of tokenizer.json.

Knows three files of a checkpoint folder: tiktoken.model (on each line a token in base64 and its rank),
tokenizer_config.json (the names of the special tokens, and which class is the tokenizer), and the Python file of that
class, of which one text is taken: the pattern that splits words. It is read by its syntax tree and never run. Knows no
chat template.

Sources: tiktoken's load.py and _educational.py (what ranks mean), transformers' TikTokenConverter (ranks as merges),
and TikTokenTokenizer in the Kimi checkpoints' tokenization_kimi.py and tokenization_moonshot.py (ids without a name are
<|reserved_token_ID|>). OpenCUA's class, TikTokenV3, is of that family.
"""

from __future__ import annotations

import ast
import re
import warnings
from binascii import a2b_base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Tokens

from actions import UsageError

FILE = "tiktoken.model"
PATTERN = "pat_str"  # the attribute of the tokenizer's class
AGAIN = "download the checkpoint again"
MOST_TOKEN_BYTES = 4096  # real vocabularies: some 128
MOST_SPECIAL = 10_000
_CLASS = re.compile(r"(?:.*--)?([A-Za-z_]\w*)\.([A-Za-z_]\w*)")  # "owner/name--module.Class", the first part at times

# Byte-level tokens are spelled in letters that can be seen: a byte that is one by itself, else one from 256 on
_SEEN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(256) if byte not in _SEEN]
LETTERS = {byte: chr(byte) for byte in _SEEN} | {byte: chr(256 + n) for n, byte in enumerate(_HIDDEN)}


def read_tokens(folder: Path, config: Mapping[str, Any]) -> Tokens:
    """The tokenizer of a folder with tiktoken.model; config: what its tokenizer_config.json says.

    UsageError, one sentence, where a file is missing, damaged or of another kind.
    """
    path = folder / FILE
    ranks = read_ranks(path)
    spelled = [token.decode("latin-1").translate(LETTERS) for token in sorted(ranks, key=ranks.__getitem__)]
    vocabulary = {word: rank for rank, word in enumerate(spelled)}
    merges = [(spelled[left], spelled[right]) for left, right in merges_of(ranks)]
    pattern = read_pattern(folder, config)
    try:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
    except Exception as error:  # the library raises bare Exceptions
        raise UsageError(f"{folder}: its tokenizer's {PATTERN} is no pattern ({str(error)[:120]}); {AGAIN}") from None
    tokens = Tokens(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokens.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokens.decoder = decoders.ByteLevel()
    special = _special(folder, config, len(ranks))
    tokens.add_tokens(special)
    for id_, token in enumerate(special, len(ranks)):
        if tokens.token_to_id(token.content) != id_:
            raise UsageError(f"{folder}: the special token {token.content!r:.60} is a token of {FILE} as well; {AGAIN}")
    return tokens


def read_ranks(path: Path) -> dict[bytes, int]:
    """Tokens and their ranks, which are their ids: 0 to one less than there are, each byte among them."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}); {AGAIN}") from None
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(lines, 1):
        token, _, rank = line.partition(b" ")
        if not line:
            continue
        try:
            ranks[a2b_base64(token, strict_mode=True)] = int(rank)
        except ValueError:  # binascii.Error is one
            raise UsageError(
                f"{path}: line {number} must be a token in base64 and its rank, not {line[:40]!r}; {AGAIN}"
            ) from None
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise UsageError(f"{path}: its {len(ranks)} tokens must have the ranks from 0 on, each once; {AGAIN}")
    lacking = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if lacking:
        raise UsageError(f"{path}: no token for the byte {lacking[0]} ({len(lacking)} bytes have none); {AGAIN}")
    for length in (min(map(len, ranks)), max(map(len, ranks))):
        if not 1 <= length <= MOST_TOKEN_BYTES:
            raise UsageError(f"{path}: a token must have 1 to {MOST_TOKEN_BYTES} bytes, not {length}; {AGAIN}")
    return ranks


def merges_of(ranks: Mapping[bytes, int]) -> list[tuple[int, int]]:
    """Every pair of tokens that makes a token, by the rank of what it makes: pairs of ranks.

    Of pairs that make the same token the one of lower ranks goes first. tiktoken takes the leftmost there, which can
    differ only where two such pairs share their middle (ab + a = a + ba).
    """
    found: list[tuple[int, int, int]] = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left = ranks.get(token[:cut])
            if left is None:
                continue
            right = ranks.get(token[cut:])
            if right is not None:
                found.append((rank, left, right))
    found.sort()
    return [(left, right) for _, left, right in found]


def _special(folder: Path, config: Mapping[str, Any], first: int) -> list[AddedToken]:
    """The special tokens from id `first` on: with the names of tokenizer_config.json, and between them the reserved."""
    path = folder / "tokenizer_config.json"
    named = config.get("added_tokens_decoder")
    if not isinstance(named, dict) or not named:
        raise UsageError(f"{path} must name the special tokens in added_tokens_decoder, as {FILE} has none; {AGAIN}")
    found: dict[int, AddedToken] = {}
    for id_, token in named.items():
        name = token.get("content") if isinstance(token, dict) else None
        if not re.fullmatch(r"[0-9]{1,9}", id_) or not isinstance(name, str) or not name:
            raise UsageError(
                f"{path}: added_tokens_decoder must have ids with objects of content, not {id_!r:.20}: {token!r:.60}; "
                f"{AGAIN}"
            )
        found[int(id_)] = _added(name, token.get("special") is not False)
    if min(found) != first or max(found) - first >= MOST_SPECIAL:
        raise UsageError(
            f"{folder}: {FILE} has {first} tokens, so the special tokens' ids in tokenizer_config.json must begin with "
            f"{first}, not {min(found)}, and be {MOST_SPECIAL} at most (the last is {max(found)}); they are not of one "
            "checkpoint"
        )
    tokens = [found.get(id_) or _added(f"<|reserved_token_{id_}|>") for id_ in range(first, max(found) + 1)]
    if len({token.content for token in tokens}) < len(tokens):
        raise UsageError(f"{path}: added_tokens_decoder has one name for two ids; {AGAIN}")
    return tokens


def _added(name: str, special: bool = True) -> AddedToken:
    return AddedToken(name, special=special, normalized=False)


# --- the pattern that splits words: a text in a Python file that is never run ---


def read_pattern(folder: Path, config: Mapping[str, Any]) -> str:
    """The pattern that the checkpoint's own tokenizer class splits a text by, before it makes tokens of the parts."""
    auto = config.get("auto_map")
    named = auto.get("AutoTokenizer") if isinstance(auto, dict) else None
    named = named[0] if isinstance(named, list) and named else named
    found = _CLASS.fullmatch(named) if isinstance(named, str) else None
    if found is None:
        raise UsageError(
            f"{folder / 'tokenizer_config.json'}: auto_map.AutoTokenizer must name the tokenizer's file and class, as "
            f"'tokenization_opencua.TikTokenV3' does, not {named!r:.60}; {AGAIN}"
        )
    path = folder / f"{found.group(1)}.py"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python thinks of that file's style is nobody's concern here
            tree = ast.parse(path.read_bytes())
        pattern = _class_text(tree, found.group(2))
    except FileNotFoundError:
        raise UsageError(
            f"{path} is missing: it holds the pattern that {FILE} needs, and is read for it, never run; fetch it from "
            "where the checkpoint came from"
        ) from None
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path} cannot be read ({str(error)[:120]}); {AGAIN}") from None
    if not pattern:
        raise UsageError(
            f"{path}: its class {found.group(2)} must have {PATTERN} as a text, or as texts that are joined; {AGAIN}"
        )
    return pattern


def _class_text(tree: ast.Module, name: str) -> str | None:
    """The text of pat_str in a class, or in the classes of the same file that it is made from."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    texts = _assigned(tree.body)
    waiting, seen = [name], set()
    while waiting:
        node = classes.get(waiting.pop(0))
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        own = _assigned(node.body)
        if PATTERN in own:
            return _text(own[PATTERN], texts)
        waiting = [base.id for base in node.bases if isinstance(base, ast.Name)] + waiting
    return None


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Names and what is assigned to them, the last of each."""
    found: dict[str, ast.expr] = {}
    for statement in body:
        if isinstance(statement, ast.Assign):
            found |= {one.id: statement.value for one in statement.targets if isinstance(one, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found[statement.target.id] = statement.value
    return found


def _text(node: ast.expr, texts: Mapping[str, ast.expr]) -> str | None:
    """A literal text, literal texts joined or added, or the name of one; None for anything else."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.Name(id=name) if name in texts:
            return _text(texts[name], {key: one for key, one in texts.items() if key != name})
        case ast.BinOp(op=ast.Add()):
            parts, between = [node.left, node.right], ""
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str() as between), attr="join"),
            args=[ast.List(elts=parts) | ast.Tuple(elts=parts)],
            keywords=[],
        ):
            pass
        case _:
            return None
    said = [_text(part, texts) for part in parts]
    return None if None in said else between.join(one for one in said if one is not None)
