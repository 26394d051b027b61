"""Write the reference pages under docs/reference from the code.

python scripts/reference.py            # write the pages
python scripts/reference.py --check    # exit code 1, naming them, if pages are out of date
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import inspect
import io
import re
import sys
import tokenize
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
HEADER = "<!-- Written by scripts/reference.py; do not edit. -->\n\n"
MAX_SIGNATURE = 80  # characters on one line
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields", "Example", "Examples")
API_PACKAGES = ("pixelhand", "pixelhand.testing", "agent.policies.factory", "envs.options", "evals", "model", "actions")
API_NAMES = {"agent.policies.factory": ("PolicyOptions",), "envs.options": ("SurfaceOptions",)}  # else __all__

HIDDEN_OPTIONS = {"-h", "--help", "--install-completion", "--show-completion"}
OTHER_VARIABLES = {
    "PIXELHAND_API_KEY": "Bearer token sent to a model server, and the token that `agent serve` requires.",
    "PIXELHAND_CHROME": "Path of the Chrome or Chromium to start.",
    "PIXELHAND_CHROME_SANDBOX": "`off` starts Chromium without its sandbox.",
    "PIXELHAND_ORG_POLICY": "Path of a policy file that no other layer can widen (see [safety](../safety.md)).",
    "PIXELHAND_DEBUG": "`1` prints the traceback of an unexpected error.",
    "ANDROID_ADB_SERVER_PORT": "Port of the adb server (default 5037).",
}


def command_tree(command: Any = None, words: tuple[str, ...] = ("agent",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (words, command) for `agent` and each of its subcommands, the lazily loaded ones included."""
    import typer

    from agent import cli

    if command is None:
        command = typer.main.get_command(cli.app)
    yield words, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        if len(words) == 1 and name in cli.SUBCOMMANDS:
            module = cli.SUBCOMMANDS[name][0]
            if importlib.util.find_spec(module) is None:
                continue
            child = typer.main.get_command(importlib.import_module(module).app)
        yield from command_tree(child, (*words, name))


def cli_page() -> str:
    """Return the page of the command line: every command with its arguments and options."""
    parts = ["# Command line\n"]
    parts.append("Exit codes and the statuses behind them are in [exit codes](exit-codes.md).\n")
    for words, command in command_tree():
        parts.append(f"{'##' if len(words) <= 2 else '###'} `{' '.join(words)}`\n")
        parts.append(inspect.cleandoc(command.help or "").strip() + "\n")
        arguments = [param for param in command.params if not param.opts[0].startswith("-")]
        options = [
            param
            for param in command.params
            if param.opts[0].startswith("-") and not HIDDEN_OPTIONS & {*param.opts} and not param.hidden
        ]
        if getattr(command, "commands", None) and not options:
            continue
        operands = "".join(f" {_operand(param)}" for param in arguments)
        parts.append(f"```text\n{' '.join(words)}{operands}{' [OPTIONS]' if options else ''}\n```\n")
        if arguments:
            parts.append(_table(("argument", "meaning"), [(f"`{_operand(p)}`", _cell(p.help)) for p in arguments]))
        if options:
            rows = [(_flags(p), _kind(p), _default(p), _cell(p.help)) for p in options]
            parts.append(_table(("option", "value", "default", "meaning"), rows))
    return "\n".join(parts)


def _operand(param: Any) -> str:
    name = (param.metavar or param.name).upper()
    return name if param.required else f"[{name}]"


def _flags(param: Any) -> str:
    names = ", ".join(f"`{name}`" for name in param.opts)
    return f"{names} / {', '.join(f'`{name}`' for name in param.secondary_opts)}" if param.secondary_opts else names


