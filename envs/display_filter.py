"""An X display whose selections are its own: a filter between a visible browser and the user's X server.

A browser with a window on the user's display would paste what the user copied, and copy over it. Its connections pass
this filter, which renames the clipboard and replaces the primary selection in every request and event. Windows, keys
and pixels pass unchanged. Source: X Window System Protocol, X11R7.7, appendix B.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from actions import SurfaceError, UsageError
from envs.desktop.x11.connection import find_cookie, open_connection, write_cookie

SOCKETS = Path("/tmp/.X11-unix")
NUMBERS = range(200, 1000)  # of displays that may be offered
CHUNK = 1 << 16
MAX_DESCRIPTORS = 16  # in one message
PRIMARY = 1  # predefined atom
INTERN_ATOM, SET_SELECTION_OWNER, GET_SELECTION_OWNER, CONVERT_SELECTION, SEND_EVENT = 16, 22, 23, 24, 25
SELECTION_IN_REQUEST = {
    SET_SELECTION_OWNER: 4,
    GET_SELECTION_OWNER: 0,
    CONVERT_SELECTION: 4,
}  # offset behind the header
EVENT_IN_REQUEST = 8  # offset of SendEvent's event behind the header
SELECTION_IN_EVENT = {29: 12, 30: 16, 31: 12}  # SelectionClear, SelectionRequest, SelectionNotify
REPLY, GENERIC_EVENT, SENT = 1, 35, 0x80
MESSAGE_SIZE = 32  # of replies, events and errors, without what follows
RENAMED = (b"CLIPBOARD", b"CLIPBOARD_MANAGER")


class SelectionNames:
    """The names and the atom that take the place of the user's selections."""

    def __init__(self, intern: Callable[[str], int]) -> None:
        """Choose names; `intern` returns the server's atom of a name."""
        self.renamed = {name: _random_name(len(name)) for name in RENAMED}
        self.primary = intern(_random_name(16).decode())


class RequestFilter:
    """The stream from the browser to the server, its selections replaced."""

    def __init__(self, names: SelectionNames) -> None:
        self.order = ""  # of bytes: "<" or ">", as the client declares it at first
        self._names = names
        self._buffer = bytearray()
        self._pass = 0  # bytes that follow unchanged

    def feed(self, data: bytes) -> bytes:
        """Return what can be sent on, given the next bytes of the stream."""
        self._buffer += data
        output = bytearray()
        while self._buffer:
            if self._pass:
                self._take(min(self._pass, len(self._buffer)), output)
                continue
            if not self.order:
                if len(self._buffer) < 12:
                    break
                self.order = "<" if self._buffer[0] == ord("l") else ">"
                name_size, data_size = struct.unpack_from(f"{self.order}HH", self._buffer, 6)
                self._pass = 12 + _padded(name_size) + _padded(data_size)
                continue
            if len(self._buffer) < 4:
                break
            (size,) = struct.unpack_from(f"{self.order}H", self._buffer, 2)
            header = 4
            if size == 0:  # BIG-REQUESTS: the size follows
                if len(self._buffer) < 8:
                    break
                (size,) = struct.unpack_from(f"{self.order}I", self._buffer, 4)
                header = 8
            opcode = self._buffer[0]
            if opcode in (INTERN_ATOM, SEND_EVENT) or opcode in SELECTION_IN_REQUEST:
                if len(self._buffer) < 4 * size:
                    break
                self._rewrite(opcode, header, 4 * size)
            self._pass = 4 * size
        return bytes(output)

    def _take(self, count: int, output: bytearray) -> None:
        output += self._buffer[:count]
        del self._buffer[:count]
        self._pass -= count

    def _rewrite(self, opcode: int, header: int, size: int) -> None:
        """Replace the selections of the request at the start of the buffer."""
        if opcode == INTERN_ATOM:
            (length,) = struct.unpack_from(f"{self.order}H", self._buffer, header)
            name = bytes(self._buffer[header + 4 : header + 4 + length])
            if renamed := self._names.renamed.get(name):
                self._buffer[header + 4 : header + 4 + length] = renamed
        elif opcode == SEND_EVENT:
            start = header + EVENT_IN_REQUEST
            if start + MESSAGE_SIZE <= size:
                kind = self._buffer[start] & ~SENT
                if kind in SELECTION_IN_EVENT:
                    replace_atom(
                        self._buffer, start + SELECTION_IN_EVENT[kind], self.order, PRIMARY, self._names.primary
                    )
        else:
            replace_atom(self._buffer, header + SELECTION_IN_REQUEST[opcode], self.order, PRIMARY, self._names.primary)


class EventFilter:
    """The stream from the server to the browser, with the selections renamed for the browser."""

    def __init__(self, names: SelectionNames, order: Callable[[], str]) -> None:
        """Use names; `order` returns the order of bytes."""
        self._names = names
        self._order = order
        self._is_set_up = False
        self._buffer = bytearray()
        self._pass = 0

    def feed(self, data: bytes) -> bytes:
        """Return what can be sent on, given the next bytes of the stream."""
        self._buffer += data
        output = bytearray()
        while self._buffer:
            if self._pass:
                count = min(self._pass, len(self._buffer))
                output += self._buffer[:count]
                del self._buffer[:count]
                self._pass -= count
                continue
            if not self._is_set_up:
                if len(self._buffer) < 8:
                    break
                (size,) = struct.unpack_from(f"{self._order()}H", self._buffer, 6)
                self._pass, self._is_set_up = 8 + 4 * size, True
                continue
            if len(self._buffer) < MESSAGE_SIZE:
                break
            kind = self._buffer[0] & ~SENT
            self._pass = MESSAGE_SIZE
            if kind in (REPLY, GENERIC_EVENT):
                (size,) = struct.unpack_from(f"{self._order()}I", self._buffer, 4)
                self._pass += 4 * size
            elif kind in SELECTION_IN_EVENT:
                replace_atom(self._buffer, SELECTION_IN_EVENT[kind], self._order(), self._names.primary, PRIMARY)
        return bytes(output)


