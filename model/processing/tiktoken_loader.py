"""Load the tokenizer of a checkpoint that has tiktoken.model in place of tokenizer.json.

The vocabulary is converted by transformers. The pattern that splits text into words stands in the Python file of the
checkpoint's own tokenizer class; it is read from the syntax tree, and the file is never run.

Sources: tiktoken's load.py and _educational.py, transformers' TikTokenConverter, and TikTokenTokenizer in the Kimi
checkpoints' tokenization_kimi.py and tokenization_moonshot.py, where ids without a name are <|reserved_token_ID|>.
OpenCUA's class, TikTokenV3, is of that family.
"""

from __future__ import annotations

import ast
import re
import warnings
from binascii import a2b_base64
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken
from tokenizers import Tokenizer as Tokens

from actions import UsageError
from model.json_file import JsonObject

FILE = "tiktoken.model"
PATTERN = "pat_str"  # attribute of the tokenizer's class
DOWNLOAD_AGAIN = "download the checkpoint again"
MAX_TOKEN_BYTES = 4096  # real vocabularies have about 128
MAX_SPECIAL_TOKENS = 10_000
_CLASS = re.compile(r"(?:.*--)?([A-Za-z_]\w*)\.([A-Za-z_]\w*)")  # "[owner/name--]module.Class"


def load_tokenizer(folder: Path, config: JsonObject) -> Tokens:
    """Return the tokenizer of a folder with tiktoken.model.

    Args:
        folder: The checkpoint folder.
        config: Contents of its tokenizer_config.json.

    Raises:
        UsageError: A file is missing, damaged or of another kind.
    """
    from transformers.convert_slow_tokenizer import TikTokenConverter

    ranks = read_ranks(folder / FILE)

    class Converter(TikTokenConverter):
        """The converter over ranks that have been checked; tiktoken's own reader would cache them by path."""

        @staticmethod
        def load_tiktoken_bpe(tiktoken_url: str) -> dict[bytes, int]:
            return ranks

    try:
        tokens: Tokens = Converter(str(folder / FILE), pattern=read_pattern(folder, config)).converted()
    except UsageError:
        raise
    except Exception as error:  # tokenizers raises bare Exceptions
        raise UsageError(
            f"{folder}: {PATTERN} of its tokenizer is not a valid pattern ({str(error)[:120]}); {DOWNLOAD_AGAIN}"
        ) from None
    special_tokens = _special_tokens(folder, config, len(ranks))
    tokens.add_tokens(special_tokens)
    for token_id, token in enumerate(special_tokens, len(ranks)):
        if tokens.token_to_id(token.content) != token_id:
            raise UsageError(
                f"{folder}: the special token {token.content!r:.60} is a token of {FILE} as well; {DOWNLOAD_AGAIN}"
            )
    return tokens


