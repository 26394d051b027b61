"""Secrets that are typed on a phone: what a run stores of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import pytest
from helpers.secret_runs import is_gray, leaks, run_with_secrets
from keyring.backends.fail import Keyring as NoKeyring

from actions import Click
from agent.safety.secret_store import SecretStore
from envs.simulators.android.phone import SimulatedPhone
from envs.surfaces.android import Surface


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SecretStore]:
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    yield SecretStore(tmp_path / "store" / "secrets.json")
    keyring.set_keyring(before)


@pytest.mark.parametrize("value", ["hunter2 secret", 'pä&ss "wörd"'], ids=["input", "keyboard"])
def test_typed_secret_is_in_no_file(
    phone: SimulatedPhone,
    surface: Surface,
    read_note: Callable[[], str],
    store: SecretStore,
    tmp_path: Path,
    value: str,
) -> None:
    app = surface.facts(Click(x=1, y=1)).app
    store.set("PW", value, "text", (f"app:{app}",), is_totp=False)
    actions = [{"verb": "type", "text": "{{PW}}"}, {"verb": "wait", "seconds": 0.1}]
    trace, events = run_with_secrets(surface, tmp_path / "runs", store, actions)
    assert read_note() == value
    assert leaks(tmp_path / "runs", str(events), value) == []
    assert "gray" in trace.finished[0]["note"]
    first = trace.screen(trace.first("start")["screen"]).pixels
    whole = [(0, 0, first.shape[1], first.shape[0])]
    assert not is_gray(first, whole)
    assert all(is_gray(trace.screen(event["screen"]).pixels, whole) for event in trace.finished)
