"""Other libraries' calls that the surfaces are compared with: Playwright, pyautogui and adb."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FAMILY_LOCAL = 256  # of an Xauthority entry (Xauth.h)
PAGE = """<!doctype html><meta charset=utf-8><style>body{font:16px sans-serif;margin:0}section{height:600px;width:900px}
</style><section onmousedown="this.style.background=(this.n=!this.n)?'#def':'#fed'">Rows of words, to have something to
look at.<br><textarea autofocus id=t rows=3 cols=60></textarea></section>"""
PYAUTOGUI_PROGRAM = """
import json, sys, time
import pyautogui
from PIL import Image
print(json.dumps({"version": pyautogui.__version__, "pause": pyautogui.PAUSE}), flush=True)
for line in sys.stdin:
    function, arguments = json.loads(line)
    start = time.perf_counter()
    try:
        getattr(pyautogui, function)(*arguments)
    except Exception as error:
        print(json.dumps({"problem": f"{type(error).__name__}: {error}"[:300]}), flush=True)
    else:
        print(json.dumps({"ms": 1000 * (time.perf_counter() - start)}), flush=True)
"""

TimedCall = Callable[[int], float | None]  # round -> milliseconds; None where nothing was measured


def time_call(function: Callable[[int], object]) -> TimedCall:
    """Return a function that calls `function` and returns the duration in milliseconds."""

    def call(number: int) -> float:
        start = time.perf_counter()
        function(number)
        return 1000 * (time.perf_counter() - start)

    return call


@contextmanager
def serve_page(html: str = PAGE) -> Iterator[str]:
    """Serve a page on a free local port; return its URL."""

    class PageHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), PageHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def open_playwright_page(url: str, chrome: str, size: tuple[int, int]) -> Iterator[tuple[Any, str]]:
    """Open a page in Playwright's browser; return (page, Playwright's version)."""
    from importlib.metadata import version

    from playwright.sync_api import sync_playwright

    from envs.chromium.launch import use_sandbox

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chrome, chromium_sandbox=use_sandbox())
        try:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(url)
            yield page, version("playwright")
        finally:
            browser.close()


def with_x_cookie(environ: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return the environment with an Xauthority file that names this host; python-xlib ignores other entries."""
    from envs.desktop.x11.connection import find_cookie

    number = environ["DISPLAY"].rpartition(":")[2].partition(".")[0]
    parts = (socket.gethostname().encode(), number.encode(), *find_cookie(environ, int(number)))
    data = struct.pack(">H", FAMILY_LOCAL) + b"".join(struct.pack(">H", len(part)) + part for part in parts)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return {**environ, "XAUTHORITY": str(path)}


class PyAutoGuiProcess:
    """pyautogui in a process of its own, on the display of an environment; it times its own calls."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.name, self.problem = "pyautogui: screenshot, click, write", ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", PYAUTOGUI_PROGRAM],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        hello = self._read_message()
        if hello is None:
            lines = (self._process.communicate(timeout=10)[1] or "").strip().splitlines()
            self.problem = f"pyautogui cannot be started: {lines[-1][:200] if lines else 'no reason given'}"
        else:
            self.name = f"pyautogui {hello['version']}, PAUSE {hello['pause']:g}: screenshot, click, write"

    def __enter__(self) -> PyAutoGuiProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def call(self, function: str, *arguments: object) -> float:
        """Call a function of pyautogui; return its duration in milliseconds.

        Raises:
            SurfaceError: The call failed.
        """
        from actions import SurfaceError

        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([function, arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SurfaceError("pyautogui's process exited during the measurement") from None
        message = self._read_message()
        if message is None or "problem" in message:
            reason = message["problem"] if message else "its process exited"
            raise SurfaceError(f"pyautogui.{function} failed: {reason}")
        return float(message["ms"])

    def _read_message(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


class AdbServerProcess:
    """An adb server of its own, which finds no other devices and leaves no key in the user's home.

    Raises:
        UsageError: adb is not installed.
    """

    def __init__(self) -> None:
        from actions import UsageError

        if shutil.which("adb") is None:
            raise UsageError("adb is not installed; run as root: apt-get install adb")
        self.port = _free_port()
        self._home = tempfile.TemporaryDirectory()
        self._environ = {
            **os.environ,
            "ANDROID_ADB_SERVER_PORT": str(self.port),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
            "HOME": self._home.name,
        }

    def __enter__(self) -> AdbServerProcess:
        self.run("start-server")
        return self

    def __exit__(self, *_: object) -> None:
        self.run("kill-server")
        self._home.cleanup()

    def run(self, *arguments: str) -> bytes:
        """Run an adb command; return its standard output.

        Raises:
            SurfaceError: The command failed.
        """
        from actions import SurfaceError

        result = subprocess.run(["adb", *arguments], env=self._environ, capture_output=True, timeout=60)
        if result.returncode:
            reason = result.stderr.decode(errors="replace").strip()[:200]
            raise SurfaceError(f"adb {arguments[0]} failed: {reason}")
        return result.stdout


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
