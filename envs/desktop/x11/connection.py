"""A connection to an X server: how to get in, and whether it is one that may be seen. Knows python-xlib's ways.

Works with python3-xlib (which pyautogui brings) and python-xlib. A missing ~/.Xauthority is no error: many servers let
their own user in without a cookie, and where one is needed, the server says so.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actions import UsageError

INSTEAD = "use --on desktop:virtual for a desktop of its own, or --on browser"
COOKIE = b"MIT-MAGIC-COOKIE-1"
LOCAL, WILD = 256, 65535  # families of ~/.Xauthority. Source: X.org's Xau library, Xauth.h
_lock = threading.Lock()


def require_display(environ: Mapping[str, str] = os.environ) -> str:
    """The name of the X display. UsageError, with what works instead, where there is none."""
    display = environ.get("DISPLAY", "")
    if display:
        return display
    if environ.get("WAYLAND_DISPLAY") or environ.get("XDG_SESSION_TYPE") == "wayland":
        raise UsageError(_wayland())
    raise UsageError(f"there is no display to see: DISPLAY is not set; {INSTEAD}")


def _wayland() -> str:
    return (
        "this is a Wayland session, where programs can neither see the screen nor act on it; "
        f"log in to an Xorg session, or {INSTEAD}"
    )


def connect(display: str, environ: Mapping[str, str] = os.environ) -> Any:
    """An Xlib Display. UsageError when there is no server, it lets nobody in, lacks XTEST, or is Wayland's stand-in."""
    from Xlib import error
    from Xlib.display import Display

    try:
        with _cookies_from(environ):
            connection = Display(display)
    except (error.DisplayError, error.ConnectionClosedError, OSError) as failure:
        reason = getattr(failure, "msg", str(failure))
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise UsageError(f"the display {display} cannot be used ({reason.strip()[:200]}); {INSTEAD}") from None
    if _is_wayland(connection):
        connection.close()
        raise UsageError(_wayland())
    if not connection.has_extension("XTEST"):
        connection.close()
        raise UsageError(f"the display {display} has no XTEST, so nobody can act on it; {INSTEAD}")
    return connection


def _is_wayland(connection: Any) -> bool:
    """Whether the server is Xwayland: its pictures are black and its pointer moves nothing but X programs'.

    New ones have an extension of that name, old ones call their outputs so.
    """
    if connection.has_extension("XWAYLAND"):
        return True
    if not connection.has_extension("RANDR"):
        return False
    resources = connection.screen().root.xrandr_get_screen_resources()
    names = (connection.xrandr_get_output_info(output, resources.config_timestamp).name for output in resources.outputs)
    return any(str(name).startswith("XWAYLAND") for name in names)


@contextlib.contextmanager
def _cookies_from(environ: Mapping[str, str]) -> Iterator[None]:
    """python3-xlib fails where ~/.Xauthority is missing, and overlooks entries for any host: it gets our reader."""
    from Xlib.support import connect as support

    def get_auth(_socket: Any, _name: Any, _host: Any, number: Any) -> tuple[bytes, bytes]:
        return find_cookie(environ, int(number))

    with _lock:
        theirs, support.get_auth = support.get_auth, get_auth
        try:
            yield
        finally:
            support.get_auth = theirs


def find_cookie(environ: Mapping[str, str], number: int) -> tuple[bytes, bytes]:
    """(name, secret) for a display of this machine; empty where the file has none or is not there."""
    named = environ.get("XAUTHORITY")
    path = Path(named) if named else Path(environ.get("HOME") or Path.home()) / ".Xauthority"
    try:
        data = path.read_bytes()
    except OSError:
        return b"", b""
    host = socket.gethostname().encode()
    for family, address, for_number, name, secret in _entries(data):
        if (
            name == COOKIE
            and for_number in (b"", b"%d" % number)
            and (family == WILD or (family, address) == (LOCAL, host))
        ):
            return name, secret
    return b"", b""


def _entries(data: bytes) -> Iterator[tuple[int, bytes, bytes, bytes, bytes]]:
    """family, then address, display number, name and secret, each with its length; big-endian."""
    at = 0
    while at + 2 <= len(data):
        (family,) = struct.unpack_from(">H", data, at)
        at += 2
        parts = []
        for _ in range(4):
            if at + 2 > len(data):
                return
            (length,) = struct.unpack_from(">H", data, at)
            parts.append(data[at + 2 : at + 2 + length])
            at += 2 + length
        yield family, parts[0], parts[1], parts[2], parts[3]


def write_cookie(path: Path, number: int | None, secret: bytes) -> None:
    """A file of one entry, for its owner alone. number None: for any display."""
    parts = (b"", b"" if number is None else b"%d" % number, COOKIE, secret)
    data = struct.pack(">H", WILD) + b"".join(struct.pack(">H", len(part)) + part for part in parts)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
