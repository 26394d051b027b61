"""The pointer lands on the exact pixel, read back from the X server, in every geometry, and so do the pictures."""

from __future__ import annotations

import random
import time

import pytest
from helpers.desktop_programs import TK_PAD, link, soon, started, tk_python, x_server

from actions import Click, Drag, InvalidActionError, Move, Scroll
from envs.surfaces.desktop import Surface

POINTS = 500


def lands(surface, connection, origin, size, scale=1.0):
    """Move to random pixels; the server says where the pointer is."""
    root = connection.screen().root
    draw = random.Random(7)
    spots = [(0, 0), (size[0] - 1, 0), (0, size[1] - 1), (size[0] - 1, size[1] - 1)]
    spots += [(draw.randrange(size[0]), draw.randrange(size[1])) for _ in range(POINTS - len(spots))]
    for x, y in spots:
        surface.perform(Move(x=x, y=y))
        at = root.query_pointer()
        assert (at.root_x, at.root_y) == (origin[0] + int((x + 0.5) * scale), origin[1] + int((y + 0.5) * scale))


def two_monitors(connection):
    """Two monitors side by side, the second a little lower. Source: RandR 1.5, RRSetMonitor (minor opcode 43)."""
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
    for name, first, box in (("LEFT", True, (0, 0, 640, 720)), ("RIGHT", False, (640, 120, 640, 600))):
        x, y, width, height = box
        SetMonitor(
            display=connection.display, opcode=opcode, window=root, name=connection.intern_atom(name),
            primary=first, automatic=0, outputs=[output] if first else [], x=x, y=y, width=width, height=height,
            mm_w=200, mm_h=200,
        )  # fmt: skip
    connection.sync()


def test_one_monitor(display, painted):
    with Surface(display=display) as surface:
        screen = surface.capture()
        assert (screen.width, screen.height) == (1280, 720)
        assert screen.pixels[0, 0].tolist() == [0x40, 0x60, 0x80]
        lands(surface, painted, (0, 0), (1280, 720))


def test_scale_two(display, painted):
    with Surface(display=display, scale=2.0) as surface:
        assert (surface.capture().width, surface.capture().height) == (640, 360)
        lands(surface, painted, (0, 0), (640, 360), 2.0)


def test_the_second_of_two_monitors_side_by_side(painted, display):
    two_monitors(painted)
    with Surface("monitor:2", display=display) as surface:
        boxes = [tuple(monitor.box) for monitor in surface.monitors]
        assert boxes == [(0, 0, 640, 720), (640, 120, 640, 600)], boxes
        screen = surface.capture()
        assert (screen.width, screen.height) == (640, 600)
        lands(surface, painted, (640, 120), (640, 600))
        painted.screen().root.warp_pointer(3, 3)
        painted.sync()
        assert surface.is_user_owned and surface.pointer() == (3 - 640, 3 - 120)
        for action in (Scroll(down=1), Drag(path=((5, 5),))):
            with pytest.raises(InvalidActionError, match="the pointer is not on this screen"):
                surface.perform(action)


def test_one_window_of_a_larger_desktop(tmp_path):
    path = tmp_path / "text"
    with x_server("1600x1000") as display, started([tk_python(), str(TK_PAD), str(path), "400x300+333+217"], display):
        soon(path.exists)
        connection = link(display)
        with Surface(window="tk pad", display=display) as surface:
            screen = surface.capture()
            assert (screen.width, screen.height) == (400, 300)
            lands(surface, connection, (333, 217), (400, 300))
        connection.close()


def test_clicks_in_a_row_at_one_place_are_not_a_double_click(display, painted):
    with Surface(display=display) as surface:
        surface.perform(Click(x=9, y=9))
        began = time.monotonic()
        surface.perform(Click(x=9, y=9))
        assert time.monotonic() - began > 0.3
        began = time.monotonic()
        surface.perform(Click(x=99, y=99, count=3))
        assert time.monotonic() - began < 0.3


def test_a_left_handed_mouse_clicks_left_where_left_is(display, painted):
    from Xlib import X

    window = painted.screen().root.create_window(0, 0, 50, 50, 0, 24, event_mask=X.ButtonPressMask)
    window.map()
    before = list(painted.get_pointer_mapping())
    painted.set_pointer_mapping([3, 2, 1, *before[3:]])
    painted.sync()
    try:
        with Surface(display=display) as surface:
            surface.perform(Click(x=20, y=20))
            surface.perform(Scroll(x=20, y=20, down=2))
        painted.sync()
        buttons = []
        while painted.pending_events():
            event = painted.next_event()
            if event.type == X.ButtonPress:
                buttons.append(event.detail)
        assert buttons == [1, 5, 5]
    finally:
        painted.set_pointer_mapping(before)
        window.destroy()
        painted.sync()
