"""A visible browser has a clipboard and a primary selection of its own; windows and keys pass unchanged."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.desktop_programs import connect_to, x_server
from helpers.eventually import eventually

from actions import Click, Drag, Point, PressKeys, TypeText, UsageError
from envs.display_filter import (
    SELECTION_IN_EVENT,
    DisplayFilter,
    EventFilter,
    RequestFilter,
    SelectionNames,
    has_private_selections,
)
from envs.surfaces.browser import Surface

SECRET = "the user's own clipboard"
PAGE = "<body style='margin:0'><textarea autofocus style='width:400px;height:200px;font:20px monospace'></textarea>"


class Owner:
    """A program of the user that owns CLIPBOARD and PRIMARY and gives its text to everybody."""

    def __init__(self, display: str) -> None:
        from Xlib import X

        self._connection = connect_to(display)
        self._window = self._connection.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        self.atoms = [self._connection.intern_atom("CLIPBOARD"), 1]
        for atom in self.atoms:
            self._window.set_selection_owner(atom, X.CurrentTime)
        self._connection.sync()
        self.requests = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        from Xlib import X, Xatom
        from Xlib.error import ConnectionClosedError
        from Xlib.protocol import event

        targets, text = (self._connection.intern_atom(name) for name in ("TARGETS", "UTF8_STRING"))
        while True:
            try:
                request = self._connection.next_event()
            except (ConnectionClosedError, OSError):
                return
            if request.type != X.SelectionRequest:
                continue
            self.requests += 1
            name = request.property or request.target
            if request.target == targets:
                request.requestor.change_property(name, Xatom.ATOM, 32, [targets, text])
            else:
                request.requestor.change_property(name, request.target, 8, SECRET.encode())
            reply = event.SelectionNotify(
                time=request.time,
                requestor=request.requestor,
                selection=request.selection,
                target=request.target,
                property=name,
            )
            request.requestor.send_event(reply)
            self._connection.flush()


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    with x_server("1400x900") as name:
        monkeypatch.setenv("DISPLAY", name)
        monkeypatch.setenv("XAUTHORITY", str(tmp_path / "none"))
        yield name


def owner_ids(display: str, owner: Owner) -> list[int]:
    """Return the windows that own the user's selections."""
    connection = connect_to(display)
    try:
        return [int(getattr(window, "id", window)) for window in map(connection.get_selection_owner, owner.atoms)]
    finally:
        connection.close()


def test_browser_neither_pastes_nor_replaces_user_clipboard(display: str, site, chrome: str) -> None:  # type: ignore[no-untyped-def]
    owner = Owner(display)
    before = owner_ids(display, owner)
    with Surface(site.add(PAGE), width=500, height=300, headed=True) as surface:
        assert not surface.is_user_owned

        def value() -> object:
            return surface.evaluate("document.querySelector('textarea').value")

        surface.capture()
        surface.perform(Click(x=100, y=100))
        surface.perform(PressKeys(keys=("ctrl", "v")))
        surface.perform(Click(x=100, y=100, button="middle"))
        surface.perform(PressKeys(keys=("shift", "insert")))
        surface.perform(TypeText(text="own"))
        eventually(lambda: value() == "own")
        surface.perform(PressKeys(keys=("ctrl", "a")))
        surface.perform(PressKeys(keys=("ctrl", "c")))
        surface.perform(PressKeys(keys=("end",)))
        surface.perform(PressKeys(keys=("ctrl", "v")))
        eventually(lambda: value() == "ownown")  # copying and pasting inside of the browser works
        surface.perform(Drag(path=(Point(x=2, y=10), Point(x=150, y=10))))  # selects, which sets PRIMARY elsewhere
        assert owner_ids(display, owner) == before
    assert owner.requests == 0


def own_displays() -> set[str]:
    """Return the paths of the X sockets that this process listens on; other tests may start servers meanwhile."""
    inodes = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(descriptor))
    rows = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:]]
    paths = [row[7] for row in rows if len(row) > 7 and f"socket:[{row[6]}]" in inodes]
    return {path for path in paths if path.startswith("/tmp/.X11-unix/")}


def test_filter_ends_with_its_browser(display: str, site, chrome: str) -> None:  # type: ignore[no-untyped-def]
    before = own_displays()
    with Surface(site.add(PAGE), width=500, height=300, headed=True):
        (path,) = map(Path, own_displays() - before)
        assert path.exists()
    eventually(lambda: not path.exists())


def test_two_filters_share_nothing(display: str) -> None:
    first, second = DisplayFilter(), DisplayFilter()
    try:
        assert first.environ["DISPLAY"] != second.environ["DISPLAY"]
        connections = [connect_to(each.environ["DISPLAY"]) for each in (first, second)]
        names = [connection.get_atom_name(connection.intern_atom("CLIPBOARD")) for connection in connections]
        assert len({*names, "CLIPBOARD"}) == 3
        for connection in connections:
            connection.close()
    finally:
        first.close()
        second.close()


