"""Windows of an X server that hold a typed secret: their place in captures, and what a run stores of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import numpy as np
import pytest
from helpers.desktop_programs import TK_PAD, running, tk_python
from helpers.eventually import eventually
from helpers.secret_runs import is_gray, leaks, run_with_secrets
from keyring.backends.fail import Keyring as NoKeyring

from agent.safety.secret_store import SecretStore
from envs.surfaces.desktop import Surface

if TYPE_CHECKING:
    from Xlib.display import Display

VALUE = "hunter2 secret"
CLICK = {"verb": "click", "x": 200, "y": 200}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SecretStore]:
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    secrets = SecretStore(tmp_path / "store" / "secrets.json")
    secrets.set("PW", VALUE, "text", ("app:Tk",), is_totp=False)
    yield secrets
    keyring.set_keyring(before)


@pytest.fixture
def pad(display: str, painted: Display, tmp_path: Path) -> Iterator[Path]:
    """Run an editor of 500x300 pixels at (50, 50); the value is the file with its text."""
    path = tmp_path / "pad"
    with running([tk_python(), str(TK_PAD), str(path)], display):
        eventually(path.exists)
        yield path


def test_window_with_secret_is_gray_in_frames(display: str, pad: Path, store: SecretStore, tmp_path: Path) -> None:
    with Surface(display=display) as surface:
        eventually(lambda: surface.capture().pixels[200, 200].min() > 200)  # the editor is drawn
        actions = [CLICK, {"verb": "type", "text": "{{PW}}"}, {"verb": "press", "keys": ["end"]}]
        trace, events = run_with_secrets(surface, tmp_path / "runs", store, actions)
        eventually(lambda: pad.read_text() == VALUE)
        areas = surface.capture().secret_areas
    assert leaks(tmp_path / "runs", str(events), VALUE) == []
    assert set(areas) == {(50, 50, 500, 300)}
    for event in trace.finished[1:]:
        pixels = trace.screen(event["screen"]).pixels
        assert is_gray(pixels, areas)
        assert not np.array_equal(pixels[60, 60], pixels[40, 40])


def test_secret_area_follows_and_leaves(display: str, pad: Path) -> None:
    with Surface(display=display) as surface:
        assert surface.capture().secret_areas == ()
        eventually(surface.add_secret_area)
        assert set(surface.capture().secret_areas) == {(50, 50, 500, 300)}
        move_editor(display, 120, 90)
        assert set(surface.capture().secret_areas) == {(120, 90, 500, 300)}


def test_region_is_part_of_screen(display: str, pad: Path) -> None:
    with Surface(display=display) as surface:
        screen = surface.capture()
        region = surface.capture_region(30, 40, 49, 35)
        assert region is not None
        assert np.array_equal(region.pixels, screen.pixels[40:75, 30:79])


def move_editor(display: str, left: int, top: int) -> None:
    from helpers.desktop_programs import connect_to

    from envs.desktop.x11.windows import Windows

    connection = connect_to(display)
    window = connection.create_resource_object("window", Windows(connection).find("Tk pad").id)
    window.configure(x=left, y=top)
    connection.sync()
    connection.close()
