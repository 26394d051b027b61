"""Each fault of docs/reference/phone-faults.md has the outcome of its row."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actions import Action, Click, Home, InvalidActionError, Open, PressKeys, SurfaceError, TypeText, UsageError
from envs.android import keyboard
from envs.simulators.android.faults import KINDS, parse_fault
from envs.simulators.android.phone import SimulatedPhone
from envs.surfaces.android import Surface

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "phone-faults.md"
ROW = re.compile(r"(?m)^\| `([a-z0-9]+:[\d.]+)` \|.*\| (nothing|(notice|refusal|error): `([^`]+)`) \|$")
ROWS = [(match[1], match[3] or "nothing", match[4] or "") for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
CLICK = Click(x=206, y=110)  # the icon of the app Notes on the home screen

ACTIONS: dict[str, Action] = {  # what is done under a fault; a screenshot for all others
    "adbdrestart": Home(),
    "rotate": CLICK,
    "noinput": CLICK,
    "oldinput": PressKeys(keys=("ctrl", "a")),
    "nostart": Open(target="settings"),
    "workprofile": Open(target="settings"),
    "launchers": Open(target="settings"),
    "nolist": Open(target="settings"),
}
TEXTS = {  # what is typed into a text field under a fault
    "exitzero": "é",
    "noshellv2": "plain",
    "dropquotes": 'say "it\'s"',
    "noime": "é",
    "nokeyboard": "é",
    "stickyime": "é",
    "lostbroadcast": "红色的船",
    "namedbroadcast": "红色的船",
}


def outcome(work: Callable[[], str]) -> tuple[str, str]:
    """Return what is read: ("nothing" | "notice" | "refusal" | "error", text)."""
    try:
        notice = work()
    except InvalidActionError as error:
        return "refusal", str(error)
    except (SurfaceError, UsageError) as error:
        return "error", str(error)
    return ("notice" if notice else "nothing"), notice


def capture(surface: Surface) -> str:
    """Capture a screenshot that is not black, unless a notice explains it; return the notices."""
    pixels, notices = surface.capture().pixels, surface.pop_notices()
    assert notices or np.asarray(pixels).any()
    return notices


def test_table_has_each_fault_once() -> None:
    assert sorted(parse_fault(fault)[0] for fault, _, _ in ROWS) == sorted(KINDS)


@pytest.mark.parametrize(("fault", "kind", "text"), ROWS, ids=[row[0] for row in ROWS])
def test_fault_ends_as_documented(
    phone: SimulatedPhone,
    surface: Surface,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    fault: str,
    kind: str,
    text: str,
) -> None:
    monkeypatch.setattr(keyboard, "READY_S", 0.5)
    name = parse_fault(fault)[0]
    read_note = request.getfixturevalue("read_note") if name in TEXTS else None
    surface.capture()
    phone.fault(fault)
    if name == "noshellv2":  # it is settled when adb connects again
        surface.capture()
        surface.pop_notices()
    if name == "exitzero":
        phone.fault("noime:1")
    if name in TEXTS:
        read = outcome(lambda: surface.perform(TypeText(text=TEXTS[name])))
    elif name in ACTIONS:
        read = outcome(lambda: surface.perform(ACTIONS[name]))
    elif name == "locked":
        read = outcome(lambda: Surface(phone.address).name)
    else:
        read = outcome(lambda: capture(surface))
    assert read[0] == kind
    assert text in read[1]
    if read_note is not None:
        assert (read_note() == TEXTS[name]) == (kind == "nothing")
    if name == "launchers":
        assert phone.screen.current_app.label == "Settings"
