"""A process that undoes changes to a display when its parent ends: pressed keys, keyboard map, processes, folders.

The parent writes what would have to be undone to the process's standard input, one JSON object a line; each line
replaces the one before. When the input ends, by close() or because the parent was killed, the last line is carried out.
The program starts with the standard library alone, so that it is ready at once; other modules are imported when needed.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from typing import Unpack

    import psutil
    from Xlib.display import Display

TERMINATE_S = 2.0  # from SIGTERM to SIGKILL, and from there to giving up
PROCESS_TAG = "_PIXELHAND_DESKTOP"  # environment variable of a virtual desktop's programs, inherited by their children


class UndoState(TypedDict, total=False):
    """What has to be undone when the parent ends."""

    display: str  # name of the X11 display
    keymap: Sequence[tuple[int, list[int]]]  # original keysyms by keycode
    keys: Sequence[int]  # pressed keycodes
    buttons: Sequence[int]  # pressed buttons
    lock: int  # keycode of a Caps Lock that was switched off; 0 for none
    pids: Sequence[int]  # running processes, in the order of their start
    tag: str  # value of PROCESS_TAG of further processes
    folders: Sequence[str]


class CleanupProcess:
    """The parent's handle of a clean-up process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(Path(__file__).parents[2])],  # it needs the parent's packages
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal must reach the parent only
        )
        self.undo: UndoState = {}

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def register(self, **undo: Unpack[UndoState]) -> None:
        """Set what would have to be undone; keys that are not given keep their values."""
        self.undo.update(undo)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it was killed: the parent alone cleans up then
            self._process.stdin.write(json.dumps(self.undo).encode() + b"\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """Let the process undo what is still registered, and wait for it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(TERMINATE_S * 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """End processes and the process groups that they lead, the last one first: SIGTERM, then SIGKILL.

    A process whose id has been reused since the object was made is left alone.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        running = [process for process in reversed(processes) if process.is_running()]
        for process in running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:  # it leads no group
                    os.kill(process.pid, number)
        deadline = time.monotonic() + TERMINATE_S
        while any(_is_alive(process) for process in running) and time.monotonic() < deadline:
            time.sleep(0.02)


def find_processes(pids: Sequence[int]) -> list[psutil.Process]:
    """Return the processes that run under these ids now."""
    import psutil

    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    return processes


def tagged_processes(tag: str) -> list[psutil.Process]:
    """Return the processes with this value of PROCESS_TAG, including those whose parent has ended."""
    import psutil

    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it ended, or belongs to another user
            if process.environ().get(PROCESS_TAG) == tag:
                processes.append(process)
    return processes


def _is_alive(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.NoSuchProcess:
        return False


def restore_keyboard(connection: Display, undo: UndoState) -> None:
    """Release keys and buttons, and restore Caps Lock and the keyboard map."""
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


def _update_processes(known: Mapping[int, psutil.Process], pids: Sequence[int]) -> dict[int, psutil.Process]:
    """Return the processes of the ids; one seen before keeps its object, which detects a reused id."""
    kept = {pid: known[pid] for pid in pids if pid in known and known[pid].is_running()}
    added = {process.pid: process for process in find_processes([pid for pid in pids if pid not in kept])}
    return {pid: process for pid in pids if (process := kept.get(pid) or added.get(pid))}


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it must outlive its parent
        signal.signal(number, signal.SIG_IGN)
    undo: UndoState = {}
    processes: dict[int, psutil.Process] = {}
    for line in sys.stdin.buffer:
        with contextlib.suppress(ValueError):  # a line cut off by the parent's end
            undo = json.loads(line)
        if list(processes) != undo.get("pids", []):
            processes = _update_processes(processes, undo.get("pids", []))
    # Processes first: the X server of a virtual desktop may hang, and is not needed then.
    if processes or "tag" in undo:
        end_processes([*processes.values(), *(tagged_processes(undo["tag"]) if "tag" in undo else [])])
    if undo.get("keymap") or undo.get("keys") or undo.get("buttons") or undo.get("lock"):
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
