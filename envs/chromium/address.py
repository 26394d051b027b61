"""Which addresses may be opened, as text.

A model may open http, https, about:blank and MiniWoB++ addresses; a user may open whatever the browser can.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from actions import InvalidActionError, UsageError
from actions.suggest import suggest
from envs.miniwob import pages

SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*):(.*)", re.DOTALL)
PORT = re.compile(r"\d{1,5}(?:[/?#].*)?", re.DOTALL)
OTHER_SCHEMES = ("about", "data", "file", "chrome", "view-source", "blob")  # that a user may open
EXAMPLES = "give one like https://example.com, or miniwob:click-test"
USERINFO = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*://|//|)[^/?#]*@")
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
    if (reason := _malformed(address)) or not (scheme or _has_host_form(text)):
        why = f": {reason}" if reason else ""
        raise InvalidActionError(f"{text[:200]!r} is not an address{why}; give one like https://example.com/page")
    return address


def person_address(text: str) -> str:
    """Return an address that a user gave, with its scheme; one without a scheme gets https, or http on this machine.

    Raises:
        UsageError: It is no address that a browser opens. The message has no user name and password.
    """
    text = text.strip()
    try:
        return _person_address(text)
    except UsageError as error:
        safe_text = hide_userinfo(text)
        message = (
            str(error).replace(repr(text[:200]), repr(safe_text[:200])).replace(text, safe_text) if text else str(error)
        )
        raise UsageError(message) from None


def split_credentials(address: str) -> tuple[str, tuple[str, str] | None]:
    """Return a web address without user name and password, and these, None where it has none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address, None
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at or parts.scheme.lower() not in ("http", "https"):
        return address, None
    name, _, password = userinfo.partition(":")
    return urlunsplit(parts._replace(netloc=host)), (unquote(name), unquote(password))


def hide_userinfo(text: str) -> str:
    """Return what a user wrote as an address, valid or not, without user name and password."""
    return USERINFO.sub(r"\1", text)


def _person_address(text: str) -> str:
    if not text:
        raise UsageError(f"the address is empty; {EXAMPLES}")
    scheme, rest = _split_scheme(text)
    if pages.is_miniwob_address(f"{scheme}:") or (scheme and scheme in OTHER_SCHEMES):
        return f"{scheme}:{rest}"
    if scheme not in ("", "http", "https"):
        names = ("http", "https", *OTHER_SCHEMES)
        hint = suggest(scheme, names) or f" Available: {', '.join(names)}."
        raise UsageError(f"{text[:200]!r} cannot be opened: the browser has no scheme '{scheme}:'.{hint}")
    address = text if scheme else _add_scheme(text)
    if reason := _malformed(address):
        raise UsageError(f"{text[:200]!r} is not an address: {reason}; {EXAMPLES}")
    if not scheme and not _has_host_form(text):
        raise UsageError(
            f"{text[:200]!r} is not an address: it has neither a scheme nor a dot; {EXAMPLES}, "
            f"or {address} for a host of that name"
        )
    return address


def check_reachable(address: str) -> None:
    """Check what can be known of an address before a browser opens it: that a file exists.

    Raises:
        UsageError: The file is missing.
    """
    if not address.startswith("file:"):
        return
    path = Path(url2pathname(urlsplit(address).path))
    if not path.exists():
        raise UsageError(f"{address[:200]!r} cannot be opened: there is no file {path}; check the path")


def _malformed(address: str) -> str:
    """Return why a web address cannot be opened, "" if it can."""
    if re.search(r"[\s\\]", address):
        return "it contains a space or a backslash"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    return "" if host else "it names no host"


def _has_host_form(text: str) -> bool:
    """Return whether a text without a scheme looks like a host rather than a word."""
    host = re.split(r"[/?#]", text.removeprefix("//"), maxsplit=1)[0]
    return "." in host or ":" in host or _is_loopback(text)


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
