"""NetworkRules: the hosts, ports and addresses to which a surface's browser may connect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import urlsplit

from actions import ActionDeniedError, UsageError
from envs.network.addresses import address_kind
from envs.network.hosts import (
    AllowedHosts,
    format_host,
    host_matches,
    is_address,
    is_local_name,
    normalize_host,
    normalize_pattern,
    parse_pattern,
)

PORT_OF_SCHEME = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def url_port(url: str) -> int:
    """Return the port of a URL, or that of its scheme; 0 if there is none.

    Raises:
        ValueError: The URL is invalid.
    """
    parts = urlsplit(url)
    return PORT_OF_SCHEME.get(parts.scheme.lower(), 0) if parts.port is None else parts.port


def url_host(url: str) -> str:
    """Return the normalized host of a web address, "" of addresses without one, such as practice pages and files.

    Raises:
        ValueError: The URL is invalid.
        ActionDeniedError: The host is invalid, or spelled in an unusual way.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() not in PORT_OF_SCHEME:
        return ""
    return normalize_host((parts.hostname or "").removesuffix("."))


@dataclass(frozen=True)
class NetworkRules:
    """Rules of one browser.

    Without a list every public host is allowed. An address of this machine or of a private network is allowed only
    where a pattern names its host exactly. Link-local and metadata addresses must be named as addresses.

    Args:
        hosts: Patterns of the only hosts that are allowed (see `hosts.parse_pattern`); None for every public host, an
            empty tuple for none.
        named: Patterns that are allowed besides, such as the start address.
        refuse_private_names: Refuse every name that leads to a private address, also where a pattern names it.
        blocked_ports: Ports that are refused at every address that is not public, whatever the patterns say: there
            listens what the user decides with.

    Raises:
        UsageError: A pattern is invalid.
    """

    hosts: tuple[str, ...] | None = None
    named: tuple[str, ...] = ()
    refuse_private_names: bool = False
    blocked_ports: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.hosts is not None:
            object.__setattr__(self, "hosts", tuple(normalize_pattern(host) for host in self.hosts))
        object.__setattr__(self, "named", tuple(dict.fromkeys(normalize_pattern(host) for host in self.named)))

    @cached_property
    def _patterns(self) -> tuple[AllowedHosts, ...]:
        return tuple(parse_pattern(pattern) for pattern in (*(self.hosts or ()), *self.named))

    def with_address(self, url: str) -> NetworkRules:
        """Return rules that also allow the host and port of an address that the user gave.

        Where there is a list, the host must be on it; the address then adds its port. Addresses without a host, such
        as practice pages and files, add nothing.

        Raises:
            UsageError: The host is invalid, or not on the list.
        """
        try:
            host, port = url_host(url), url_port(url)
        except (ValueError, ActionDeniedError) as error:
            reason = str(error).removeprefix("rule 'address': ")
            raise UsageError(f"the address {url[:200]!r} cannot be opened: {reason}") from None
        if not host:
            return self
        if port == 0:
            raise UsageError(f"the address {url[:200]!r} cannot be opened: port 0 does not exist")
        if self.hosts is not None and not any(
            host_matches(parse_pattern(pattern).host, host) for pattern in self.hosts
        ):
            raise UsageError(
                f"the address {url[:200]!r} cannot be opened: {host} is not in --allow-host "
                f"({', '.join(self.hosts) or 'empty'}); add --allow-host {format_host(host, port)}"
            )
        return replace(self, named=(*self.named, format_host(host, port)))

    def refusal(self, host: str, port: int) -> str:
        """Return why a host and port are refused before the host is looked up, "" if they are not.

        Args:
            host: A normalized host name or IP address.
            port: The port.
        """
        if port == 0:
            return "rule 'address': port 0 does not exist"
        is_private = is_local_name(host) or (is_address(host) and address_kind(host) != "public")
        if is_private and port in self.blocked_ports:
            return _blocked_refusal(host, port)
        is_named = any(self._matching(host, port))
        if self.hosts is not None and not is_named:
            return (
                f"rule 'hosts': {format_host(host, port)} is not allowed, only {', '.join(self.hosts) or 'none'}; "
                f"the user can allow it with --allow-host {format_host(host, port)}"
            )
        return _private_refusal(host, port) if is_private and not is_named else ""

    def address_refusal(self, host: str, port: int, address: str) -> str:
        """Return why an address to which an allowed host resolves is refused, "" if it is not."""
        kind = address_kind(address)
        if kind != "public" and port in self.blocked_ports:
            return _blocked_refusal(host, port)
        if kind == "public" or host == address:
            return ""
        if kind == "private":
            if self.refuse_private_names and not is_local_name(host):
                return (
                    f"rule 'private': {format_host(host, port)} leads to {address}, an address of this machine or of a "
                    "private network, and a project's file names it (refuse_private_names); the user can open it with "
                    "--url and --allow-host"
                )
            if is_local_name(host) or any(pattern.is_exact for pattern in self._matching(host, port)):
                return ""
            return _private_refusal(host, port, address)
        return (
            f"rule 'private': {format_host(host, port)} leads to {address}, which is allowed only by its number; the "
            f"user can allow it with --allow-host {format_host(address, port)}"
        )

    def _matching(self, host: str, port: int) -> Iterator[AllowedHosts]:
        return (pattern for pattern in self._patterns if pattern.matches(host, port))


def _blocked_refusal(host: str, port: int) -> str:
    return f"rule 'blocked port': {format_host(host, port)} is the viewer of this run, which its browser must not reach"


def _private_refusal(host: str, port: int, address: str = "") -> str:
    leads_to = f"leads to {address}, which is" if address else "is"
    return (
        f"rule 'private': {format_host(host, port)} {leads_to} an address of this machine or of a private network; the "
        f"user can allow it with --allow-host {format_host(host, port)}"
    )


PUBLIC_HOSTS = NetworkRules()  # every public host, nothing of this machine or its networks
