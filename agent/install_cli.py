"""Command line of `agent install`: enter the MCP server in the settings of a host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

EMPTY_PAGE = "about:blank"  # from which the host opens pages

app = typer.Typer(help="Give a host a screen: enter `agent mcp` in its settings.", rich_markup_mode=None)


@app.command()
def install(
    host: Annotated[str, typer.Argument(help="claude, claude-desktop, cursor, gemini, vscode or windsurf.")],
    surface: Annotated[
        str | None, typer.Option(help="As of `agent mcp`: browser (default), desktop[:virtual] or android[:SERIAL].")
    ] = None,
    url: Annotated[str | None, typer.Option(help="As of `agent mcp`.")] = None,
    model: Annotated[str | None, typer.Option(help="As of `agent mcp`: the model of the tool run_task.")] = None,
    policy: Annotated[str | None, typer.Option(help="As of `agent mcp`.", metavar="NAME|FILE")] = None,
    project: Annotated[
        bool, typer.Option("--project", help="Enter it for the project in this folder only, where the host has that.")
    ] = False,
    print_only: Annotated[bool, typer.Option("--print", help="Print the entry, and write nothing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the entry and the skill.")] = False,
) -> None:
    """Enter the MCP server in the settings of HOST, and a skill where the host has skills.

    Other entries are kept, and the file as it was stays beside it. Restart HOST afterwards.
    """
    from importlib.util import find_spec
    from json import dumps

    from actions import UsageError
    from agent.mcp.hosts import HOSTS, add_server, make_entry, remove_server

    if host not in HOSTS:
        raise UsageError(f"no host is called {host!r}; the hosts are: {', '.join(HOSTS)}")
    options = {"--surface": surface, "--url": url, "--model": model, "--policy": policy}
    arguments = [word for name, value in options.items() if value is not None for word in (name, value)]
    path = HOSTS[host].file(Path.cwd() if project else None)
    if remove:
        if arguments or print_only:
            raise UsageError("--remove takes no other options than --project; remove them")
        has_entry, has_skill = remove_server(path, HOSTS[host].key), _remove_skill(HOSTS[host].skills)
        if not has_entry and not has_skill:
            raise UsageError(f"there is nothing to remove: {path} has no entry for pixelhand")
        print(f"removed from {path}")
        return
    if find_spec("mcp") is None:
        raise UsageError("`agent mcp` needs the package mcp; install it with: pip install 'pixelhand[mcp]'")
    if url is None and surface in (None, "browser"):
        url, arguments = EMPTY_PAGE, [*arguments, "--url", EMPTY_PAGE]
    _check(surface, url, model, policy)
    entry = make_entry(HOSTS[host], [sys.executable, "-m", "agent", "mcp", *arguments])
    if print_only:
        print(dumps({HOSTS[host].key: {"pixelhand": entry}}, indent=2))
        return
    has_changed = add_server(path, HOSTS[host].key, entry)
    print(f"{'entered in' if has_changed else 'already in'} {path}")
    if HOSTS[host].skills:
        print(f"{'skill':10} {_write_skill(HOSTS[host].skills)}")
    print(f"restart {HOSTS[host].title}; its tools are screenshot, act, run_task, status and stop")


def _check(surface: str | None, url: str | None, model: str | None, policy: str | None) -> None:
    """Raise UsageError for options with which `agent mcp` would not start."""
    from actions import UsageError
    from agent import config
    from agent.preflight import model_problems, target_problems
    from agent.session import safety_policy

    settings = config.load({"surface": surface, "url": url, "model": model, "policy": policy})
    if problems := target_problems(settings) + model_problems(settings):
        raise UsageError("\n".join(problems))
    safety_policy(settings)


def _skill_file(folder: str) -> Path:
    return Path(folder).expanduser() / "pixelhand" / "SKILL.md"


def _write_skill(folder: str) -> Path:
    from importlib.resources import files

    path = _skill_file(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(files("agent.mcp").joinpath("skill.md").read_text(encoding="utf-8"), encoding="utf-8")
    return path


def _remove_skill(folder: str) -> bool:
    path = _skill_file(folder)
    if not folder or not path.exists():
        return False
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    return True
