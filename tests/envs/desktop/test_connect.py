"""How the display is found and entered, and the sentences where there is none."""

from __future__ import annotations

import socket
import types

import pytest
from helpers.desktop_programs import x_server

from actions import UsageError
from envs.desktop.x11 import connection as module
from envs.desktop.x11.connection import connect, find_cookie, require_display, write_cookie


def test_no_display_is_a_sentence_with_what_works_instead():
    with pytest.raises(UsageError, match=r"DISPLAY is not set; use --on desktop:virtual .* or --on browser"):
        require_display({})


@pytest.mark.parametrize("environ", [{"WAYLAND_DISPLAY": "wayland-0"}, {"XDG_SESSION_TYPE": "wayland"}])
def test_wayland_is_said(environ):
    with pytest.raises(UsageError, match=r"Wayland session.*Xorg session, or use --on desktop:virtual"):
        require_display(environ)


@pytest.mark.parametrize("sign", ["extension", "output"])
def test_waylands_stand_in_for_x_is_told_by_the_server_itself(sign):
    """A name in the environment proves nothing: xvfb-run leaves WAYLAND_DISPLAY set."""
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


def test_a_display_that_is_not_there_is_a_sentence():
    with pytest.raises(UsageError, match=r"the display :9876 cannot be used .*use --on desktop:virtual"):
        connect(":9876")


def test_a_missing_xauthority_is_no_hindrance(display, tmp_path):
    """pyautogui does not even import without that file."""
    connection = connect(display, {"HOME": str(tmp_path)})
    assert connection.screen().width_in_pixels == 1280
    assert not module._is_wayland(connection)
    connection.close()


def test_a_cookie_lets_in_and_its_lack_is_a_sentence(tmp_path):
    cookie = tmp_path / "cookie"
    write_cookie(cookie, None, b"0123456789abcdef")
    assert cookie.stat().st_mode & 0o777 == 0o600
    with x_server("64x64", "-auth", str(cookie)) as display:
        connect(display, {"XAUTHORITY": str(cookie)}).close()
        with pytest.raises(UsageError, match=f"the display {display} cannot be used"):
            connect(display, {"HOME": str(tmp_path)})


def test_cookies_are_found_by_host_and_number(tmp_path):
    path = tmp_path / ".Xauthority"
    parts = []
    for host, number, secret in [(b"elsewhere", b"0", b"a"), (socket.gethostname().encode(), b"7", b"b")]:
        entry = (host, number, module.COOKIE, secret)
        parts.append(b"\x01\x00" + b"".join(len(part).to_bytes(2, "big") + part for part in entry))
    path.write_bytes(b"".join(parts) + b"\x01\x00\x00")  # and a torn end
    home = {"HOME": str(tmp_path)}
    assert find_cookie(home, 7) == (module.COOKIE, b"b")
    assert find_cookie(home, 0) == (b"", b"")