def read_ranks(path: Path) -> dict[bytes, int]:
    """Return the tokens of a tiktoken.model and their ranks, which are their ids.

    Raises:
        UsageError: The file cannot be read, the ranks are not 0 to n - 1, or a byte has no token.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}); {DOWNLOAD_AGAIN}") from None
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(lines, 1):
        token, _, rank = line.partition(b" ")
        if not line:
            continue
        try:
            ranks[a2b_base64(token, strict_mode=True)] = int(rank)
        except ValueError:  # binascii.Error is a ValueError
            raise UsageError(
                f"{path}: line {number} must be a token in base64 and its rank, not {line[:40]!r}; {DOWNLOAD_AGAIN}"
            ) from None
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise UsageError(f"{path}: its {len(ranks)} tokens must have the ranks from 0 on, each once; {DOWNLOAD_AGAIN}")
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise UsageError(
            f"{path}: no token for the byte {missing[0]} ({len(missing)} bytes have none); {DOWNLOAD_AGAIN}"
        )
    for length in (min(map(len, ranks)), max(map(len, ranks))):
        if not 1 <= length <= MAX_TOKEN_BYTES:
            raise UsageError(f"{path}: a token must have 1 to {MAX_TOKEN_BYTES} bytes, not {length}; {DOWNLOAD_AGAIN}")
    return ranks


def _special_tokens(folder: Path, config: JsonObject, first_id: int) -> list[AddedToken]:
    """Return the special tokens from id `first_id` on, with reserved names between those of tokenizer_config.json."""
    path = folder / "tokenizer_config.json"
    decoder = config.get("added_tokens_decoder")
    if not isinstance(decoder, dict) or not decoder:
        raise UsageError(
            f"{path} must name the special tokens in added_tokens_decoder, as {FILE} has none; {DOWNLOAD_AGAIN}"
        )
    by_id: dict[int, AddedToken] = {}
    for key, token in decoder.items():
        name = token.get("content") if isinstance(token, dict) else None
        if not re.fullmatch(r"[0-9]{1,9}", key) or not isinstance(name, str) or not name:
            raise UsageError(
                f"{path}: added_tokens_decoder must map ids to objects with content, not {key!r:.20}: {token!r:.60}; "
                f"{DOWNLOAD_AGAIN}"
            )
        by_id[int(key)] = _added_token(name, token.get("special") is not False)
    if min(by_id) != first_id or max(by_id) - first_id >= MAX_SPECIAL_TOKENS:
        raise UsageError(
            f"{folder}: {FILE} has {first_id} tokens, so the special tokens' ids in tokenizer_config.json must begin "
            f"with {first_id}, not {min(by_id)}, and be {MAX_SPECIAL_TOKENS} at most (the last is {max(by_id)}); they "
            "are not of one checkpoint"
        )
    tokens = [
        by_id.get(token_id) or _added_token(f"<|reserved_token_{token_id}|>")
        for token_id in range(first_id, max(by_id) + 1)
    ]
    if len({token.content for token in tokens}) < len(tokens):
        raise UsageError(f"{path}: added_tokens_decoder has the same name for two ids; {DOWNLOAD_AGAIN}")
    return tokens


def _added_token(name: str, special: bool = True) -> AddedToken:
    return AddedToken(name, special=special, normalized=False)


# The split pattern, read from the syntax tree of the tokenizer's Python file


def read_pattern(folder: Path, config: JsonObject) -> str:
    """Return the pattern by which the checkpoint's tokenizer class splits a text.

    Raises:
        UsageError: The file is missing or damaged, or its class has no such pattern.
    """
    auto_map = config.get("auto_map")
    class_path = auto_map.get("AutoTokenizer") if isinstance(auto_map, dict) else None
    class_path = class_path[0] if isinstance(class_path, list) and class_path else class_path
    match = _CLASS.fullmatch(class_path) if isinstance(class_path, str) else None
    if match is None:
        raise UsageError(
            f"{folder / 'tokenizer_config.json'}: auto_map.AutoTokenizer must name the tokenizer's file and class, as "
            f"'tokenization_opencua.TikTokenV3' does, not {class_path!r:.60}; {DOWNLOAD_AGAIN}"
        )
    module_name, class_name = match.groups()
    path = folder / f"{module_name}.py"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarnings of that file
            tree = ast.parse(path.read_bytes())
        pattern = _class_string(tree, class_name)
    except FileNotFoundError:
        raise UsageError(
            f"{path} is missing: it holds the pattern that {FILE} needs (it is parsed, never run); fetch it from where "
            "the checkpoint came from"
        ) from None
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path} cannot be read ({str(error)[:120]}); {DOWNLOAD_AGAIN}") from None
    if not pattern:
        raise UsageError(
            f"{path}: its class {class_name} must have {PATTERN} as a string or as joined strings; {DOWNLOAD_AGAIN}"
        )
    return pattern


def _class_string(tree: ast.Module, class_name: str) -> str | None:
    """Return pat_str of a class, or of its base classes in the same file."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    constants = _assignments(tree.body)
    queue, visited = [class_name], set()
    while queue:
        node = classes.get(queue.pop(0))
        if node is None or node.name in visited:
            continue
        visited.add(node.name)
        attributes = _assignments(node.body)
        if PATTERN in attributes:
            return _string_value(attributes[PATTERN], constants)
        queue = [base.id for base in node.bases if isinstance(base, ast.Name)] + queue
    return None


def _assignments(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Return the last value assigned to each name."""
    values: dict[str, ast.expr] = {}
    for statement in body:
        if isinstance(statement, ast.Assign):
            values |= {target.id: statement.value for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            values[statement.target.id] = statement.value
    return values


def _string_value(node: ast.expr, constants: Mapping[str, ast.expr]) -> str | None:
    """Return the value of a string literal, of joined or added literals, or of a constant; None for anything else."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.Name(id=name) if name in constants:
            return _string_value(constants[name], {key: value for key, value in constants.items() if key != name})
        case ast.BinOp(op=ast.Add()):
            parts, separator = [node.left, node.right], ""
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str() as separator), attr="join"),
            args=[ast.List(elts=parts) | ast.Tuple(elts=parts)],
            keywords=[],
        ):
            pass
        case _:
            return None
    strings = [_string_value(part, constants) for part in parts]
    return None if None in strings else separator.join(string for string in strings if string is not None)
