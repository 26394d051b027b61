"""Allow or deny the URLs that the model opens, by scheme and host.

The rules are part of the guard (agent/safety/guard.py) and check `open` actions only. They do not
confine the browser: links, redirects, scripts, frames and downloads of a page are not checked, nor is what is typed
or clicked.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from actions import Action, ActionDeniedError, Open, Screen, UsageError

WEB_SCHEMES = ("http", "https")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_HOST_AND_PORT = re.compile(r"(?:localhost|[^/:@?#]*\.[^/:@?#]*):\d{1,5}(?:[/?#].*)?")  # never "javascript:1/..."
_APP = re.compile(r"[^./:\\?#@]+")  # "Calculator", "My Files"; com.android.settings is treated as a host
_NUMBER = re.compile(r"0x[0-9a-f]*|\d+")


@dataclass(frozen=True)
class UrlGuard:
    """URL rules of one run.

    Args:
        schemes: Allowed URL schemes.
        hosts: Allowed hosts, each exact or "*.suffix"; None allows every host, an empty tuple none.
        apps: The surface also opens apps, so a target that cannot be a URL is an app name and is allowed.
    """

    schemes: tuple[str, ...] = WEB_SCHEMES
    hosts: tuple[str, ...] | None = None
    apps: bool = False

    def __post_init__(self) -> None:
        if self.hosts is not None:
            object.__setattr__(self, "hosts", tuple(normalize_pattern(host) for host in self.hosts))

    def __call__(self, action: Action, screen: Screen) -> None:
        """Raise ActionDeniedError, which names the rule and the remedy, if the action opens a URL that is denied."""
        if isinstance(action, Open) and not (self.apps and is_app_name(action.target)):
            self.check_url(action.target)

    def check_url(self, target: str) -> None:
        """Raise ActionDeniedError if the URL is denied. One without a scheme is treated as https."""
        if any(c <= " " or c in "\\\x7f" for c in target):  # browsers drop or replace these: "java\nscript:"
            raise ActionDeniedError(
                f"rule 'address': {target[:80]!r} contains spaces, control characters or backslashes; "
                "percent-encode them"
            )
        target = add_scheme(target)
        try:
            parts = urlsplit(target)
            host, scheme = parts.hostname or "", parts.scheme.lower()
            parts.port  # noqa: B018 - raises ValueError for an invalid port
        except ValueError:
            raise ActionDeniedError(
                f"rule 'address': {target[:80]!r} is not a valid URL; use one like https://example.org/"
            ) from None
        if scheme not in self.schemes:
            raise ActionDeniedError(
                f"rule 'schemes': '{scheme}:' URLs are not allowed, only {', '.join(self.schemes) or 'none'}; "
                "the user can allow the scheme with allow_schemes in the configuration"
            )
        if scheme not in WEB_SCHEMES:
            return  # has no host
        if "@" in parts.netloc:
            raise ActionDeniedError("rule 'address': the URL must not contain a user name ('@'); leave it out")
        name = normalize_host(host)
        if self.hosts is not None and not any(host_matches(pattern, name) for pattern in self.hosts):
            raise ActionDeniedError(
                f"rule 'hosts': {name} is not allowed, only {', '.join(self.hosts) or 'none'}; "
                f"the user can allow it with --allow-host {name}"
            )


def add_scheme(target: str) -> str:
    """Return a target of `open` as a URL: one without a scheme is treated as https."""
    if _HOST_AND_PORT.fullmatch(target) or not _SCHEME.match(target):
        return "https://" + target.removeprefix("//")
    return target


def is_app_name(target: str) -> bool:
    """Return whether a target of `open` cannot be a URL, such as "Calculator"."""
    return _APP.fullmatch(target) is not None


def host_matches(pattern: str, host: str) -> bool:
    """Return whether a normalized pattern (exact or "*.suffix") matches a host; "*.a.org" does not match a.org."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def normalize_pattern(pattern: str) -> str:
    """Return a user-written host or "*.suffix" in the form `host_matches` compares.

    Raises:
        UsageError: The pattern is neither.
    """
    star = "*." if pattern.startswith("*.") else ""
    try:
        return star + normalize_host(pattern.removeprefix(star))
    except ActionDeniedError:
        raise UsageError(
            f"'{pattern}' is not a host; use a name like example.org, or *.example.org for its subdomains"
        ) from None


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
    labels = name.split(".")
    if not name or not labels[-1]:
        raise ActionDeniedError(f"rule 'address': {host[:80]!r} is not a valid host name")
    if _NUMBER.fullmatch(labels[-1]):  # a browser parses such a host as an IPv4 address
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ActionDeniedError(f"rule 'address': write {host[:80]!r} as four decimal numbers") from None
    return name


def is_subset(pattern: str, allowed: Sequence[str]) -> bool:
    """Return whether every host that a pattern matches is matched by one of the allowed patterns."""
    return any(pattern == other or (other.startswith("*.") and pattern.endswith(other[1:])) for other in allowed)