def test_programs_see_the_same_windows(display: str) -> None:
    with_filter = DisplayFilter()
    try:
        connection = connect_to(with_filter.environ["DISPLAY"])
        window = connection.screen().root.create_window(10, 20, 30, 40, 0, 24)
        window.map()
        pixels = bytes(range(256)) * 400  # more than one read
        window.change_property(connection.intern_atom("PIXELS"), 19, 8, pixels)
        connection.sync()
        outside = connect_to(display)
        copy = outside.create_resource_object("window", window.id)
        assert copy.get_geometry().width == 30
        assert copy.get_property(outside.intern_atom("PIXELS"), 0, 0, len(pixels)).value == pixels
        outside.close()
        connection.close()
    finally:
        with_filter.close()


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 1000])
@pytest.mark.parametrize("order", ["<", ">"])
def test_requests_are_rewritten_in_any_pieces(chunk: int, order: str) -> None:
    names = SelectionNames(lambda _: 777)
    setup = (b"l" if order == "<" else b"B") + b"\0" + struct.pack(f"{order}HHHHH", 11, 0, 18, 16, 0)
    setup += b"MIT-MAGIC-COOKIE-1\0\0" + b"c" * 16
    intern = struct.pack(f"{order}BBHHH", 16, 0, 5, 9, 0) + b"CLIPBOARD\0\0\0"
    other = struct.pack(f"{order}BBHHH", 16, 0, 5, 9, 0) + b"CLIPBOARX\0\0\0"
    empty = struct.pack(f"{order}BBH", 43, 0, 1)
    owner = struct.pack(f"{order}BBHIII", 22, 0, 4, 5, 1, 0)
    large = struct.pack(f"{order}BBHIIII", 22, 0, 0, 5, 5, 1, 0)  # BIG-REQUESTS
    convert = struct.pack(f"{order}BBHIIIII", 24, 0, 6, 5, 1, 2, 3, 0)
    notify = struct.pack(f"{order}BBHIII", 31, 0, 0, 0, 5, 1) + b"\0" * 16
    send = struct.pack(f"{order}BBHII", 25, 0, 11, 5, 0) + notify
    stream = setup + intern + other + empty + owner + large + convert + send
    request_filter = RequestFilter(names)
    output = b"".join(request_filter.feed(stream[start : start + chunk]) for start in range(0, len(stream), chunk))
    assert len(output) == len(stream)
    renamed = names.renamed[b"CLIPBOARD"]
    expected = stream.replace(b"CLIPBOARD", renamed, 1)
    for request, offset in ((owner, 8), (large, 12), (convert, 8), (send, 24)):
        changed = bytearray(request)
        struct.pack_into(f"{order}I", changed, offset, 777)
        expected = expected.replace(request, bytes(changed), 1)
    assert output == expected


@pytest.mark.parametrize("chunk", [1, 5, 32, 1000])
def test_events_name_the_known_selection(chunk: int) -> None:
    names = SelectionNames(lambda _: 777)
    setup = struct.pack("<BBHHH", 1, 0, 11, 0, 2) + b"\0" * 8
    reply = struct.pack("<BBHI", 1, 0, 1, 1) + struct.pack("<I", 777) * 7
    events = []
    for kind, offset in SELECTION_IN_EVENT.items():
        event = bytearray(32)
        event[0] = kind | 0x80
        struct.pack_into("<I", event, offset, 777)
        events.append(bytes(event))
    stream = setup + reply + b"".join(events)
    event_filter = EventFilter(names, lambda: "<")
    output = b"".join(event_filter.feed(stream[start : start + chunk]) for start in range(0, len(stream), chunk))
    assert output[: len(setup + reply)] == setup + reply
    for number, offset in enumerate(SELECTION_IN_EVENT.values()):
        assert struct.unpack_from("<I", output, len(setup + reply) + 32 * number + offset) == (1,)


def test_killed_owner_leaves_number_usable(display: str, tmp_path: Path) -> None:
    stale = Path("/tmp/.X11-unix/X999")
    if stale.exists():
        pytest.skip("display :999 is used")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(stale))
    try:
        from envs import display_filter

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(display_filter, "NUMBERS", range(999, 1000))
            DisplayFilter().close()
        assert not stale.exists()
    finally:
        stale.unlink(missing_ok=True)


def test_unusable_display_names_the_flag() -> None:
    with pytest.raises(UsageError, match=r"--headed needs a display: .*remove --headed"):
        DisplayFilter({**os.environ, "DISPLAY": ":9876"})


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [({"DISPLAY": ":0"}, "linux", True), ({}, "linux", False), ({"DISPLAY": ":0"}, "darwin", False)],
)
def test_selections_are_private_on_x11_only(environ: dict[str, str], platform: str, expected: bool) -> None:
    assert has_private_selections(environ, platform) is expected
