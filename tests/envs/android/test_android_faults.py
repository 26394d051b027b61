"""What goes wrong between a computer and a phone: mended where that can be, told, and never repeated blindly."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time

import pytest

from actions import Click, Drag, Home, Open, Point, SurfaceError, TypeText
from envs.simulators.android.commands import LATIN_IME
from envs.surfaces import android
from envs.surfaces.android import Surface

NOTES = Click(x=206, y=110)


def inputs(phone):
    return [words for words in phone.commands.log if words[0] == "input"]


@contextlib.contextmanager
def after(count, phone, fault):
    """The fault comes as soon as the phone was sent so many inputs."""

    def watch():
        end = time.monotonic() + 60
        while len(inputs(phone)) < count and time.monotonic() < end:
            time.sleep(0.002)
        phone.fault(fault)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


@pytest.fixture
def hasty(fresh):
    """A surface with little time."""
    with Surface(fresh.address, timeout_s=1.0, patience_s=2.0) as made:
        fresh.commands.log.clear()
        yield made


def test_a_killed_server_is_started_again_and_the_phone_found(fresh, surface, adb):
    surface.capture()
    adb("kill-server")
    assert surface.capture().width == 540
    assert surface.pop_notices().endswith("s and is back")


def test_an_act_on_a_killed_server_is_not_done_and_says_so(fresh, surface, adb, until):
    surface.capture()
    adb("kill-server")
    note = surface.perform(NOTES)
    assert note == "the line to the phone broke and is whole again; 'click' was not done; look again"
    assert inputs(fresh) == [] and fresh.glass.shown.label == "Home"
    surface.capture()
    assert surface.perform(NOTES) == ""
    until(lambda: fresh.glass.shown.label == "Notes")  # the page answers a tap in its own time


def test_a_phone_that_is_offline_for_five_seconds_is_waited_for(fresh, surface):
    surface.capture()
    fresh.fault("offline:5")
    began = time.monotonic()
    assert surface.capture().width == 540
    assert 4.0 < time.monotonic() - began < 14.0
    assert surface.pop_notices() in ("the phone was away for 5 s and is back", "the phone was away for 6 s and is back")


def test_an_act_on_an_offline_phone_is_not_done_and_says_so(fresh, surface):
    surface.capture()
    fresh.fault("offline:2")
    note = surface.perform(NOTES)
    assert "'click' was not done; look again" in note and inputs(fresh) == []


def test_a_phone_that_stays_away_is_the_machines_trouble(fresh, hasty):
    hasty.capture()
    fresh.fault("offline:30")
    began = time.monotonic()
    with pytest.raises(SurfaceError, match=r"was lost \(.*\) and did not come back within 2 s; check its cable"):
        hasty.capture()
    assert time.monotonic() - began < 15


@pytest.mark.slow
def test_other_phones_are_not_disturbed(fresh, surface, adb, chrome):
    from envs.simulators.android.phone import SimulatedPhone

    with SimulatedPhone(executable=chrome) as other:
        adb("connect", other.address)
        try:
            links = set(other._links)
            surface.capture()
            fresh.fault("offline:1")
            surface.capture()
            assert set(other._links) == links  # the very same connection
        finally:
            adb("disconnect", other.address)


def test_an_act_without_an_answer_is_left_in_doubt_and_not_done_twice(fresh, until):
    """The phone took the key and said nothing for so long that it was given up."""
    with Surface(fresh.address, timeout_s=2.0, patience_s=20.0) as patient:
        patient.perform(Open(target="notes"))
        patient.capture()
        fresh.commands.log.clear()
        fresh.fault("silent:3")
        assert "'home' may or may not have been done; look again" in patient.perform(Home())
        until(lambda: fresh.glass.shown.label == "Home")
        assert len(inputs(fresh)) == 1


def test_a_text_that_breaks_off_says_where(fresh, surface, in_notes):
    text = " ".join(f"word{number}" for number in range(40))
    with after(5, fresh, "offline:1"):
        note = surface.perform(TypeText(text=text))
    assert "'type' broke off after" in note
    assert in_notes() and text.startswith(in_notes()) and in_notes() != text


def test_a_keyboard_is_given_back_though_the_phone_was_away(fresh, surface, in_notes):
    with after(3, fresh, "offline:1"):
        note = surface.perform(TypeText(text="ж\n" * 60))
    assert "'type' broke off after" in note
    assert fresh.commands.settings["secure default_input_method"] == LATIN_IME
    assert fresh.commands.enabled == [LATIN_IME]


def test_a_finger_is_lifted_though_the_phone_was_away(fresh, surface):
    surface.capture()
    with after(5, fresh, "offline:0.5"):
        note = surface.perform(Drag(path=tuple(Point(100 + 4 * step, 600) for step in range(60))))
    assert "'drag' broke off after" in note
    assert fresh.glass._finger is None


@pytest.mark.parametrize("fault", ["black:2", "truncated:2", "nocapture:2"])
def test_a_bad_picture_is_taken_again(fresh, surface, fault):
    good = surface.capture()
    fresh.fault(fault)
    assert surface.capture().digest == good.digest
    assert sum(words[0] == "screencap" for words in fresh.commands.log) == 4


def test_a_screen_that_stays_black_is_the_machines_trouble(fresh, surface, monkeypatch):
    monkeypatch.setattr(android, "BLACK_S", 0.5)
    fresh.fault("black:-1")
    with pytest.raises(SurfaceError, match="has been black for 0 s, though its screen is on and no window is marked"):
        surface.capture()


def test_pictures_that_stay_broken_are_the_machines_trouble(fresh, surface, monkeypatch):
    monkeypatch.setattr(android, "PICTURE_PAUSE_S", 0.01)
    fresh.fault("truncated:-1")
    with pytest.raises(SurfaceError, match=r"no picture, 6 times in a row \(a PNG of \d+ bytes that breaks off\)"):
        surface.capture()
    fresh.fault("truncated:0")
    fresh.fault("nocapture:-1")
    with pytest.raises(SurfaceError, match=r"screencap failed: Status: -22"):
        surface.capture()


def test_a_screen_that_goes_off_is_said_to_be_off(fresh, surface):
    fresh.fault("asleep:1")
    with pytest.raises(SurfaceError, match="screen is off; wake it"):
        surface.capture()


def test_another_phone_at_the_same_address_is_not_touched(fresh, surface, adb, monkeypatch):
    surface.capture()
    monkeypatch.setitem(fresh.commands.props, "ro.serialno", "OTHER")
    fresh.fault("offline:0.5")
    with pytest.raises(SurfaceError, match="is another phone now"):
        surface.perform(Home())
    assert inputs(fresh) == []


def test_slow_answers_are_waited_for(fresh, surface):
    fresh.fault("slow:0.4")
    began = time.monotonic()
    surface.perform(Open(target="notes"))
    assert time.monotonic() - began > 0.8 and fresh.glass.shown.label == "Notes"


def test_no_server_on_another_port_is_ever_started(fresh, surface, adb, monkeypatch):
    """adbutils' own way with a dead server is `adb start-server` on the default port."""
    started: list[list[str]] = []
    real = subprocess.run

    def watched(words, *args, **kwargs):
        started.append(list(words))
        return real(words, *args, **kwargs)

    adb("kill-server")
    monkeypatch.setattr(subprocess, "run", watched)
    monkeypatch.delenv("ANDROID_ADB_SERVER_PORT")
    surface.capture()
    assert [words[1:] for words in started] == [["-P", str(adb.port), "start-server"]]
