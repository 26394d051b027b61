"""The Android surface on the simulated phone through the real adb: screenshots, touches, apps and refusals."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from helpers.adb_server import Adb
from helpers.eventually import eventually

from actions import (
    Action,
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
    Scroll,
    SurfaceError,
    TypeText,
    UsageError,
    Wait,
    dispatch,
)
from envs.android.display import DisplayState, map_points
from envs.options import SurfaceOptions
from envs.simulators.android import dumpsys
from envs.simulators.android.phone import SimulatedPhone
from envs.simulators.android.shell_result import CommandError, ShellResult
from envs.surface_check import check_surface
from envs.surfaces.android import Surface, open_surface

RECORD_EVENTS = """(() => { window.events = [];
    for (const kind of ['click', 'contextmenu', 'touchstart', 'touchmove', 'touchend'])
        addEventListener(kind, (e) => { const at = e.changedTouches ? e.changedTouches[0] : e;
            events.push([kind, at.clientX, at.clientY]); e.preventDefault(); }, { capture: true, passive: false });
})()"""


def event_positions(phone: SimulatedPhone, *kinds: str) -> list[tuple[float, float]]:
    """Return the positions of the recorded events of these kinds, kind by kind."""
    events = phone.evaluate("events")
    assert isinstance(events, list)
    return [(x, y) for kind in kinds for name, x, y in events if name == kind]


def input_log(phone: SimulatedPhone) -> list[tuple[str, ...]]:
    return [words for words in phone.shell.log if words[0] == "input"]


def test_surface_contract(phone: SimulatedPhone) -> None:
    assert check_surface(Surface(phone.address)) == []


def test_tap_on_launcher_opens_app(phone: SimulatedPhone, surface: Surface) -> None:
    before = surface.capture()
    assert (before.width, before.height) == (540, 1080)
    assert dispatch(Click(x=206, y=110), surface, before) == ""
    eventually(lambda: phone.screen.current_app.label == "Notes")
    after = surface.capture()
    assert (before.pixels != after.pixels).mean() > 0.5
    assert ("input", "tap", "206", "110") in phone.shell.log


@pytest.mark.parametrize("rotation", [0, 1])
def test_taps_land_on_exact_pixel(phone: SimulatedPhone, surface: Surface, rotation: int) -> None:
    phone.fault(f"rotate:{rotation}")
    screen = surface.capture()
    assert (screen.width, screen.height) == ((1080, 540) if rotation else (540, 1080))
    phone.evaluate(RECORD_EVENTS)
    generator = random.Random(rotation)
    points = [(generator.randrange(screen.width), generator.randrange(screen.height)) for _ in range(20)]
    points += [(0, 0), (screen.width - 1, screen.height - 1)]
    for count, (x, y) in enumerate(points, 1):
        dispatch(Click(x=x, y=y), surface, screen)
        eventually(lambda count=count: len(event_positions(phone, "touchend")) == count)
    scale = phone.screen.scale
    assert event_positions(phone, "touchstart") == [((x + 0.5) // scale, (y + 0.5) // scale) for x, y in points]


def test_double_tap_is_two_taps(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    phone.evaluate(RECORD_EVENTS)
    surface.perform(Click(x=300, y=700, count=2))
    eventually(lambda: len(event_positions(phone, "touchend")) == 2)


def test_long_press_opens_context_menu(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    phone.evaluate(
        "window.presses = []; for (const kind of ['contextmenu', 'click'])"
        "addEventListener(kind, (e) => presses.push([kind, e.clientX, e.clientY])); 1"
    )
    surface.perform(LongPress(x=300, y=700, seconds=0.8))
    surface.perform(Click(x=300, y=700))
    eventually(lambda: phone.evaluate("presses.length") == 2)
    assert phone.evaluate("presses") == [["contextmenu", 200, 467], ["click", 200, 467]]


def test_swipe_runs_from_first_to_last_point(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    phone.evaluate(RECORD_EVENTS)
    surface.perform(Drag(path=(Point(90, 900), Point(450, 300))))
    path = event_positions(phone, "touchstart", "touchmove", "touchend")
    assert path[0] == (60, 600)
    assert path[-1] == (300, 200)
    assert len(path) > 5


def test_drag_passes_every_point(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    phone.evaluate(RECORD_EVENTS)
    surface.perform(Drag(path=(Point(90, 900), Point(450, 900), Point(450, 300))))
    path = event_positions(phone, "touchstart", "touchmove", "touchend")
    assert list(dict.fromkeys(path)) == [(60, 600), (300, 600), (300, 200)]


def test_repeated_first_point_is_held(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    surface.perform(Drag(path=(Point(90, 900), Point(90, 900), Point(450, 300))))
    assert ("input", "draganddrop", "90", "900", "450", "300", "1000") in phone.shell.log


def test_scroll_moves_page_down_and_up(phone: SimulatedPhone, surface: Surface) -> None:
    surface.perform(Open(target="Settings"))
    surface.capture()
    phone.evaluate("document.body.style.height = '4000px'")
    surface.perform(Scroll(x=200, y=500, down=3))
    eventually(lambda: phone.evaluate("scrollY") > 200)
    surface.perform(Wait(seconds=0.5))
    position = phone.evaluate("scrollY")
    surface.perform(Scroll(down=-1))
    eventually(lambda: phone.evaluate("scrollY") < position)


@pytest.mark.parametrize(
    ("target", "label"), [("settings", "Settings"), ("org.pixelhand.notes", "Notes"), ("Browser app", "Browser")]
)
def test_open_finds_app(phone: SimulatedPhone, surface: Surface, target: str, label: str) -> None:
    assert surface.perform(Open(target=target)) == ""
    assert phone.screen.current_app.label == label


def test_back_and_home_leave_apps(phone: SimulatedPhone, surface: Surface) -> None:
    surface.perform(Open(target="notes"))
    surface.perform(Open(target="settings"))
    surface.perform(Back())
    assert phone.screen.current_app.label == "Notes"
    surface.perform(Home())
    assert phone.screen.current_app.label == "Home"


def test_open_address_uses_browser(phone: SimulatedPhone, surface: Surface, site: object) -> None:
    url = site.add("<title>here</title>")
    surface.perform(Open(target=url))
    assert phone.screen.current_app.label == "Browser"
    assert phone.evaluate("document.title") == "here"
    assert surface.url == url


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("setings", "no app 'setings' on this phone. Did you mean 'settings'"),
        ("pixelhand", "several apps match 'pixelhand'"),
        ("com.whatsapp", "'com.whatsapp' is not installed"),
        ("org.example.bank/.MainActivity", "is not installed"),
        ("file:///etc/passwd", "file:"),
    ],
)
def test_open_refuses_unknown_targets(surface: Surface, target: str, message: str) -> None:
    with pytest.raises(InvalidActionError, match=message):
        surface.perform(Open(target=target))


@pytest.mark.parametrize("url", ["file:///sdcard/x", "https://a.org/x y"])
def test_goto_refuses_unsupported_addresses(surface: Surface, url: str) -> None:
    with pytest.raises(UsageError, match=r"http and https addresses|is not an address"):
        surface.goto(url)


def test_goto_keeps_case_of_address(surface: Surface, phone: SimulatedPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    async def accept(words: list[str]) -> ShellResult:
        return ShellResult()

    monkeypatch.setitem(phone.shell.commands, "am", accept)
    surface.perform(Open(target="HTTPS://Example.org/"))
    assert phone.shell.log[-1][-1] == "HTTPS://Example.org/"


def test_recent_apps_are_listed(phone: SimulatedPhone, surface: Surface, adb: Adb) -> None:
    surface.perform(Open(target="notes"))
    adb("-s", phone.address, "shell", "input", "keyevent", "KEYCODE_APP_SWITCH")
    assert str(phone.evaluate("document.body.innerText")).strip() == "Notes"


def test_keys_and_chords(surface: Surface, read_note: Callable[[], str]) -> None:
    surface.perform(TypeText(text="one two"))
    surface.perform(PressKeys(keys=("ctrl", "a")))
    surface.perform(PressKeys(keys=("Z",)))
    surface.perform(PressKeys(keys=("enter",)))
    surface.perform(PressKeys(keys=("?",)))
    assert read_note() == "Z\n?"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Click(x=9, y=9, button="right"), "has no right button"),
        (Click(x=9, y=9, modifiers=("ctrl",)), "keys cannot be held during a tap"),
        (Drag(path=(Point(9, 9),)), "give the point where the drag starts"),
        (Move(x=9, y=9), "a phone cannot 'move'"),
        (PressKeys(keys=("ctrl", "é")), "key 'é' does not exist on android"),
    ],
)
def test_unsupported_action_sends_nothing(
    phone: SimulatedPhone, surface: Surface, action: Action, message: str
) -> None:
    surface.capture()
    phone.shell.log.clear()
    with pytest.raises(InvalidActionError, match=message):
        surface.perform(action)
    assert input_log(phone) == []


@pytest.mark.parametrize(
    "result",
    [
        ShellResult(err=b"Error: Unknown command: keycombination\n", code=255),
        ShellResult(b"Unknown command: keycombination\n"),
        ShellResult(err=b"Usage: input [<source>] <command>\n\nError: Unknown command: keycombination\n"),
    ],
)
def test_missing_input_command_is_an_invalid_action(
    phone: SimulatedPhone, surface: Surface, monkeypatch: pytest.MonkeyPatch, result: ShellResult
) -> None:
    """Many phones report it with exit status 0."""

    async def refuse(words: list[str]) -> ShellResult:
        return result

    monkeypatch.setitem(phone.shell.commands, "input", refuse)
    with pytest.raises(InvalidActionError, match="this Android is too old for 'input keycombination'"):
        surface.perform(PressKeys(keys=("ctrl", "a")))


@pytest.mark.parametrize(
    "action",
    [
        PressKeys(keys=("ctrl", "a")),
        Drag(path=(Point(100, 300), Point(200, 400), Point(300, 500))),
        Drag(path=(Point(100, 300), Point(100, 300), Point(300, 500))),
    ],
)
def test_old_android_refuses_new_input_commands(phone: SimulatedPhone, surface: Surface, action: Action) -> None:
    phone.fault("oldinput:1")
    surface.capture()
    with pytest.raises(InvalidActionError, match="this Android is too old"):
        surface.perform(action)


def test_unexpected_input_output_is_a_notice(
    phone: SimulatedPhone, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(words: list[str]) -> ShellResult:
        return ShellResult(b"WARNING: linker: libc.so has text relocations\nno can do\n")

    surface.capture()
    monkeypatch.setitem(phone.shell.commands, "input", answer)
    assert "no can do" in surface.perform(Click(x=9, y=9))


def test_forbidden_touches_name_the_setting(
    phone: SimulatedPhone, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forbid(words: list[str]) -> ShellResult:
        raise CommandError("java.lang.SecurityException: Injecting to another application requires INJECT_EVENTS", 255)

    surface.capture()
    monkeypatch.setitem(phone.shell.commands, "input", forbid)
    with pytest.raises(SurfaceError, match="allow it in the phone's developer options"):
        surface.perform(Click(x=9, y=9))


def test_rotation_before_action_stops_it(phone: SimulatedPhone, surface: Surface) -> None:
    surface.capture()
    phone.fault("rotate:1")
    assert "'click' was not done; look again" in surface.perform(Click(x=206, y=110))
    assert phone.screen.current_app.label == "Home"
    screen = surface.capture()
    assert (screen.width, screen.height) == (1080, 540)
    phone.fault("rotate:3")  # the same size, upside down
    assert "was not done" in surface.perform(Scroll(down=1))


def test_secure_screen_is_a_notice(phone: SimulatedPhone, surface: Surface) -> None:
    surface.perform(Open(target="bank"))
    assert not surface.capture().pixels.any()
    assert surface.pop_notices().startswith("org.pixelhand.bank shows a secure screen")
    surface.perform(Back())
    assert surface.capture().pixels.any()
    assert surface.pop_notices() == ""


def test_several_phones_need_a_serial(phone: SimulatedPhone, adb: Adb, chrome: str) -> None:
    with SimulatedPhone(executable=chrome) as other:
        adb("connect", other.address)
        try:
            with pytest.raises(UsageError) as error:
                open_surface(SurfaceOptions())
            assert phone.address in str(error.value)
            assert other.address in str(error.value)
            with open_surface(SurfaceOptions(where=other.address)) as surface:
                surface.perform(Open(target="notes"))
            assert other.screen.current_app.label == "Notes"
            assert phone.screen.current_app.label == "Home"
        finally:
            adb("disconnect", other.address)


def test_only_phone_needs_no_serial(phone: SimulatedPhone, surface: Surface) -> None:
    with open_surface(SurfaceOptions()) as opened:
        assert opened.serial == phone.address


def test_network_phone_is_connected(phone: SimulatedPhone, adb: Adb) -> None:
    adb("disconnect", phone.address)
    with open_surface(SurfaceOptions(where=phone.address)) as surface:
        assert surface.capture().width == 540


def test_wrong_serial_lists_phones(phone: SimulatedPhone) -> None:
    with pytest.raises(UsageError, match=f"no phone 'R5CT' at the adb server; connected: {phone.address}; plug it in"):
        open_surface(SurfaceOptions(where="R5CT"))


@pytest.mark.parametrize(
    "options",
    [SurfaceOptions(window="x"), SurfaceOptions(program="x"), SurfaceOptions(headed=True), SurfaceOptions(width=400)],
)
def test_inapplicable_options_are_refused(phone: SimulatedPhone, options: SurfaceOptions) -> None:
    with pytest.raises(UsageError, match="cannot be used with a phone"):
        open_surface(options)


@pytest.mark.parametrize(
    ("fault", "message"), [("locked:1", "is locked; unlock it"), ("asleep:1", "is off; wake and unlock it")]
)
def test_unready_phone_is_a_usage_error(phone: SimulatedPhone, fault: str, message: str) -> None:
    phone.fault(fault)
    with pytest.raises(UsageError, match=message):
        Surface(phone.address)


def test_closed_surface_refuses_calls(phone: SimulatedPhone) -> None:
    surface = Surface(phone.address)
    surface.close()
    surface.close()
    with pytest.raises(SurfaceError, match="closed"):
        surface.capture()
    with pytest.raises(SurfaceError, match="closed"):
        surface.perform(Back())


def test_screenshot_of_other_size_is_mapped(surface: Surface) -> None:
    """As after `wm size` on a phone whose screenshots keep the panel's size."""
    surface._size = (270, 540)
    points = map_points(DisplayState(0, 540, 1080), surface._size, [Point(0, 0), Point(269, 539)])
    assert points == [(1, 1), (539, 1079)]
    assert np.array(surface.capture().pixels).shape == (1080, 540, 3)


@pytest.mark.parametrize("accepts_id", [True, False])
def test_foldable_captures_its_active_display(
    phone: SimulatedPhone, surface: Surface, monkeypatch: pytest.MonkeyPatch, accepts_id: bool
) -> None:
    """The default display of `screencap` may be the one that is folded away."""
    folded = (
        "  mViewports=[DisplayViewport{type=INTERNAL, valid=true, isActive=false, displayId=0, uniqueId='local:41', "
        "orientation=0, logicalFrame=Rect(0, 0 - 2208, 1840)}]\n"
    )
    dump = dumpsys.dump_display(phone.screen, False).replace("local:0", "local:42")
    monkeypatch.setattr(dumpsys, "dump_display", lambda *_: folded + dump)
    monkeypatch.setattr(phone.shell, "physical_displays", {"41", "42"} if accepts_id else set())
    screen = surface.capture()
    assert (screen.width, screen.height) == phone.screen.size
    captures = [words for words in phone.shell.log if words[0] == "screencap"]
    assert captures[0] == ("screencap", "-p", "-d", "42")
    assert (("screencap", "-p") in captures) is not accepts_id
