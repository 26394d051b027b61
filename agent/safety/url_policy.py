"""Allow or deny the URLs that the model opens, by scheme, host and port.

The rules are part of the guard (agent/safety/guard.py) and check `open` actions only. What the pages of a browser load
is checked by the same rules in `envs.network.proxy`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from actions import Action, ActionDeniedError, Open, Screen
from envs.chromium.address import person_address
from envs.network.hosts import normalize_host
from envs.network.rules import PORT_OF_SCHEME, NetworkRules

WEB_SCHEMES = ("http", "https")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_HOST_AND_PORT = re.compile(r"(?:localhost|[^/:@?#]*\.[^/:@?#]*):\d{1,5}(?:[/?#].*)?")  # never "javascript:1/..."
_APP = re.compile(r"[^./:\\?#@]+")  # "Calculator", "My Files"; com.android.settings is treated as a host


@dataclass(frozen=True)
class UrlGuard:
    """URL rules of one run.

    Args:
        schemes: Allowed URL schemes.
        hosts: Allowed hosts and ports, as `envs.network.hosts.parse_pattern` reads them; None allows every public
            host, an empty tuple none.
        apps: The surface also opens apps, so a target that cannot be a URL is an app name and is allowed.
        start: The address that the user gave to start from; its host and port are allowed.

    Raises:
        UsageError: A host is invalid, or the start address is not among the hosts.
    """

    schemes: tuple[str, ...] = WEB_SCHEMES
    hosts: tuple[str, ...] | None = None
    apps: bool = False
    start: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", self.rules.hosts)

    @cached_property
    def rules(self) -> NetworkRules:
        """The rules of hosts and ports."""
        rules = NetworkRules(self.hosts)
        return rules.with_address(person_address(self.start)) if self.start else rules

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
            port = PORT_OF_SCHEME.get(scheme, 0) if parts.port is None else parts.port
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
        if refusal := self.rules.refusal(normalize_host(host), port):
            raise ActionDeniedError(refusal)


def add_scheme(target: str) -> str:
    """Return a target of `open` as a URL: one without a scheme is treated as https."""
    if _HOST_AND_PORT.fullmatch(target) or not _SCHEME.match(target):
        return "https://" + target.removeprefix("//")
    return target


def is_app_name(target: str) -> bool:
    """Return whether a target of `open` cannot be a URL, such as "Calculator"."""
    return _APP.fullmatch(target) is not None
