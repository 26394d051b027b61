"""MCP hosts: where each keeps its list of servers, and how an entry is added to it or removed from it."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actions import UsageError
from actions.atomic_file import PRIVATE, replace_file

NAME = "pixelhand"  # of the entry, and of the skill
BACKUP_SUFFIX = ".before-pixelhand"


@dataclass(frozen=True)
class McpHost:
    """A program that starts MCP servers.

    Args:
        title: Its name for people.
        path: Its file of servers for all projects; "~" is the user's home, "{config}" the folder of settings.
        project_path: The same for one project, from the project's folder; "" where it has none.
        key: The key of the servers in the file.
        skills: Its folder of skills; "" where it has none.
        has_type: Whether an entry names its transport.
    """

    title: str
    path: str
    project_path: str = ""
    key: str = "mcpServers"
    skills: str = ""
    has_type: bool = False

    def file(self, project: Path | None) -> Path:
        """Return its file of servers: that of the user, or that of a project.

        Raises:
            UsageError: It has no file for projects.
        """
        if project is not None:
            if not self.project_path:
                raise UsageError(f"--project cannot be used: {self.title} has one list of servers. Remove --project")
            return project / self.project_path
        import platformdirs

        config = platformdirs.user_config_path(roaming=True)
        return Path(self.path.replace("{config}", str(config))).expanduser()


HOSTS = {
    "claude": McpHost("Claude Code", "~/.claude.json", ".mcp.json", skills="~/.claude/skills", has_type=True),
    "claude-desktop": McpHost("Claude Desktop", "{config}/Claude/claude_desktop_config.json"),
    "cursor": McpHost("Cursor", "~/.cursor/mcp.json", ".cursor/mcp.json"),
    "gemini": McpHost("Gemini CLI", "~/.gemini/settings.json", ".gemini/settings.json"),
    "vscode": McpHost("VS Code", "{config}/Code/User/mcp.json", ".vscode/mcp.json", "servers", has_type=True),
    "windsurf": McpHost("Windsurf", "~/.codeium/windsurf/mcp_config.json"),
}


def make_entry(host: McpHost, command: Sequence[str]) -> dict[str, object]:
    """Return the entry of a server that a command starts."""
    transport = {"type": "stdio"} if host.has_type else {}
    return {**transport, "command": command[0], "args": list(command[1:])}


def add_server(path: Path, key: str, entry: Mapping[str, object]) -> bool:
    """Add or replace this package's entry in a host's file, and keep everything else; return whether it changed.

    The file as it was is kept beside it, once, with BACKUP_SUFFIX.

    Raises:
        UsageError: The file is not a JSON object, or cannot be written.
    """
    data, servers = _read_servers(path, key)
    if servers.get(NAME) == entry:
        return False
    _write(path, {**data, key: {**servers, NAME: dict(entry)}}, keeps_backup=True)
    return True


def remove_server(path: Path, key: str) -> bool:
    """Remove this package's entry from a host's file; return whether there was one.

    Raises:
        UsageError: The file is not a JSON object, or cannot be written.
    """
    data, servers = _read_servers(path, key)
    if NAME not in servers:
        return False
    _write(path, {**data, key: {name: server for name, server in servers.items() if name != NAME}}, keeps_backup=False)
    return True


def _read_servers(path: Path, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return {}, {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be changed: it is not plain JSON ({error}). Add the entry by hand, with --print"
        ) from None
    servers = data.get(key, {}) if isinstance(data, dict) else None
    if not isinstance(servers, dict):
        raise UsageError(f"{path} cannot be changed: {key!r} is not an object. Add the entry by hand, with --print")
    return data, servers


def _write(path: Path, data: Mapping[str, object], *, keeps_backup: bool) -> None:
    """Replace a file at once, through links, with its permissions; keep its first version beside it if asked."""
    try:
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        backup = target.with_name(target.name + BACKUP_SUFFIX)
        mode = PRIVATE  # such files may contain keys of other servers
        if target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
            if keeps_backup and not backup.exists():
                shutil.copy2(target, backup)
        replace_file(target, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode(), mode)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
