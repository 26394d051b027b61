"""The desktop surface: its contract, a practice task through X11 alone, and programs through the whole loop."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.desktop_programs import connect_to, require_programs, require_window_manager, x_server
from helpers.eventually import eventually
from Xlib import X
from Xlib.protocol.event import ClientMessage

from actions import Action, Click, Done, Drag, Move, PressKeys, Screen, SurfaceError, TypeText, UsageError, Wait
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from envs.desktop.geometry import Box
from envs.desktop.screen_capture import Pixels, ScreenCapture
from envs.live import LiveEnv
from envs.miniwob.task import MiniWobTask
from envs.options import SurfaceOptions
from envs.surface_check import check_surface
from envs.surfaces import desktop
from envs.surfaces.desktop import Surface, open_surface

SUM = 1234 + 5678


@pytest.fixture(autouse=True)
def programs() -> None:
    require_programs("Xvfb", "mousepad", "galculator")
    require_window_manager()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"where": "virtual", "window": "x"}, "--window does not apply"),
        ({"url": "about:blank"}, "only a virtual desktop opens"),
        ({"program": "mousepad"}, "only a virtual desktop opens"),
        ({"where": "virtual", "headed": True}, "--headed does not apply"),
        ({"share": ("/srv",)}, "--share applies to a virtual desktop only"),
        ({"where": "virtual", "program": "mousepad", "share": ("/no-such-folder",)}, "does not exist"),
    ],
)
def test_inapplicable_options_are_usage_errors(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_surface(SurfaceOptions(**fields))


def test_missing_display_names_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
    with pytest.raises(UsageError, match=r"DISPLAY is not set; use --surface desktop:virtual"):
        Surface()


def test_surface_contract() -> None:
    surface = open_surface(SurfaceOptions(where="virtual", program="mousepad", width=640, height=480))
    assert check_surface(surface) == []


def test_black_screenshot_is_an_error_on_real_screens(monkeypatch: pytest.MonkeyPatch) -> None:
    with Surface("virtual", program="mousepad", width=320, height=240) as surface:
        black = np.zeros((240, 320, 3), np.uint8)
        monkeypatch.setattr(surface._backend.screen_capture, "capture", lambda *_: black)
        assert surface.capture().width == 320  # on a virtual desktop, black is what a program has drawn
        with monkeypatch.context() as patch:
            patch.setattr(surface, "_virtual", None)
            with pytest.raises(SurfaceError, match="all black: the screen is locked or asleep"):
                surface.capture()


def test_empty_black_desktop_is_shown_with_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desktop, "BLACK_S", 0.1)
    with x_server("320x240") as display:
        connection = connect_to(display)
        connection.screen().root.change_attributes(background_pixel=0)
        connection.screen().root.clear_area()
        connection.sync()
        with Surface(display=display) as surface:
            assert not surface.capture().pixels.any()
            assert surface.pop_notices() == "the desktop is black and shows no window"
        window = connection.screen().root.create_window(0, 0, 320, 240, 0, 24, background_pixel=0)
        window.map()  # such as that of a screen lock
        connection.sync()
        with Surface(display=display) as surface, pytest.raises(SurfaceError, match="locked or asleep"):
            surface.capture()
        connection.close()


def test_minimized_window_comes_back() -> None:
    with Surface("virtual", program="mousepad", width=640, height=480) as surface:
        windows = surface._backend.windows
        assert windows is not None
        window = windows.all()[0]

        def minimize() -> None:
            message = windows._atom("WM_CHANGE_STATE")
            event = ClientMessage(window=windows._window(window.id), client_type=message, data=(32, [3, 0, 0, 0, 0]))
            windows._root.send_event(event, event_mask=X.SubstructureRedirectMask | X.SubstructureNotifyMask)
            windows._display.sync()

        surface._call(minimize, 5, "minimizing the window")
        eventually(lambda: surface._call(windows.minimized, 5, "reading states") == [window])
        surface.capture()
        assert "was minimized; it is shown again" in surface.pop_notices()
        eventually(lambda: window.title in visible_titles(surface))


def test_code_typed_into_a_program_is_reported() -> None:
    with Surface("virtual", program="mousepad", width=640, height=480) as surface:
        surface.perform(Click(x=300, y=300))
        assert surface.perform(TypeText(text="one (1)\ntwo")) == ""
        assert "an editor that indents" in surface.perform(TypeText(text="if a:\n    b\n"))


def center(surface: Surface, selector: str) -> Click:
    """Return a click in the middle of an element of a practice page."""
    position = surface.evaluate(
        f"(() => {{ const r = document.querySelector({selector!r}).getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2] })()"
    )
    assert isinstance(position, list)
    x, y = position
    return Click(x=int(x * 1.75), y=int(y * 1.75))


def test_practice_task_is_solved_through_x11(chrome: str) -> None:
    with open_surface(SurfaceOptions(where="virtual", url="practice:click-dialog-2")) as surface:
        env = LiveEnv(surface, task=MiniWobTask("click-dialog-2"))
        assert (env.screen.width, env.screen.height) == (280, 364)
        for seed in (900_001, 900_002):
            _, info = env.reset(seed=seed)
            label = info["goal"].split('"')[1]
            buttons = "[...document.querySelectorAll('.ui-dialog button')]"
            surface.evaluate(
                f"{buttons}.find(b => b.textContent === {label!r} || b.title === {label!r} || "
                f"({label!r} === 'x' && b.className.includes('close'))).id = 'target'"
            )
            _, reward, terminated, _, _ = env.step(center(surface, "#target"))
            assert (reward, terminated) == (1.0, True)
        env.reset(seed=900_001)
        _, reward, _, _, _ = env.step(Click(x=5, y=350))  # beside every button
        assert reward <= 0


DROP_PAGE = """data:text/html,<style>div{position:absolute;width:120px;height:60px}</style>
<div id=card draggable=true style="left:50px;top:250px;background:skyblue"></div>
<div id=bin style="left:450px;top:240px;background:orange"></div>
<script>window.drops=window.ends=0;card.ondragend=e=>ends++;card.ondragstart=e=>e.dataTransfer.setData('text/plain','card');
bin.ondragover=e=>e.preventDefault();bin.ondrop=e=>{e.preventDefault();drops++}</script>"""


def test_drag_drops_an_element(chrome: str) -> None:
    with Surface("virtual", url=DROP_PAGE) as surface:
        offset = surface.evaluate("[screenX + (outerWidth - innerWidth) / 2, screenY + outerHeight - innerHeight]")
        assert isinstance(offset, list)
        dx, dy = map(int, offset)
        for count in (1, 2, 3):
            start = (60 + 25 * count + dx, 280 + dy)  # a second press at the same place is a double click
            surface.perform(Drag(path=(start, (510 + dx, 270 + dy))))
            eventually(lambda count=count: surface.evaluate("[drops, ends]") == [count, count], timeout_s=60)


def test_killed_chromium_is_named(chrome: str) -> None:
    with open_surface(SurfaceOptions(where="virtual", url="practice:click-dialog-2")) as surface:
        env = LiveEnv(surface, task=MiniWobTask("click-dialog-2"))
        env.reset(seed=900_001)
        os.kill(surface._virtual.pids()[2], signal.SIGKILL)
        with pytest.raises(SurfaceError, match="Chromium"):
            for _ in range(50):
                env.step(Wait(seconds=0.1))


def test_opened_page_has_the_keyboard_focus(chrome: str, site: Any) -> None:
    with Surface("virtual", url="practice:click-dialog-2") as surface:
        LiveEnv(surface, task=MiniWobTask("click-dialog-2")).reset(seed=5)
        assert surface.evaluate("document.hasFocus()") is True
        surface.goto(site.add("<input id=name autofocus>"))
        eventually(lambda: surface.evaluate("document.activeElement.id") == "name")
        surface.perform(TypeText(text="ab"))
        eventually(lambda: surface.evaluate("document.getElementById('name').value") == "ab")


@pytest.mark.slow
def test_practice_pages_equal_the_browser_surface(chrome: str) -> None:
    from envs.surfaces.browser import Surface as BrowserSurface

    tasks = ["click-dialog-2", "click-test", "choose-list", "email-inbox", "login-user-popup", "enter-text", "terminal"]
    with (
        BrowserSurface(f"practice:{tasks[0]}", executable=chrome) as browser,
        Surface("virtual", url="practice:" + tasks[0]) as desktop,
    ):
        desktop.capture()
        desktop.perform(Move(x=1, y=1))  # the pointer would highlight the button of a dialog
        for task in tasks:
            images = []
            for surface in (browser, desktop):
                env = LiveEnv(surface, task=MiniWobTask(task))
                env.reset(seed=5)
                images.append(env.screen.pixels)
            assert np.array_equal(*images), task


def test_moving_page_repeats(chrome: str) -> None:
    actions = (Click(x=140, y=200), TypeText(text="Ab"), Wait(seconds=3), Click(x=60, y=250))
    with Surface("virtual", url="practice:moving-items") as surface:
        env = LiveEnv(surface, task=MiniWobTask("moving-items"))
        episodes = []
        for _ in range(2):
            env.reset(seed=5)
            digests = [env.screen.digest]
            for action in actions:
                env.step(action)
                digests.append(env.screen.digest)
            episodes.append(digests)
        assert episodes[0] == episodes[1]
        assert len(set(episodes[0])) == len(actions) + 1
        assert str(surface.evaluate("new Date().toISOString()")).startswith("2026-01-01T12:00:0")


def test_input_after_the_action_is_settled(chrome: str) -> None:
    with Surface("virtual", url="practice:click-test") as surface:
        env = LiveEnv(surface, task=MiniWobTask("click-test"))
        env.reset(seed=5)
        surface.evaluate("addEventListener('keydown', () => setTimeout(() => document.title = 'late', 200)), 0")
        env.step(Move(x=140, y=200))
        surface._backend.input.type("a")  # as from a slow X server, after the step
        eventually(lambda: surface.busy() or surface.evaluate("document.title") == "late")
        assert surface.evaluate("document.title") == "late"


def test_wait_is_real_elsewhere(chrome: str, site: Any) -> None:
    with Surface("virtual", url="practice:click-test") as surface:
        surface.goto(site.add("<script>setTimeout(() => document.title = 'over', 400)</script>"))
        surface.perform(Wait(seconds=1))
        assert surface.evaluate("document.title") == "over"


def run_through_loop(surface: Surface, *actions: Action) -> Screen:
    """Run actions through agent.loop (parsed, checked, dispatched, settled) and return the last screen."""
    env = LiveEnv(surface, goal="as scripted")
    replies = [action.model_dump_json() for action in (*actions, Done())]
    episode = run("", env, ScriptPolicy(replies), max_steps=len(replies))
    assert episode.status == "success", episode.message
    assert len(episode.steps) == len(replies)
    return env.screen


def visible_titles(surface: Surface) -> list[str]:
    windows = surface._backend.windows
    assert windows is not None

    def read_titles() -> list[str]:
        return [window.title for window in windows.all() if windows.box(window.id)]

    return surface._call(read_titles, 5, "listing windows")


def test_mousepad_writes_and_saves_a_file(tmp_path: Path) -> None:
    path = tmp_path / "grüße 漢字.txt"
    with Surface("virtual", program="mousepad", width=800, height=600, shared=[tmp_path]) as surface:
        run_through_loop(
            surface,
            Click(x=400, y=300),
            TypeText(text="Zażółć gęślą jaźń\n1 < 2 & 你好 😀\n"),
            PressKeys(keys=("ctrl", "shift", "s")),
        )
        eventually(lambda: "Save As" in visible_titles(surface))
        run_through_loop(surface, PressKeys(keys=("ctrl", "a")), TypeText(text=str(path)))

        def is_saved() -> bool:
            # GTK's dialog ignores Enter while it looks for completions of the name
            run_through_loop(surface, Wait(seconds=0.5), PressKeys(keys=("enter",)))
            return path.exists()

        eventually(is_saved)
    assert path.read_text().rstrip("\n") == "Zażółć gęślą jaźń\n1 < 2 & 你好 😀"


def test_text_after_closed_dialog_stays_out_of_document(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\ntwo\n")
    with Surface("virtual", program=f"mousepad {path}", width=800, height=600, shared=[tmp_path]) as surface:
        run_through_loop(surface, Click(x=400, y=300), PressKeys(keys=("ctrl", "l")))
        windows = surface._backend.windows
        assert windows is not None
        eventually(lambda: "Go To" in visible_titles(surface))
        eventually(lambda: surface._call(lambda: windows.active() == windows.find("Go To").id, 5, "reading the focus"))
        notice = surface.perform(TypeText(text="2\nspoilt żółć"))
        assert "after 2 of 13 characters" in notice
        eventually(lambda: "Go To" not in visible_titles(surface))
        run_through_loop(surface, TypeText(text="here "), PressKeys(keys=("ctrl", "s")))
        eventually(lambda: path.read_text() == "one\nhere two\n")


def test_galculator_result_is_in_the_clipboard() -> None:
    with Surface("virtual", program="galculator", width=800, height=600) as surface:
        screen = run_through_loop(
            surface,
            TypeText(text="1234+5678"),
            PressKeys(keys=("enter",)),
            PressKeys(keys=("ctrl", "c")),
            Wait(seconds=0.3),
        )
        assert screen.width == 800
        assert float(read_clipboard(surface).replace(",", "")) == SUM


def read_clipboard(surface: Surface) -> str:
    """Return the text of the clipboard's owner."""
    from Xlib import X

    from envs.desktop.x11.connection import connect

    with contextlib.closing(connect(surface.environ["DISPLAY"], surface.environ)) as connection:
        window = connection.screen().root.create_window(0, 0, 1, 1, 0, 24)
        clipboard, utf8, target = [connection.intern_atom(name) for name in ("CLIPBOARD", "UTF8_STRING", "TARGET")]
        window.convert_selection(clipboard, utf8, target, X.CurrentTime)
        connection.sync()

        def is_delivered() -> bool:
            return bool(connection.pending_events()) and connection.next_event().type == X.SelectionNotify

        eventually(is_delivered)
        value = window.get_full_property(target, X.AnyPropertyType).value
        return value.decode() if isinstance(value, bytes) else str(value)


def test_move_and_capture_take_one_screenshot(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = []
    grab = ScreenCapture._grab

    def count(capture: ScreenCapture, box: Box) -> Pixels:
        boxes.append(box)
        return grab(capture, box)

    monkeypatch.setattr(ScreenCapture, "_grab", count)
    with Surface("virtual", program="mousepad", width=1920, height=1080) as surface:
        boxes.clear()
        surface.perform(Move(x=200, y=300))
        surface.capture()
    assert [(box.width, box.height) for box in boxes] == [(1920, 1080)]


def test_closed_surface_leaves_no_files() -> None:
    with Surface("virtual", program="galculator", width=400, height=300) as surface:
        folder = Path(surface.environ["XAUTHORITY"]).parent
        assert folder.exists()
    assert not folder.exists()
    with pytest.raises(SurfaceError, match="is closed"):
        surface.capture()
