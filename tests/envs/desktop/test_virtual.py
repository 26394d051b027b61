"""A desktop of its own starts, is cut off from the person's, and ends with every process, however its owner ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.desktop_programs import need, soon

from actions import Move, PressKeys, SurfaceError, UsageError, Wait
from envs.desktop import virtual_display as module
from envs.desktop.cleanup_process import (
    PROCESS_TAG,
    CleanupProcess,
    end_processes,
    process_start_time,
    tagged_processes,
)
from envs.desktop.virtual_display import VirtualDesktop
from envs.desktop.x11.connection import connect
from envs.surfaces.desktop import Surface


@pytest.fixture(autouse=True)
def tools():
    need("Xvfb", "mousepad")
    if not any(map(module.shutil.which, ("openbox", "jwm"))):
        pytest.skip("no window manager (openbox or jwm); scripts/desktop.sh installs one")


def gone(pids):
    return not any(Path(f"/proc/{pid}").exists() and "State:\tZ" not in status(pid) for pid in pids)


def status(pid):
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def test_it_opens_a_program_apart_from_the_persons_session_and_ends_it_by_id(monkeypatch):
    theirs = ("WAYLAND_DISPLAY", "WAYLAND_SOCKET", "SESSION_MANAGER", "AT_SPI_BUS_ADDRESS", "XDG_ACTIVATION_TOKEN")
    for name in theirs:
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/theirs")
    desktop = VirtualDesktop(program="mousepad", width=640, height=480)
    pids, folder = [*desktop.pids(), desktop.keeper.pid], Path(desktop.authority).parent
    assert len(pids) == 4
    environ = Path(f"/proc/{desktop.pids()[-1]}/environ").read_bytes().split(b"\0")
    assert b"DBUS_SESSION_BUS_ADDRESS=disabled:" in environ and b"DISPLAY=" + desktop.display.encode() in environ
    assert not [one for one in environ if b"theirs" in one]
    # A Wayland client that finds no WAYLAND_DISPLAY takes the socket wayland-0 of this folder: the person's had one.
    runtime = next(Path(os.fsdecode(one[16:])) for one in environ if one.startswith(b"XDG_RUNTIME_DIR="))
    assert runtime.is_relative_to(folder) and runtime.stat().st_mode & 0o777 == 0o700
    desktop.close()
    desktop.close()
    assert gone(pids) and not folder.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"program": "no-such-program-here"}, "there is no program 'no-such-program-here'"),
        ({"program": "mousepad 'unclosed"}, "cannot be read"),
        ({"program": "mousepad", "url": "about:blank"}, "an address or a program, not both"),
        ({"url": "practice:no-such-task"}, "no practice task"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence_before_anything_starts(fields, sentence, monkeypatch):
    monkeypatch.setattr(VirtualDesktop, "_start_server", lambda *_: pytest.fail("it started"))
    with pytest.raises(UsageError, match=sentence):
        VirtualDesktop(**fields)


def test_a_missing_xvfb_names_what_to_install(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None if name == "Xvfb" else f"/usr/bin/{name}")
    with pytest.raises(UsageError, match=r"needs Xvfb, which is not installed; as root: apt-get install xvfb"):
        VirtualDesktop(program="mousepad")


def test_a_program_that_fails_says_its_last_words_and_leaves_nothing(monkeypatch):
    left = []
    close = VirtualDesktop.close
    monkeypatch.setattr(VirtualDesktop, "close", lambda self: (left.extend(self.pids()), close(self))[1])
    with pytest.raises(SurfaceError, match=r"sh of the virtual desktop ended with code 3 \(no luck\)"):
        VirtualDesktop(program="sh -c 'echo no luck; exit 3'")
    assert len(left) == 2 and gone(left)


OWNER = """
import sys, time
sys.path.insert(0, {root!r})
from envs.desktop.virtual import VirtualDesktop
desktop = VirtualDesktop(program="mousepad")
print(*desktop.pids(), desktop.keeper.pid, desktop.authority.parent, flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(60)", "raise RuntimeError('oops')"])
def test_nothing_is_left_of_a_process_that_is_killed_or_fails(request, then):
    code = OWNER.format(root=str(request.config.rootpath), then=then)
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert owner.stdout is not None
    *pids, folder = owner.stdout.readline().decode().split()
    if "sleep" in then:
        owner.kill()
    owner.wait()
    soon(lambda: gone(map(int, pids)) and not Path(folder).exists())


def test_what_a_program_started_and_let_go_of_is_ended_too(tmp_path):
    """A starter that ends leaves programs that are nobody's children, some in a session of their own."""
    starter, go = tmp_path / "starter", tmp_path / "go"
    starter.write_text(f"#!/bin/sh\nsetsid sleep 600 &\nmousepad &\nuntil test -e {go}; do sleep 0.1; done\n")
    starter.chmod(0o755)
    desktop = VirtualDesktop(program=str(starter), width=400, height=300)
    go.touch()
    soon(lambda: desktop.check() == "starter was closed")
    mark = str(Path(desktop.authority).parent)
    pids = [pid for pid, _ in tagged_processes(mark)]
    assert len(pids) >= 3 and os.getpid() not in pids  # the window manager, the sleeper, the editor
    desktop.close()
    assert gone(pids) and tagged_processes(mark) == []


def test_the_keeper_ends_what_carries_its_mark_and_nothing_else():
    ours, others = (
        subprocess.Popen(["sleep", "600"], env=os.environ | {PROCESS_TAG: mark}, start_new_session=own)
        for mark, own in (("/tmp/this desktop", False), ("/tmp/this desktop/2", True))
    )
    try:
        keeper = CleanupProcess()
        keeper.register(pids=[], mark="/tmp/this desktop")
        keeper.close()
        assert ours.wait(5) < 0 and others.poll() is None
    finally:
        for child in (ours, others):
            child.kill()
            child.wait()


def test_a_pid_that_another_process_has_by_now_is_not_ended():
    other = subprocess.Popen(["sleep", "30"], start_new_session=True)
    end_processes([[other.pid, "1"]])
    assert other.poll() is None
    end_processes([[other.pid, process_start_time(other.pid)]])
    assert other.wait(5) == -signal.SIGTERM


def test_a_keeper_that_was_killed_is_no_hindrance():
    keeper = CleanupProcess()
    os.kill(keeper.pid, signal.SIGKILL)
    keeper._child.wait()
    keeper.register(keys=[])
    keeper.close()


@pytest.mark.parametrize(
    ("victim", "sentence"),
    [
        (0, "the X server of the virtual desktop was killed"),
        (1, "the window manager of"),
        (2, "mousepad of the virtual"),
    ],
)
def test_whoever_is_killed_is_named_and_no_picture_comes(victim, sentence):
    with Surface("virtual", program="mousepad", width=500, height=400) as surface:
        surface.capture()
        os.kill(surface._virtual.pids()[victim], signal.SIGKILL)
        with pytest.raises(SurfaceError, match=sentence):
            for _ in range(50):
                surface.capture()
                surface.perform(Wait(seconds=0.1))


def test_a_program_that_the_agent_closes_is_a_note_and_not_an_error():
    with Surface("virtual", program="mousepad", width=500, height=400) as surface:
        surface.capture()
        surface.perform(PressKeys(keys=("ctrl", "q")))
        soon(lambda: surface.capture() and "mousepad was closed" in surface.pop_notices())
        assert surface.capture().width == 500


def test_a_server_that_cuts_the_connection_is_a_surface_error():
    """XKillClient: what a person's xkill does."""
    with Surface("virtual", program="mousepad", width=500, height=400) as surface:
        surface.capture()
        other = connect(surface._virtual.display, surface._virtual.environ)
        ours = surface._machine._connection
        window = ours.screen().root.create_window(0, 0, 1, 1, 0, 24)
        ours.sync()
        other.create_resource_object("window", window.id).kill_client()
        other.sync()
        with pytest.raises(SurfaceError, match="start the run again"):
            surface.perform(Wait(seconds=0.1))
            surface.perform(Move(x=5, y=5))
        other.close()
