"""One window alone: found by its title, followed when it moves, shown without others, missed when closed."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.desktop_programs import TK_PAD, link, soon, started, tk_python, x_server

from actions import Click, Move, SurfaceError, TypeText, UsageError
from envs.desktop.x11.windows import Windows
from envs.surfaces.desktop import Surface

WHITE = [255, 255, 255]


@pytest.fixture
def scene(tmp_path):
    """Two Tk windows that lie apart: (display, connection, windows, the first's file, its program)."""
    one, two = tmp_path / "one", tmp_path / "two"
    with (
        x_server("1000x700") as display,
        started([tk_python(), str(TK_PAD), str(one), "300x200+100+100", "Letters"], display) as first,
        started([tk_python(), str(TK_PAD), str(two), "300x200+600+400", "Numbers"], display),
    ):
        soon(lambda: one.exists() and two.exists())
        connection = link(display)
        windows = Windows(connection)
        soon(lambda: len([w for w in windows.all() if w.title in ("Letters", "Numbers") and windows.box(w.id)]) == 2)
        yield display, connection, windows, one, first
        connection.close()


def place(connection, windows, title, **where):
    window = connection.create_resource_object("window", windows.find(title).id)
    while window.query_tree().parent.id != connection.screen().root.id:
        window = window.query_tree().parent
    window.configure(**where)
    connection.sync()


def test_titles_are_found_and_those_that_are_not_are_named(scene):
    display, _, windows, _, _ = scene
    assert windows.find("numb").title == "Numbers"
    with pytest.raises(UsageError, match=r"no window is called 'Words'; there are: .*'Letters'"):
        Surface(window="Words", display=display)
    with pytest.raises(UsageError, match=r"2 windows have 'e' in their titles: .*name one of them"):
        windows.find("e")


def test_it_is_followed_when_it_moves_and_text_reaches_it_alone(scene):
    display, connection, windows, one, _ = scene
    with Surface(window="Letters", display=display) as surface:
        before = surface.capture()
        place(connection, windows, "Letters", x=37, y=310)
        soon(lambda: windows.box(windows.find("Letters").id)[:2] == (37, 310))
        assert surface.capture().pixels.shape == before.pixels.shape
        surface.perform(Move(x=10, y=20))
        at = connection.screen().root.query_pointer()
        assert (at.root_x, at.root_y) == (47, 330)
        surface.perform(TypeText(text="żółć"))
        soon(lambda: one.read_text() == "żółć")


def test_what_lies_over_it_is_neither_seen_nor_clicked(scene):
    from Xlib import X

    display, connection, windows, _, _ = scene
    with Surface(window="Letters", display=display) as surface:
        surface.capture()
        cover = connection.screen().root.create_window(
            150, 150, 60, 40, 0, 24, background_pixel=0xFF0000, override_redirect=True, event_mask=X.ButtonPressMask
        )
        cover.map()
        connection.sync()
        box = windows.box(windows.find("Letters").id)
        soon(lambda: windows.covers(windows.find("Letters").id, box))
        pixels = surface.capture().pixels
        assert not (pixels == [255, 0, 0]).all(axis=2).any()
        assert (
            "shown grey" in surface.pop_notices() or (pixels[60, 60] == WHITE).all()
        )  # raised above it, where it can be
        note = surface.perform(Click(x=60, y=60))
        connection.sync()
        presses = [connection.next_event().type for _ in range(connection.pending_events())]
        assert X.ButtonPress not in presses
        assert "was not done" in note or (pixels[60, 60] == WHITE).all()
        cover.destroy()
        connection.sync()
        assert surface.perform(Click(x=60, y=60)) == ""


def test_a_part_off_the_screen_is_grey_and_no_picture_fails(scene):
    display, connection, windows, _, _ = scene
    with Surface(window="Letters", display=display) as surface:
        place(connection, windows, "Letters", x=-50, y=100)
        soon(lambda: windows.box(windows.find("Letters").id).left == -50)
        pixels = surface.capture().pixels
        assert pixels.shape == (200, 300, 3) and np.unique(pixels[:, :50]).tolist() == [128]
        assert "not done" in surface.perform(Click(x=5, y=5))
        place(connection, windows, "Letters", x=-500, y=100)
        soon(lambda: windows.box(windows.find("Letters").id).left == -500)
        with pytest.raises(SurfaceError, match="'Letters' lies outside of the screen"):
            surface.capture()


def test_a_window_of_another_size_is_looked_at_before_it_is_acted_in(scene):
    display, connection, windows, _, _ = scene
    with Surface(window="Letters", display=display) as surface:
        surface.capture()
        place(connection, windows, "Letters", width=260, height=150)
        soon(lambda: windows.box(windows.find("Letters").id).width == 260)
        assert "changed its size before 'click', which was not done" in surface.perform(Click(x=5, y=5))
        assert surface.capture().width == 260
        assert surface.perform(Click(x=5, y=5)) == ""


def test_a_closed_window_is_a_surface_error(scene):
    display, _, windows, _, program = scene
    with Surface(window="Letters", display=display) as surface:
        surface.capture()
        program.kill()
        soon(lambda: len([w for w in windows.all() if w.title == "Letters"]) == 0)
        for call in (surface.capture, lambda: surface.perform(TypeText(text="into nowhere"))):
            with pytest.raises(SurfaceError, match="the window 'Letters' was closed; open it and start again"):
                call()


def test_the_focus_comes_back_to_the_very_window_and_not_to_another_of_its_program():
    """Two terminals are often one program: the text for the one must not go to that in which a person said yes."""
    from Xlib import X

    with x_server("400x300") as display:
        connection = link(display)
        both = [connection.screen().root.create_window(at, 0, 100, 100, 0, X.CopyFromParent) for at in (0, 200)]
        with Surface(display=display) as surface:

            def focus(window):
                window.map()
                connection.sync()
                soon(lambda: window.get_attributes().map_state == X.IsViewable)
                window.set_input_focus(X.RevertToParent, X.CurrentTime)
                connection.sync()

            focus(both[0])
            give_back = surface.keep_focus()
            focus(both[1])
            assert give_back() and connection.get_input_focus().focus.id == both[0].id
            both[0].destroy()
            connection.sync()
            assert not give_back()
        connection.close()
