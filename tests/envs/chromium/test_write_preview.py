"""Descriptions of requests: what a person reads of them, and what is masked."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from envs.chromium.write_preview import (
    MASK,
    MAX_PARSED_BYTES,
    MAX_PREVIEW_CHARS,
    MAX_URL_CHARS,
    describe_write,
    is_secret_name,
    mask_url,
    preview_body,
)

FORM, JSON = "application/x-www-form-urlencoded", "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "user[password]",
        "newPassword",
        "pwd",
        "card_number",
        "cardNumber",
        "cvv",
        "csrfmiddlewaretoken",
        "X-API-Key",
        "accessToken",
        "one-time-code",
        "user.pin",
        "PIN",
        "TAN",
        "login:pass",
        "authSecret",
    ],
)
def test_secret_names_are_recognized(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["author", "item", "discard", "spinner", "shipping", "compass", "standing", "side", ""]
)
def test_other_names_are_shown(name: str) -> None:
    assert not is_secret_name(name)


def test_form_is_one_line_per_field() -> None:
    body = b"item=a+b%26c&note=1%0Aprice+%3D+0&password=geheim&pin="
    assert preview_body(body, FORM).split("\n") == [
        "item = a b&c",
        "note = 1⏎price = 0",
        f"password = {MASK}",
        "pin = ",
    ]


def test_json_is_masked_at_any_depth() -> None:
    body = {"item": "ä", "login": [{"password": "geheim", "empty": {"token": ["geheim"]}}]}
    text = preview_body(json.dumps(body).encode(), JSON)
    assert json.loads(text) == {"item": "ä", "login": [{"password": MASK, "empty": {"token": MASK}}]}


def test_json_without_its_media_type_is_masked() -> None:
    assert "geheim" not in preview_body(b'{"password": "geheim"}', "text/plain;charset=UTF-8")


@pytest.mark.parametrize("body", ["password=geheim&x=1", "a: 1\npassword: geheim", '{"password": "geheim", broken'])
def test_plain_text_is_masked(body: str) -> None:
    text = preview_body(body.encode(), "text/plain")
    assert "geheim" not in text
    assert MASK in text


def test_multipart_names_its_parts() -> None:
    lines = ["--b", 'Content-Disposition: form-data; name="item"', "", "seven", "--b"]
    lines += ['Content-Disposition: form-data; name="password"', "", "geheim", "--b"]
    lines += ['Content-Disposition: form-data; name="scan"; filename="a.png"', "Content-Type: image/png", "", "1234"]
    body = "\r\n".join([*lines, "--b--", ""]).encode()
    text = preview_body(body, "multipart/form-data; boundary=b")
    assert text.split("\n") == ["item = seven", f"password = {MASK}", "scan = file 'a.png', 4 bytes"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\0\xff\1", "application/octet-stream"),
        (b"not parts", "multipart/form-data; boundary=b"),
        (b"not parts", "multipart/form-data"),
        (b"x" * (MAX_PARSED_BYTES + 1), FORM),
    ],
)
def test_unreadable_body_is_described_by_its_size(body: bytes, content_type: str) -> None:
    text = preview_body(body, content_type)
    assert f"{len(body):,} bytes" in text
    assert len(text) < 100


def test_long_body_is_cut() -> None:
    assert len(preview_body(b"x" * 10_000, "text/plain")) < MAX_PREVIEW_CHARS + 40


def test_deep_json_is_not_parsed() -> None:
    assert preview_body(b"[" * 100_000, JSON).startswith("[[[")


def test_url_loses_credentials_and_secrets() -> None:
    url = mask_url("https://ann:geheim@shop.test:8443/buy?item=7&token=geheim#part")
    assert url == f"https://shop.test:8443/buy?item=7&token={MASK}"
    assert mask_url("https://shop.test/a?b=1&b=2&c") == "https://shop.test/a?b=1&b=2&c"
    assert len(mask_url("https://shop.test/" + "a" * 10_000)) == MAX_URL_CHARS


def event(**request: Any) -> dict[str, Any]:
    request = {"method": "POST", "url": "https://shop.test/buy", "headers": {}, **request}
    return {"requestId": "1", "resourceType": "XHR", "request": request}


def test_description_has_size_type_and_origin() -> None:
    entries = [{"bytes": base64.b64encode(part).decode()} for part in (b'{"a":', b" 1}")]
    headers = {"Content-Type": JSON, "Referer": "https://shop.test/cart?id=1"}
    write = describe_write(3, event(postDataEntries=entries, hasPostData=True, headers=headers))
    assert (write.number, write.host, write.kind, write.is_awaited) == (3, "shop.test", "script", True)
    assert (write.content_type, write.size, write.preview) == ("application/json", 8, '{"a": 1}')
    assert write.origin == "https://shop.test"


@pytest.mark.parametrize("request_facts", [{"hasPostData": True}, {"hasPostData": True, "postDataEntries": [{}]}])
def test_body_with_file_has_unknown_size(request_facts: dict[str, Any]) -> None:
    write = describe_write(1, event(**request_facts))
    assert write.size is None
    assert "file" in write.preview


def test_beacon_is_not_awaited() -> None:
    write = describe_write(1, {**event(), "resourceType": "Ping"})
    assert (write.kind, write.is_awaited, write.size, write.preview) == ("beacon", False, 0, "")
