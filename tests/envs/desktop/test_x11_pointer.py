"""The pointer lands on the exact pixel in every geometry, as the X server reports it, and so do screenshots."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.desktop_programs import TK_PAD, connect_to, running, tk_python, x_server
from helpers.eventually import eventually

from actions import Action, Click, Drag, InvalidActionError, Move, Scroll
from envs.desktop.x11 import input as x11_input
from envs.surfaces.desktop import Surface

if TYPE_CHECKING:
    from Xlib.display import Display

POINT_COUNT = 500


def assert_moves_land(
    surface: Surface, connection: Display, origin: tuple[int, int], size: tuple[int, int], scale: float = 1.0
) -> None:
    """Move to random pixels and compare with the pointer's position on the server."""
    root = connection.screen().root
    generator = random.Random(7)
    points = [(0, 0), (size[0] - 1, 0), (0, size[1] - 1), (size[0] - 1, size[1] - 1)]
    while len(points) < POINT_COUNT:
        points.append((generator.randrange(size[0]), generator.randrange(size[1])))
    for x, y in points:
        surface.perform(Move(x=x, y=y))
        position = root.query_pointer()
        expected = (origin[0] + int((x + 0.5) * scale), origin[1] + int((y + 0.5) * scale))
        assert (position.root_x, position.root_y) == expected


def add_monitors(connection: Display) -> None:
    """Make two monitors side by side, the second a little lower.

    Source: RandR 1.5, RRSetMonitor (minor opcode 43).
    """
    from Xlib.protocol import rq

    class SetMonitor(rq.Request):
        _request = rq.Struct(
            rq.Card8("opcode"), rq.Opcode(43), rq.RequestLength(), rq.Window("window"),
            rq.Card32("name"), rq.Card8("primary"), rq.Card8("automatic"), rq.LengthOf("outputs", 2),
            rq.Int16("x"), rq.Int16("y"), rq.Card16("width"), rq.Card16("height"), rq.Card32("mm_w"), rq.Card32("mm_h"),
            rq.List("outputs", rq.Card32Obj),
        )  # fmt: skip

    root = connection.screen().root
    output = root.xrandr_get_screen_resources().outputs[0]
    opcode = connection.display.get_extension_major("RANDR")
    for name, is_first, box in (("LEFT", True, (0, 0, 640, 720)), ("RIGHT", False, (640, 120, 640, 600))):
        x, y, width, height = box
        SetMonitor(
            display=connection.display, opcode=opcode, window=root, name=connection.intern_atom(name),
            primary=is_first, automatic=0, outputs=[output] if is_first else [], x=x, y=y, width=width, height=height,
            mm_w=200, mm_h=200,
        )  # fmt: skip
    connection.sync()


def test_one_monitor(display: str, painted: Display) -> None:
    with Surface(display=display) as surface:
        screen = surface.capture()
        assert (screen.width, screen.height) == (1280, 720)
        assert screen.pixels[0, 0].tolist() == [0x40, 0x60, 0x80]
        assert_moves_land(surface, painted, (0, 0), (1280, 720))


def test_scale_two(display: str, painted: Display) -> None:
    with Surface(display=display, scale=2.0) as surface:
        screen = surface.capture()
        assert (screen.width, screen.height) == (640, 360)
        assert_moves_land(surface, painted, (0, 0), (640, 360), 2.0)


def test_second_of_two_monitors(painted: Display, display: str) -> None:
    add_monitors(painted)
    with Surface("monitor:2", display=display) as surface:
        assert [tuple(monitor.box) for monitor in surface.monitors] == [(0, 0, 640, 720), (640, 120, 640, 600)]
        screen = surface.capture()
        assert (screen.width, screen.height) == (640, 600)
        assert_moves_land(surface, painted, (640, 120), (640, 600))


@pytest.mark.parametrize("action", [Scroll(down=1), Drag(path=((5, 5),))])
def test_action_from_pointer_outside_is_refused(painted: Display, display: str, action: Action) -> None:
    add_monitors(painted)
    with Surface("monitor:2", display=display) as surface:
        surface.capture()
        painted.screen().root.warp_pointer(3, 3)
        painted.sync()
        assert surface.is_user_owned
        assert surface.pointer() == (3 - 640, 3 - 120)
        with pytest.raises(InvalidActionError, match="the pointer is not on this screen"):
            surface.perform(action)


def test_window_of_a_larger_desktop(tmp_path: Path) -> None:
    path = tmp_path / "text"
    command = [tk_python(), str(TK_PAD), str(path), "400x300+333+217"]
    with x_server("1600x1000") as display, running(command, display):
        eventually(path.exists)
        connection = connect_to(display)
        with Surface(window="tk pad", display=display) as surface:
            screen = surface.capture()
            assert (screen.width, screen.height) == (400, 300)
            assert_moves_land(surface, connection, (333, 217), (400, 300))
        connection.close()


def test_repeated_click_is_no_double_click(display: str, painted: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = time.sleep
    monkeypatch.setattr(x11_input.time, "sleep", lambda seconds: (pauses.append(seconds), sleep(0))[1])
    with Surface(display=display) as surface:
        surface.perform(Click(x=9, y=9))
        assert not pauses
        surface.perform(Click(x=9, y=9))
        assert len(pauses) == 1
        assert 0 < pauses[0] <= x11_input.DOUBLE_CLICK_S
        surface.perform(Click(x=99, y=99, count=3))
        assert len(pauses) == 1


def test_left_handed_mouse_clicks_left(display: str, painted: Display) -> None:
    from Xlib import X

    window = painted.screen().root.create_window(0, 0, 50, 50, 0, 24, event_mask=X.ButtonPressMask)
    window.map()
    mapping = list(painted.get_pointer_mapping())
    painted.set_pointer_mapping([3, 2, 1, *mapping[3:]])
    painted.sync()
    try:
        with Surface(display=display) as surface:
            surface.perform(Click(x=20, y=20))
            surface.perform(Scroll(x=20, y=20, down=2))
        painted.sync()
        events = [painted.next_event() for _ in range(painted.pending_events())]
        assert [event.detail for event in events if event.type == X.ButtonPress] == [1, 5, 5]
    finally:
        painted.set_pointer_mapping(mapping)
        window.destroy()
        painted.sync()
