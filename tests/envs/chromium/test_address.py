"""Addresses that a model and a user may open."""

from __future__ import annotations

import pytest

from actions import InvalidActionError, UsageError
from envs.chromium.address import model_address, person_address, split_credentials


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("example.com", "https://example.com"),
        (" example.com/a?b#c ", "https://example.com/a?b#c"),
        ("example.com:8443/x", "https://example.com:8443/x"),
        ("//example.com", "https://example.com"),
        ("https://example.com/a b".replace(" ", "%20"), "https://example.com/a%20b"),
        ("HTTP://Example.com", "HTTP://Example.com"),
        ("localhost:8000/x", "http://localhost:8000/x"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("[::1]:5000/", "http://[::1]:5000/"),
        ("münchen.example", "https://münchen.example"),
        ("about:blank", "about:blank"),
        ("miniwob:click-test", "miniwob:click-test"),
        ("practice:click-test", "practice:click-test"),
        ("example.com/redirect?to=javascript:alert(1)", "https://example.com/redirect?to=javascript:alert(1)"),
    ],
)
def test_model_address_accepts(text, address):
    assert model_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,<p>x",
        "chrome://settings",
        "about:crash",
        "about:version",
        "view-source:https://example.com",
        "blob:https://example.com/1",
        "ftp://example.com",
        "chrome-extension://abc/x",
        "vbscript:x",
        "ws://example.com",
        "filesystem:https://example.com/x",
        "file.txt:///etc/passwd",
    ],
)
def test_model_address_rejects_schemes(text):
    with pytest.raises(InvalidActionError, match="cannot be opened"):
        model_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "foo", "hello world", "https://", "https:///x", "http:example.com", "https:\\\\evil", "a b.com",
     "https://[::1", "https://example.com:99999", "/etc/passwd", "?", "#x", "https://exa mple.com", "C:\\x"],
)  # fmt: skip
def test_model_address_rejects_malformed_text(text):
    with pytest.raises(InvalidActionError):
        model_address(text)


def test_model_address_suggests_nearest_task():
    with pytest.raises(InvalidActionError, match="click-test"):
        model_address("practice:click-tset")


def test_person_address_accepts_other_schemes():
    assert person_address("file:///tmp/x.html") == "file:///tmp/x.html"
    assert person_address("example.com") == "https://example.com"
    assert person_address("localhost:1") == "http://localhost:1"
    with pytest.raises(UsageError, match="empty"):
        person_address(" ")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://ann:p%40ss@a.org:80/x?y#z", ("http://a.org:80/x?y#z", ("ann", "p@ss"))),
        ("https://ann@a.org/", ("https://a.org/", ("ann", ""))),
        ("https://a.org/u:p@b", ("https://a.org/u:p@b", None)),
        ("about:blank", ("about:blank", None)),
    ],
)
def test_credentials_are_split_off(address: str, expected: object) -> None:
    assert split_credentials(address) == expected


@pytest.mark.parametrize(
    "text", ["ftp://ann:hunter2@a.org", "http://ann:hunter2@a org/", "http://ann:hunter2@a.org:x/"]
)
def test_refused_address_is_quoted_without_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        person_address(text)
    assert "hunter2" not in str(caught.value)
