"""`agent bench surfaces`: what a look and an act cost on each surface, beside the peers' plain calls. Knows clocks.

The peers are called as their own first examples call them: pyautogui with its default PAUSE, adb by a subprocess a
command, Playwright's page. Both sides look at the same kind of page in one run, in turns, and every figure is a median.
Ours ends with pixels in memory, checked and dispatched as in a run; theirs with what the call gives (pyautogui a
picture, the others a PNG). Each runs on screens of its own: nothing of the person's is touched.
"""

from __future__ import annotations

import json as json_
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

SIZE = (1920, 1080)  # of the desktop
PAGE_SIZE = (1288, 728)  # of the browser, as a run has it
TEXT = "the quick brown fox 0123456789"
PLACES = ((400, 300), (430, 340))  # of clicks on a desktop and in a browser: on the page, beside the field
PHONE_PLACES = ((60, 60), (80, 90))
FAMILY_LOCAL = 256  # of a cookie file's entries (Xauth.h)
WARM = 2  # rounds that are not counted
PAGE = """<!doctype html><meta charset=utf-8><style>body{font:16px sans-serif;margin:0}section{height:600px;width:900px}
</style><section onmousedown="this.style.background=(this.n=!this.n)?'#def':'#fed'">Rows of words, to have something to
look at.<br><textarea autofocus id=t rows=3 cols=60></textarea></section>"""
PEER = """
import json, sys, time
import pyautogui
from PIL import Image
print(json.dumps({"version": pyautogui.__version__, "pause": pyautogui.PAUSE}), flush=True)
for line in sys.stdin:
    what, arguments = json.loads(line)
    began = time.perf_counter()
    try:
        getattr(pyautogui, what)(*arguments)
    except Exception as error:
        print(json.dumps({"problem": f"{type(error).__name__}: {error}"[:300]}), flush=True)
    else:
        print(json.dumps({"ms": 1000 * (time.perf_counter() - began)}), flush=True)
"""

Call = Callable[[int], float | None]  # round -> milliseconds, None where it measures nothing


@dataclass(frozen=True)
class Row:
    """One thing on one surface, medians in milliseconds; None where it could not be measured, and then why."""

    surface: str
    what: str
    ours_ms: float | None
    peer: str
    peer_ms: float | None
    rounds: int
    problem: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.ours_ms or self.peer_ms is None else self.peer_ms / self.ours_ms

    def as_dict(self) -> dict[str, Any]:
        shown = {key: round(one, 2) if isinstance(one, float) else one for key, one in asdict(self).items()}
        return {**shown, "ratio": None if self.ratio is None else round(self.ratio, 2)}


@dataclass(frozen=True)
class Comparison:
    """Ours and a peer on one kind of screen: what each does, by name; problem: why there is no peer."""

    ours: Mapping[str, Call]
    theirs: Mapping[str, Call]
    peer: str
    problem: str = ""


def surfaces(
    on: Annotated[
        list[str] | None, typer.Option(help="browser, desktop:virtual or phone; may be repeated. All without it.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each is measured; the median counts.")] = 15,
    json: Annotated[bool, typer.Option("--json", help="No table: one JSON object a line.")] = False,
) -> None:
    """A look and an act on each surface, beside pyautogui, adb and Playwright called plainly."""
    rows: list[Row] = []
    for name in chosen(on or list(KINDS)):
        found = measure(name, rounds)
        rows += found
        if not json:
            print(table(found), file=sys.stderr)
        for row in found:
            print(json_.dumps(row.as_dict()), flush=True)
    if not any(row.ours_ms is not None for row in rows):
        from actions import UsageError

        raise UsageError(f"no surface could be measured: {rows[0].problem}")


