"""An adb server of the tests' own and simulated phones on it. The user's adb server is never used."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.adb_server import Adb
from helpers.eventually import eventually

from envs.network.rules import NetworkRules
from envs.simulators.android.faults import KINDS
from envs.simulators.android.phone import SimulatedPhone
from envs.surfaces.android import Surface


@pytest.fixture(scope="session")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adb]:
    if shutil.which("adb") is None:
        pytest.skip("adb is missing: scripts/android.sh installs it")
    server = Adb(tmp_path_factory.mktemp("adb-home"))
    server("start-server")
    yield server
    subprocess.run(["adb", "kill-server"], env=server.environ, capture_output=True, timeout=30)


@pytest.fixture(autouse=True)
def own_environment(adb: Adb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let what a surface starts (an adb server, a clean-up process) use the tests' adb server, too."""
    for name in ("ANDROID_ADB_SERVER_PORT", "HOME", "ADB_LOCAL_TRANSPORT_MAX_PORT"):
        monkeypatch.setenv(name, adb.environ[name])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def shared_phone(adb: Adb, chrome: str) -> Iterator[SimulatedPhone]:
    """Return a connected simulated phone in any state."""
    with SimulatedPhone(executable=chrome, network=NetworkRules(named=("127.0.0.1:*",))) as phone:
        adb("connect", phone.address)
        yield phone
        subprocess.run(["adb", "disconnect", phone.address], env=adb.environ, capture_output=True, timeout=30)


@pytest.fixture
def phone(shared_phone: SimulatedPhone, adb: Adb) -> SimulatedPhone:
    """Return a connected phone at its home screen, upright, without faults, its command log empty."""
    for kind in KINDS:
        shared_phone.fault(f"{kind}:0")

    def is_connected() -> bool:
        if f"{shared_phone.address}\tdevice" in adb("devices"):
            return True
        adb("connect", shared_phone.address)  # right after that it may be offline for a moment
        return False

    eventually(is_connected, interval_s=0.1)
    shared_phone.restart()
    shared_phone.shell.log.clear()
    return shared_phone


@pytest.fixture
def surface(phone: SimulatedPhone) -> Iterator[Surface]:
    with Surface(phone.address) as opened:
        phone.shell.log.clear()
        yield opened


@pytest.fixture
def read_note(phone: SimulatedPhone, surface: Surface) -> Callable[[], str]:
    """Open the Notes app with the focus in its text field; the value returns the field's text."""
    from actions import Click, Open

    surface.perform(Open(target="notes"))
    surface.capture()
    box = phone.evaluate("JSON.parse(JSON.stringify(document.querySelector('#text').getBoundingClientRect()))")
    assert isinstance(box, dict)
    scale = phone.screen.scale
    surface.perform(Click(x=int((box["x"] + 20) * scale), y=int((box["y"] + 20) * scale)))
    assert phone.evaluate("document.activeElement.id") == "text"
    phone.shell.log.clear()
    return lambda: str(phone.evaluate("document.querySelector('#text').value"))
