"""Ports of this machine that no rule opens, such as that of the viewer."""

from __future__ import annotations

import pytest

from envs.network.rules import NetworkRules

RULES = NetworkRules(("127.0.0.1:*", "localhost:*", "[::1]:*", "*.example.org:*"), blocked_ports=frozenset({4567}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "a.localhost", "::1", "0.0.0.0"])
def test_blocked_port_is_refused_where_named(host: str) -> None:
    assert "blocked port" in RULES.refusal(host, 4567)


def test_other_ports_stay_allowed() -> None:
    assert RULES.refusal("127.0.0.1", 4568) == ""
    assert RULES.refusal("localhost", 80) == ""


def test_name_that_leads_to_blocked_port_is_refused() -> None:
    rules = NetworkRules(("rebound.example.org:*",), blocked_ports=frozenset({4567}))
    assert rules.address_refusal("rebound.example.org", 4568, "127.0.0.1") == ""
    assert "blocked port" in rules.address_refusal("rebound.example.org", 4567, "127.0.0.1")
    assert "blocked port" in rules.address_refusal("rebound.example.org", 4567, "::ffff:127.0.0.1")


def test_public_address_may_use_same_port() -> None:
    assert RULES.refusal("www.example.org", 4567) == ""
    assert RULES.address_refusal("www.example.org", 4567, "93.184.215.14") == ""
