"""The store of secrets and `agent secrets`: what is accepted, where it is kept, and who can read it."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import keyring
import pyotp
import pytest
from helpers.command import Agent
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

from actions import UsageError
from agent.safety.secret_store import SecretStore, StoredSecret

SHORT_SEED = "JBSWY3DPEHPK3PXP"  # 80 bits, as many sites give out
SEED = SHORT_SEED * 2


class MemoryKeyring(KeyringBackend):
    """A keyring in memory."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.values.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.values[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.values[service, username]


class LockedKeyring(MemoryKeyring):
    """A keyring that refuses everything."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"locked, {password}")


@pytest.fixture(autouse=True)
def no_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "data" / "secrets.json")


def add(store: SecretStore, name: str = "PW", value: str = "hunter2", *places: str) -> StoredSecret:
    return store.set(name, value, "password", places or ("example.org",), is_totp=False)


def test_secret_without_keyring_is_in_private_file(store: SecretStore) -> None:
    assert add(store).storage == "file"
    assert store.read_text("PW") == "hunter2"
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [path.name for path in store.path.parent.iterdir()] == ["secrets.json"]


def test_secret_with_keyring_is_not_in_file(store: SecretStore) -> None:
    keyring.set_keyring(backend := MemoryKeyring())
    assert add(store).storage == "keyring"
    assert store.read_text("PW") == "hunter2"
    assert backend.values == {("pixelhand", "PW"): "hunter2"}
    assert "hunter2" not in store.path.read_text()
    store.remove("PW")
    assert backend.values == {}


def test_locked_keyring_is_reported_without_value(store: SecretStore) -> None:
    keyring.set_keyring(LockedKeyring())
    with pytest.raises(UsageError, match="unlock") as caught:
        add(store)
    assert "hunter2" not in str(caught.value)
    assert store.load() == {}


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
def test_file_that_others_read_is_refused(store: SecretStore) -> None:
    add(store)
    store.path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        store.read_text("PW")


@pytest.mark.parametrize("content", ["", "[]", '{"secrets": {"A": {"kind": "pin"}}}', '{"secrets": 3}', "\x00"])
def test_damaged_file_is_one_sentence(store: SecretStore, content: str) -> None:
    add(store)
    store.path.write_text(content)
    with pytest.raises(UsageError, match=r"secrets\.json"):
        store.load()


@pytest.mark.parametrize("value", ["", "a\nb", "a\tb", "a\x1bb", "x" * 1001])
def test_value_that_cannot_be_typed_is_refused(store: SecretStore, value: str) -> None:
    with pytest.raises(UsageError):
        add(store, "PW", value)
    assert not store.path.exists()


@pytest.mark.parametrize("name", ["", "1A", "A B", "A}}", "Ä", "A" * 65])
def test_invalid_name_is_refused(store: SecretStore, name: str) -> None:
    with pytest.raises(UsageError, match="name of a secret"):
        add(store, name)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (SEED, pyotp.TOTP(SEED)),
        ("jbsw y3dp ehpk 3pxp JBSW-Y3DP-EHPK-3PXP", pyotp.TOTP(SEED)),
        (f"otpauth://totp/Shop:ann?secret={SEED}&issuer=Shop", pyotp.TOTP(SEED)),
        (f"otpauth://totp/a?secret={SEED}&digits=8&period=60", pyotp.TOTP(SEED, digits=8, interval=60)),
    ],
)
def test_present_code_is_returned(store: SecretStore, seed: str, expected: pyotp.TOTP) -> None:
    store.set("CODE", seed, "otp", ("example.org",), is_totp=True)
    assert expected.verify(store.read_text("CODE"), valid_window=1)


def test_short_seed_is_accepted(store: SecretStore) -> None:
    store.set("CODE", SHORT_SEED, "otp", ("example.org",), is_totp=True)
    assert len(store.read_text("CODE")) == 6


@pytest.mark.parametrize(
    "seed",
    [
        "",
        "not base32!",
        "A",
        f"otpauth://hotp/a?secret={SEED}&counter=1",
        "otpauth://totp/a",
        "otpauth://totp/a?secret=",
    ],
)
def test_invalid_seed_is_refused_without_echo(store: SecretStore, seed: str) -> None:
    with pytest.raises(UsageError, match="--totp") as caught:
        store.set("CODE", seed, "otp", ("example.org",), is_totp=True)
    assert not seed or f"'{seed}'" not in str(caught.value)


def test_command_sets_lists_and_removes(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    code, out, _ = agent("secrets", "set", "PW", "--for", "example.org", "--for", "app:com.example.shop")
    assert code == 0
    assert "no keyring" in out
    _, listed, _ = agent("secrets", "list")
    assert "PW" in listed
    assert "com.example.shop" in listed
    assert "hunter2" not in out + listed
    assert agent("secrets", "remove", "PW")[0] == 0
    assert "no secrets" in agent("secrets", "list")[1]


def test_command_reports_missing_secret(agent: Agent) -> None:
    code, _, err = agent("secrets", "remove", "PW")
    assert code == 2
    assert "no secret 'PW'" in err


def test_totp_of_another_kind_is_refused(agent: Agent) -> None:
    code, _, err = agent("secrets", "set", "PW", "--for", "a.org", "--totp", "--kind", "password")
    assert code == 2
    assert "--kind" in err


def test_listing_has_no_value_in_json(store: SecretStore) -> None:
    keyring.set_keyring(MemoryKeyring())
    add(store)
    assert json.loads(store.path.read_text())["secrets"]["PW"].keys() == {"kind", "places", "is_totp", "storage"}
