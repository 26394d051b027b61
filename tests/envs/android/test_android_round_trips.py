"""Round trips of a step on the simulated phone; its duration is measured by `agent bench surfaces`."""

from __future__ import annotations

from actions import Click, dispatch
from envs.simulators.android.phone import SimulatedPhone
from envs.surfaces.android import Surface


def test_click_and_capture_take_four_commands(phone: SimulatedPhone, surface: Surface) -> None:
    screen = surface.capture()
    phone.shell.log.clear()
    dispatch(Click(x=300, y=900), surface, screen)
    surface.capture()
    assert len(phone.shell.log) <= 4, phone.shell.log
