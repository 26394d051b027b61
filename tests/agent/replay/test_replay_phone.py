"""`agent record` and `agent replay` on a simulated phone, whose targets are found by the hierarchy of its screen."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.adb_server import Adb
from helpers.command import Agent, last_run
from helpers.record_command import RecordCommand, click, type_text
from helpers.viewer_page import open_page

from agent.trace import read_trace
from envs.simulators.android.phone import SimulatedPhone

pytestmark = [pytest.mark.usefixtures("chromium"), pytest.mark.slow]
NOTES_JS = "Array.from(document.querySelectorAll('#list li'), item => item.textContent)"


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedPhone]:
    """Return a simulated phone on an adb server of its own."""
    if shutil.which("adb") is None:
        pytest.skip("adb is missing: scripts/android.sh installs it")
    home = tmp_path / "adb-home"
    home.mkdir()
    adb = Adb(home)
    for name in ("ANDROID_ADB_SERVER_PORT", "HOME", "ADB_LOCAL_TRANSPORT_MAX_PORT"):
        monkeypatch.setenv(name, adb.environ[name])
    adb("start-server")
    try:
        with SimulatedPhone() as phone:
            adb("connect", phone.address)
            yield phone
    finally:
        subprocess.run(["adb", "kill-server"], env=adb.environ, capture_output=True, timeout=30)


def center(phone: SimulatedPhone, selector: str) -> tuple[int, int]:
    """Return the middle of an element in pixels of the screen."""
    box = phone.evaluate(f"JSON.parse(JSON.stringify(document.getElementById('{selector}').getBoundingClientRect()))")
    assert isinstance(box, dict)
    scale = phone.screen.scale
    return int((box["x"] + box["width"] / 2) * scale), int((box["y"] + box["height"] / 2) * scale)


@pytest.fixture
def demonstration(phone: SimulatedPhone, tmp_path: Path) -> str:
    """Record a person who writes a note, and return the name of the run."""
    surface = f"android:{phone.address}"
    command = RecordCommand(tmp_path, "write a note", "--surface", surface, "--policy", "sandbox")
    try:
        with open_page(command.url) as page:
            click(page, center(phone, "org.pixelhand.notes"), 1, phone.screen.size)
            click(page, center(phone, "title"), 2, phone.screen.size)
            type_text(page, "milk", 1)
            click(page, center(phone, "save"), 3, phone.screen.size)
            page.click("#hand-back")
            page.wait_for_selector("#phase[data-phase=success]")
        assert command.wait() == 0
    finally:
        command.close()
    return last_run(tmp_path).name


def test_demonstration_is_replayed_on_turned_phone(
    agent: Agent, phone: SimulatedPhone, demonstration: str, tmp_path: Path
) -> None:
    acts = [event for event in read_trace(last_run(tmp_path)).events if event["event"] == "person.act"]
    labels = [act["targets"][0]["label"] for act in acts if act.get("targets")]
    assert labels == ["NNotes", "title", "Save"]
    phone.restart()
    phone.fault("rotate:1")
    code, out, err = agent("replay", demonstration, "--set", "text1=bread", "--policy", "sandbox")
    assert code == 0, out + err
    assert phone.evaluate(NOTES_JS) == ["bread"]


def test_missing_app_halts_replay(agent: Agent, phone: SimulatedPhone, demonstration: str) -> None:
    phone.restart()
    phone.evaluate("document.getElementById('org.pixelhand.notes').remove()")
    code, out, _ = agent("replay", demonstration, "--set", "text1=bread", "--policy", "sandbox")
    assert code == 1
    assert "is not on the screen" in out
