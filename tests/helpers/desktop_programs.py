"""X servers and programs started by tests. No test uses the display of the user who runs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from Xlib.display import Display

TK_PAD = Path(__file__).parent / "tk_pad.py"


def require_programs(*programs: str) -> None:
    """Skip the test unless these programs are installed."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} missing; scripts/desktop.sh installs it")


def require_window_manager() -> None:
    """Skip the test unless a window manager for virtual desktops is installed."""
    if not (shutil.which("openbox") or shutil.which("jwm")):
        pytest.skip("no window manager (openbox or jwm); scripts/desktop.sh installs one")


def tk_python(*, sandboxed: bool = False) -> str:
    """Return a Python with Tk: the system's, since that of a virtual environment often lacks it.

    Args:
        sandboxed: Only the system's, which the sandbox of virtual desktops contains.
    """
    for python in ("/usr/bin/python3",) if sandboxed else ("/usr/bin/python3", "python3"):
        if (
            shutil.which(python)
            and not subprocess.run([python, "-c", "import tkinter"], capture_output=True).returncode
        ):
            return python
    pytest.skip("no Python with tkinter here; scripts/desktop.sh installs python3-tk")


@contextlib.contextmanager
def x_server(size: str = "1280x720", *options: str) -> Iterator[str]:
    """Run an X server without window manager and programs; yield the name of its display."""
    require_programs("Xvfb")
    from envs.desktop.virtual_display import read_line

    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset", *options]
    server = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL, start_new_session=True)
    os.close(write)
    try:
        yield f":{read_line(read, 20.0).decode()}"
    finally:
        server.kill()
        server.wait()
        os.close(read)


def connect_to(display: str) -> Display:
    """Connect to a display."""
    from envs.desktop.x11.connection import connect

    return connect(display)


@contextlib.contextmanager
def running(command: list[str], display: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on a display for the duration of the block."""
    defaults = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": "disabled:", "NO_AT_BRIDGE": "1", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(command, env=os.environ | defaults | environ, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_keymap(display: str) -> list[list[int]]:
    """Return the keysyms of all keycodes."""
    connection = connect_to(display)
    try:
        info = connection.display.info
        rows = connection.get_keyboard_mapping(info.min_keycode, info.max_keycode - info.min_keycode + 1)
        return [list(row) for row in rows]
    finally:
        connection.close()


def pressed_state(display: str) -> tuple[bool, int]:
    """Return whether any key is pressed, and the state of modifiers and buttons."""
    connection = connect_to(display)
    try:
        return any(connection.query_keymap()), int(connection.screen().root.query_pointer().mask)
    finally:
        connection.close()
