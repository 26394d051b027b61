"""Compile chat templates, which are code of a checkpoint, with bounds on the time and memory that they take."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import Environment, nodes
from jinja2.ext import loopcontrols
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.runtime import Context

MAX_SOURCE_CHARS = 1_000_000
MAX_STEPS = 300_000  # loop iterations and calls of one rendering; 1,000 messages take some 10,000
MAX_CHARS = 10_000_000  # of one text
MAX_WIDTH = 10_000  # of padding and indentation
WIDTH = re.compile(r"\d{5}|\*")  # in a format
STEP, TEXT = "_count_steps", "_limit_text"  # filters that the compiler inserts


class TemplateLimitError(Exception):
    """A template exceeds a limit of time or memory."""


class TemplateRefusedError(Exception):
    """A template rejects the conversation."""


class _InsertLimits(NodeTransformer):
    """Count the iterations of all loops and measure the results of all concatenations."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - named by Jinja
        self.generic_visit(node)
        node.iter = _filtered(node.iter, STEP)
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return node if node.node is None or node.name in (STEP, TEXT) else _filtered(node, TEXT)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.filter = nodes.Filter(node.filter, TEXT, [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, TEXT)


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    assert isinstance(node, nodes.Expr)
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox whose templates end: with their text, or with TemplateLimitError."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        self.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        self.filters[STEP], self.filters[TEXT] = self._count_steps, _limit_text
        for name in ("center", "indent", "truncate", "wordwrap", "batch", "slice", "round"):
            self.filters[name] = _limited(self.filters[name], _check_numbers)
        self.filters["format"] = _limited(self.filters["format"], lambda values: _check_format(*values[:1]))
        self.filters["join"] = _limited(self.filters["join"], _check_join)
        self.filters["replace"] = _limited(self.filters["replace"], lambda values: _check_replacement(*values))
        self.globals["raise_exception"] = refuse
        del self.globals["lipsum"]
        self._steps = 0

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > MAX_SOURCE_CHARS:
            raise TemplateLimitError(f"it has {len(source)} characters, more than {MAX_SOURCE_CHARS}")
        template = super()._parse(source, name, filename)
        _InsertLimits().visit(template)
        return template

    def render(self, template: Template, values: dict[str, object]) -> str:
        """Return the text of a template.

        Raises:
            TemplateLimitError: It takes too many steps, or too much memory.
        """
        self._steps = 0
        parts, length = [], 0
        for part in template.generate(**values):
            self._count()
            length += len(part)
            if length > MAX_CHARS:
                raise TemplateLimitError(f"it writes more than {MAX_CHARS} characters")
            parts.append(part)
        return "".join(parts)

    def call(self, context: Context, obj: object, *args: object, **kwargs: object) -> object:
        """Call a function, and count the call."""
        self._count()
        _check_method(obj, (*args, *kwargs.values()))
        return _limit_text(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Apply an operator, unless its result would be too large."""
        self._count()
        if operator == "*":
            for value, times in ((left, right), (right, left)):
                if isinstance(value, str | list | tuple | bytes) and isinstance(times, int):
                    _check_length(len(value) * max(times, 0))
        if operator in ("*", "**") and _bits(left) * (_bits(right) if operator == "*" else _exponent(right)) > 1e6:
            raise TemplateLimitError("it computes too large a number")
        if operator == "%" and isinstance(left, str):
            _check_format(left)
        if operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
            _check_length(len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TemplateLimitError(f"it does not end within {MAX_STEPS} steps")

    def _count_steps(self, values: Iterable[object]) -> list[object]:
        # A list, as `loop.length` and `loop.last` need one; its length is counted before the loop runs.
        return list(self._counted(values))

    def _counted(self, values: Iterable[object]) -> Iterator[object]:
        for value in values:
            self._count()
            yield value


def _limit_text(value: Any) -> Any:
    if isinstance(value, str | list | tuple):
        _check_length(len(value))
    return value


def _check_length(length: int) -> None:
    if length > MAX_CHARS:
        raise TemplateLimitError(f"it builds a text of more than {MAX_CHARS} characters")


def _check_method(function: object, arguments: Sequence[object]) -> None:
    """Check the arguments of a method of str whose result may be much longer than they are."""
    method = getattr(function, "__wrapped__", function)  # the sandbox wraps str.format
    name, text = getattr(method, "__name__", ""), getattr(method, "__self__", None)
    if not isinstance(text, str):
        return
    if name in ("format", "format_map"):
        _check_format(text)
    if name in ("center", "ljust", "rjust", "zfill", "expandtabs"):
        _check_numbers(arguments)
    if name == "replace":
        _check_replacement(text, *arguments)


def _check_format(*texts: object) -> None:
    if any(isinstance(text, str) and WIDTH.search(text) for text in texts):
        raise TemplateLimitError(f"it pads text by more than {MAX_WIDTH} characters")


def _check_replacement(text: object, *arguments: object) -> None:
    if len(arguments) >= 2 and all(isinstance(value, str) for value in (text, *arguments[:2])):
        _check_length(str(text).count(str(arguments[0])) * len(str(arguments[1])))


def _check_join(values: Sequence[object]) -> None:
    items = values[0] if isinstance(values[0], list | tuple) else ()
    separator = values[1] if len(values) > 1 and isinstance(values[1], str) else ""
    if len(separator) > MAX_WIDTH:
        raise TemplateLimitError(f"it joins texts by more than {MAX_WIDTH} characters")
    _check_length(sum(len(item) if isinstance(item, str) else 1 for item in items) + len(separator) * len(items))


def _check_numbers(arguments: Iterable[object]) -> None:
    if any(isinstance(argument, int) and abs(argument) > MAX_WIDTH for argument in arguments):
        raise TemplateLimitError(f"it pads or indents text by more than {MAX_WIDTH} characters")


def _limited(function: Any, check: Callable[[Sequence[object]], None]) -> Any:
    """Return a filter whose arguments are checked, with the markers that Jinja sets on it."""

    def limited(*args: Any, **kwargs: Any) -> Any:
        check([value for value in (*args, *kwargs.values()) if not isinstance(value, Environment | EvalContext)])
        return function(*args, **kwargs)

    limited.__dict__.update(getattr(function, "__dict__", {}))
    return limited


def _bits(value: object) -> float:
    return float(value.bit_length()) if isinstance(value, int) else 0.0


def _exponent(value: object) -> float:
    return float(abs(value)) if isinstance(value, int) else 0.0


def refuse(message: str) -> NoReturn:
    """Raise TemplateRefusedError; templates call this function raise_exception."""
    raise TemplateRefusedError(message)
