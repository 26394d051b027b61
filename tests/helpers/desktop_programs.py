"""X servers and programs in the test's hand. No test here touches the display of whoever runs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TK_PAD = Path(__file__).parent / "tk_pad.py"


def need(*programs: str) -> None:
    lacking = [name for name in programs if not shutil.which(name)]
    if lacking:
        pytest.skip(f"{' and '.join(lacking)} missing; scripts/desktop.sh installs it")


def tk_python() -> str:
    """A Python with Tk: the system's, for the environment's own often has none."""
    for python in ("/usr/bin/python3", "python3"):
        if (
            shutil.which(python)
            and not subprocess.run([python, "-c", "import tkinter"], capture_output=True).returncode
        ):
            return python
    pytest.skip("no Python with tkinter here; scripts/desktop.sh installs python3-tk")


@contextlib.contextmanager
def x_server(size: str = "1280x720", *more: str) -> Iterator[str]:
    """The name of a bare display: no window manager, no program; ended at the end."""
    need("Xvfb")
    from envs.desktop.virtual_display import _line

    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset", *more]
    server = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL, start_new_session=True)
    os.close(write)
    try:
        yield f":{_line(read, 20.0).decode()}"
    finally:
        server.kill()
        server.wait()
        os.close(read)


def link(display: str) -> Any:
    from envs.desktop.x11.connection import connect

    return connect(display)


@contextlib.contextmanager
def started(command: list[str], display: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program on a display."""
    more = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": "disabled:", "NO_AT_BRIDGE": "1", "LC_ALL": "C.UTF-8"}
    child = subprocess.Popen(command, env=os.environ | more | environ, start_new_session=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def soon(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true answer; the test fails when none comes in time."""
    end = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.02)
    return answer


def keymap(display: str) -> list[list[int]]:
    connection = link(display)
    try:
        info = connection.display.info
        return [
            list(k) for k in connection.get_keyboard_mapping(info.min_keycode, info.max_keycode - info.min_keycode + 1)
        ]
    finally:
        connection.close()


def pressed(display: str) -> tuple[bool, int]:
    """Whether any key is down, and the state of modifiers and buttons."""
    connection = link(display)
    try:
        return any(connection.query_keymap()), int(connection.screen().root.query_pointer().mask)
    finally:
        connection.close()
