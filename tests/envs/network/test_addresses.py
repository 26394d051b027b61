"""Kinds of IP addresses."""

from __future__ import annotations

import pytest

from envs.network import addresses
from envs.network.addresses import address_kind

PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "2002:5db8:d822::1", "::ffff:93.184.216.34"]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "fc00::1",
    "fd12::1",
    "fec0::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::1",
    "2001:db8::1",
    "192.88.99.1",
]
RESERVED = [
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "224.0.0.251",
    "ff02::fb",
]
RESERVED += ["::ffff:169.254.169.254", "::ffff:0.0.0.0", "64:ff9b::a9fe:a9fe"]


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (address, kind)
        for kind, group in (("public", PUBLIC), ("private", PRIVATE), ("reserved", RESERVED))
        for address in group
    ],
)
def test_address_has_kind(address: str, kind: str) -> None:
    assert address_kind(address) == kind


@pytest.mark.parametrize("text", ["", "a.org", "127.1", "fe80::1%eth0", "[::1]"])
def test_text_that_is_no_address_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        address_kind(text)


def test_public_address_of_this_machine_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    class Probe:
        """A socket whose packets to any address come from that address."""

        def __init__(self, *_: object) -> None:
            self.peer: tuple[str, int] = ("", 0)

        def __enter__(self) -> Probe:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def connect(self, peer: tuple[str, int]) -> None:
            self.peer = peer

        def getsockname(self) -> tuple[str, int]:
            return self.peer

    assert address_kind("93.184.216.34") == "public"
    monkeypatch.setattr(addresses.socket, "socket", Probe)
    assert address_kind("93.184.216.34") == "private"
