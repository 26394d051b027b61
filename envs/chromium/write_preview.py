"""Describe a request that Chromium wants to send: what a person reads, with the values of fields for secrets masked."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from actions.held_writes import HeldWrite

MASK = "•••"  # of a fixed length, so that the length of a secret stays unknown
MAX_PREVIEW_CHARS = 2000
MAX_URL_CHARS = 500
MAX_PARSED_BYTES = 1_000_000  # a longer body is described by its size
KINDS = {
    "Document": "form",
    "XHR": "script",
    "Fetch": "script",
    "Ping": "beacon",
    "CSPViolationReport": "report",
}
UNAWAITED_KINDS = ("beacon", "report")
SECRET_WORD = re.compile(  # one of the words of a name
    r"pass|pwd|pw|pin|otp|totp|cvv|cvc|csc|card|iban|ssn|auth|sid|sig|mfa|tan"
)
SECRET_PART = re.compile(  # anywhere in a name, without its separators
    r"password|passwd|passphrase|passcode|secret|token|credential|authoriz|csrf|xsrf|apikey|accesskey|privatekey"
    r"|signature|cardnumber|ccnumber|sessionid|sessid|onetimecode|verificationcode"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ASSIGNMENT = re.compile(r"([\w.-]{1,60})(\"?\s*[=:]\s*)(\"[^\"]*\"|[^\s&,;}]+)")


def describe_write(number: int, event: Mapping[str, Any]) -> HeldWrite:
    """Return the description of a request.

    Args:
        number: Its number among the held requests.
        event: The parameters of Chromium's `Fetch.requestPaused`.
    """
    request = event["request"]
    headers = {str(name).lower(): str(value) for name, value in request.get("headers", {}).items()}
    content_type = headers.get("content-type", "")
    body, is_whole = _body(request)
    kind = KINDS.get(event.get("resourceType", ""), str(event.get("resourceType", "")).lower())
    return HeldWrite(
        number=number,
        method=request["method"],
        url=mask_url(request["url"]),
        host=urlsplit(request["url"]).netloc.rpartition("@")[2],
        kind=kind,
        content_type=content_type.partition(";")[0].strip().lower(),
        size=len(body) if is_whole else None,
        preview=preview_body(body, content_type) if is_whole else "the body holds a file, or cannot be read",
        origin=_origin(headers),
        is_awaited=kind not in UNAWAITED_KINDS,
    )


def mask_url(url: str) -> str:
    """Return an address without credentials and fragment, and without the values of secret fields in its query."""
    parts = urlsplit(url)
    query = "&".join(
        f"{quote(name)}={MASK if is_secret_name(name) else quote(value)}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    kept = query if MASK in query else parts.query
    masked = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, kept, ""))
    return masked if len(masked) <= MAX_URL_CHARS else masked[: MAX_URL_CHARS - 1] + "…"


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name holds a password, a code, a card number or a token."""
    joined = "".join(char for char in name.lower() if char.isalnum())
    has_word = any(SECRET_WORD.fullmatch(word.lower()) for word in _WORD.findall(name))
    return has_word or SECRET_PART.search(joined) is not None


def preview_body(body: bytes, content_type: str) -> str:
    """Return a body as text of at most MAX_PREVIEW_CHARS, by its media type; secret fields are masked."""
    if not body:
        return ""
    if len(body) > MAX_PARSED_BYTES:
        return f"{len(body):,} bytes, too many to show"
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        text = _preview_multipart(body, content_type)
    elif (decoded := _decode(body)) is None:
        text = f"{len(body):,} bytes that are no text"
    elif media_type == "application/x-www-form-urlencoded":
        fields = parse_qsl(decoded, keep_blank_values=True)
        text = "\n".join(_field(name, value) for name, value in fields) if fields else mask_text(decoded)
    else:
        text = _preview_text(decoded)
    return text if len(text) <= MAX_PREVIEW_CHARS else f"{text[:MAX_PREVIEW_CHARS]}… ({len(text):,} characters)"


def mask_text(text: str) -> str:
    """Return plain text with the values of what looks like secret fields masked."""

    def mask(match: re.Match[str]) -> str:
        return f"{match[1]}{match[2]}{MASK}" if is_secret_name(match[1]) else match[0]

    return _ASSIGNMENT.sub(mask, text)


def _origin(headers: Mapping[str, str]) -> str:
    """Return the origin of the page that sends a request, "" where no header names it."""
    for name in ("origin", "referer"):
        parts = urlsplit(headers.get(name, ""))
        if parts.netloc:
            return f"{parts.scheme}://{parts.netloc}"
    return ""


def _body(request: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Return the body of a request, and whether that is all of it: files are not part of the event."""
    entries = request.get("postDataEntries")
    if entries:
        if not all("bytes" in entry for entry in entries):
            return b"", False
        try:
            return b"".join(base64.b64decode(entry["bytes"]) for entry in entries), True
        except binascii.Error:
            return b"", False
    if "postData" in request:
        return str(request["postData"]).encode(), True
    return b"", not request.get("hasPostData", False)


def _decode(body: bytes) -> str | None:
    """Return a body as text, None for one that is not."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _field(name: str, value: str) -> str:
    """Return a field as one line, so that a value cannot look like another field."""
    text = MASK if is_secret_name(name) and value else value
    return f"{name} = {text}".replace("\r\n", "⏎").translate({10: "⏎", 13: "⏎"})


def _preview_text(text: str) -> str:
    try:
        return json.dumps(_mask_json(json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return mask_text(text)


def _mask_json(value: object) -> object:
    if isinstance(value, dict):
        return {name: MASK if is_secret_name(name) and item else _mask_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_mask_json(item) for item in value]
    return value


def _preview_multipart(body: bytes, content_type: str) -> str:
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    lines = []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = str(part.get_param("name", "", header="content-disposition"))
        payload = cast(bytes, part.get_payload(decode=True) or b"")
        if (file := part.get_filename()) is not None:
            lines.append(f"{name} = file {file!r}, {len(payload):,} bytes")
        else:
            text = _decode(payload)
            lines.append(_field(name, f"{len(payload):,} bytes" if text is None else text))
    return "\n".join(lines) or f"{len(body):,} bytes in parts that cannot be read"
