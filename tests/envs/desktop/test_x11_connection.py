"""Finding and entering X displays, and the errors where there is none."""

from __future__ import annotations

import socket
import types
from pathlib import Path

import pytest
from helpers.desktop_programs import x_server

from actions import UsageError
from envs.desktop.x11 import connection as module
from envs.desktop.x11.connection import connect, find_cookie, require_display, write_cookie


def test_require_display_without_display_names_alternatives() -> None:
    with pytest.raises(UsageError, match=r"DISPLAY is not set; use --surface desktop:virtual .* or --surface browser"):
        require_display({})


@pytest.mark.parametrize("environ", [{"WAYLAND_DISPLAY": "wayland-0"}, {"XDG_SESSION_TYPE": "wayland"}])
def test_require_display_refuses_wayland(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"Wayland session.*Xorg session, or use --surface desktop:virtual"):
        require_display(environ)


@pytest.mark.parametrize("sign", ["extension", "output"])
def test_xwayland_is_detected_by_the_server(sign: str) -> None:
    """The environment proves nothing: xvfb-run leaves WAYLAND_DISPLAY set."""
    resources = types.SimpleNamespace(outputs=[1], config_timestamp=0)
    root = types.SimpleNamespace(xrandr_get_screen_resources=lambda: resources)
    output = types.SimpleNamespace(name="XWAYLAND0" if sign == "output" else "HDMI-1")
    server = types.SimpleNamespace(
        has_extension=lambda name: name == "RANDR" or (name == "XWAYLAND" and sign == "extension"),
        screen=lambda: types.SimpleNamespace(root=root),
        xrandr_get_output_info=lambda *_: output,
    )
    assert module._is_wayland(server)
    output.name = "HDMI-1"
    server.has_extension = lambda name: name == "RANDR"
    assert not module._is_wayland(server)


def test_connect_to_missing_display_fails() -> None:
    with pytest.raises(UsageError, match=r"display :9876 cannot be used .*use --surface desktop:virtual"):
        connect(":9876")


def test_connect_works_without_xauthority(display: str, tmp_path: Path) -> None:
    """Importing pyautogui fails without that file."""
    connection = connect(display, {"HOME": str(tmp_path)})
    assert connection.screen().width_in_pixels == 1280
    assert not module._is_wayland(connection)
    connection.close()


def test_connect_needs_the_cookie(tmp_path: Path) -> None:
    cookie = tmp_path / "cookie"
    write_cookie(cookie, None, b"0123456789abcdef")
    assert cookie.stat().st_mode & 0o777 == 0o600
    with x_server("64x64", "-auth", str(cookie)) as display:
        connect(display, {"XAUTHORITY": str(cookie)}).close()
        with pytest.raises(UsageError, match=f"display {display} cannot be used"):
            connect(display, {"HOME": str(tmp_path)})


def test_find_cookie_matches_host_and_number(tmp_path: Path) -> None:
    path = tmp_path / ".Xauthority"
    entries = []
    for host, number, secret in [(b"elsewhere", b"0", b"a"), (socket.gethostname().encode(), b"7", b"b")]:
        fields = (host, number, module.COOKIE, secret)
        entries.append(b"\x01\x00" + b"".join(len(field).to_bytes(2, "big") + field for field in fields))
    truncated = b"\x01\x00\x00"
    path.write_bytes(b"".join(entries) + truncated)
    environ = {"HOME": str(tmp_path)}
    assert find_cookie(environ, 7) == (module.COOKIE, b"b")
    assert find_cookie(environ, 0) == (b"", b"")
