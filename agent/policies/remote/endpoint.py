"""Endpoint: the address of a served model, `http://HOST:PORT/v1?OPTION=VALUE#NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from actions import UsageError
from actions.suggest import suggest
from agent.policies.remote import structured_output

SCHEMES = ("http", "https")
INTEGER_OPTIONS = ("history_steps", "pictures", "max_new_tokens", "min_pixels", "max_pixels", "timeout_s")
TEXT_OPTIONS = ("dialect", "tool", "history", "files", "tools", "check", "structured")
CHOICES = {"tools": ("server", "system"), "check": ("on", "off"), "structured": structured_output.BACKENDS}
SYNTAX = "http://HOST:PORT/v1#NAME"


@dataclass(frozen=True)
class Endpoint:
    """A parsed address."""

    base: str  # the URL without query and fragment
    name: str  # the model's name on the server; "" when the server has only one
    options: Mapping[str, str | int]


def is_endpoint(model: str) -> bool:
    """Return whether a --model is a server's address, rather than a folder or a Hub id."""
    return "://" in model


def parse_endpoint(text: str) -> Endpoint:
    """Parse an address.

    Raises:
        UsageError: The URL is malformed, has an unknown option, or contains credentials (addresses are in traces).
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for a malformed port
    except ValueError:
        raise UsageError(f"invalid server address {text!r:.100}; write {SYNTAX}") from None
    if parts.username or parts.password:
        raise UsageError("the server address must not contain credentials; set PIXELHAND_API_KEY instead")
    if parts.scheme.lower() not in SCHEMES or not parts.hostname:
        raise UsageError(f"invalid server address {text!r:.100}; write {SYNTAX}")
    options = {key: _parse_option(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True)}
    return Endpoint(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", parts.fragment, options)


def _parse_option(key: str, value: str) -> str | int:
    if key in INTEGER_OPTIONS:
        if not (value.isascii() and value.isdigit()):
            raise UsageError(f"option {key} of the server address must be an integer, not {value!r:.40}")
        return int(value)
    if key not in TEXT_OPTIONS:
        options = (*TEXT_OPTIONS, *INTEGER_OPTIONS)
        hint = suggest(key[:40], options) or f" Valid options: {', '.join(options)}."
        raise UsageError(f"unknown option '{key[:40]}' in the server address.{hint}")
    if key in CHOICES and value not in CHOICES[key]:
        choices = ", ".join(CHOICES[key])
        raise UsageError(f"option {key} of the server address must be one of {choices}, not {value!r:.40}")
    return value
