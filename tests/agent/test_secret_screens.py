"""Stored screenshots after a secret was typed on a surface that cannot hide its field."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import keyring
import numpy as np
import pytest
from helpers.facts_surface import PixelSurface
from helpers.secret_runs import is_gray, leaks, run_with_secrets
from keyring.backends.fail import Keyring as NoKeyring

from actions import Action, Screen, TypeText
from actions.screen import Area
from agent.safety.secret_store import SecretStore
from agent.trace import FRAMES

VALUE = "hunter2 secret"
TYPE = {"verb": "type", "text": "{{PW}}"}
SCROLLS = [{"verb": "scroll", "down": number} for number in range(1, 13)]
WINDOW: Area = (50, 40, 200, 100)


class DrawingSurface(PixelSurface):
    """A desktop that draws typed text, one column of pixels per character."""

    def __init__(self) -> None:
        super().__init__(name="desktop")
        self.text = ""

    def perform(self, action: Action) -> str:
        self.text += action.text if isinstance(action, TypeText) else ""
        return super().perform(action)

    def capture(self) -> Screen:
        return Screen(self.draw())

    def draw(self) -> np.ndarray:
        pixels = super().capture().pixels.copy()
        for number, character in enumerate(self.text):
            pixels[60:80, 60 + number] = ord(character)
        pixels[200 + len(self.performed), :] = 0  # every step has another screen
        return pixels


class WindowAreaSurface(DrawingSurface):
    """The same, with a window that is known to hold the secret."""

    is_secret = False

    def add_secret_area(self) -> bool:
        self.is_secret = True
        return True

    def capture(self) -> Screen:
        return Screen(self.draw(), secret_areas=[WINDOW] if self.is_secret else ())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SecretStore]:
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    secrets = SecretStore(tmp_path / "store" / "secrets.json")
    secrets.set("PW", VALUE, "text", ("shop.test",), is_totp=False)
    yield secrets
    keyring.set_keyring(before)


@pytest.mark.parametrize("kind", [DrawingSurface, WindowAreaSurface])
def test_stored_screens_show_no_secret(
    kind: type[DrawingSurface], store: SecretStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    surface = kind()
    trace, events = run_with_secrets(surface, tmp_path / "runs", store, [TYPE, *SCROLLS, TYPE])
    assert surface.text == VALUE * 2
    assert leaks(tmp_path / "runs", str(events), VALUE) == []
    assert "gray" in trace.finished[0]["note"]
    areas = [WINDOW] if kind is WindowAreaSurface else [(0, 0, 400, 300)]
    raw = Screen(surface.draw()).pixels
    for event in trace.finished[:-1]:
        stored = trace.screen(event["screen"]).pixels
        assert is_gray(stored, areas)
        assert (kind is DrawingSurface) == is_gray(stored, [(0, 0, 400, 300)])
    for path in [*trace.folder.rglob("*.png"), *scratch.rglob("*.png")]:
        assert not (Screen.open(path).pixels[60:80, 60:70] == raw[60:80, 60:70]).all()
    assert not is_gray(trace.screen(trace.first("start")["screen"]).pixels, [(0, 0, 400, 300)])
    digests = {event["screen"].digest for event in events if event["event"] == "act.result"}
    assert digests <= {path.stem for path in (trace.folder / FRAMES).glob("*.png")}
    assert trace.check_frames()