def replace_atom(buffer: bytearray, offset: int, order: str, old: int, new: int) -> None:
    """Replace an atom at an offset if it is `old`."""
    if offset + 4 <= len(buffer) and struct.unpack_from(f"{order}I", buffer, offset)[0] == old:
        struct.pack_into(f"{order}I", buffer, offset, new)


class DisplayFilter:
    """A display that shows on the user's X server and shares no selection with it."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Offer the display.

        Args:
            environ: has the user's DISPLAY, and XAUTHORITY or HOME.

        Raises:
            UsageError: if the user's display cannot be used.
            SurfaceError: if no display can be offered.
        """
        host, _, number = environ["DISPLAY"].rpartition(":")
        number, _, screen = number.partition(".")
        self._host, self._number = host, int(number)
        try:
            connection = open_connection(environ["DISPLAY"], environ)
        except UsageError as error:
            raise UsageError(f"--headed needs a display: {error}; set DISPLAY, or remove --headed") from None
        try:
            self._names = SelectionNames(connection.intern_atom)
        finally:
            connection.close()
        self._connections: set[socket.socket] = set()
        self._is_closed = False
        self._listener, self._path = _listen()
        self._folder = Path(tempfile.mkdtemp(prefix="pixelhand-display-"))
        authority = self._folder / "cookie"
        _, secret = find_cookie(environ, self._number)
        if secret:
            write_cookie(authority, None, secret)
        else:  # the server accepts its own user
            authority.touch(0o600)
        self.environ = {  # of programs that use this display
            "DISPLAY": f":{self._path.name.removeprefix('X')}" + (f".{screen}" if screen else ""),
            "XAUTHORITY": str(authority),
        }
        threading.Thread(target=self._accept, name="pixelhand-display", daemon=True).start()

    def close(self) -> None:
        """End all connections. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            _shut_down(connection)
        self._path.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            if _peer_user(client) != os.getuid():  # the server may take this process's word for who connects
                client.close()
                continue
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            self._connections |= {client, server}
            requests = RequestFilter(self._names)
            events = EventFilter(self._names, lambda requests=requests: requests.order)  # type: ignore[misc]
            for source, target, feed in ((client, server, requests.feed), (server, client, events.feed)):
                threading.Thread(target=self._copy, args=(source, target, feed), daemon=True).start()

    def _connect(self) -> socket.socket:
        if self._host not in ("", "unix"):
            return socket.create_connection((self._host, 6000 + self._number))
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(SOCKETS / f"X{self._number}"))
        except OSError:
            try:
                connection.connect(f"\0{SOCKETS}/X{self._number}")
            except OSError:
                connection.close()
                raise
        return connection

    def _copy(self, source: socket.socket, target: socket.socket, feed: Callable[[bytes], bytes]) -> None:
        """Copy one direction of a connection, with the file descriptors that accompany it."""
        waiting: list[int] = []
        try:
            while True:
                if source.family == socket.AF_UNIX:
                    data, descriptors, _, _ = socket.recv_fds(source, CHUNK, MAX_DESCRIPTORS)
                    waiting += descriptors
                else:
                    data = source.recv(CHUNK)
                if not data:
                    break
                output = feed(data)
                if waiting and output:
                    sent = socket.send_fds(target, [output], waiting)
                    _close_all(waiting)
                    output = output[sent:]
                target.sendall(output)
        except OSError:  # one side is gone
            pass
        finally:
            _close_all(waiting)
            for connection in (source, target):
                _shut_down(connection)
                self._connections.discard(connection)


def open_display_filter(environ: Mapping[str, str] = os.environ) -> DisplayFilter | None:
    """Return a display with selections of its own; None where the user's display is not one of X."""
    if not has_private_selections(environ):
        return None
    return DisplayFilter(environ)


def has_private_selections(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Return whether a visible browser gets a clipboard of its own: it does on an X display of Linux."""
    return platform.startswith("linux") and bool(environ.get("DISPLAY"))


def _listen() -> tuple[socket.socket, Path]:
    """Listen at the socket of a display that is not used."""
    if not SOCKETS.exists():
        SOCKETS.mkdir()
        SOCKETS.chmod(0o1777)
    for number in NUMBERS:
        path = SOCKETS / f"X{number}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _remove_stale(path)
        try:
            listener.bind(str(path))
        except OSError:  # it is used
            listener.close()
            continue
        path.chmod(0o600)
        listener.listen()
        return listener, path
    raise SurfaceError(
        f"no display number between {NUMBERS[0]} and {NUMBERS[-1]} is free; remove old files of {SOCKETS}"
    )


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that was killed."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, contextlib.suppress(OSError):
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def _peer_user(connection: socket.socket) -> int:
    """Return the user at the other end of a Unix socket."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", data)[1])


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()


def _padded(size: int) -> int:
    return (size + 3) // 4 * 4


def _random_name(length: int) -> bytes:
    return (b"PH" + secrets.token_hex(length).encode())[:length].upper()
