"""The Android surface on the simulated phone, through the real adb: what is seen, touched, opened and refused."""

from __future__ import annotations

import random

import numpy as np
import pytest

from actions import (
    Back,
    Click,
    Drag,
    Home,
    InvalidActionError,
    LongPress,
    Move,
    Open,
    Point,
    PressKeys,
    Screen,
    Scroll,
    SurfaceError,
    TypeText,
    UsageError,
    Wait,
    dispatch,
)
from envs.options import SurfaceOptions
from envs.simulators.android.commands import CommandError
from envs.surface_check import check_surface
from envs.surfaces.android import Surface, open_surface

HEARD = """(() => { window.heard = [];
    for (const kind of ['click', 'contextmenu', 'touchstart', 'touchmove', 'touchend'])
        addEventListener(kind, (e) => { const at = e.changedTouches ? e.changedTouches[0] : e;
            heard.push([kind, at.clientX, at.clientY]); e.preventDefault(); }, { capture: true, passive: false });
})()"""


def heard(phone, kind):
    return [(x, y) for name, x, y in phone.evaluate("heard") if name == kind]


def test_it_keeps_the_contract(fresh):
    assert check_surface(Surface(fresh.address)) == []


def test_the_launcher_is_seen_and_a_tap_opens_an_app(fresh, surface, until):
    before = surface.capture()
    assert (before.width, before.height) == (540, 1080)
    assert dispatch(Click(x=206, y=110), surface, before) == ""
    until(lambda: fresh.glass.shown.label == "Notes")  # the page answers a tap in its own time
    after = surface.capture()
    assert isinstance(after, Screen) and fresh.glass.shown.label == "Notes"
    assert (before.pixels != after.pixels).mean() > 0.5
    assert ("input", "tap", "206", "110") in fresh.commands.log