def _kind(param: Any) -> str:
    if param.is_flag:
        return ""
    annotation = param.type_descriptor.annotation
    members = getattr(annotation, "__members__", None)
    choices = [member.value for member in members.values()] if members else typing.get_args(annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        return " \\| ".join(f"`{choice}`" for choice in choices)
    names = {"str": "text", "int": "integer", "float": "number", "Path": "path"}
    kind = param.metavar or names.get(getattr(annotation, "__name__", ""), "text")
    limits = [f"{sign} {limit:g}" for sign, limit in (("≥", param.min), ("≤", param.max)) if limit is not None]
    repeated = "repeatable" if param.multiple else ""
    return ", ".join(filter(None, [kind, *limits, repeated]))


def _default(param: Any) -> str:
    default = getattr(param.default, "value", param.default)
    if param.required:
        return "required"
    if default is None or default == "" or default is False or callable(default):
        return ""
    return f"`{param.opts[0]}`" if default is True else f"`{default}`"


def configuration_page() -> str:
    """Return the page of the settings: keys of the TOML files, environment variables and defaults."""
    from agent import config

    lines = [
        "# Configuration\n",
        "A setting is looked up in this order; a later place overrides an earlier one:\n",
        "1. the default below,",
        "2. the user's file: `config.toml` in the platform's configuration folder (`~/.config/pixelhand` on Linux,",
        "   `~/Library/Application Support/pixelhand` on macOS, `%LOCALAPPDATA%\\pixelhand` on Windows),",
        "3. the project's file: `pixelhand.toml` in the current folder,",
        "4. an environment variable: `PIXELHAND_` and the key in upper case (a list: separated by commas; a switch:",
        "   `1`, `true`, `yes` or `0`, `false`, `no`),",
        "5. the flag of the command.\n",
        "`agent config show` prints each setting and the place its value comes from.\n",
        "```toml",
        "# ~/.config/pixelhand/config.toml",
        'model = "Qwen/Qwen2.5-VL-7B-Instruct"',
        'dtype = "bfloat16"',
        'allow_hosts = ["example.org", "*.example.org"]',
        "```\n",
        "A project's file comes with somebody else's code, so it may only narrow what the user's own settings allow:",
        "it may shorten `allow_hosts` and `allow_schemes`, set `approve` to `each`, lower `max_steps` and choose a",
        "start page on your hosts, but not the other way round. It may not set "
        + ", ".join(f"`{key}`" for key in sorted(config.USER_ONLY_KEYS))
        + ".\n",
        "An unknown key, or a value of the wrong type, is an error that names the file and the nearest key.\n",
        "## Settings\n",
    ]
    rows = [
        (f"`{key}`", f"`PIXELHAND_{key.upper()}`", default, _cell(meaning)) for key, default, meaning in _settings()
    ]
    lines.append(_table(("key", "environment variable", "default", "meaning"), rows))
    old_names = getattr(config, "OLD_NAMES", {})
    if old_names:
        renamed = ", ".join(f"`{old}` for `{new}`" for old, new in old_names.items())
        lines.append(f"Old names that are still accepted: {renamed}.\n")
    lines.append("## Other environment variables\n")
    names = sorted({*config.NOT_SETTINGS, *OTHER_VARIABLES})
    lines.append(_table(("variable", "meaning"), [(f"`{name}`", OTHER_VARIABLES.get(name, "")) for name in names]))
    return "\n".join(lines)


def _settings() -> Iterator[tuple[str, str, str]]:
    """Yield (key, default, meaning) of each setting, for a dataclass or a pydantic model."""
    from agent.config import Settings

    comments = _field_comments(Settings)
    pydantic_fields = getattr(Settings, "model_fields", None) or getattr(Settings, "__pydantic_fields__", None)
    if pydantic_fields is not None:
        for key, field in pydantic_fields.items():
            default = field.get_default(call_default_factory=True)
            yield key, _literal(default), field.description or comments.get(key, "")
        return
    for item in dataclasses.fields(Settings):
        default = item.default if item.default is not dataclasses.MISSING else None
        yield item.name, _literal(default), comments.get(item.name, "")


def _literal(value: object) -> str:
    """Return a default as it would be written in TOML; an unset one is empty."""
    if value in (None, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _field_comments(cls: type) -> dict[str, str]:
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


def actions_page() -> str:
    """Return the page of the actions: one section per verb with its fields."""
    from actions import ACTION_TYPES, CONTROL_ACTIONS

    parts = [
        "# Actions\n",
        "An action is a frozen pydantic model of the package `actions`. Coordinates are integer pixels of the",
        "screenshot that the model received, origin at the top left; a point outside it raises",
        "`InvalidActionError` with the",
        "valid range, and is never clamped. As JSON an action is an object with the key `verb`:\n",
        "```json",
        '{"verb": "click", "x": 118, "y": 277}',
        "```\n",
        "Control actions ("
        + ", ".join(f"`{verb}`" for verb in sorted(CONTROL_ACTIONS))
        + ") address the user, not the",
        "screen.\n",
    ]
    for verb, model in ACTION_TYPES.items():
        parts.append(f"## `{verb}`: {model.__name__}\n")
        parts.append(inspect.cleandoc(model.__doc__ or "") + "\n")
        schema = model.model_json_schema()
        rows = []
        for name, field in schema["properties"].items():
            if name == "verb":
                continue
            required = name in schema.get("required", ())
            default = "required" if required else f"`{field.get('default')!r}`"
            rows.append((f"`{name}`", _schema_type(field, schema), default))
        if rows:
            parts.append(_table(("field", "type", "default"), rows))
    return "\n".join(parts)


def _schema_type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Describe a JSON schema's type in words, with its limits."""
    if "anyOf" in field:
        return " or ".join(_schema_type(option, schema) for option in field["anyOf"])
    if "$ref" in field:
        return "point [x, y]"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array" and "prefixItems" in field:
        return "point [x, y]"
    if field.get("type") == "array":
        text = f"list of {_schema_type(field.get('items', {}), schema)}"
        low, high, unit = field.get("minItems"), field.get("maxItems"), " items"
    else:
        text = str(field.get("type", "any"))
        low, high, unit = field.get("minimum"), field.get("maximum"), ""
        if "maxLength" in field:
            low, high, unit = field.get("minLength", 0), field["maxLength"], " characters"
    if (low is None and high is None) or abs(high or 0) > 2**30:
        return text
    return f"{text}, {low or 0:g} to {high:g}{unit}" if high is not None else f"{text}, {low:g} or more{unit}"


def dialects_page() -> str:
    """Return the page of the dialects and of the checkpoints that are known to use each."""
    from actions.plugins import list_plugins, load_plugin
    from model.checkpoints.model_zoo import families, serve_commands

    parts = [
        "# Dialects and checkpoints\n",
        "The dialect is chosen from the checkpoint's own files. Prompts, coordinate spaces and reply syntax of each",
        "are in [dialects](../dialects.md); how to serve them with vLLM is in [scaling](../scaling.md).\n",
    ]
    rows = []
    for name in list_plugins("model.dialects"):
        module = load_plugin("model.dialects", name)
        about = inspect.cleandoc(module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        rows.append((f"`{name}`", _cell(about)))
    parts.append(_table(("dialect", "what it is"), rows))
    parts.append("## Known checkpoints\n")
    parts.append(
        "`agent models pull ID` downloads one; `agent models family DIALECT` prints memory and published scores.\n"
    )
    known = families()
    rows = [
        (
            f"`{checkpoint.hub_id}`",
            f"`{family.dialect}`",
            "in process" if family.runs == "here" else "behind a server",
            _cell(checkpoint.license),
        )
        for family in known
        for checkpoint in family.checkpoints
    ]
    parts.append(_table(("checkpoint", "dialect", "runs", "license"), rows))
    parts.append("## Served by vLLM\n")
    parts.append(
        "Replace MODEL and MORE in the command of [scaling](../scaling.md#vllm-as-the-engine) by the second column, "
        "and append the third to the server's address.\n"
    )
    rows = [
        (family.name, f"`{f'{command.hub_id} {command.arguments}'.strip()}`", f"`{command.query}`")
        for family in known
        for command in serve_commands(family)
    ]
    parts.append(_table(("family", "MODEL and MORE", "after `--model http://127.0.0.1:8000/v1`"), rows))
    return "\n".join(parts)


def api_page() -> str:
    """Return the page of the Python API: every name that the public packages export."""
    parts = [
        "# Python API\n",
        "Import from `pixelhand`; the other packages are for extensions. A guide with examples is in",
        "[Python](../guides/python.md).\n",
    ]
    for package in API_PACKAGES:
        module = _import(package)
        names = API_NAMES.get(package) or getattr(module, "__all__", ())
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
        comments = _field_comments(value)
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


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _cell(text: str | None) -> str:
    """Escape text for a cell of a Markdown table."""
    return re.sub(r"<(\w+)>", r"\\<\1\\>", " ".join((text or "").split())).replace("|", "\\|")


WRITERS: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "configuration.md": configuration_page,
    "actions.md": actions_page,
    "dialects.md": dialects_page,
    "api.md": api_page,
}


def stale_pages() -> list[str]:
    """Return the names of the pages that differ from what the code says now."""
    pages = {name: PAGES / name for name in WRITERS}
    return [
        name
        for name, writer in WRITERS.items()
        if not pages[name].exists() or pages[name].read_text(encoding="utf-8") != _render(writer)
    ]


def _render(writer: Callable[[], str]) -> str:
    return HEADER + re.sub(r"[ \t]+$", "", writer().rstrip(), flags=re.MULTILINE) + "\n"


def main() -> int:
    """Write or check the pages; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the reference pages under docs/reference from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with code 1 if a page is out of date")
    arguments = parser.parse_args()
    if arguments.check:
        stale = stale_pages()
        for name in stale:
            print(f"docs/reference/{name} is out of date; run: python scripts/reference.py", file=sys.stderr)
        return 1 if stale else 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, writer in WRITERS.items():
        (PAGES / name).write_text(_render(writer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
