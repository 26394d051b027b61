"""Facts of a phone: the focused app and window, and what changed since the last screenshot."""

from __future__ import annotations

import pytest

from actions import Click, Home, TypeText
from envs.android.display import DisplayState
from envs.android.facts import FocusedWindow, FocusWatch

NOTES = "  mCurrentFocus=Window{5f3a1c2 u0 org.notes/org.notes.MainActivity}\n"
BANK = "  mCurrentFocus=Window{1b2 u0 org.bank/org.bank.Pay}\n"
UPRIGHT, TURNED = DisplayState(0, 540, 1080), DisplayState(1, 1080, 540)
CLICK = Click(x=1, y=2)


class Dumps:
    """The output of `dumpsys window`, which a test changes."""

    def __init__(self) -> None:
        self.text = NOTES

    def read(self) -> str:
        return self.text


@pytest.mark.parametrize(
    "dump,package,name",
    [
        (NOTES, "org.notes", "org.notes.MainActivity"),
        ("  mCurrentFocus=Window{7e u0 NotificationShade}", "", "NotificationShade"),
        ("  mCurrentFocus=null", "", ""),
        ("", "", ""),
    ],
)
def test_focused_window_is_parsed(dump: str, package: str, name: str) -> None:
    window = FocusedWindow.parse(dump)
    assert (window.package, window.name) == (package, name)


def test_facts_name_app_and_unknown_elements() -> None:
    facts = FocusWatch(Dumps().read).read(CLICK, UPRIGHT)
    assert (facts.app, facts.window) == ("org.notes", "org.notes.MainActivity")
    assert [element.identity for element in facts.elements] == [""]
    assert facts.changes == ()


def test_other_app_and_rotation_are_changes() -> None:
    dumps = Dumps()
    watch = FocusWatch(dumps.read)
    watch.read(CLICK, UPRIGHT)
    watch.remember(UPRIGHT)
    assert watch.read(CLICK, UPRIGHT).changes == ()
    dumps.text = BANK
    assert watch.read(TypeText(text="x"), UPRIGHT).changes == ("another app or window is shown",)
    assert watch.read(CLICK, TURNED).changes == ("the phone was turned", "another app or window is shown")
    assert watch.read(Home(), TURNED).changes == ()
