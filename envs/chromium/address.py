"""Which addresses may be opened. Knows text only: no browser, no network.

The model may name http, https, about:blank and practice pages; a person also files and anything the browser takes.
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
    """The address that the model meant, with its scheme. BadCall for every scheme that is not for it."""
    text = text.strip()
    scheme, rest = _split(text)
    if scheme == "practice":
        try:
            pages.page(rest)
        except UsageError as error:
            raise InvalidActionError(str(error)) from None
        return f"{pages.PREFIX}{rest}"
    if scheme == "about" and rest.lower() == "blank":
        return "about:blank"
    if scheme not in ("", "http", "https"):
        raise InvalidActionError(f"addresses of the kind '{scheme}:' are not for you; use http or https")
    address = text if scheme else _with_scheme(text)
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidActionError(f"{text[:200]!r} is not an address: {error}") from None
    if not host or re.search(r"[\s\\]", address) or not (scheme or "." in host or _is_loopback(text) or ":" in host):
        raise InvalidActionError(f"{text[:200]!r} is not an address; give one like https://example.com/page")
    return address


def person_address(text: str) -> str:
    """A person's address with its scheme ("example.com" gets https); any scheme that the browser knows may stand."""
    text = text.strip()
    if not text:
        raise UsageError("the address is empty; give one like https://example.com, or practice:click-test")
    return text if _split(text)[0] else _with_scheme(text)


def _split(text: str) -> tuple[str, str]:
    """("https", "//example.com"); a host with a port, "localhost:8000", has no scheme."""
    match = SCHEME.fullmatch(text)
    if not match:
        return "", text
    scheme, rest = match[1].lower(), match[2]
    if PORT.fullmatch(rest) and ("." in scheme or scheme == "localhost"):
        return "", text
    return scheme, rest


def _with_scheme(text: str) -> str:
    bare = text.removeprefix("//")
    return f"{'http' if _is_loopback(bare) else 'https'}://{bare}"  # a server on this machine rarely speaks TLS


def _is_loopback(text: str) -> bool:
    return LOOPBACK.fullmatch(text.removeprefix("//")) is not None
