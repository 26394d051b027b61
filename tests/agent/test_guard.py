"""The guard: what it lets through, what it refuses, and that no spelling slips by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import ActionDeniedError, Click, Open, Screen, UsageError
from agent.safety.url_policy import UrlGuard, host_matches, is_subset

SCREEN = Screen(np.zeros((8, 8, 3), np.uint8))
LISTED = UrlGuard(hosts=("example.com", "*.müller.de", "127.0.0.1"))


def may_open(guard: UrlGuard, target: str) -> bool:
    try:
        guard(Open(target=target), SCREEN)
    except ActionDeniedError:
        return False
    return True


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com/a?b#c",
        "http://example.com:8080",
        "example.com",
        "//example.com/x",
        "HTTPS://EXAMPLE.COM",
        "https://a.müller.de",
        "https://b.a.xn--mller-kva.de",
        "https://ｅｘａｍｐｌｅ.com",
        "https://example。com",
        "example.com:8080/a:b",
        "http://127.0.0.1:9/",
    ],
)
def test_listed_hosts_open_in_every_honest_spelling(target: str) -> None:
    assert may_open(LISTED, target)


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
        "http://localhost",
        "https://[::1]/",
        "https://example.org",
    ],
)
def test_other_hosts_do_not(target: str) -> None:
    assert not may_open(LISTED, target) and may_open(UrlGuard(), target)


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
def test_what_is_no_plain_web_address_is_refused_even_without_a_list(target: str) -> None:
    assert not may_open(UrlGuard(), target) and not may_open(LISTED, target)


def test_an_empty_list_allows_nothing_and_none_everything() -> None:
    assert not may_open(UrlGuard(hosts=()), "https://example.com") and may_open(
        UrlGuard(hosts=None), "https://example.com"
    )


def test_no_schemes_at_all() -> None:
    assert not may_open(UrlGuard(schemes=()), "https://example.com")


def test_a_refusal_names_the_rule_and_the_remedy() -> None:
    with pytest.raises(ActionDeniedError, match=r"rule 'hosts': evil\.test .* --allow-host evil\.test"):
        LISTED.check_url("https://evil.test/")
    with pytest.raises(ActionDeniedError, match=r"rule 'schemes': 'file:' .*allow_schemes"):
        LISTED.check_url("file:///etc/passwd")


def test_it_looks_at_open_alone() -> None:
    UrlGuard(hosts=())(Click(x=1, y=1), SCREEN)


@pytest.mark.parametrize("host", ["http://example.com", "exa mple.com", "", "*", "*.", "a.*", "example.com/path"])
def test_a_host_that_is_none_is_refused_at_the_start(host: str) -> None:
    with pytest.raises(UsageError, match="is not a host"):
        UrlGuard(hosts=(host,))


@given(st.text(max_size=60))
def test_any_text_is_let_through_or_denied_and_nothing_else(target: str) -> None:
    for address in (target, "https://" + target, target + ".example.com", "https://example.com" + target):
        try:
            LISTED.check_url(address)
        except ActionDeniedError:
            continue
        host = address.lower().removeprefix("http://").removeprefix("https://").removeprefix("//")
        assert host.startswith(("example", "127.0.0.1", "ｅ")) or "ller.de" in host


def test_a_suffix_covers_what_is_below_it_only() -> None:
    assert (
        host_matches("*.a.org", "b.a.org")
        and not host_matches("*.a.org", "a.org")
        and not host_matches("*.a.org", "ba.org")
    )
    assert (
        is_subset("b.a.org", ["*.a.org"]) and is_subset("*.b.a.org", ["*.a.org"]) and is_subset("*.a.org", ["*.a.org"])
    )
    assert not is_subset("a.org", ["*.a.org"]) and not is_subset("*.a.org", ["a.org", "b.a.org"])


@pytest.mark.parametrize("name", ["Calculator", "My Files", "微信"])
def test_where_apps_are_opened_a_name_that_is_no_address_passes(name: str) -> None:
    assert may_open(UrlGuard(hosts=("a.org",), apps=True), name) and not may_open(LISTED, name)


@pytest.mark.parametrize(
    "target", ["https://evil.test", "evil.test", "javascript:alert(1)", "com.evil.app", "x/y", "a@b", "localhost:80"]
)
def test_where_apps_are_opened_an_address_still_meets_the_rules(target: str) -> None:
    assert not may_open(UrlGuard(hosts=("a.org",), apps=True), target)
