"""SecretStore: the person's passwords and one-time codes, in the keyring or in a file that only the user can read.

The names, kinds and places stand in `secrets.json` in the user's data folder; so do the values where the machine has no
keyring.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actions import UsageError
from actions.atomic_file import replace_file
from actions.suggest import suggest
from agent.safety.secret_places import parse_place

if TYPE_CHECKING:
    import pyotp

SecretKind = Literal["password", "otp", "text", "card"]
SERVICE = "pixelhand"  # in the keyring
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
MAX_CHARS = 1000
OTP_SCHEME = "otpauth://"


class StoredSecret(BaseModel):
    """What is known about a secret without its value.

    Args:
        kind: Into which fields it is typed.
        places: Hosts and apps that it belongs to, as `secret_places.parse_place` reads them.
        is_totp: The value is the seed of time-based codes, and the present code is typed.
        storage: Where the value is.
        value: The value, where it is stored in the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    kind: SecretKind
    places: tuple[str, ...] = Field(min_length=1)
    is_totp: bool = False
    storage: Literal["keyring", "file"]
    value: str | None = Field(default=None, repr=False)


class SecretFile(BaseModel):
    """The content of secrets.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    format: Literal[1] = 1
    secrets: dict[str, StoredSecret] = {}


class SecretStore:
    """The secrets of the user.

    Args:
        path: The file; secrets.json in the user's data folder by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def load(self) -> dict[str, StoredSecret]:
        """Return all secrets by name, without the values in the keyring.

        Raises:
            UsageError: The file cannot be read, is not valid, or can be read by other users.
        """
        try:
            with open(self.path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UsageError(f"the secrets in {self.path} cannot be read: {error.strerror}") from None
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise UsageError(
                f"the secrets in {self.path} are not used: other users can read the file; run chmod 600 {self.path}"
            )
        try:
            return dict(SecretFile.model_validate_json(data).secrets)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise UsageError(
                f"{self.path} is not a file of secrets: {'.'.join(map(str, first['loc']))}: {first['msg']}"
            ) from None

    def set(self, name: str, value: str, kind: SecretKind, places: Sequence[str], *, is_totp: bool) -> StoredSecret:
        """Store a secret, in place of one of the same name.

        Raises:
            UsageError: The name, the value or a place is not valid, or the value cannot be stored.
        """
        check_name(name)
        value = check_seed(value) if is_totp else check_value(value)
        normal_places = tuple(dict.fromkeys(str(parse_place(place)) for place in places))
        storage: Literal["keyring", "file"] = "keyring" if _has_keyring() else "file"
        secrets = self.load()
        if storage == "keyring":
            _call_keyring("set_password", SERVICE, name, value)
        secrets[name] = StoredSecret(
            kind=kind,
            places=normal_places,
            is_totp=is_totp,
            storage=storage,
            value=value if storage == "file" else None,
        )
        self._write(secrets)
        return secrets[name]

    def remove(self, name: str) -> None:
        """Remove a secret.

        Raises:
            UsageError: There is no such secret, or it cannot be removed.
        """
        secrets = self.load()
        if name not in secrets:
            raise UsageError(f"there is no secret '{name[:64]}'.{_hint(name, secrets)}")
        if secrets.pop(name).storage == "keyring":
            _call_keyring("delete_password", SERVICE, name)
        self._write(secrets)

    def read_text(self, name: str) -> str:
        """Return the text to type: the value, or the present code.

        Raises:
            UsageError: The value is no longer there, or the keyring refused it.
        """
        secret = self.load().get(name)
        if secret is None:
            raise UsageError(f"there is no secret '{name[:64]}'; set it with agent secrets set {name[:64]}")
        value = secret.value if secret.storage == "file" else _call_keyring("get_password", SERVICE, name)
        if not value:
            raise UsageError(f"the value of '{name}' is not in the {secret.storage}; set it again: agent secrets set")
        return _totp(value).now() if secret.is_totp else value

    def _write(self, secrets: dict[str, StoredSecret]) -> None:
        data = SecretFile(secrets=secrets).model_dump_json(indent=2, exclude_none=True).encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(self.path, data)  # readable by the user only
        except OSError as error:
            raise UsageError(f"the secrets cannot be written to {self.path}: {error.strerror or error}") from None


def default_path() -> Path:
    """Return the path of the user's secrets on this platform."""
    import platformdirs

    return platformdirs.user_data_path("pixelhand", appauthor=False) / "secrets.json"


def check_name(name: str) -> None:
    """Raise UsageError if a name cannot stand in {{NAME}}."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name[:64]}' is not a name of a secret: use a letter, then letters, digits, - and _, at most 64"
        )


def check_value(value: str) -> str:
    """Return a value that can be typed into one field; the message of the error does not contain it.

    Raises:
        UsageError: It is empty, too long, or has line breaks or other control characters.
    """
    if not value:
        raise UsageError("the secret is empty; nothing was stored")
    if len(value) > MAX_CHARS:
        raise UsageError(f"the secret has {len(value)} characters; at most {MAX_CHARS} can be typed")
    if not all(character.isprintable() for character in value):
        raise UsageError("the secret has a line break, a tab or another character that cannot be typed into a field")
    return value


def check_seed(value: str) -> str:
    """Return the seed of time-based codes, an otpauth address or base32, as it is stored.

    Raises:
        UsageError: It is neither.
    """
    text = value.strip()
    if not text.lower().startswith(OTP_SCHEME):
        text = re.sub(r"[\s-]", "", text).upper()
    try:
        _totp(text).now()
    except (ValueError, TypeError, binascii.Error):  # their messages may quote the seed
        raise UsageError(
            "--totp needs the seed of time-based codes: an address otpauth://totp/..., or the base32 text that the "
            "site shows; the value is neither"
        ) from None
    return text


def _totp(text: str) -> pyotp.TOTP:
    """Return the generator of a seed; raise ValueError if it is none.

    pyotp refuses seeds of less than 112 bits, and with them the 80 bits that many sites give out.
    """
    import pyotp

    class AnyLengthTotp(pyotp.TOTP):
        min_secret_length_bits = 8

    if not text.lower().startswith(OTP_SCHEME):
        return AnyLengthTotp(text)
    parts = urlsplit(text)
    values = dict(parse_qsl(parts.query, strict_parsing=True))
    algorithm = values.get("algorithm", "SHA1").upper()
    if parts.netloc.lower() != "totp" or algorithm not in ("SHA1", "SHA256", "SHA512") or "encoder" in values:
        raise ValueError("the address is not that of time-based codes")
    return AnyLengthTotp(
        re.sub(r"[\s-]", "", values.get("secret", "")),
        digits=int(values.get("digits", "6")),
        digest=getattr(hashlib, algorithm.lower()),
        interval=int(values.get("period", "30")),
    )


def _hint(name: str, secrets: dict[str, StoredSecret]) -> str:
    return suggest(name[:64], secrets) or (f" Stored: {', '.join(sorted(secrets))}." if secrets else " None is stored.")


def _has_keyring() -> bool:
    """Return whether the machine has a keyring: backends that store plain text or nothing do not count."""
    import keyring

    try:
        return bool(keyring.get_keyring().priority >= 1)
    except Exception:  # a backend that cannot work here raises whatever its library does
        return False


def _call_keyring(method: str, *arguments: str) -> str | None:
    import keyring
    from keyring.errors import PasswordDeleteError

    try:
        result = getattr(keyring.get_keyring(), method)(*arguments)
        return None if result is None else str(result)
    except PasswordDeleteError:  # it was deleted with another program
        return None
    except Exception as error:  # KeyringError, and what the libraries of the platforms raise
        raise UsageError(
            f"the keyring refused '{arguments[1]}' ({type(error).__name__}): unlock it, and try again"
        ) from None