@pytest.mark.parametrize("turned", [0, 1])
def test_taps_land_on_the_very_pixel(fresh, surface, until, turned):
    fresh.fault(f"rotate:{turned}")
    screen = surface.capture()
    assert (screen.width, screen.height) == ((1080, 540) if turned else (540, 1080))
    fresh.evaluate(HEARD)
    chance = random.Random(turned)
    points = [(chance.randrange(screen.width), chance.randrange(screen.height)) for _ in range(20)]
    points += [(0, 0), (screen.width - 1, screen.height - 1)]
    for number, (x, y) in enumerate(points, 1):
        dispatch(Click(x=x, y=y), surface, screen)
        until(lambda wanted=number: len(heard(fresh, "touchend")) == wanted)
    scale = fresh.glass.scale
    assert heard(fresh, "touchstart") == [((x + 0.5) // scale, (y + 0.5) // scale) for x, y in points]


def test_a_double_tap_is_two(fresh, surface, until):
    surface.capture()
    fresh.evaluate(HEARD)
    surface.perform(Click(x=300, y=700, count=2))
    until(lambda: len(heard(fresh, "touchend")) == 2)


def test_a_long_press_is_held(fresh, surface, until):
    surface.capture()
    fresh.evaluate(
        "window.held = []; for (const kind of ['contextmenu', 'click'])"
        "addEventListener(kind, (e) => held.push([kind, e.clientX, e.clientY])); 1"
    )
    surface.perform(LongPress(x=300, y=700, seconds=0.8))
    surface.perform(Click(x=300, y=700))
    until(lambda: fresh.evaluate("held.length") == 2)
    assert fresh.evaluate("held") == [["contextmenu", 200, 467], ["click", 200, 467]]


def test_a_swipe_goes_from_its_first_point_to_its_last(fresh, surface):
    surface.capture()
    fresh.evaluate(HEARD)
    surface.perform(Drag(path=(Point(90, 900), Point(450, 300))))
    way = [*heard(fresh, "touchstart"), *heard(fresh, "touchmove"), *heard(fresh, "touchend")]
    assert way[0] == (60, 600) and way[-1] == (300, 200) and len(way) > 5


def test_a_path_goes_through_every_point(fresh, surface):
    surface.capture()
    fresh.evaluate(HEARD)
    surface.perform(Drag(path=(Point(90, 900), Point(450, 900), Point(450, 300))))
    way = [*heard(fresh, "touchstart"), *heard(fresh, "touchmove"), *heard(fresh, "touchend")]
    assert list(dict.fromkeys(way)) == [(60, 600), (300, 600), (300, 200)]


def test_a_first_point_given_twice_is_held_until_it_can_be_dragged(fresh, surface):
    surface.capture()
    surface.perform(Drag(path=(Point(90, 900), Point(90, 900), Point(450, 300))))
    assert ("input", "draganddrop", "90", "900", "450", "300", "1000") in fresh.commands.log


def test_scrolling_shows_what_is_further_down_and_up_again(fresh, surface, until):
    surface.perform(Open(target="Settings"))
    surface.capture()
    fresh.evaluate("document.body.style.height = '4000px'")
    surface.perform(Scroll(x=200, y=500, down=3))
    until(lambda: fresh.evaluate("scrollY") > 200)
    surface.perform(Wait(seconds=0.5))
    down = fresh.evaluate("scrollY")
    surface.perform(Scroll(down=-1))
    until(lambda: fresh.evaluate("scrollY") < down)


def test_apps_open_by_name_and_package_and_come_back(fresh, surface):
    for target, label in (("settings", "Settings"), ("org.pixelhand.notes", "Notes"), ("Browser app", "Browser")):
        assert surface.perform(Open(target=target)) == ""
        assert fresh.glass.shown.label == label
    surface.perform(Back())
    assert fresh.glass.shown.label == "Notes"
    surface.perform(Home())
    assert fresh.glass.shown.label == "Home"


def test_an_address_opens_in_the_browser(fresh, surface, site):
    url = site.add("<title>here</title>")
    surface.perform(Open(target=url))
    assert fresh.glass.shown.label == "Browser" and fresh.evaluate("document.title") == "here"
    assert surface.url == url


def test_an_app_that_is_not_there_is_the_models_mistake(surface):
    with pytest.raises(InvalidActionError, match="no app 'setings' on this phone; did you mean 'settings'"):
        surface.perform(Open(target="setings"))
    with pytest.raises(InvalidActionError, match="several apps could be 'pixelhand'"):
        surface.perform(Open(target="pixelhand"))
    with pytest.raises(InvalidActionError, match="'file:' cannot be opened"):
        surface.perform(Open(target="file:///etc/passwd"))


def test_recents_are_shown(fresh, surface, adb):
    surface.perform(Open(target="notes"))
    adb("-s", fresh.address, "shell", "input", "keyevent", "KEYCODE_APP_SWITCH")
    assert fresh.evaluate("document.body.innerText").strip() == "Notes"


def test_keys_and_chords(fresh, surface, in_notes):
    surface.perform(TypeText(text="one two"))
    surface.perform(PressKeys(keys=("ctrl", "a")))
    surface.perform(PressKeys(keys=("Z",)))
    surface.perform(PressKeys(keys=("enter",)))
    surface.perform(PressKeys(keys=("?",)))
    assert in_notes() == "Z\n?"


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (Click(x=9, y=9, button="right"), "a finger has no right button"),
        (Click(x=9, y=9, modifiers=("ctrl",)), "keys cannot be held during a tap"),
        (Drag(path=(Point(9, 9),)), "give the point where the drag starts"),
        (Move(x=9, y=9), "the android surface cannot 'move'"),
        (PressKeys(keys=("ctrl", "é")), "key 'é' does not exist on android"),
    ],
)
def test_what_a_phone_cannot_is_refused_and_not_done(fresh, surface, action, sentence):
    surface.capture()
    fresh.commands.log.clear()
    with pytest.raises(InvalidActionError, match=sentence):
        surface.perform(action)
    assert not [words for words in fresh.commands.log if words[0] == "input"]


def test_what_an_old_android_lacks_is_the_models_to_avoid(fresh, surface, monkeypatch):
    async def lacks(words):
        raise CommandError("Error: Unknown command: keycombination", 255)

    monkeypatch.setitem(fresh.commands._table, "input", lacks)
    with pytest.raises(
        InvalidActionError, match="this Android is too old for 'input keycombination', and it was not done"
    ):
        surface.perform(PressKeys(keys=("ctrl", "a")))


