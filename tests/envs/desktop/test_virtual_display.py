"""A virtual desktop starts, is isolated from the user's session, and ends with every process it started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from helpers.desktop_programs import require_programs, require_window_manager
from helpers.eventually import eventually

from actions import Move, PressKeys, SurfaceError, UsageError, Wait
from envs.desktop.cleanup_process import PROCESS_TAG, CleanupProcess, end_processes, tagged_processes
from envs.desktop.virtual_display import VirtualDesktop
from envs.desktop.x11.connection import connect
from envs.surfaces.desktop import Surface


@pytest.fixture(autouse=True)
def programs() -> None:
    require_programs("Xvfb", "mousepad")
    require_window_manager()


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_ended(pids: Iterable[int]) -> bool:
    return not any(is_running(pid) for pid in pids)


def test_program_is_isolated_from_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("WAYLAND_DISPLAY", "WAYLAND_SOCKET", "SESSION_MANAGER", "AT_SPI_BUS_ADDRESS", "XDG_ACTIVATION_TOKEN")
    for name in names:
        monkeypatch.setenv(name, "their-session")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/their-session")
    desktop = VirtualDesktop(program="mousepad", width=640, height=480)
    try:
        environ = psutil.Process(desktop.pids()[-1]).environ()
        assert environ["DBUS_SESSION_BUS_ADDRESS"] in ("disabled:", desktop.isolation.home.bus_address)
        assert environ["DISPLAY"] == desktop.display
        assert [name for name, value in environ.items() if "their-session" in value] == []
        # A Wayland client without WAYLAND_DISPLAY uses the socket wayland-0 of this folder: the user's own has one.
        runtime = Path(environ["XDG_RUNTIME_DIR"])
        assert runtime.is_relative_to(desktop.authority.parent)
        assert runtime.stat().st_mode & 0o777 == 0o700
    finally:
        desktop.close()


def test_close_ends_processes_and_removes_files() -> None:
    desktop = VirtualDesktop(program="mousepad", width=640, height=480)
    pids, folder = [*desktop.pids(), desktop.cleanup.pid], desktop.authority.parent
    assert len(pids) == 4
    desktop.close()
    desktop.close()
    assert all_ended(pids)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"program": "no-such-program-here"}, "'no-such-program-here' was not found"),
        ({"program": "mousepad 'unclosed"}, "cannot be parsed"),
        ({"program": "mousepad", "url": "about:blank"}, "an address or a program, not both"),
        ({"url": "practice:no-such-task"}, "no-such-task"),
    ],
)
def test_invalid_options_start_nothing(fields: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VirtualDesktop, "_start_server", lambda *_: pytest.fail("it started"))
    with pytest.raises(UsageError, match=message):
        VirtualDesktop(**fields)


def test_missing_xvfb_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "Xvfb" else f"/usr/bin/{name}")
    with pytest.raises(UsageError, match=r"needs Xvfb, which is not installed; as root: apt-get install xvfb"):
        VirtualDesktop(program="mousepad")


def test_failing_program_reports_its_last_output(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    close = VirtualDesktop.close
    monkeypatch.setattr(VirtualDesktop, "close", lambda self: (pids.extend(self.pids()), close(self))[1])
    with pytest.raises(SurfaceError, match=r"sh of the virtual desktop exited with code 3 \(no luck\)"):
        VirtualDesktop(program="sh -c 'echo no luck; exit 3'")
    assert len(pids) == 2
    assert all_ended(pids)


OWNER = """
import sys, time
sys.path.insert(0, {root!r})
from envs.desktop.virtual_display import VirtualDesktop
desktop = VirtualDesktop(program="mousepad")
print(*desktop.pids(), desktop.cleanup.pid, desktop.authority.parent, flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["time.sleep(60)", "raise RuntimeError('oops')"])
def test_ended_owner_leaves_nothing(request: pytest.FixtureRequest, end: str) -> None:
    code = OWNER.format(root=str(request.config.rootpath), end=end)
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert owner.stdout is not None
    *pids, folder = owner.stdout.readline().decode().split()
    assert len(pids) == 4
    if "sleep" in end:
        owner.kill()
    owner.wait()
    eventually(lambda: all_ended(map(int, pids)) and not Path(folder).exists())


