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
import re
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reference_api import api_page, field_comments

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
HEADER = "<!-- Written by scripts/reference.py; do not edit. -->\n\n"

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
    from agent.see.cli import MORE_COMMANDS

    if command is None:
        command = typer.main.get_command(cli.app)
    yield words, command
    modules = {("agent",): {name: module for name, (module, _) in cli.SUBCOMMANDS.items()}}
    modules["agent", "see"] = dict(MORE_COMMANDS)
    lazy = modules.get(words, {})
    for name, child in sorted(getattr(command, "commands", {}).items()):
        if name in lazy:
            module = lazy[name]
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
        "A project's file may come with foreign code, so it can only narrow what the user's own settings allow:",
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

    comments = field_comments(Settings)
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
    """Return the names of the pages that are out of date."""
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
