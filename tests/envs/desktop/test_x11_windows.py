"""One window: found by title, followed when it moves, shown without other programs, reported when closed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from helpers.desktop_programs import TK_PAD, connect_to, require_programs, running, tk_python, x_server
from helpers.eventually import eventually

from actions import Click, Move, PressKeys, SurfaceError, TypeText, UsageError
from envs.desktop.geometry import Box
from envs.desktop.x11.windows import Windows
from envs.surfaces.desktop import Surface

if TYPE_CHECKING:
    from Xlib.display import Display
    from Xlib.xobject.drawable import Window as XWindow

WHITE = [255, 255, 255]
RED = [255, 0, 0]


class Scene(NamedTuple):
    """A display with two separate Tk windows, "Letters" and "Numbers"."""

    display: str
    connection: Display
    windows: Windows
    text_path: Path
    program: subprocess.Popen[bytes]

    def letters_box(self) -> Box:
        box = self.windows.box(self.windows.find("Letters").id)
        assert box is not None
        return box

    def place_letters(self, **geometry: int) -> None:
        window = self.connection.create_resource_object("window", self.windows.find("Letters").id)
        while window.query_tree().parent.id != self.connection.screen().root.id:
            window = window.query_tree().parent
        window.configure(**geometry)
        self.connection.sync()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    letters, numbers = tmp_path / "letters", tmp_path / "numbers"
    with (
        x_server("1000x700") as display,
        running([tk_python(), str(TK_PAD), str(letters), "300x200+100+100", "Letters"], display) as program,
        running([tk_python(), str(TK_PAD), str(numbers), "300x200+600+400", "Numbers"], display),
    ):
        eventually(lambda: letters.exists() and numbers.exists())
        connection = connect_to(display)
        windows = Windows(connection)
        titles = {"Letters", "Numbers"}
        eventually(lambda: titles <= {window.title for window in windows.all() if windows.box(window.id)})
        yield Scene(display, connection, windows, letters, program)
        connection.close()


def test_find_matches_part_of_title(scene: Scene) -> None:
    assert scene.windows.find("numb").title == "Numbers"


def test_find_lists_titles_on_error(scene: Scene) -> None:
    with pytest.raises(UsageError, match=r"no window is called 'Words'; open windows: .*'Letters'"):
        Surface(window="Words", display=scene.display)
    with pytest.raises(UsageError, match=r"2 windows have 'e' in their titles: .*name one of them"):
        scene.windows.find("e")


def test_moved_window_is_followed(scene: Scene) -> None:
    with Surface(window="Letters", display=scene.display) as surface:
        shape = surface.capture().pixels.shape
        scene.place_letters(x=37, y=310)
        eventually(lambda: scene.letters_box()[:2] == (37, 310))
        assert surface.capture().pixels.shape == shape
        surface.perform(Move(x=10, y=20))
        position = scene.connection.screen().root.query_pointer()
        assert (position.root_x, position.root_y) == (47, 330)
        surface.perform(TypeText(text="żółć"))
        eventually(lambda: scene.text_path.read_text() == "żółć")


def test_covering_window_is_neither_shown_nor_clicked(scene: Scene) -> None:
    from Xlib import X

    connection = scene.connection
    with Surface(window="Letters", display=scene.display) as surface:
        surface.capture()
        cover = connection.screen().root.create_window(
            150, 150, 60, 40, 0, 24, background_pixel=0xFF0000, override_redirect=True, event_mask=X.ButtonPressMask
        )
        cover.map()
        connection.sync()
        box = scene.letters_box()
        eventually(lambda: scene.windows.covers(scene.windows.find("Letters").id, box))
        pixels = surface.capture().pixels
        is_raised = bool((pixels[60, 60] == WHITE).all())  # above the cover, if the server allows it
        assert not (pixels == RED).all(axis=2).any()
        assert is_raised or "shown gray" in surface.pop_notices()
        notice = surface.perform(Click(x=60, y=60))
        connection.sync()
        assert X.ButtonPress not in [connection.next_event().type for _ in range(connection.pending_events())]
        assert is_raised or "was not done" in notice
        cover.destroy()
        connection.sync()
        assert surface.perform(Click(x=60, y=60)) == ""


def test_part_off_the_screen_is_gray(scene: Scene) -> None:
    with Surface(window="Letters", display=scene.display) as surface:
        scene.place_letters(x=-50, y=100)
        eventually(lambda: scene.letters_box().left == -50)
        pixels = surface.capture().pixels
        assert pixels.shape == (200, 300, 3)
        assert np.unique(pixels[:, :50]).tolist() == [128]
        assert "not done" in surface.perform(Click(x=5, y=5))


def test_window_off_the_screen_is_an_error(scene: Scene) -> None:
    with Surface(window="Letters", display=scene.display) as surface:
        scene.place_letters(x=-500, y=100)
        eventually(lambda: scene.letters_box().left == -500)
        with pytest.raises(SurfaceError, match="'Letters' lies outside of the screen"):
            surface.capture()


def test_resized_window_needs_a_new_screenshot(scene: Scene) -> None:
    with Surface(window="Letters", display=scene.display) as surface:
        surface.capture()
        scene.place_letters(width=260, height=150)
        eventually(lambda: scene.letters_box().width == 260)
        assert "changed its size before 'click', which was not done" in surface.perform(Click(x=5, y=5))
        assert surface.capture().width == 260
        assert surface.perform(Click(x=5, y=5)) == ""


def test_closed_window_is_a_surface_error(scene: Scene) -> None:
    with Surface(window="Letters", display=scene.display) as surface:
        surface.capture()
        scene.program.kill()
        eventually(lambda: "Letters" not in [window.title for window in scene.windows.all()])
        with pytest.raises(SurfaceError, match="the window 'Letters' was closed"):
            surface.capture()
        with pytest.raises(SurfaceError, match="the window 'Letters' was closed"):
            surface.perform(TypeText(text="into nowhere"))


MANAGER = """<?xml version="1.0"?><JWM><FocusModel>click</FocusModel><Desktops width="1" height="1"/></JWM>"""


def test_dialog_of_the_program_is_shown_and_clicked(tmp_path: Path) -> None:
    """A window manager's frame around the dialog is not of the program itself."""
    require_programs("jwm", "mousepad")
    config, text = tmp_path / "manager.jwm", tmp_path / "some-text.txt"
    config.write_text(MANAGER)
    text.write_text("one line\n")
    with (
        x_server() as display,
        running(["jwm", "-f", str(config)], display),
        running(["mousepad", "--disable-server", str(text)], display, GSETTINGS_BACKEND="memory"),
    ):
        connection = connect_to(display)
        windows = Windows(connection)
        eventually(lambda: [window for window in windows.all() if "some-text" in window.title])
        with Surface(window="some-text", display=display) as surface:
            surface.capture()
            surface.perform(PressKeys(keys=("ctrl", "shift", "s")))
            eventually(lambda: [window for window in windows.all() if window.title == "Save As"])
            eventually(lambda: windows.box(windows.find("Save As").id))
            pixels = surface.capture().pixels
            assert (pixels == 128).all(axis=2).mean() < 0.5
            assert surface.pop_notices() == ""
            assert surface.perform(Click(x=pixels.shape[1] // 2, y=pixels.shape[0] // 2)) == ""
        connection.close()


def test_keep_focus_restores_the_very_window() -> None:
    """Two terminals are often one program; text for one must not go to the one where the user answered."""
    from Xlib import X

    with x_server("400x300") as display:
        connection = connect_to(display)
        root = connection.screen().root
        first, second = (root.create_window(left, 0, 100, 100, 0, X.CopyFromParent) for left in (0, 200))

        def focus(window: XWindow) -> None:
            window.map()
            connection.sync()
            eventually(lambda: window.get_attributes().map_state == X.IsViewable)
            window.set_input_focus(X.RevertToParent, X.CurrentTime)
            connection.sync()

        with Surface(display=display) as surface:
            focus(first)
            restore_focus = surface.keep_focus()
            focus(second)
            assert restore_focus()
            assert connection.get_input_focus().focus.id == first.id
            first.destroy()
            connection.sync()
            assert not restore_focus()
        connection.close()
