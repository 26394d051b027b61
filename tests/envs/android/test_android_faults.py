"""Faults between computer and phone: repaired where possible, reported, and never retried blindly."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest
from helpers.adb_server import Adb
from helpers.eventually import eventually

from actions import Click, Drag, Home, Open, Point, SurfaceError, TypeText
from envs.simulators.android.input_methods import LATIN_IME
from envs.simulators.android.phone import SimulatedPhone
from envs.surfaces import android
from envs.surfaces.android import Surface

NOTES = Click(x=206, y=110)  # the app's icon on the home screen


def input_log(phone: SimulatedPhone) -> list[tuple[str, ...]]:
    return [words for words in phone.shell.log if words[0] == "input"]


@contextlib.contextmanager
def fault_after(count: int, phone: SimulatedPhone, fault: str) -> Iterator[None]:
    """Switch a fault on as soon as the phone has received this many inputs."""

    def watch() -> None:
        eventually(lambda: len(input_log(phone)) >= count, timeout_s=60, interval_s=0.002)
        phone.fault(fault)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


@pytest.fixture
def impatient(phone: SimulatedPhone) -> Iterator[Surface]:
    """Open a surface with short time limits."""
    with Surface(phone.address, timeout_s=1.0, reconnect_s=2.0) as opened:
        phone.shell.log.clear()
        yield opened


def test_killed_server_is_restarted_for_screenshot(surface: Surface, adb: Adb) -> None:
    surface.capture()
    adb("kill-server")
    assert surface.capture().width == 540
    assert surface.pop_notices().endswith("s and is back")


def test_killed_server_leaves_action_undone(phone: SimulatedPhone, surface: Surface, adb: Adb) -> None:
    surface.capture()
    adb("kill-server")
    assert "has been restored; 'click' was not done; look again" in surface.perform(NOTES)
    assert input_log(phone) == []
    assert phone.screen.current_app.label == "Home"
    surface.capture()
    assert surface.perform(NOTES) == ""
    eventually(lambda: phone.screen.current_app.label == "Notes")


def test_offline_phone_is_waited_for(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    phone.fault("offline:5")
    assert surface.capture().width == 540
    assert "the phone was disconnected for" in surface.pop_notices()
    assert surface._phone.away_s > 4


def test_offline_phone_leaves_action_undone(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    phone.fault("offline:2")
    assert "'click' was not done; look again" in surface.perform(NOTES)
    assert input_log(phone) == []


def test_lost_phone_is_a_surface_error(phone: SimulatedPhone, impatient: Surface) -> None:
    impatient.capture()
    phone.fault("offline:30")
    with pytest.raises(SurfaceError, match=r"was lost \(.*\) and did not come back within 2 s; check its cable"):
        impatient.capture()


@pytest.mark.slow
def test_other_phones_keep_their_connection(phone: SimulatedPhone, surface: Surface, adb: Adb, chrome: str) -> None:
    with SimulatedPhone(executable=chrome) as other:
        adb("connect", other.address)
        try:
            connections = set(other._connections)
            surface.capture()
            phone.fault("offline:1")
            surface.capture()
            assert set(other._connections) == connections
        finally:
            adb("disconnect", other.address)


def test_unanswered_action_is_not_repeated(phone: SimulatedPhone) -> None:
    """The phone executes the key, but does not answer in time."""
    with Surface(phone.address, timeout_s=2.0, reconnect_s=20.0) as surface:
        surface.perform(Open(target="notes"))
        surface.capture()
        phone.shell.log.clear()
        phone.fault("silent:3")
        assert "'home' may or may not have been done; look again" in surface.perform(Home())
        eventually(lambda: phone.screen.current_app.label == "Home")
        assert len(input_log(phone)) == 1


def test_interrupted_text_reports_its_progress(
    phone: SimulatedPhone, surface: Surface, read_note: Callable[[], str]
) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    with fault_after(5, phone, "offline:1"):
        notice = surface.perform(TypeText(text=text))
    assert "'type' stopped after" in notice
    typed = read_note()
    assert typed
    assert typed != text
    assert text.startswith(typed)


def test_interrupted_text_restores_keyboard(
    phone: SimulatedPhone, surface: Surface, read_note: Callable[[], str]
) -> None:
    with fault_after(3, phone, "offline:1"):
        notice = surface.perform(TypeText(text="ж\n" * 60))
    assert "'type' stopped after" in notice
    assert phone.shell.input_methods.current == LATIN_IME
    assert phone.shell.input_methods.enabled == [LATIN_IME]


def test_interrupted_drag_lifts_the_finger(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    with fault_after(5, phone, "offline:0.5"):
        notice = surface.perform(Drag(path=tuple(Point(100 + 4 * step, 600) for step in range(60))))
    assert "'drag' stopped after" in notice
    assert phone.screen._finger is None


@pytest.mark.parametrize("fault", ["black:2", "truncated:2", "nocapture:2"])
def test_broken_screenshot_is_repeated(phone: SimulatedPhone, surface: Surface, fault: str) -> None:
    digest = surface.capture().digest
    phone.fault(fault)
    assert surface.capture().digest == digest
    assert sum(words[0] == "screencap" for words in phone.shell.log) == 4


def test_black_screen_is_a_surface_error(
    phone: SimulatedPhone, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(android, "BLACK_S", 0.5)
    phone.fault("black:-1")
    with pytest.raises(SurfaceError, match="has been black for 0 s"):
        surface.capture()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("truncated:-1", r"after 6 attempts \(a truncated PNG"), ("nocapture:-1", "screencap failed: Status: -22")],
)
def test_broken_screenshots_are_a_surface_error(
    phone: SimulatedPhone, surface: Surface, monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    monkeypatch.setattr(android, "SCREENSHOT_PAUSE_S", 0.01)
    phone.fault(fault)
    with pytest.raises(SurfaceError, match=reason):
        surface.capture()


def test_screen_that_goes_off_is_an_error(phone: SimulatedPhone, surface: Surface) -> None:
    phone.fault("asleep:1")
    with pytest.raises(SurfaceError, match="screen is off; wake"):
        surface.capture()


def test_replaced_phone_is_not_touched(
    phone: SimulatedPhone, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    surface.capture()
    monkeypatch.setitem(phone.shell.props, "ro.serialno", "OTHER")
    phone.fault("offline:0.5")
    with pytest.raises(SurfaceError, match="is another phone now"):
        surface.perform(Home())
    assert input_log(phone) == []


def test_slow_phone_is_waited_for(phone: SimulatedPhone, surface: Surface) -> None:
    phone.fault("slow:0.4")
    surface.perform(Open(target="notes"))
    assert phone.screen.current_app.label == "Notes"


def test_server_is_started_on_its_own_port(surface: Surface, adb: Adb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server, adbutils runs `adb start-server` on the default port."""
    started: list[list[str]] = []
    run = subprocess.run

    def record(words: list[str], *args: object, **kwargs: object) -> object:
        started.append(list(words))
        return run(words, *args, **kwargs)

    adb("kill-server")
    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.delenv("ANDROID_ADB_SERVER_PORT")
    surface.capture()
    assert [words[1:] for words in started] == [["-P", str(adb.port), "start-server"]]
