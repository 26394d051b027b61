"""`agent record` as a command: a person's clicks and keys in the viewer's page in Chromium, then their replay."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent
from helpers.record_command import RecordCommand, click, type_text
from helpers.viewer_page import open_page
from helpers.write_site import WriteSite, serve_writes

from agent.trace import list_runs, read_trace

pytestmark = pytest.mark.usefixtures("chromium")
BOX = "position:fixed;left:100px;width:200px;height:60px;top:"
FORM = f"""<title>Order</title><form action=/done method=post>
<input aria-label=Name style="{BOX}100px" name=name>
<input aria-label=Code type=password style="{BOX}200px" name=code>
<button style="{BOX}300px">Order</button></form>"""
NAME, CODE, ORDER = (200, 130), (200, 230), (200, 330)


@pytest.fixture
def site() -> Iterator[WriteSite]:
    with serve_writes() as served:
        served.add("/form", FORM)
        served.add("/done", "<title>Thanks</title><h1>Ordered</h1>")
        yield served


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    commands: list[RecordCommand] = []

    def begin(*arguments: str) -> RecordCommand:
        commands.append(RecordCommand(tmp_path, *arguments))
        return commands[-1]

    yield begin
    for command in commands:
        command.close()


def last_folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / list_runs(tmp_path / "runs")[-1]


def test_demonstration_is_replayed_with_other_values(start: Any, site: WriteSite, agent: Agent, tmp_path: Path) -> None:
    command = start('order for "vina"', "--url", f"{site.origin}/form", "--policy", "sandbox")
    with open_page(command.url) as page:
        click(page, NAME, 1)
        assert not page.locator("#model, #steer-form").filter(visible=True).count()  # nobody would answer
        type_text(page, "vina", 1)
        click(page, CODE, 2)
        type_text(page, "s3cret-pw", 2)
        click(page, ORDER, 3)
        page.click("#hand-back")
        page.wait_for_selector("#phase[data-phase=success]")
    assert command.wait() == 0
    folder = last_folder(tmp_path)
    trace = read_trace(folder)
    acts = [event for event in trace.events if event["event"] == "person.act"]
    assert [act["error"] for act in acts] == [""] * 5
    assert acts[4]["targets"][0]["label"] == "Order"
    assert acts[4]["before"] != acts[4]["screen"]
    assert b"s3cret-pw" not in (folder / "steps.jsonl").read_bytes()
    is_masked = acts[1]["action"]["text"] != "vina"  # as any text whose field was not known in time on a busy machine
    name, secret = ("text1", "text2") if is_masked else ("value1", "text1")
    values = ("--set", f"{name}=zoe", "--set", f"{secret}=other-pw")
    code, out, err = agent("replay", folder.name, *values, "--policy", "sandbox", "--runs", str(tmp_path / "runs"))
    assert code == 0, out + err
    assert [write.body for write in site.writes] == [b"name=vina&code=s3cret-pw", b"name=zoe&code=other-pw"]
    code, out, err = agent("export", folder.name, "--to", "playwright", "--no-check", "--runs", str(tmp_path / "runs"))
    assert code == 0, out + err
    assert 'name="Order"' in out
    assert "s3cret-pw" not in out
    code, out, err = agent("runs", "report", folder.name, "--runs", str(tmp_path / "runs"))
    assert code == 0, out + err


def test_interrupt_ends_demonstration(start: Any, site: WriteSite, agent: Agent, tmp_path: Path) -> None:
    command = start("open the order", "--url", f"{site.origin}/form", "--policy", "sandbox")
    with open_page(command.url) as page:
        click(page, ORDER, 1)
        os.kill(command.process.pid, signal.SIGINT)
        assert command.wait() == 130
    code, out, err = agent(
        "replay", last_folder(tmp_path).name, "--policy", "sandbox", "--runs", str(tmp_path / "runs")
    )
    assert code == 0, out + err
    assert len(site.writes) == 2


def test_own_screen_is_not_recorded(agent: Agent) -> None:
    code, _, err = agent("record", "--surface", "desktop")
    assert code == 2
    assert "desktop:virtual" in err


def test_recording_without_action_fails(start: Any, site: WriteSite, tmp_path: Path) -> None:
    command = start("look", "--url", f"{site.origin}/form", "--policy", "sandbox")
    with open_page(command.url) as page:
        page.wait_for_selector("#frame.taken")
        page.click("#hand-back")
        page.wait_for_selector("#phase[data-phase=failure]")
    assert command.wait() == 1
    assert "nothing was done" in str(read_trace(last_folder(tmp_path)).first("end")["message"])


def test_stop_button_ends_demonstration(start: Any, site: WriteSite, tmp_path: Path) -> None:
    command = start("look", "--url", f"{site.origin}/form", "--policy", "sandbox")
    with open_page(command.url) as page:
        page.wait_for_selector("#frame.taken")
        page.click("#stop")
        page.wait_for_selector("#phase[data-phase=stopped]")
    assert command.wait() == 130
    manifest = json.loads((last_folder(tmp_path) / "manifest.json").read_text())
    assert manifest["policy"]["model"] == "person"