def test_a_phone_that_forbids_touches_is_told_how_to_allow_them(fresh, surface, monkeypatch):
    async def forbids(words):
        raise CommandError("java.lang.SecurityException: Injecting to another application requires INJECT_EVENTS", 255)

    surface.capture()
    monkeypatch.setitem(fresh.commands._table, "input", forbids)
    with pytest.raises(SurfaceError, match="allow it in the phone's developer options"):
        surface.perform(Click(x=9, y=9))


def test_a_turn_between_look_and_act_stops_the_act(fresh, surface):
    surface.capture()
    fresh.fault("rotate:1")
    note = surface.perform(Click(x=206, y=110))
    assert note == "the phone was turned since the last picture, and 'click' was not done; look again"
    assert fresh.glass.shown.label == "Home"
    screen = surface.capture()
    assert (screen.width, screen.height) == (1080, 540)
    fresh.fault("rotate:3")  # the same size, upside down
    assert "was not done" in surface.perform(Scroll(down=1))


def test_a_secure_screen_is_said_to_be_one(fresh, surface):
    surface.perform(Open(target="bank"))
    screen = surface.capture()
    assert not screen.pixels.any()
    assert surface.pop_notices().startswith(
        "org.pixelhand.bank shows a secure screen, of which Android gives a black picture"
    )
    surface.perform(Back())
    assert surface.capture().pixels.any() and surface.pop_notices() == ""


def test_two_phones_and_no_serial_is_a_question(fresh, adb, chrome):
    from envs.simulators.android.phone import SimulatedPhone

    with SimulatedPhone(executable=chrome) as second:
        adb("connect", second.address)
        try:
            with pytest.raises(UsageError) as asked:
                open_surface(SurfaceOptions())
            assert fresh.address in str(asked.value) and second.address in str(asked.value)
            with open_surface(SurfaceOptions(where=second.address)) as chosen:
                chosen.perform(Open(target="notes"))
            assert second.glass.shown.label == "Notes" and fresh.glass.shown.label == "Home"
        finally:
            adb("disconnect", second.address)


def test_the_only_phone_needs_no_name(fresh, surface):
    with open_surface(SurfaceOptions()) as only:
        assert only.serial == fresh.address


def test_a_phone_on_the_network_is_connected_by_its_address(fresh, adb):
    adb("disconnect", fresh.address)
    with open_surface(SurfaceOptions(where=fresh.address)) as found:
        assert found.capture().width == 540


def test_a_wrong_serial_names_what_there_is(fresh):
    with pytest.raises(UsageError, match=f"no phone 'R5CT' at the adb server; have {fresh.address}; plug it in"):
        open_surface(SurfaceOptions(where="R5CT"))


def test_options_that_a_phone_cannot_follow_are_refused(fresh):
    for opening in (
        SurfaceOptions(window="x"),
        SurfaceOptions(program="x"),
        SurfaceOptions(headed=True),
        SurfaceOptions(width=400),
    ):
        with pytest.raises(UsageError, match="a phone"):
            open_surface(opening)


def test_a_phone_that_is_locked_or_off_is_the_persons(fresh):
    fresh.fault("locked:1")
    with pytest.raises(UsageError, match="is locked; unlock it"):
        Surface(fresh.address)
    fresh.fault("locked:0")
    fresh.fault("asleep:1")
    with pytest.raises(UsageError, match="is off; wake and unlock it"):
        Surface(fresh.address)


def test_a_closed_surface_does_nothing(fresh):
    closed = Surface(fresh.address)
    closed.close()
    closed.close()
    for call in (closed.capture, lambda: closed.perform(Back())):
        with pytest.raises(SurfaceError, match="closed"):
            call()


def test_pixels_are_mapped_where_the_picture_has_another_size(fresh, surface):
    """As with `wm size` on a phone whose picture keeps the panel's size."""
    from envs.android.display import DisplayState

    surface._size = (270, 540)
    assert surface._map(DisplayState(0, 540, 1080), Point(0, 0), Point(269, 539)) == [(1, 1), (539, 1079)]
    assert np.array(surface.capture().pixels).shape == (1080, 540, 3)
