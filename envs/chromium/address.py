"""Which addresses may be opened, as text.

A model may open http, https, about:blank and MiniWoB++ addresses; a user may open whatever the browser can.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from actions import InvalidActionError, UsageError
from envs.miniwob import pages

SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*):(.*)", re.DOTALL)
PORT = re.compile(r"\d{1,5}(?:[/?#].*)?", re.DOTALL)
LOOPBACK = re.compile(
    r"(?:localhost|(?:[^/?#]+\.)?localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?(?:[/?#].*)?", re.IGNORECASE
)


def model_address(text: str) -> str:
    """Return the address of a model's `open` action, with its scheme.

    Raises:
        InvalidActionError: It is not an address, or its scheme is not available to a model.
    """
    text = text.strip()
    scheme, rest = _split_scheme(text)
    if pages.is_miniwob_address(f"{scheme}:"):
        try:
            pages.page(rest)
        except UsageError as error:
            raise InvalidActionError(str(error)) from None
        return f"{scheme}:{rest}"
    if scheme == "about" and rest.lower() == "blank":
        return "about:blank"
    if scheme not in ("", "http", "https"):
        raise InvalidActionError(f"addresses with the scheme '{scheme}:' cannot be opened; use http or https")
    address = text if scheme else _add_scheme(text)
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidActionError(f"{text[:200]!r} is not an address: {error}") from None
    has_space = re.search(r"[\s\\]", address) is not None
    if not host or has_space or not (scheme or "." in host or _is_loopback(text) or ":" in host):
        raise InvalidActionError(f"{text[:200]!r} is not an address; give one like https://example.com/page")
    return address


def person_address(text: str) -> str:
    """Return an address that a user gave, with its scheme; one without a scheme gets https, or http on this machine.

    Raises:
        UsageError: It is empty.
    """
    text = text.strip()
    if not text:
        raise UsageError("the address is empty; give one like https://example.com, or miniwob:click-test")
    return text if _split_scheme(text)[0] else _add_scheme(text)


def _split_scheme(text: str) -> tuple[str, str]:
    """Split "https://example.com" into ("https", "//example.com"); "localhost:8000" has no scheme."""
    match = SCHEME.fullmatch(text)
    if not match:
        return "", text
    scheme, rest = match[1].lower(), match[2]
    if PORT.fullmatch(rest) and ("." in scheme or scheme == "localhost"):
        return "", text
    return scheme, rest


def _add_scheme(text: str) -> str:
    bare = text.removeprefix("//")
    return f"{'http' if _is_loopback(bare) else 'https'}://{bare}"  # local servers rarely use TLS


def _is_loopback(text: str) -> bool:
    return LOOPBACK.fullmatch(text.removeprefix("//")) is not None
