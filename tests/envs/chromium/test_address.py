"""Which addresses a model may open, and what a bare one means."""

from __future__ import annotations

import pytest

from actions import InvalidActionError, UsageError
from envs.chromium.address import model_address, person_address


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
        ("practice:click-test", "practice:click-test"),
        ("example.com/redirect?to=javascript:alert(1)", "https://example.com/redirect?to=javascript:alert(1)"),
    ],
)
def test_what_a_model_may_open(text, address):
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
def test_schemes_that_are_not_for_a_model(text):
    with pytest.raises(InvalidActionError, match="not for you"):
        model_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "foo", "hello world", "https://", "https:///x", "http:example.com", "https:\\\\evil", "a b.com",
     "https://[::1", "https://example.com:99999", "/etc/passwd", "?", "#x", "https://exa mple.com", "C:\\x"],
)  # fmt: skip
def test_what_is_no_address(text):
    with pytest.raises(InvalidActionError):
        model_address(text)


def test_an_unknown_practice_task_is_a_bad_call_with_the_nearest():
    with pytest.raises(InvalidActionError, match="click-test"):
        model_address("practice:click-tset")


def test_a_person_may_name_more():
    assert person_address("file:///tmp/x.html") == "file:///tmp/x.html"
    assert person_address("example.com") == "https://example.com"
    assert person_address("localhost:1") == "http://localhost:1"
    with pytest.raises(UsageError, match="empty"):
        person_address(" ")