def chosen(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in KINDS:
            from actions import UsageError

            raise UsageError(f"can be measured on {', '.join(KINDS)}, not on '{name}'")
    return list(dict.fromkeys(names))


def measure(name: str, rounds: int) -> list[Row]:
    """The rows of one surface; a single one with the reason where it cannot be had here."""
    from actions import Error

    try:
        with KINDS[name]() as pair:
            return [_row(name, what, pair, rounds) for what in pair.ours]
    except Error as error:
        return [Row(name, "look", None, "", None, rounds, str(error))]


def _row(name: str, what: str, pair: Comparison, rounds: int) -> Row:
    """Both in turns, so that whatever else the machine does befalls both."""
    from actions import Error

    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    problem = pair.problem
    for turn in range(WARM + rounds):
        for side, calls in (("ours", pair.ours), ("theirs", pair.theirs)):
            if what not in calls or (side == "theirs" and problem):
                continue
            try:
                spent = calls[what](turn)
            except Error as error:
                if side == "ours":
                    raise
                problem = str(error)
                continue
            if turn >= WARM and spent is not None:
                times[side].append(spent)
    medians = {side: statistics.median(found) if found else None for side, found in times.items()}
    return Row(name, what, medians["ours"], pair.peer, None if problem else medians["theirs"], rounds, problem)


def table(rows: Sequence[Row]) -> str:
    def shown(value: float | None, digits: int = 1) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    lines = [f"{'surface':16} {'what':6} {'ours ms':>9} {'peer ms':>9} {'ratio':>6}  peer"]
    for row in rows:
        figures = f"{shown(row.ours_ms):>9} {shown(row.peer_ms):>9} {shown(row.ratio, 2):>6}"
        lines.append(f"{row.surface:16} {row.what:6} {figures}  {row.problem or row.peer}")
    return "\n".join(lines)


# --- ours ---


def timed(work: Callable[[int], Any]) -> Call:
    def call(turn: int) -> float:
        began = time.perf_counter()
        work(turn)
        return 1000 * (time.perf_counter() - began)

    return call


def pixelhand_calls(surface: Any, places: Sequence[tuple[int, int]], *, types: bool) -> dict[str, Call]:
    """A look, an act, both, and a text, through dispatch as in a run."""
    from actions import Click, TypeText
    from actions.dispatch import dispatch

    screen = surface.capture()

    def act(turn: int) -> None:
        x, y = places[turn % len(places)]
        dispatch(Click(x=x, y=y), surface, screen)

    def step(turn: int) -> None:
        act(turn)
        surface.capture()

    calls = {"look": timed(lambda turn: surface.capture()), "act": timed(act), "step": timed(step)}
    if types:
        calls["type"] = timed(lambda turn: dispatch(TypeText(text=TEXT), surface, screen))
    return calls


# --- a browser ---


@contextmanager
def _browser() -> Iterator[Comparison]:
    from envs.chromium.executable import find_chrome
    from envs.surfaces.browser import Surface

    with ExitStack() as stack:
        address = stack.enter_context(serving_page())
        chrome = str(find_chrome())
        surface = stack.enter_context(Surface(address, width=PAGE_SIZE[0], height=PAGE_SIZE[1], executable=chrome))
        page, version = stack.enter_context(_playwright_page(address, chrome))

        def act(turn: int) -> None:
            page.mouse.click(*PLACES[turn % len(PLACES)])

        def step(turn: int) -> None:
            act(turn)
            page.screenshot()

        page.focus("#t")
        surface.evaluate("document.getElementById('t').focus()")
        theirs = {
            "look": timed(lambda turn: page.screenshot()),
            "act": timed(act),
            "step": timed(step),
            "type": timed(lambda turn: page.keyboard.type(TEXT)),
        }
        yield Comparison(
            pixelhand_calls(surface, PLACES, types=True), theirs, f"playwright {version}: screenshot, mouse.click"
        )


@contextmanager
def _playwright_page(address: str, chrome: str) -> Iterator[tuple[Any, str]]:
    from importlib.metadata import version

    from playwright.sync_api import sync_playwright

    from envs.chromium.launch import use_sandbox

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chrome, chromium_sandbox=use_sandbox())
        try:
            page = browser.new_page(viewport={"width": PAGE_SIZE[0], "height": PAGE_SIZE[1]})
            page.goto(address)
            yield page, version("playwright")
        finally:
            browser.close()


# --- a desktop of its own ---


