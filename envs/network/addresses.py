"""Kinds of IP addresses: public, private, and those that no name may stand for."""

from __future__ import annotations

import ipaddress
import socket
from typing import Literal

Kind = Literal["public", "private", "reserved"]
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, section 2.5.5.1; deprecated, but some systems route it
_NOT_PUBLIC = (
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of a private network
    ipaddress.ip_network("fec0::/10"),  # former site-local addresses
    ipaddress.ip_network("5f00::/16"),  # segment routing
)
# Credentials of cloud machines are served here, besides the link-local addresses.
_METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})


def address_kind(text: str) -> Kind:
    """Return the kind of an IP address.

    Returns:
        "public" for an address of the internet that is not this machine's own; "reserved" for link-local, metadata,
        multicast and unspecified addresses; "private" for all others.

    Raises:
        ValueError: The text is not an IP address, or has a zone ("fe80::1%eth0").
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise ValueError(f"{text} has a zone")
        inner = _embedded(address)
        if inner is not None:
            return address_kind(str(inner))
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA:
        return "reserved"
    if not address.is_global or address.is_reserved:
        return "private"
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return "private"
    return "private" if _is_own(address) else "public"


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which an IPv6 address leads, if there is one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    is_compatible = address in _COMPATIBLE and int(address) > 1  # not :: and ::1
    if address in _NAT64 or is_compatible:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _is_own(address: IpAddress) -> bool:
    """Return whether this machine has the address: a packet to it would also come from it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))  # UDP: nothing is sent
            return str(probe.getsockname()[0]) == str(address)
    except OSError:  # no route
        return False
