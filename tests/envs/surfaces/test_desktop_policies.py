"""Chromium on a virtual desktop opens no address of the machine and no file of the user."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.desktop_programs import require_programs, require_window_manager
from helpers.eventually import eventually

from actions import Click, PressKeys, SurfaceError, TypeText
from envs.desktop.sandbox import sandbox_problem
from envs.stability import settle
from envs.surfaces.desktop import Surface

CANARY = "canary-5c1e"
HOME_PAGE = """<title>home</title><body style='margin:0'>
<a style='position:fixed;left:0;top:0;width:500px;height:150px;background:#ccf' download='notes.txt'
   href='data:text/plain,text'>download</a>
<input type=file style='position:fixed;left:0;top:200px;width:500px;height:150px;background:#cfc'>"""
SETTLE_S = 2.0  # for a dialog that must not open
FOCUS_S = 1.5  # for the address bar to take the focus on a busy machine


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("user")
    (home / "Downloads").mkdir()
    (home / ".profile").write_text(CANARY)
    (home / "secret.txt").write_text(CANARY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def surface(user: Path, site: Any, chrome: str) -> Iterator[Surface]:
    require_programs("Xvfb", "bwrap")
    require_window_manager()
    if problem := sandbox_problem():
        pytest.skip(problem)
    with Surface("virtual", url=site.add(HOME_PAGE), width=1000, height=700) as surface:
        yield surface


@pytest.fixture
def home(surface: Surface, site: Any) -> str:
    """Return to the first page, and return its address."""
    url = site.add(HOME_PAGE)
    surface.goto(url)
    settle(surface.capture)  # Chromium's bar over the last page closes slowly, and a click in between reaches no link
    return str(url)


def open_by_keyboard(surface: Surface, address: str) -> None:
    surface.perform(PressKeys(keys=("ctrl", "l")))
    time.sleep(FOCUS_S)
    surface.perform(TypeText(text=f"{address}\n"))


def text_of_page(surface: Surface) -> str:
    try:
        return str(surface.evaluate("document.body ? document.body.innerText : ''"))
    except SurfaceError:  # the page is replaced by the next one
        return ""


def window_titles(surface: Surface) -> set[str]:
    windows = surface._backend.windows
    assert windows is not None
    return {window.title for window in surface._call(windows.all, 10, "reading the windows")}


@pytest.mark.parametrize(
    "address",
    ["file://{user}/secret.txt", "file:///etc/passwd", "chrome://version", "chrome://policy", "devtools://devtools/x"],
)
def test_address_of_machine_is_blocked(surface: Surface, home: str, user: Path, address: str) -> None:
    open_by_keyboard(surface, address.format(user=user))
    eventually(lambda: "blocked" in text_of_page(surface))
    assert CANARY not in text_of_page(surface)


@pytest.mark.parametrize("prefix", ["javascript:", "JavaScript: "])
def test_typed_script_does_not_run(surface: Surface, home: str, prefix: str) -> None:
    open_by_keyboard(surface, f"{prefix}document.title='changed'")
    time.sleep(SETTLE_S)
    assert surface.evaluate("document.title") == "home"


def test_source_of_page_is_blocked(surface: Surface, home: str) -> None:
    open_by_keyboard(surface, f"view-source:{home}")
    eventually(lambda: surface.url.startswith("view-source:"))
    eventually(lambda: surface.evaluate("document.querySelector('#main-frame-error') !== null"))


@pytest.mark.parametrize("keys", [("ctrl", "s"), ("ctrl", "o"), ("ctrl", "p"), ("ctrl", "u"), ("ctrl", "shift", "i")])
def test_shortcut_opens_no_dialog_of_files(surface: Surface, home: str, user: Path, keys: tuple[str, ...]) -> None:
    before = sorted(user.rglob("*"))
    surface.perform(PressKeys(keys=keys))
    time.sleep(SETTLE_S)
    assert len(window_titles(surface)) == 1
    surface.perform(PressKeys(keys=("escape",)))
    surface.perform(TypeText(text=f"{user}/.profile\n"))
    assert sorted(user.rglob("*")) == before
    assert (user / ".profile").read_text() == CANARY


def test_file_chooser_does_not_open(surface: Surface, home: str) -> None:
    surface.perform(Click(x=250, y=430))
    time.sleep(SETTLE_S)
    assert len(window_titles(surface)) == 1
    assert surface.evaluate("document.querySelector('input').files.length") == 0


def test_download_lands_in_own_home(surface: Surface, home: str, user: Path) -> None:
    assert surface._virtual is not None
    downloads = surface._virtual.isolation.home.home / "Downloads"
    surface.perform(Click(x=250, y=180))
    eventually((downloads / "notes.txt").exists)
    assert list((user / "Downloads").iterdir()) == []


def test_browser_has_no_debugging_port(surface: Surface) -> None:
    assert surface._virtual is not None
    root = psutil.Process(surface._virtual.pids()[-1])
    processes = [root, *root.children(recursive=True)]
    ports = [
        connection.laddr
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert ports == []
    assert not any("--remote-debugging-port" in word for process in processes for word in process.cmdline())


def test_named_local_page_is_opened(user: Path, tmp_path: Path, chrome: str) -> None:
    require_programs("Xvfb", "bwrap")
    page = tmp_path / "page.html"
    page.write_text("<title>named</title>shown")
    with Surface("virtual", url=page.as_uri(), width=600, height=400) as surface:
        eventually(lambda: text_of_page(surface) == "shown")
        open_by_keyboard(surface, f"file://{tmp_path}/")
        eventually(lambda: "blocked" in text_of_page(surface))
