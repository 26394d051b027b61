"""`agent record` and `agent replay` on a virtual desktop, whose targets are found by their pixels only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent, last_run
from helpers.desktop_programs import require_programs, require_window_manager
from helpers.record_command import RecordCommand, click, type_text
from helpers.viewer_page import open_page
from helpers.write_site import WriteSite, serve_writes

from agent.trace import read_trace

pytestmark = [pytest.mark.usefixtures("chromium"), pytest.mark.slow]
STYLE = """<style>* { box-sizing: border-box; font: 40px Arial; border: 0; outline: 0 } body { margin: 0 }
input, button { display: block; width: 100%; height: 180px; text-align: center; caret-color: transparent }
input { background: #dde } button { background: #264; color: #fff }</style>"""
FIELD = "<input name=name placeholder='Name of the guest'>"
NAME, ORDER = (644, 200), (644, 380)  # within the field and the button, whatever the height of the toolbar
ON_DESKTOP = ("--surface", "desktop:virtual", "--policy", "sandbox")


def form(button: str, head: str = "") -> str:
    """Return the page of a form."""
    return f"<title>Order</title>{STYLE}{head}<form action=/done method=post>{FIELD}<button>{button}</button></form>"


@pytest.fixture
def site() -> Iterator[WriteSite]:
    require_programs("Xvfb")
    require_window_manager()
    with serve_writes() as served:
        served.add("/form", form("Order now"))
        served.add("/done", "<title>Thanks</title><h1>Ordered</h1>")
        yield served


@pytest.fixture
def recorded(agent: Agent, site: WriteSite, tmp_path: Path) -> str:
    """Record a run of a script, and return its name."""
    script = tmp_path / "script.jsonl"
    actions: list[dict[str, Any]] = [
        {"verb": "click", "x": NAME[0], "y": NAME[1]},
        {"verb": "type", "text": "vina"},
        {"verb": "click", "x": ORDER[0], "y": ORDER[1]},
        {"verb": "done"},
    ]
    script.write_text("".join(json.dumps(action) + "\n" for action in actions), encoding="utf-8")
    arguments = ("--script", str(script), "--url", f"{site.origin}/form", *ON_DESKTOP)
    code, out, err = agent("run", 'order for "vina"', *arguments)
    assert code == 0, out + err
    assert [write.body for write in site.writes] == [b"name=vina"]
    return last_run(tmp_path).name


def test_run_is_replayed_on_moved_page(agent: Agent, site: WriteSite, recorded: str) -> None:
    site.add("/form", form("Order now", "<h1>We have moved</h1>"))
    code, out, err = agent("replay", recorded, "--set", "value1=zoe", "--policy", "sandbox")
    assert code == 0, out + err
    assert [write.body for write in site.writes] == [b"name=vina", b"name=zoe"]


def test_renamed_button_halts_replay(agent: Agent, site: WriteSite, recorded: str) -> None:
    site.add("/form", form("Delete all"))
    code, out, _ = agent("replay", recorded, "--policy", "sandbox")
    assert code == 1
    assert "halted at step 3" in out
    assert len(site.writes) == 1


def test_demonstration_on_desktop_is_replayed(agent: Agent, site: WriteSite, tmp_path: Path) -> None:
    command = RecordCommand(tmp_path, "order", "--url", f"{site.origin}/form", *ON_DESKTOP)
    try:
        with open_page(command.url) as page:
            click(page, NAME, 1)
            type_text(page, "vina", 1)
            click(page, ORDER, 2)
            page.click("#hand-back")
            page.wait_for_selector("#phase[data-phase=success]")
        assert command.wait() == 0
    finally:
        command.close()
    acts = [event for event in read_trace(last_run(tmp_path)).events if event["event"] == "person.act"]
    assert [act["error"] for act in acts] == [""] * 3
    code, out, err = agent("replay", "last", "--set", "text1=zoe", "--policy", "sandbox")
    assert code == 0, out + err
    assert [write.body for write in site.writes] == [b"name=vina", b"name=zoe"]
