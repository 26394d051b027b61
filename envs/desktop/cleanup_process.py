"""A small process that outlives its parent by a moment and puts things right: keys, keyboard map, processes, folders.

The parent says on its standard input, one JSON object a line, what would have to be undone if it ended now; each line
replaces the one before. When the input ends, by close() or because the parent was killed, the last line is carried out.
It imports nothing of ours until there is a keyboard to put right: so it is there at once, and small.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

END_S = 2.0  # from asking a process to end to ending it
PROCESS_TAG = (
    "_PIXELHAND_DESKTOP"  # variable of every program of a virtual desktop, handed down to what it starts itself
)


class CleanupProcess:
    """The parent's side.

    What can be noted: display, its name; keymap, [keycode, keysyms] each; keys and buttons that are held; lock, the
    keycode of a Caps Lock that was switched off; pids, [pid, started(pid)] each; mark, of processes beside those;
    folders.
    """

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-P", __file__, str(Path(__file__).parents[2])],  # it sees the packages that we see
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C at the terminal is for the parent
        )
        self.undo: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        return self._child.pid

    def register(self, **undo: Any) -> None:
        """What would have to be undone, beside what was noted under other names before."""
        self.undo.update(undo)
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # killed by somebody: then the parent alone cleans up
            self._child.stdin.write(json.dumps(self.undo).encode() + b"\n")
            self._child.stdin.flush()

    def close(self) -> None:
        """Have it carry out what is still noted, and wait for it."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()
        try:
            self._child.wait(END_S * 5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def process_start_time(pid: int) -> str:
    """When a process started, in the kernel's own ticks: a pid is used again, the two together are not. "" if gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def end_processes(pids: list[list[Any]]) -> None:
    """End each [pid, when it started] with the group that it leads, last started first: ask, then kill."""
    for how, wait_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
        ours = [pid for pid, when in reversed(pids) if when and process_start_time(pid) == when]
        for pid in ours:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                try:
                    os.killpg(pid, how)
                except ProcessLookupError:  # it leads no group
                    os.kill(pid, how)
        end = time.monotonic() + wait_s
        while any(_runs(pid) for pid in ours) and time.monotonic() < end:
            time.sleep(0.02)


def tagged_processes(mark: str) -> list[list[Any]]:
    """[pid, started(pid)] of each process with this value of MARK: also of those whose parent ended, or let them go."""
    line, found = f"{PROCESS_TAG}={mark}".encode(), []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended, or is another user's
            when = process_start_time(int(name))
            if line in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                found.append([int(name), when])
    return found


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def restore_keyboard(connection: Any, undo: dict[str, Any]) -> None:
    """Keys and buttons let go, the Lock as it was, the map as it was."""
    from Xlib import X
    from Xlib.ext import xtest

    for keycode in undo.get("keys", ()):
        xtest.fake_input(connection, X.KeyRelease, keycode)
    for button in undo.get("buttons", ()):
        xtest.fake_input(connection, X.ButtonRelease, button)
    lock = undo.get("lock")
    if lock and not connection.screen().root.query_pointer().mask & X.LockMask:
        xtest.fake_input(connection, X.KeyPress, lock)
        xtest.fake_input(connection, X.KeyRelease, lock)
    for keycode, keysyms in undo.get("keymap", ()):
        connection.change_keyboard_mapping(keycode, [keysyms])
    connection.sync()


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # its end comes with its parent's, not before
        signal.signal(number, signal.SIG_IGN)
    undo: dict[str, Any] = {}
    for line in sys.stdin.buffer:
        with contextlib.suppress(ValueError):  # a line cut by the parent's death
            undo = json.loads(line)
    # First: a virtual desktop's server may hang, and is asked nothing then.
    end_processes(undo.get("pids", []) + (tagged_processes(undo["mark"]) if "mark" in undo else []))
    if any(undo.get(name) for name in ("keymap", "keys", "buttons", "lock")):
        sys.path.append(sys.argv[1])
        with contextlib.suppress(Exception):  # the server may be gone, and its keyboard with it
            from envs.desktop.x11.connection import connect

            connection = connect(undo["display"])
            restore_keyboard(connection, undo)
            connection.close()
    for folder in undo.get("folders", ()):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main()
