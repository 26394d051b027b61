"""The elements of a phone's screen, parsed from a hierarchy and read from the simulated phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actions import Click, Open, Screen, TypeText
from actions.targets import ScreenTarget
from envs.android.display import DisplayState
from envs.android.hierarchy import is_keyboard_shown, parse_targets
from envs.simulators.android.phone import SimulatedPhone
from envs.surfaces.android import Surface

STATE, SIZE = DisplayState(0, 1080, 2400), (1080, 2400)
DUMP = """<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><hierarchy rotation="0">{nodes}</hierarchy>
UI hierchary dumped to: /dev/tty
"""
ROW = """<node class="android.widget.LinearLayout" clickable="true" bounds="[0,200][1080,320]">
<node class="android.widget.TextView" text="Airplane mode" bounds="[40,220][500,300]" />
<node class="android.widget.Switch" text="OFF" checkable="true" bounds="[900,220][1040,300]"
 resource-id="com.app:id/airplane" /></node>"""


def parse(nodes: str, state: DisplayState = STATE, size: tuple[int, int] = SIZE) -> tuple[ScreenTarget, ...] | None:
    """Return the targets of a hierarchy with these nodes."""
    return parse_targets(DUMP.format(nodes=nodes).encode(), state, size)


def node(**attributes: str) -> str:
    """Return a node; `_` in names stands for `-`."""
    defaults = {"class": "android.widget.TextView", "bounds": "[10,20][110,60]"}
    values = defaults | {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
    return f"<node {' '.join(f'{name}={value!r}' for name, value in values.items())} />"


def test_row_and_its_parts_are_targets() -> None:
    assert parse(ROW) == (
        ScreenTarget("button", "Airplane mode", "", "", (0, 200, 1080, 120)),
        ScreenTarget("", "Airplane mode", "", "", (40, 220, 460, 80)),
        ScreenTarget("switch", "airplane", "", "", (900, 220, 140, 80)),
    )


@pytest.mark.parametrize(
    ("attributes", "label", "field", "value"),
    [
        ({"text": "vina", "resource_id": "a:id/name"}, "name", "text", "vina"),
        ({"text": "Your name", "hint": "Your name"}, "Your name", "text", ""),
        ({"text": "abc", "content_desc": "PIN", "password": "true"}, "PIN", "password", ""),
    ],
)
def test_field_has_name_and_value(attributes: dict[str, str], label: str, field: str, value: str) -> None:
    targets = parse(node(class_="android.widget.EditText", **attributes))
    assert targets == (ScreenTarget("textbox", label, field, value, (10, 20, 100, 40)),)


def test_entities_in_texts_are_decoded() -> None:
    targets = parse(node(text="A &amp; B&#10;&lt;c&gt;"))
    assert targets is not None
    assert targets[0].label == "A & B <c>"


def test_area_is_in_pixels_of_screenshot() -> None:
    targets = parse(node(text="Go", bounds="[-20,200][540,4000]"), size=(540, 1200))
    assert targets is not None
    assert targets[0].area == (0, 100, 270, 1100)


@pytest.mark.parametrize("bounds", ["[0,0][0,0]", "[10,2500][20,2600]", "", "[5,5]"])
def test_element_without_visible_area_is_left_out(bounds: str) -> None:
    assert parse(node(text="Go", bounds=bounds)) == ()


def test_turned_phone_has_no_targets() -> None:
    assert parse(node(text="Go"), state=DisplayState(1, 2400, 1080)) is None


@pytest.mark.parametrize(
    "dump",
    [
        b"",
        b"ERROR: could not get idle state.\n",
        b'<hierarchy rotation="0"><node></hierarchy>',
        b'<hierarchy rotation="0"><!DOCTYPE x [<!ENTITY a "b">]></hierarchy>',
    ],
)
def test_invalid_dump_has_no_targets(dump: bytes) -> None:
    assert parse_targets(dump, STATE, SIZE) is None


def test_elements_below_keyboard_are_left_out() -> None:
    dump = DUMP.format(nodes=node(text="Top") + node(text="Low", bounds="[10,1900][110,2000]")).encode()
    targets = parse_targets(dump, STATE, SIZE, has_keyboard=True)
    assert targets is not None
    assert [target.label for target in targets] == ["Top"]
    assert is_keyboard_shown("  mShowRequested=true mInputShown=true\n")
    assert not is_keyboard_shown("  mInputShown=false\n")


@pytest.fixture
def reading(phone: SimulatedPhone) -> Iterator[Surface]:
    with Surface(phone.address, reads_elements=True) as opened:
        yield opened


def find(targets: tuple[ScreenTarget, ...] | None, label: str) -> ScreenTarget:
    """Return the only target with a label."""
    assert targets is not None
    (target,) = [item for item in targets if item.label == label]
    return target


def middle(target: ScreenTarget) -> Click:
    """Return a click in the middle of a target."""
    left, top, width, height = target.area
    return Click(x=left + width // 2, y=top + height // 2)


def test_elements_of_simulated_phone_can_be_tapped(reading: Surface, phone: SimulatedPhone) -> None:
    screen: Screen = reading.capture()
    notes = find(reading.targets(), "NNotes")
    assert notes.role == "button"
    assert notes.area[0] + notes.area[2] <= screen.width
    reading.perform(middle(notes))
    reading.capture()
    title = find(reading.targets(), "title")
    assert (title.role, title.field, title.value) == ("textbox", "text", "")
    reading.perform(middle(title))
    reading.perform(TypeText(text="vina"))
    reading.capture()
    assert find(reading.targets(), "title").value == "vina"


def test_password_of_simulated_phone_is_hidden(reading: Surface) -> None:
    reading.perform(Open(target="bank"))
    reading.capture()
    targets = reading.targets()
    pin = find(targets, "pin")
    assert pin.field == "password"


def test_elements_are_read_on_request_only(surface: Surface, phone: SimulatedPhone) -> None:
    surface.capture()
    assert surface.targets() is None
    assert "uiautomator" not in {words[0] for words in phone.shell.log}


def test_elements_of_a_screenshot_are_read_once(reading: Surface, phone: SimulatedPhone) -> None:
    reading.capture()
    phone.shell.log.clear()
    assert reading.targets() == reading.targets()
    assert sum(words[0] == "uiautomator" for words in phone.shell.log) == 1
    reading.perform(Open(target="notes"))
    reading.capture()
    assert find(reading.targets(), "title")