def test_detached_programs_are_ended(tmp_path: Path) -> None:
    """A launcher that ends leaves programs that are nobody's children, some in a session of their own."""
    launcher, signal_file = tmp_path / "launcher", tmp_path / "shared" / "signal"
    signal_file.parent.mkdir()
    launcher.write_text(f"#!/bin/sh\nsetsid sleep 600 &\nmousepad &\nuntil test -e {signal_file}; do sleep 0.1; done\n")
    launcher.chmod(0o755)
    desktop = VirtualDesktop(program=str(launcher), width=400, height=300, shared=[signal_file.parent])
    signal_file.touch()
    eventually(lambda: desktop.check() == "launcher was closed")
    tag = str(desktop.authority.parent)
    pids = [process.pid for process in tagged_processes(tag)]
    assert len(pids) >= 3  # the window manager, the sleeper, the editor
    assert os.getpid() not in pids
    desktop.close()
    assert all_ended(pids)
    assert tagged_processes(tag) == []


def test_cleanup_ends_only_its_own_tag() -> None:
    tagged, other = (
        subprocess.Popen(["sleep", "600"], env=os.environ | {PROCESS_TAG: tag}, start_new_session=is_leader)
        for tag, is_leader in (("/tmp/this desktop", False), ("/tmp/this desktop/2", True))
    )
    try:
        cleanup = CleanupProcess()
        cleanup.register(pids=[], tag="/tmp/this desktop")
        cleanup.close()
        assert tagged.wait(30) < 0
        assert other.poll() is None
    finally:
        for process in (tagged, other):
            process.kill()
            process.wait()


def test_cleanup_ends_registered_processes() -> None:
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    cleanup = CleanupProcess()
    cleanup.register(pids=[process.pid])
    cleanup.close()
    assert process.wait(30) == -signal.SIGTERM


def test_reused_process_id_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(["sleep", "30"], start_new_session=True)
    handle = psutil.Process(process.pid)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(handle, "is_running", lambda: False)  # what psutil returns for a reused id
            end_processes([handle])
            assert process.poll() is None
        end_processes([handle])
        assert process.wait(30) == -signal.SIGTERM
    finally:
        process.kill()


def test_killed_cleanup_process_is_no_error() -> None:
    cleanup = CleanupProcess()
    os.kill(cleanup.pid, signal.SIGKILL)
    eventually(lambda: not is_running(cleanup.pid))
    cleanup.register(keys=[])
    cleanup.close()


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (0, "the X server of the virtual desktop was killed"),
        (1, "the window manager of"),
        (2, "mousepad of the virtual"),
    ],
)
def test_killed_process_is_named(index: int, message: str) -> None:
    with Surface("virtual", program="mousepad", width=500, height=400) as surface:
        surface.capture()
        assert surface._virtual is not None
        os.kill(surface._virtual.pids()[index], signal.SIGKILL)
        with pytest.raises(SurfaceError, match=message):
            for _ in range(50):
                surface.capture()
                surface.perform(Wait(seconds=0.1))


def test_closed_program_is_a_notice() -> None:
    with Surface("virtual", program="mousepad", width=500, height=400) as surface:
        surface.capture()
        surface.perform(PressKeys(keys=("ctrl", "q")))
        eventually(lambda: surface.capture() and "mousepad was closed" in surface.pop_notices())
        assert surface.capture().width == 500


def test_cut_connection_is_a_surface_error() -> None:
    """XKillClient, as xkill sends it."""
    with Surface("virtual", program="mousepad", width=500, height=400) as surface:
        surface.capture()
        other = connect(surface.environ["DISPLAY"], surface.environ)
        connection = surface._backend._connection
        window = connection.screen().root.create_window(0, 0, 1, 1, 0, 24)
        connection.sync()
        other.create_resource_object("window", window.id).kill_client()
        other.sync()
        with pytest.raises(SurfaceError, match="start the run again"):
            surface.perform(Wait(seconds=0.1))
            surface.perform(Move(x=5, y=5))
        other.close()
