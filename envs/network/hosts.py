"""Host names and host patterns, in the form in which they are compared."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from actions import ActionDeniedError, UsageError

WEB_PORTS = frozenset({80, 443})
_NUMBER = re.compile(r"0x[0-9a-f]*|\d+")
_UNDERSCORE_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+[a-z][a-z0-9-]*")
_BROWSER_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts and ports that a user allows.

    Args:
        host: A normalized host, or "*.suffix" for all names below a suffix.
        ports: The ports; None is every port.
    """

    host: str
    ports: frozenset[int] | None = WEB_PORTS

    @property
    def is_exact(self) -> bool:
        """Whether the pattern names a single host."""
        return not self.host.startswith("*.")

    def matches(self, host: str, port: int) -> bool:
        """Return whether a normalized host and a port match."""
        return host_matches(self.host, host) and (self.ports is None or port in self.ports)

    def __str__(self) -> str:
        if self.ports == WEB_PORTS:
            return self.host
        return format_host(self.host, "*" if self.ports is None else min(self.ports))


def format_host(host: str, port: int | str) -> str:
    """Return "host:port" as a URL contains it; without the port where that is 80 or 443."""
    if port in WEB_PORTS:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_pattern(text: str) -> AllowedHosts:
    """Return the pattern that a user wrote as HOST, HOST:PORT, HOST:* or one of these with "*." before the host.

    Without a port it stands for the ports 80 and 443.

    Raises:
        UsageError: The text is no such pattern.
    """
    host, port = _split_port(text)
    star = "*." if host.startswith("*.") else ""
    try:
        name = normalize_host(host.removeprefix(star))
    except ActionDeniedError:
        name = ""
    if not name or (star and is_address(name)) or not (port in ("", "*") or (port.isascii() and port.isdecimal())):
        raise UsageError(
            f"'{text}' is not a host; use --allow-host with a name like example.org or example.org:8080, or "
            "*.example.org for its subdomains"
        )
    if not port:
        return AllowedHosts(star + name)
    if port == "*":
        return AllowedHosts(star + name, None)
    if not 0 < int(port) < 65536:
        raise UsageError(f"'{text}' has no valid port; use --allow-host {star}{name}:PORT with a port of 1 to 65535")
    ports = WEB_PORTS if port in ("80", "443") else frozenset({int(port)})
    return AllowedHosts(star + name, ports)


def _split_port(text: str) -> tuple[str, str]:
    """Split off the port; "::1" is an IPv6 address without one."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        is_valid = bool(bracket) and ":" in host and (not rest or (rest.startswith(":") and len(rest) > 1))
        return (host, rest[1:]) if is_valid else ("", "")
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return (host, port) if port else ("", "")
    return text, ""


def host_matches(pattern: str, host: str) -> bool:
    """Return whether a normalized pattern (exact or "*.suffix") matches a host; "*.a.org" does not match a.org."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def normalize_pattern(pattern: str) -> str:
    """Return a user-written pattern in its normal spelling.

    Raises:
        UsageError: It is not a pattern; see `parse_pattern`.
    """
    return str(parse_pattern(pattern))


def normalize_host(host: str) -> str:
    """Return a host as a browser would look it up: IDNA-encoded and in lower case.

    Unusual spellings of IPv4 addresses (0x7f.1, 2130706433) and a trailing dot are denied, since they can bypass rules.

    Raises:
        ActionDeniedError: The host is invalid or spelled in such a way.
    """
    import idna

    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise ActionDeniedError(f"rule 'address': {host[:80]!r} is not a valid host name") from None
    try:
        name = idna.encode(host, uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        name = ""
    if (
        not name and "_" in host and _UNDERSCORE_NAME.fullmatch(host.lower())
    ):  # in use, although the standards do not allow it
        name = host.lower()
    labels = name.split(".")
    if not name or not labels[-1]:
        raise ActionDeniedError(f"rule 'address': {host[:80]!r} is not a valid host name")
    if _NUMBER.fullmatch(labels[-1]):  # a browser parses such a host as an IPv4 address
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ActionDeniedError(f"rule 'address': write {host[:80]!r} as four decimal numbers") from None
    return name


def normalize_browser_host(host: str) -> str:
    """Return a host that a browser has encoded itself; its table of names is wider than that of `normalize_host`.

    Raises:
        ActionDeniedError: The host is invalid.
    """
    name = host.lower().removesuffix(".")
    if _BROWSER_NAME.fullmatch(name) and not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return name
    return normalize_host(name)


def is_address(host: str) -> bool:
    """Return whether a normalized host is an IP address."""
    return ":" in host or host.rpartition(".")[2].isdecimal()


def is_local_name(host: str) -> bool:
    """Return whether a normalized host is localhost or a name below it, which always means this machine."""
    return host == "localhost" or host.endswith(".localhost")


def is_subset(pattern: str, allowed: Sequence[str]) -> bool:
    """Return whether every host and port that a pattern matches is matched by one of the allowed patterns."""
    own = parse_pattern(pattern)
    return any(_contains(parse_pattern(other), own) for other in allowed)


def _contains(outer: AllowedHosts, inner: AllowedHosts) -> bool:
    has_hosts = inner.host == outer.host or (not outer.is_exact and inner.host.endswith(outer.host[1:]))
    return has_hosts and (outer.ports is None or (inner.ports is not None and inner.ports <= outer.ports))
