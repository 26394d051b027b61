"""Find and parse Python code that consists of calls with literal arguments. Nothing is executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from actions import InvalidActionError
from model.wire.points import FULLWIDTH_TABLE

MAX_VALUES = 60  # of a list
MAX_CODE = 30_000  # characters; a typed text has 10,000 at most
EXAMPLE = "pyautogui.click(x=100, y=200)"
_FENCE = re.compile(r"```[A-Za-z]*+[ \t]*+\n?(.*?)(?:```|\Z)", re.DOTALL)
_START = re.compile(r"(?:pyautogui|computer)\.[A-Za-z_]|time\.sleep[ \t]*[(（]")
_LINE = re.compile(r"[ \t]*(?:(?:pyautogui|computer)\.[A-Za-z_]|time\.sleep[ \t]*[(（])")
_OTHER_CODE = re.compile(r"[ \t]*(?:import\s|from\s|#|\Z)")
_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")


def find_code(text: str) -> tuple[str, str]:
    """Return the code in a reply and the text before it: a fence of calls, else lines of calls, else one call."""
    for fence in _FENCE.finditer(text):
        if _START.search(fence.group(1)):
            return fence.group(1), text[: fence.start()]
    lines, at = [], 0
    first = -1
    for line in text.splitlines(keepends=True):
        if _LINE.match(line):
            first = at if first < 0 else first
            lines.append(line.strip())
        elif first >= 0 and line.strip() and not _OTHER_CODE.match(line.strip()):
            break
        at += len(line)
    if lines:
        return "\n".join(lines), text[:first]
    inside = _START.search(text)
    if inside is None:
        raise InvalidActionError(f"the reply has no code; end it with a call such as {EXAMPLE}")
    return text[inside.start() :].partition("\n")[0].rstrip("`. "), text[: inside.start()]


def parse_code(code: str, signature: Callable[[str], tuple[str, ...]]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the calls of a piece of code, their positional arguments named by the call's signature.

    Raises:
        InvalidActionError: for anything but imports and calls with literal arguments, or a name unknown to `signature`.
    """
    for statement in _parse_tree(code).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            continue
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, (ast.Attribute, ast.Name)):
            raise InvalidActionError(f"the code may hold calls such as {EXAMPLE} only, nothing else")
        name = _dotted_name(call.func)
        yield name, _arguments(name, call, signature(name))


def _parse_tree(code: str) -> ast.Module:
    if len(code) > MAX_CODE:
        raise InvalidActionError(f"the code has more than {MAX_CODE} characters; write less at a time")
    plain = _plain_punctuation(code)
    reason = ""
    for source in dict.fromkeys((code, plain, plain + ")")):  # as it is, with plain punctuation, with its end restored
        try:
            return ast.parse(source.strip())
        except SyntaxError as error:
            reason = reason or error.msg
        except (ValueError, RecursionError, MemoryError):
            break
    reason = reason or "it is no Python"
    raise InvalidActionError(f"the code cannot be read ({reason[:100]}); write calls such as {EXAMPLE}")


def _plain_punctuation(code: str) -> str:
    """Return the code with plain punctuation for full-width outside its strings."""
    parts, at = [], 0
    for string in _STRING.finditer(code):
        parts += [code[at : string.start()].translate(FULLWIDTH_TABLE), string.group()]
        at = string.end()
    return "".join([*parts, code[at:].translate(FULLWIDTH_TABLE)])


def _dotted_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "such a call"


def _arguments(name: str, call: ast.Call, signature: tuple[str, ...]) -> dict[str, object]:
    values = [_literal(node) for node in call.args]
    if name == "pyautogui.hotkey" and values:  # all of its positional arguments are keys
        named: dict[str, object] = {"keys": values[0] if len(values) == 1 and isinstance(values[0], list) else values}
    else:
        if len(values) == 1 and isinstance(values[0], list) and signature[:2] == ("x", "y"):
            values = values[0]  # pyautogui takes a point in place of x and y
        if len(values) > len(signature):
            raise InvalidActionError(f"{name} takes {len(signature)} arguments, not {len(values)}")
        named = dict(zip(signature, values, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in named:
            repeated = "**" if keyword.arg is None else repr(keyword.arg)[:40]
            raise InvalidActionError(f"{name} is given {repeated} as well")
        named[keyword.arg] = _literal(keyword.value)
    return named


def _literal(node: ast.AST, depth: int = 0) -> object:
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, bool, type(None))):
        value = node.value
        if value in (float("inf"), float("-inf")) or (isinstance(value, int) and abs(value) >= 2**63):
            raise InvalidActionError("a number is too large")
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise InvalidActionError("the code holds half a character (a lone surrogate)") from None
        return value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        number = _literal(node.operand, depth)
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            return -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, (ast.List, ast.Tuple)) and depth < 2:
        return [_literal(element, depth + 1) for element in node.elts[:MAX_VALUES]]
    raise InvalidActionError("an argument is no plain value; write numbers, strings and lists of these only")
