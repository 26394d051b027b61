"""Connections to X servers: authentication, and refusal of Wayland's X server.

Works with python3-xlib (a dependency of pyautogui) and python-xlib. A missing ~/.Xauthority is no error: many servers
accept their own user without a cookie, and a server that needs one refuses the connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from actions import UsageError

if TYPE_CHECKING:
    from Xlib.display import Display

ALTERNATIVES = "use --surface desktop:virtual for a desktop of its own, or --surface browser"
WAYLAND = (
    "this is a Wayland session, where programs can neither capture the screen nor control it; "
    f"log in to an Xorg session, or {ALTERNATIVES}"
)
COOKIE = b"MIT-MAGIC-COOKIE-1"
LOCAL, WILD = 256, 65535  # families of ~/.Xauthority. Source: X.org's Xau library, Xauth.h
_patch_lock = threading.Lock()


def require_display(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of the user's X display.

    Raises:
        UsageError: if there is none; the message names an alternative.
    """
    display = environ.get("DISPLAY", "")
    if display:
        return display
    if environ.get("WAYLAND_DISPLAY") or environ.get("XDG_SESSION_TYPE") == "wayland":
        raise UsageError(WAYLAND)
    raise UsageError(f"there is no display: DISPLAY is not set; {ALTERNATIVES}")


def connect(display: str, environ: Mapping[str, str] = os.environ) -> Display:
    """Connect to a display.

    Raises:
        UsageError: if there is no server, it refuses the connection, lacks XTEST, or is Xwayland.
    """
    try:
        connection = open_connection(display, environ)
    except UsageError as error:
        raise UsageError(f"{error}; {ALTERNATIVES}") from None
    if _is_wayland(connection):
        connection.close()
        raise UsageError(WAYLAND)
    if not connection.has_extension("XTEST"):
        connection.close()
        raise UsageError(f"display {display} cannot be controlled: it lacks the XTEST extension; {ALTERNATIVES}")
    return connection


def open_connection(display: str, environ: Mapping[str, str] = os.environ) -> Display:
    """Connect to a display of any kind.

    Raises:
        UsageError: if there is no server, or it refuses the connection.
    """
    from Xlib import error
    from Xlib.display import Display

    try:
        with _find_cookies_in(environ):
            return Display(display)
    except (error.DisplayError, error.ConnectionClosedError, OSError) as failure:
        reason = getattr(failure, "msg", str(failure))
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise UsageError(f"display {display} cannot be used ({reason.strip()[:200]})") from None


def _is_wayland(connection: Display) -> bool:
    """Return whether the server is Xwayland, whose screenshots are black and whose pointer reaches X programs only.

    Recent versions have an extension of that name; older ones use it for their outputs.
    """
    if connection.has_extension("XWAYLAND"):
        return True
    if not connection.has_extension("RANDR"):
        return False
    resources = connection.screen().root.xrandr_get_screen_resources()
    names = (connection.xrandr_get_output_info(output, resources.config_timestamp).name for output in resources.outputs)
    return any(str(name).startswith("XWAYLAND") for name in names)


@contextlib.contextmanager
def _find_cookies_in(environ: Mapping[str, str]) -> Iterator[None]:
    """Replace python3-xlib's cookie reader, which fails without ~/.Xauthority and ignores entries for any host."""
    from Xlib.support import connect as support

    def get_auth(_socket: object, _name: object, _host: object, number: int | str) -> tuple[bytes, bytes]:
        return find_cookie(environ, int(number))

    with _patch_lock:
        original, support.get_auth = support.get_auth, get_auth
        try:
            yield
        finally:
            support.get_auth = original


def find_cookie(environ: Mapping[str, str], number: int) -> tuple[bytes, bytes]:
    """Return (name, secret) for a display of this machine; empty if the cookie file has no entry or is missing."""
    authority = environ.get("XAUTHORITY")
    path = Path(authority) if authority else Path(environ.get("HOME") or Path.home()) / ".Xauthority"
    try:
        data = path.read_bytes()
    except OSError:
        return b"", b""
    host = socket.gethostname().encode()
    for entry in _parse_entries(data):
        if (
            entry.name == COOKIE
            and entry.display in (b"", b"%d" % number)
            and (entry.family == WILD or (entry.family, entry.address) == (LOCAL, host))
        ):
            return entry.name, entry.secret
    return b"", b""


class _Entry(NamedTuple):
    family: int
    address: bytes
    display: bytes
    name: bytes
    secret: bytes


def _parse_entries(data: bytes) -> Iterator[_Entry]:
    """Yield the entries of a cookie file: the family, then four fields with their lengths, big-endian."""
    offset = 0
    while offset + 2 <= len(data):
        (family,) = struct.unpack_from(">H", data, offset)
        offset += 2
        fields = []
        for _ in range(4):
            if offset + 2 > len(data):
                return
            (length,) = struct.unpack_from(">H", data, offset)
            fields.append(data[offset + 2 : offset + 2 + length])
            offset += 2 + length
        yield _Entry(family, *fields)


def write_cookie(path: Path, number: int | None, secret: bytes, host: str = "") -> None:
    """Write a cookie file with one entry, readable by its owner only.

    Args:
        path: The file.
        number: The display's number; None for any.
        secret: The cookie.
        host: The name of this machine, for programs that ignore entries for any host, such as those with python3-xlib.
    """
    fields = (host.encode(), b"" if number is None else b"%d" % number, COOKIE, secret)
    data = struct.pack(">H", LOCAL if host else WILD) + b"".join(
        struct.pack(">H", len(field)) + field for field in fields
    )
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