@contextmanager
def _desktop() -> Iterator[Comparison]:
    from envs.surfaces.desktop import Surface

    with ExitStack() as stack:
        address = stack.enter_context(serving_page())
        surface = stack.enter_context(Surface("virtual", url=address, width=SIZE[0], height=SIZE[1]))
        ours = pixelhand_calls(surface, PLACES, types=True)
        ours["act"](0)  # the pointer leaves the corner, where pyautogui gives up
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = stack.enter_context(PyAutoGuiProcess(_with_plain_cookie(surface.environ, folder / "cookie")))

        def act(turn: int) -> float:
            return peer.ms("click", *PLACES[turn % len(PLACES)])

        def step(turn: int) -> float:
            return act(turn) + peer.ms("screenshot")

        theirs: dict[str, Call] = {
            "look": lambda turn: peer.ms("screenshot"),
            "act": act,
            "step": step,
            "type": lambda turn: peer.ms("write", TEXT),
        }
        surface.evaluate("document.getElementById('t').focus()")
        yield Comparison(ours, {} if peer.problem else theirs, peer.name, peer.problem)


def _with_plain_cookie(environ: Mapping[str, str], path: Path) -> dict[str, str]:
    """The environment with a cookie file that names this host, as X servers write it: python-xlib overlooks others."""
    from envs.desktop.x11.connection import find_cookie

    number = environ["DISPLAY"].rpartition(":")[2].partition(".")[0]
    parts = (socket.gethostname().encode(), number.encode(), *find_cookie(environ, int(number)))
    data = struct.pack(">H", FAMILY_LOCAL) + b"".join(struct.pack(">H", len(part)) + part for part in parts)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return {**environ, "XAUTHORITY": str(path)}


class PyAutoGuiProcess:
    """pyautogui in a process of its own, on the display that its environment names; it times itself."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.name, self.problem = "pyautogui: screenshot, click, write", ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", PEER],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        hello = self._read()
        if hello is None:
            words = (self._process.communicate(timeout=10)[1] or "").strip().splitlines()
            self.problem = f"pyautogui does not start here: {words[-1][:200] if words else 'no reason given'}"
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

    def ms(self, what: str, *arguments: Any) -> float:
        """Milliseconds of one call; SurfaceError when it failed."""
        from actions import SurfaceError

        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json_.dumps([what, arguments]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SurfaceError("pyautogui ended in the middle of the measurement") from None
        said = self._read()
        if said is None or "problem" in said:
            raise SurfaceError(f"pyautogui.{what} failed: {said['problem'] if said else 'it ended'}")
        return float(said["ms"])

    def _read(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json_.loads(line) if line else None


# --- a simulated phone ---


@contextmanager
def _phone() -> Iterator[Comparison]:
    from actions import UsageError

    if shutil.which("adb") is None:
        raise UsageError("adb is missing, which talks to phones; as root: apt-get install adb")
    from envs.simulators.android.phone import SimulatedPhone
    from envs.surfaces.android import Surface

    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        port = _free_port()
        # a server of its own, which looks for no devices of the person's and leaves no key in their home
        environ = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(port), "HOME": home}
        environ["ADB_LOCAL_TRANSPORT_MAX_PORT"] = "5553"
        adb = partial(_adb, environ)
        adb("start-server")
        stack.callback(adb, "kill-server")
        phone = stack.enter_context(SimulatedPhone())
        adb("connect", phone.address)
        surface = stack.enter_context(Surface(phone.address, port=port))

        def look(turn: int) -> None:
            adb("-s", phone.address, "exec-out", "screencap", "-p")

        def act(turn: int) -> None:
            adb("-s", phone.address, "shell", "input", "tap", *map(str, PHONE_PLACES[turn % len(PHONE_PLACES)]))

        def step(turn: int) -> None:
            act(turn)
            look(turn)

        theirs = {"look": timed(look), "act": timed(act), "step": timed(step)}
        yield Comparison(
            pixelhand_calls(surface, PHONE_PLACES, types=False), theirs, "adb exec-out screencap -p, shell input tap"
        )


def _adb(environ: Mapping[str, str], *words: str) -> bytes:
    from actions import SurfaceError

    ran = subprocess.run(["adb", *words], env=dict(environ), capture_output=True, timeout=60)
    if ran.returncode:
        raise SurfaceError(f"adb {words[0]} failed: {ran.stderr.decode(errors='replace').strip()[:200]}")
    return ran.stdout


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving_page() -> Iterator[str]:
    """The address of PAGE on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = PAGE.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


KINDS: dict[str, Callable[[], Any]] = {"browser": _browser, "desktop:virtual": _desktop, "phone": _phone}
