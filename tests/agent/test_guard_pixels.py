"""Which actions the guard compares by pixels, and typed text whose effect no fact tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.facts_surface import CANCEL, PASSWORD, PAY, FactsSurface

from actions import Action, ActionRejectedError, Click, TypeText, dispatch
from actions.facts import ActionFacts, ElementFacts
from agent.safety.guard import ActionGuard
from agent.safety.policy import PolicyLayer, SafetyPolicy, load_preset
from agent.safety.proposal import Proposal

CLICK = Click(x=150, y=125)
WINDOW = ElementFacts(role="window", label="Notes", identity="w1")


class WindowSurface(FactsSurface):
    """A surface that knows its windows, not what is drawn in them."""

    window = WINDOW

    def facts(self, action: Action) -> ActionFacts:
        return ActionFacts(app="notes", window="Notes", elements=(self.window,) * len(action.points()))


def make_guard(surface: FactsSurface, folder: Path, preset: str) -> ActionGuard:
    policy = SafetyPolicy((PolicyLayer("preset", preset, load_preset(preset)),))
    return ActionGuard(policy, surface, folder, lambda event, **facts: None)


@pytest.mark.parametrize("window", [WINDOW, ElementFacts()])
def test_drawn_label_that_changes_is_noticed(tmp_path: Path, window: ElementFacts) -> None:
    surface = WindowSurface({(100, 100, 200, 150): CANCEL})
    surface.window = window
    guard, screen = make_guard(surface, tmp_path, "cautious"), surface.capture()
    dispatch(CLICK, surface, screen, guard)
    surface.elements = {(100, 100, 200, 150): PAY}
    with pytest.raises(ActionRejectedError, match="changed at this place"):
        dispatch(CLICK, surface, screen, guard)
    assert surface.performed == [CLICK]


def test_sandbox_compares_no_pixels(tmp_path: Path) -> None:
    surface = WindowSurface({(100, 100, 200, 150): CANCEL})
    guard, screen = make_guard(surface, tmp_path, "sandbox"), surface.capture()
    surface.elements = {(100, 100, 200, 150): PAY}
    dispatch(CLICK, surface, screen, guard)
    assert surface.performed == [CLICK]


@pytest.mark.parametrize("text,is_unknown", [("a\t\n", True), ("\t ", True), ("a\tb", False), ("a b\n", False)])
def test_tab_then_enter_is_unknown(text: str, is_unknown: bool) -> None:
    facts = ActionFacts(focus=replace(PASSWORD, field="text", label="Name"))
    assert Proposal(TypeText(text=text), "browser", False, facts).is_activation_unknown == is_unknown
    window = replace(facts, focus=WINDOW)
    assert not Proposal(TypeText(text=text), "desktop", False, window).is_activation_unknown


def test_tab_then_enter_is_not_typed(tmp_path: Path) -> None:
    surface = FactsSurface()
    surface.state = replace(surface.state, focus=replace(PASSWORD, field="text", label="Name"))
    guard, screen = make_guard(surface, tmp_path, "cautious"), surface.capture()
    with pytest.raises(ActionRejectedError, match="Tab"):
        dispatch(TypeText(text="a\t\n"), surface, screen, guard)
    assert surface.performed == []
