"""perform_statement: carry out one statement of exported code on a live page, by its syntax tree and an allow-list."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

PARTS = frozenset({"mouse", "keyboard"})  # of a page
METHODS = frozenset(
    {
        "goto", "go_back", "wait_for_timeout", "get_by_role", "get_by_label", "get_by_placeholder", "get_by_text",
        "locator", "nth", "click", "dblclick", "hover", "fill", "press", "press_sequentially", "select_option",
        "drag_to", "move", "down", "up", "wheel", "type",
    }
)  # fmt: skip
START = "open_start"


def perform_statement(line: str, page: Page, open_start: Callable[[], None]) -> None:
    """Carry out a statement such as `page.get_by_role("button", name="Save").click()`.

    Args:
        line: The statement: a call on `page`, or `open_start(page)`. Arguments are literals and `os.environ[NAME]`.
        page: The page.
        open_start: Opens the page that the run started from.

    Raises:
        ValueError: The statement is none of these.
        KeyError: An environment variable is not set.
        playwright.sync_api.Error: The page did not do it.
    """
    expression = ast.parse(line, mode="eval").body
    if not isinstance(expression, ast.Call):
        raise ValueError(f"not a statement of exported code: {line}")
    if isinstance(expression.func, ast.Name) and expression.func.id == START:
        open_start()
        return
    _evaluate(expression, page)


def _evaluate(node: ast.expr, page: Page) -> object:
    match node:
        case ast.Name(id="page"):
            return page
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=items):
            return [_evaluate(item, page) for item in items]
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {_evaluate(key, page): _evaluate(value, page) for key, value in pairs if key is not None}
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{_evaluate(left, page)}{_evaluate(right, page)}"
        case ast.Subscript(
            value=ast.Attribute(value=ast.Name(id="os"), attr="environ"), slice=ast.Constant(value=name)
        ):
            return os.environ[str(name)]
        case ast.Attribute(value=owner, attr=name) if name in PARTS:
            return getattr(_evaluate(owner, page), name)
        case ast.Call(func=ast.Attribute(value=owner, attr=name), args=arguments, keywords=options) if name in METHODS:
            method = getattr(_evaluate(owner, page), name)
            keywords = {option.arg: _evaluate(option.value, page) for option in options if option.arg is not None}
            return method(*(_evaluate(argument, page) for argument in arguments), **keywords)
    raise ValueError(f"not a statement of exported code: {ast.unparse(node)}")
