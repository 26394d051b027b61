"""`agent install`: entries in the settings of MCP hosts, and the skill."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the package mcp is missing (extra [mcp])")

from helpers.command import Agent
from helpers.mcp_tools import MCP_TOOLS
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from agent.mcp.hosts import BACKUP_SUFFIX, HOSTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the user's home."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setenv("PIXELHAND_CHROME", "/bin/true")  # no browser is started
    return folder


def entry_in(path: Path, key: str = "mcpServers") -> dict[str, Any]:
    return dict(json.loads(path.read_text())[key]["pixelhand"])


@pytest.mark.parametrize("name", HOSTS)
def test_entry_is_added_to_each_host(agent: Agent, name: str, home: Path) -> None:
    assert agent("install", name)[0] == 0
    path = HOSTS[name].file(None)
    assert path.is_relative_to(home)
    entry = entry_in(path, HOSTS[name].key)
    assert entry["args"] == ["-m", "agent", "mcp", "--url", "about:blank"]
    assert os.access(entry["command"], os.X_OK)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_other_settings_are_kept_with_backup(agent: Agent, home: Path) -> None:
    path = home / ".cursor" / "mcp.json"
    path.parent.mkdir()
    text = json.dumps({"theme": "dark", "mcpServers": {"other": {"command": "x", "env": {"KEY": "ключ"}}}})
    path.write_text(text)
    path.chmod(0o640)
    assert agent("install", "cursor", "--surface", "desktop:virtual")[0] == 0
    data = json.loads(path.read_text())
    assert data["theme"] == "dark"
    assert data["mcpServers"]["other"] == {"command": "x", "env": {"KEY": "ключ"}}
    assert data["mcpServers"]["pixelhand"]["args"][-2:] == ["--surface", "desktop:virtual"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.with_name(path.name + BACKUP_SUFFIX).read_text() == text
    assert agent("install", "cursor", "--remove")[0] == 0
    assert list(json.loads(path.read_text())["mcpServers"]) == ["other"]


def test_linked_file_stays_a_link(agent: Agent, home: Path) -> None:
    target = home / "dotfiles.json"
    target.write_text("{}")
    path = home / ".claude.json"
    path.symlink_to(target)
    assert agent("install", "claude")[0] == 0
    assert path.is_symlink()
    assert "pixelhand" in target.read_text()


@pytest.mark.parametrize("text", ['{"mcpServers": {} // mine\n}', "[]", '{"mcpServers": []}', '{"a": 1'])
def test_unreadable_settings_stay_unchanged(agent: Agent, home: Path, text: str) -> None:
    path = home / ".claude.json"
    path.write_text(text)
    code, _, err = agent("install", "claude")
    assert code == 2
    assert "--print" in err
    assert path.read_text() == text


def test_skill_is_written_and_removed(agent: Agent, home: Path) -> None:
    agent("install", "claude")
    skill = home / ".claude" / "skills" / "pixelhand" / "SKILL.md"
    assert skill.read_text().startswith("---\nname: pixelhand\n")
    assert agent("install", "claude", "--remove")[0] == 0
    assert not skill.exists()
    assert agent("install", "claude", "--remove")[0] == 2


def test_project_entry_is_in_the_folder(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert agent("install", "vscode", "--project")[0] == 0
    assert entry_in(tmp_path / ".vscode" / "mcp.json", "servers")["type"] == "stdio"
    assert agent("install", "windsurf", "--project")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("emacs",), "emacs"),
        (("claude", "--model", "no/such/folder"), "no/such/folder"),
        (("claude", "--policy", "nosuch"), "nosuch"),
        (("claude", "--surface", "radio"), "radio"),
        (("claude", "--remove", "--print"), "--remove"),
    ],
)
def test_unusable_options_write_nothing(agent: Agent, home: Path, arguments: tuple[str, ...], word: str) -> None:
    code, _, err = agent("install", *arguments)
    assert code == 2
    assert word in err
    assert not (home / ".claude.json").exists()


def test_entry_starts_a_server(agent: Agent, home: Path) -> None:
    agent("install", "claude")
    entry = entry_in(home / ".claude.json")
    server = StdioServerParameters(command=entry["command"], args=entry["args"], cwd=ROOT, env=dict(os.environ))

    async def list_tools() -> list[str]:
        async with Client(server, read_timeout_seconds=90) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    assert set(asyncio.run(list_tools())) == MCP_TOOLS
