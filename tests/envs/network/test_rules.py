"""Network rules: which hosts, ports and addresses are allowed."""

from __future__ import annotations

import pytest

from actions import UsageError
from envs.network.rules import PUBLIC_HOSTS, NetworkRules, url_port


@pytest.mark.parametrize(
    ("host", "port"), [("a.org", 443), ("a.org", 8443), ("93.184.216.34", 80), ("localhost.a.org", 80)]
)
def test_public_hosts_are_allowed_without_list(host: str, port: int) -> None:
    assert PUBLIC_HOSTS.refusal(host, port) == ""


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.9.9.9", "localhost", "a.localhost", "10.1.2.3", "169.254.169.254", "0.0.0.0", "::1", "::"],
)
def test_private_hosts_are_refused_without_list(host: str) -> None:
    refusal = PUBLIC_HOSTS.refusal(host, 8000)
    assert "rule 'private'" in refusal
    assert "--allow-host" in refusal


def test_unlisted_hosts_and_ports_are_refused() -> None:
    rules = NetworkRules(("a.org", "*.b.org:81", "10.0.0.1:8000"))
    for host, port in (("a.org", 80), ("a.org", 443), ("x.b.org", 81), ("10.0.0.1", 8000)):
        assert rules.refusal(host, port) == ""
    for host, port in (("a.org", 81), ("x.b.org", 443), ("b.org", 81), ("10.0.0.1", 80), ("c.org", 443), ("a.org", 0)):
        assert rules.refusal(host, port)
    assert "--allow-host a.org:81" in rules.refusal("a.org", 81)


def test_empty_list_allows_nothing() -> None:
    assert "only none" in NetworkRules(()).refusal("a.org", 443)


@pytest.mark.parametrize(
    ("rules", "is_allowed"),
    [
        (PUBLIC_HOSTS, False),
        (NetworkRules(("*.a.org",)), False),
        (NetworkRules(("x.a.org",)), True),
        (PUBLIC_HOSTS.with_address("http://x.a.org/"), True),
        (PUBLIC_HOSTS.with_address("http://x.a.org:8000/"), False),
    ],
)
def test_name_of_private_address_must_be_named(rules: NetworkRules, is_allowed: bool) -> None:
    assert (rules.address_refusal("x.a.org", 443, "10.0.0.1") == "") is is_allowed
    assert rules.address_refusal("x.a.org", 443, "93.184.216.34") == ""


def test_private_names_are_refused_although_named() -> None:
    rules = NetworkRules(("x.a.org", "10.0.0.1", "localhost"), refuse_private_names=True)
    rules = rules.with_address("http://x.a.org/")
    assert "project" in rules.address_refusal("x.a.org", 80, "10.0.0.1")
    assert rules.address_refusal("x.a.org", 80, "93.184.216.34") == ""
    assert rules.address_refusal("10.0.0.1", 80, "10.0.0.1") == ""
    assert rules.address_refusal("localhost", 80, "127.0.0.1") == ""


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254", "100.100.100.200"]
)
def test_name_of_metadata_address_is_refused(address: str) -> None:
    assert "only by its number" in NetworkRules(("a.org",)).address_refusal("a.org", 80, address)


def test_metadata_address_itself_can_be_named() -> None:
    rules = NetworkRules(("169.254.169.254",))
    assert rules.refusal("169.254.169.254", 80) == ""
    assert rules.address_refusal("169.254.169.254", 80, "169.254.169.254") == ""


def test_start_address_names_host_and_port() -> None:
    rules = PUBLIC_HOSTS.with_address("http://127.0.0.1:8000/x")
    assert rules.refusal("127.0.0.1", 8000) == ""
    assert rules.refusal("127.0.0.1", 8001)
    assert rules.refusal("localhost", 8000)
    assert rules.refusal("a.org", 443) == ""


def test_start_address_of_web_port_names_both() -> None:
    rules = PUBLIC_HOSTS.with_address("http://10.0.0.1/")
    assert rules.refusal("10.0.0.1", 443) == ""


def test_listed_start_address_adds_its_port() -> None:
    rules = NetworkRules(("127.0.0.1",)).with_address("http://127.0.0.1:8000/")
    assert rules.refusal("127.0.0.1", 8000) == ""
    assert rules.refusal("127.0.0.1", 22)


@pytest.mark.parametrize("url", ["about:blank", "file:///tmp/x.html", "data:text/html,x", "miniwob:click-test"])
def test_addresses_without_host_change_nothing(url: str) -> None:
    assert NetworkRules(()).with_address(url) == NetworkRules(())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://b.org:81", r"not in --allow-host .*--allow-host b\.org:81"),
        ("http://a.org:0", "port 0"),
        ("http://a.org:99999", "Port out of range"),
        ("http://127.1/", "four decimal numbers"),
        ("http://", "valid host name"),
    ],
)
def test_unusable_start_address_is_a_usage_error(url: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        NetworkRules(("a.org",)).with_address(url)


@pytest.mark.parametrize(("url", "port"), [("https://a", 443), ("ws://a", 80), ("http://a:0", 0), ("file:///a", 0)])
def test_port_of_url(url: str, port: int) -> None:
    assert url_port(url) == port
