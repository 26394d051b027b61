"""The URL guard: what it allows, what it denies, and unusual spellings of hosts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import ActionDeniedError, Click, Open, Screen, UsageError
from agent.safety.url_policy import UrlGuard

SCREEN = Screen(np.zeros((8, 8, 3), np.uint8))
GUARD = UrlGuard(hosts=("example.com", "*.müller.de", "127.0.0.1"))


def is_allowed(guard: UrlGuard, target: str) -> bool:
    try:
        guard(Open(target=target), SCREEN)
    except ActionDeniedError:
        return False
    return True


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com/a?b#c",
        "http://example.com:80/",
        "example.com",
        "//example.com/x",
        "HTTPS://EXAMPLE.COM",
        "https://a.müller.de",
        "https://b.a.xn--mller-kva.de",
        "https://ｅｘａｍｐｌｅ.com",
        "https://example。com",
        "example.com:443/a:b",
        "http://127.0.0.1/",
    ],
)
def test_listed_hosts_are_allowed_in_every_spelling(target: str) -> None:
    assert is_allowed(GUARD, target)


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com.evil.test",
        "https://evilexample.com",
        "https://a.example.com",
        "https://müller.de",
        "https://evil.test/https://example.com",
        "https://evil.test?example.com",
        "https://evil.test#example.com",
        "https://xmüller.de",
        "https://example.org",
        "http://example.com:8080",
        "example.com:22",
    ],
)
def test_unlisted_hosts_are_denied(target: str) -> None:
    assert not is_allowed(GUARD, target)
    assert is_allowed(UrlGuard(), target)


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:8642/v1/models",
        "http://169.254.169.254/latest/meta-data/",
        "http://192.168.1.1/",
        "http://[::1]:631/",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
        "http://localhost",
        "http://a.localhost:8000",
        "localhost:8000",
        "http://example.com:0/",
    ],
)
def test_private_addresses_are_denied_without_host_list(target: str) -> None:
    assert not is_allowed(UrlGuard(), target)
    assert not is_allowed(GUARD, target)


def test_start_address_allows_its_port_only() -> None:
    guard = UrlGuard(hosts=("127.0.0.1",), start="http://127.0.0.1:8000/x")
    assert is_allowed(guard, "http://127.0.0.1:8000/y")
    assert not is_allowed(guard, "http://127.0.0.1:22/")
    assert is_allowed(UrlGuard(start="localhost:8000"), "http://localhost:8000/y")
    assert not is_allowed(UrlGuard(start="localhost:8000"), "http://127.0.0.1:8000/y")


def test_start_address_must_be_listed() -> None:
    with pytest.raises(UsageError, match=r"--allow-host a\.org:8080"):
        UrlGuard(hosts=("b.org",), start="http://a.org:8080")
    assert UrlGuard(hosts=("b.org",), start="miniwob:click-test").hosts == ("b.org",)


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "javascript:1",
        "javascript:1?alert(1)",
        "javascript:1/alert(1)",
        "data:text/html,<b>",
        "file:///etc/passwd",
        "blob:https://example.com/1",
        "view-source:https://example.com",
        "chrome://settings",
        "about:config",
        "ftp://example.com",
        "practice:click-test",
        "https://evil@example.com",
        "https://example.com@evil.test",
        "https:\\\\example.com",
        "https://good.test\\@example.com",
        "https://ex%61mple.com",
        "https://example.com.",
        "https://127.1",
        "http://0x7f.0.0.1",
        "http://0177.0.0.1",
        "http://2130706433",
        "http://127.0.0.1.",
        "https://",
        "https:///example.com",
        "https:example.com",
        "https://example.com:99999",
        "https://[::1",
        "https://exa mple.com",
        "https://-a.com",
        "https://xn--a.com",
    ],
)
def test_invalid_url_is_denied_without_host_list(target: str) -> None:
    assert not is_allowed(UrlGuard(), target)
    assert not is_allowed(GUARD, target)


def test_empty_host_list_allows_nothing() -> None:
    assert not is_allowed(UrlGuard(hosts=()), "https://example.com")
    assert is_allowed(UrlGuard(hosts=None), "https://example.com")


def test_empty_scheme_list_allows_nothing() -> None:
    assert not is_allowed(UrlGuard(schemes=()), "https://example.com")


def test_error_names_rule_and_remedy() -> None:
    with pytest.raises(ActionDeniedError, match=r"rule 'hosts': evil\.test .* --allow-host evil\.test"):
        GUARD.check_url("https://evil.test/")
    with pytest.raises(ActionDeniedError, match=r"rule 'schemes': 'file:' .*allow_schemes"):
        GUARD.check_url("file:///etc/passwd")


def test_only_open_actions_are_checked() -> None:
    UrlGuard(hosts=())(Click(x=1, y=1), SCREEN)


@pytest.mark.parametrize("host", ["http://example.com", "exa mple.com", "", "*", "*.", "a.*", "example.com/path"])
def test_invalid_host_pattern_raises_usage_error(host: str) -> None:
    with pytest.raises(UsageError, match=r"is not a host.*--allow-host"):
        UrlGuard(hosts=(host,))


@given(st.text(max_size=60))
def test_any_text_is_either_allowed_or_denied(target: str) -> None:
    for url in (target, "https://" + target, target + ".example.com", "https://example.com" + target):
        try:
            GUARD.check_url(url)
        except ActionDeniedError:
            continue
        host = url.lower().removeprefix("http://").removeprefix("https://").removeprefix("//")
        assert host.startswith(("example", "127.0.0.1", "ｅ")) or "ller.de" in host


@pytest.mark.parametrize("name", ["Calculator", "My Files", "微信"])
def test_app_names_are_allowed_with_apps(name: str) -> None:
    assert is_allowed(UrlGuard(hosts=("a.org",), apps=True), name)
    assert not is_allowed(GUARD, name)


@pytest.mark.parametrize(
    "target", ["https://evil.test", "evil.test", "javascript:alert(1)", "com.evil.app", "x/y", "a@b", "localhost:80"]
)
def test_urls_are_checked_with_apps(target: str) -> None:
    assert not is_allowed(UrlGuard(hosts=("a.org",), apps=True), target)
