"""An adb server of the tests' own."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Adb:
    """The real adb program with a server of its own; calling it runs a command and returns its output."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        # The server must not look for the user's emulators, nor write a key into the user's home.
        variables = {
            "ANDROID_ADB_SERVER_PORT": str(self.port),
            "HOME": str(home),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
        }
        self.environ = {**os.environ, **variables}

    def __call__(self, *words: str) -> str:
        process = subprocess.run(["adb", *words], env=self.environ, capture_output=True, timeout=60, text=True)
        assert process.returncode == 0, f"{words}: {process.stdout}{process.stderr}"
        return process.stdout
