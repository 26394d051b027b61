"""The reference page of the Python API, and the comments of fields as documentation."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from types import ModuleType
from typing import Any

MAX_SIGNATURE = 80  # characters on one line
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields", "Example", "Examples")
PACKAGES = (
    "pixelhand",
    "pixelhand.testing",
    "pixelhand.see",
    "agent.policies.factory",
    "envs.options",
    "evals",
    "model",
    "actions",
)
NAMES = {"agent.policies.factory": ("PolicyOptions",), "envs.options": ("SurfaceOptions",)}  # else __all__


def api_page() -> str:
    """Return the page of the Python API: every name that the public packages export."""
    parts = [
        "# Python API\n",
        "Import from `pixelhand`; the other packages are for extensions. A guide with examples is in",
        "[Python](../guides/python.md).\n",
    ]
    for package in PACKAGES:
        module = _import(package)
        names = NAMES.get(package) or getattr(module, "__all__", ())
        if module is None or not names:
            continue
        parts.append(f"## `{package}`\n")
        parts.append(_doc(module) + "\n")
        exported: list[tuple[str, object]] = []
        for name in names:
            try:
                value = getattr(module, name)
            except (AttributeError, ImportError) as error:
                print(f"{package}.{name} is left out: {error}", file=sys.stderr)
                continue
            exported.append((name, value))
        for name, value in sorted(exported, key=_entry_order):
            parts.extend(_api_entry(package, name, value))
    return "\n".join(parts)


def _import(package: str) -> ModuleType | None:
    """Import a package; return None, with a warning, if it or something that it needs is absent."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        print(f"{package} is left out: {error}", file=sys.stderr)
        return None


def _entry_order(entry: tuple[str, object]) -> tuple[int, str]:
    """Order functions before classes, errors, actions and modules."""
    name, value = entry
    if isinstance(value, ModuleType):
        rank = 4
    elif not isinstance(value, type):
        rank = 0 if inspect.isroutine(value) else 5
    elif issubclass(value, BaseException):
        rank = 2
    else:
        rank = 3 if value.__module__ == "actions.types" else 1
    return rank, name.lower()


def _api_entry(package: str, name: str, value: object) -> Iterator[str]:
    """Yield the section of one exported name: signature, docstring and public methods."""
    if isinstance(value, ModuleType):
        yield f"### `{package}.{name}`\n\n{_doc(value)}\n"
        return
    if not callable(value) or getattr(value, "__module__", "").split(".")[0] in ("typing", "builtins"):
        yield f"### `{package}.{name}`\n\n{'Constant.' if not callable(value) else 'Type alias.'}\n"
        return
    if getattr(value, "__module__", "") == "actions.types" and isinstance(value, type):
        yield f"### `{package}.{name}`\n\n{_doc(value)} See [actions](actions.md).\n"
        return
    yield f"### `{package}.{name}`\n"
    if isinstance(value, type) and issubclass(value, BaseException):
        yield f"```python\nexception {name}({value.__mro__[1].__name__})\n```\n"
    elif getattr(value, "_is_protocol", False):
        yield f"```python\nclass {name}(Protocol)\n```\n"
    else:
        yield f"```python\n{'class ' if isinstance(value, type) else ''}{name}{_signature(value)}\n```\n"
    doc = _doc(value)
    yield doc + "\n"
    if dataclasses.is_dataclass(value) and isinstance(value, type) and "**Attributes**" not in doc:
        comments = field_comments(value)
        fields = [
            f"- `{field.name}`: {comments[field.name]}" for field in dataclasses.fields(value) if field.name in comments
        ]
        if fields:
            yield "\n".join(["**Attributes**", "", *fields]) + "\n"
    if isinstance(value, type):
        for method_name, method in vars(value).items():
            function = method.__func__ if isinstance(method, classmethod | staticmethod) else method
            if method_name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
                continue
            signature = f"{method_name}{_signature(function)}"
            yield f"#### `{name}.{method_name}`\n\n```python\n{signature}\n```\n\n{_doc(function)}\n"


def _signature(value: Any) -> str:
    """Format a signature without quotes around annotations, one parameter per line if it is long."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    parts, previous = [], None
    for param in signature.parameters.values():
        if param.name in ("self", "cls"):
            continue
        if param.kind is param.KEYWORD_ONLY and previous not in (param.KEYWORD_ONLY, param.VAR_POSITIONAL):
            parts.append("*")
        previous = param.kind
        text = {param.VAR_POSITIONAL: "*", param.VAR_KEYWORD: "**"}.get(param.kind, "") + param.name
        if param.annotation is not param.empty:
            text += f": {_annotation(param.annotation)}"
        if param.default is not param.empty:
            text += f" = {_default_value(param.default)}"
        parts.append(text)
    returned = signature.return_annotation
    arrow = "" if returned is signature.empty or returned in (None, "None") else f" -> {_annotation(returned)}"
    line = f"({', '.join(parts)}){arrow}"
    return line if len(line) <= MAX_SIGNATURE else "(\n" + "".join(f"    {part},\n" for part in parts) + f"){arrow}"


def _annotation(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.replace("typing.", "")


def _default_value(default: object) -> str:
    if inspect.isfunction(default):
        return "..."
    if isinstance(default, set | frozenset):
        return "{" + ", ".join(sorted(map(repr, default))) + "}"
    return f"{type(default).__name__}()" if dataclasses.is_dataclass(default) else repr(default)


def _doc(value: object) -> str:
    """Return a docstring as Markdown; sections such as `Args:` become lists."""
    text = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    if isinstance(value, type):
        inherited = text == inspect.cleandoc(getattr(value.__mro__[1], "__doc__", None) or "")
        if inherited or text.startswith(f"{value.__name__}("):
            return ""
    lines: list[str] = []
    section = ""
    for line in text.splitlines():
        if line.removesuffix(":") in SECTIONS and line.endswith(":"):
            section = line.removesuffix(":")
            lines += [f"**{section}**", ""]
        elif section in ("Args", "Attributes", "Raises") and (entry := re.match(r" {4}(\S[^:]*): (.*)", line)):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        elif section and section not in ("Example", "Examples"):
            lines.append(f"  {line.strip()}" if section in ("Args", "Attributes", "Raises") and line else line.strip())
            section = section if line.startswith(" ") or not line else ""
        else:
            lines.append(line)
    return "\n".join(lines).strip()


def field_comments(cls: type) -> dict[str, str]:
    """Return the comment behind (or above) each field of a class."""
    comments: dict[str, str] = {}
    field, pending = "", ""
    source = inspect.cleandoc(inspect.getsource(cls))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("# ")
            if token.line.lstrip().startswith("#") and not field:
                pending = f"{pending} {text}".strip()
            elif field:
                comments[field] = f"{comments.get(field, '')} {text}".strip()
        elif token.type == tokenize.NEWLINE:
            field = ""
        elif token.type == tokenize.NAME and not field:
            match = re.match(r"\s+(\w+)\s*:", token.line)
            if match and match[1] == token.string:
                field = token.string
                if pending:
                    comments[field], pending = pending, ""
    return comments
