"""Host patterns: what a user may write, and what it matches."""

from __future__ import annotations

import pytest

from actions import ActionDeniedError, UsageError
from envs.network.hosts import (
    host_matches,
    is_subset,
    normalize_browser_host,
    normalize_host,
    normalize_pattern,
    parse_pattern,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Example.ORG", "example.org"),
        ("example.org:443", "example.org"),
        ("example.org:8080", "example.org:8080"),
        ("example.org:*", "example.org:*"),
        ("*.müller.de:81", "*.xn--mller-kva.de:81"),
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("::1", "::1"),
        ("[::1]:8000", "[::1]:8000"),
        ("[0:0::1]", "::1"),
        ("my_host.example.org", "my_host.example.org"),
    ],
)
def test_pattern_has_one_normal_spelling(text: str, expected: str) -> None:
    assert normalize_pattern(text) == expected
    assert normalize_pattern(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "*.127.0.0.1", "*.0.0.1", "a.*", "a b", "http://a.org", "a.org/", "a.org:", ":80", "[a.org]"],
)
def test_invalid_pattern_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a host.*--allow-host"):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["a.org:0", "a.org:65536", "[::1]:99999"])
def test_invalid_port_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"no valid port.*--allow-host"):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "host", "port", "expected"),
    [
        ("a.org", "a.org", 80, True),
        ("a.org", "a.org", 443, True),
        ("a.org", "a.org", 8080, False),
        ("a.org:8080", "a.org", 8080, True),
        ("a.org:8080", "a.org", 443, False),
        ("a.org:*", "a.org", 22, True),
        ("*.a.org", "b.a.org", 443, True),
        ("*.a.org:81", "b.a.org", 443, False),
        ("*.a.org", "a.org", 443, False),
        ("a.org", "b.a.org", 443, False),
    ],
)
def test_pattern_matches_host_and_port(pattern: str, host: str, port: int, expected: bool) -> None:
    assert parse_pattern(pattern).matches(host, port) is expected


def test_suffix_pattern_matches_subdomains_only() -> None:
    assert host_matches("*.a.org", "b.a.org")
    assert not host_matches("*.a.org", "a.org")
    assert not host_matches("*.a.org", "ba.org")


@pytest.mark.parametrize(
    ("pattern", "allowed", "expected"),
    [
        ("b.a.org", ["*.a.org"], True),
        ("*.b.a.org", ["*.a.org"], True),
        ("*.a.org", ["*.a.org"], True),
        ("a.org", ["*.a.org"], False),
        ("*.a.org", ["a.org", "b.a.org"], False),
        ("a.org:8080", ["a.org"], False),
        ("a.org", ["a.org:8080"], False),
        ("a.org:8080", ["a.org:*"], True),
        ("a.org:*", ["a.org"], False),
        ("b.a.org:81", ["*.a.org:81"], True),
    ],
)
def test_is_subset(pattern: str, allowed: list[str], expected: bool) -> None:
    assert is_subset(pattern, allowed) is expected


@pytest.mark.parametrize("host", ["127.1", "0x7f.0.0.1", "2130706433", "a.org.", "a..org", "a.0x1", "-a.org", "::g"])
def test_unusual_hosts_are_denied(host: str) -> None:
    with pytest.raises(ActionDeniedError, match="rule 'address'"):
        normalize_host(host)


def test_browser_host_may_be_a_wider_name() -> None:
    assert normalize_browser_host("A_b.example.ORG.") == "a_b.example.org"
    assert normalize_browser_host("xn--i-7iq.ws") == "xn--i-7iq.ws"
    with pytest.raises(ActionDeniedError):
        normalize_browser_host("127.0x1")
