"""The guard: what an action may not do, decided by rules alone, before a machine sees it. Knows no model.

It is handed to dispatch, which asks it before every action. What it covers: the addresses that the model itself opens
(`open`), by scheme and, where a list of hosts is given, by host. What it does not cover yet: where a page leads by
itself (a clicked link, a redirect, a script, a frame, a download), what is typed or clicked, other machines than
browsers. Do not take it for a wall around the browser.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from actions import ActionDeniedError, Open, Screen, UsageError

WEB_SCHEMES = ("http", "https")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_HOST_AND_PORT = re.compile(r"(?:localhost|[^/:@?#]*\.[^/:@?#]*):\d{1,5}(?:[/?#].*)?")  # never "javascript:1/..."
_APP = re.compile(r"[^./:\\?#@]+")  # "Calculator", "My Files"; com.android.settings is read as an address
_NUMBER = re.compile(r"0x[0-9a-f]*|\d+")


@dataclass(frozen=True)
class UrlGuard:
    """Rules for one run. hosts None: every host; an empty list: none at all. A host is exact or "*.suffix".

    apps: the surface opens apps too, so a target that could be no address is the name of one.
    """

    schemes: tuple[str, ...] = WEB_SCHEMES
    hosts: tuple[str, ...] | None = None
    apps: bool = False

    def __post_init__(self) -> None:
        if self.hosts is not None:
            object.__setattr__(self, "hosts", tuple(normalize_pattern(host) for host in self.hosts))

    def __call__(self, action: Any, screen: Screen) -> None:
        """Raise Denied, naming the rule and the remedy, when the action may not be done."""
        if isinstance(action, Open) and not (self.apps and _APP.fullmatch(action.target)):
            self.check_url(action.target)

    def check_url(self, target: str) -> None:
        """Raise Denied when the address may not be opened. One without a scheme is read as https."""
        if any(c <= " " or c in "\\\x7f" for c in target):  # browsers drop or turn these: "java\nscript:"
            raise ActionDeniedError(
                f"rule 'address': {target[:80]!r} has spaces, control characters or backslashes; "
                "write it plainly, percent-encoded where needed"
            )
        if _HOST_AND_PORT.fullmatch(target) or not _SCHEME.match(target):
            target = "https://" + target.removeprefix("//")
        try:
            parts = urlsplit(target)
            host, scheme = parts.hostname or "", parts.scheme.lower()
            parts.port  # noqa: B018 - raises when it is no port
        except ValueError:
            raise ActionDeniedError(
                f"rule 'address': {target[:80]!r} is no address; write one like https://example.org/"
            ) from None
        if scheme not in self.schemes:
            raise ActionDeniedError(
                f"rule 'schemes': '{scheme}:' addresses may not be opened, only {', '.join(self.schemes) or 'none'}; "
                "the person can allow it in their config (allow_schemes)"
            )
        if scheme not in WEB_SCHEMES:
            return  # has no host to speak of
        if "@" in parts.netloc:
            raise ActionDeniedError("rule 'address': a name before '@' may not stand in an address; leave it out")
        name = normalize_host(host)
        if self.hosts is not None and not any(host_matches(pattern, name) for pattern in self.hosts):
            raise ActionDeniedError(
                f"rule 'hosts': {name} may not be opened, only {', '.join(self.hosts) or 'none'}; "
                f"the person can allow it with --allow-host {name}"
            )


def host_matches(pattern: str, host: str) -> bool:
    """Whether a normal pattern (exact or "*.suffix") covers a normal host. "*.a.org" covers b.a.org, not a.org."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def normalize_pattern(pattern: str) -> str:
    """A host or "*.suffix" as a person wrote it, in the form that covers() compares; UsageError when it is neither."""
    star = "*." if pattern.startswith("*.") else ""
    try:
        return star + normalize_host(pattern.removeprefix(star))
    except ActionDeniedError:
        raise UsageError(
            f"'{pattern}' is not a host; write a name like example.org, or *.example.org for all below it"
        ) from None


def normalize_host(host: str) -> str:
    """A host in the one spelling that a browser would look up (IDNA, lower case); Denied when it is not plain.

    Odd spellings of numeric addresses (0x7f.1, 2130706433) and a final dot are refused: they serve to slip by rules.
    """
    import idna

    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise ActionDeniedError(f"rule 'address': {host[:80]!r} is no host; write a plain name") from None
    try:
        name = idna.encode(host, uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        name = ""
    labels = name.split(".")
    if not name or not labels[-1]:
        raise ActionDeniedError(f"rule 'address': {host[:80]!r} is no host; write a plain name without a final dot")
    if _NUMBER.fullmatch(labels[-1]):  # a browser reads such a host as an IPv4 address
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ActionDeniedError(f"rule 'address': write the address {host[:80]!r} as four plain numbers") from None
    return name


def is_subset(pattern: str, allowed: Sequence[str]) -> bool:
    """Whether everything that a pattern covers is covered by the allowed ones."""
    return any(pattern == other or (other.startswith("*.") and pattern.endswith(other[1:])) for other in allowed)
