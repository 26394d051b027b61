"""An adb server of the tests' own, and simulated phones on it. The user's adb server is never asked."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Adb:
    """The real adb program on a server of its own."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        # No emulators of the user's are looked for, and no key is written into the user's home.
        own = {"ANDROID_ADB_SERVER_PORT": str(self.port), "HOME": str(home), "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553"}
        self.environ = {**os.environ, **own}

    def __call__(self, *words: str) -> str:
        ran = subprocess.run(["adb", *words], env=self.environ, capture_output=True, timeout=60, text=True)
        assert ran.returncode == 0, f"{words}: {ran.stdout}{ran.stderr}"
        return ran.stdout


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
    """What a surface starts by itself (an adb server, a keeper) is ours too."""
    for name in ("ANDROID_ADB_SERVER_PORT", "HOME", "ADB_LOCAL_TRANSPORT_MAX_PORT"):
        monkeypatch.setenv(name, adb.environ[name])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def phone(adb: Adb, chrome: str) -> Iterator[Any]:
    """A simulated phone, connected."""
    from envs.simulators.android.phone import SimulatedPhone

    with SimulatedPhone(executable=chrome) as one:
        adb("connect", one.address)
        yield one
        subprocess.run(["adb", "disconnect", one.address], env=adb.environ, capture_output=True, timeout=30)


@pytest.fixture
def fresh(phone: Any, adb: Adb) -> Any:
    """The phone at its home screen, upright, without a fault, connected, its command log empty."""
    for kind in ("offline", "silent", "slow", "black", "truncated", "nocapture", "rotate", "asleep", "locked"):
        phone.fault(f"{kind}:0")
    deadline = time.monotonic() + 20
    while f"{phone.address}\tdevice" not in adb(
        "devices"
    ):  # right after it was connected it may be offline for a moment
        assert time.monotonic() < deadline, adb("devices")
        adb("connect", phone.address)
        time.sleep(0.1)
    phone.restart()
    phone.commands.log.clear()
    return phone


@pytest.fixture
def surface(fresh: Any) -> Iterator[Any]:
    from envs.surfaces.android import Surface

    with Surface(fresh.address) as made:
        fresh.commands.log.clear()
        yield made


@pytest.fixture
def in_notes(fresh: Any, surface: Any) -> Callable[[], str]:
    """The phone in its Notes app with the cursor in the note; returns what the note holds."""
    from actions import Click, Open

    surface.perform(Open(target="notes"))
    surface.capture()
    box = fresh.evaluate("JSON.parse(JSON.stringify(document.querySelector('#text').getBoundingClientRect()))")
    scale = fresh.glass.scale
    surface.perform(Click(x=int((box["x"] + 20) * scale), y=int((box["y"] + 20) * scale)))
    assert fresh.evaluate("document.activeElement.id") == "text"
    fresh.commands.log.clear()
    return lambda: str(fresh.evaluate("document.querySelector('#text').value"))
