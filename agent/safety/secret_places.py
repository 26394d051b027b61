"""Where a secret belongs: hosts and apps, kinds of fields, and whether an action would type it there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from actions import UsageError
from actions.facts import ElementFacts
from agent.safety.proposal import HostAndPort, Proposal, host_of, is_page_without_host
from agent.safety.rules import HostPattern
from envs.network.hosts import is_address, is_local_name

FIELDS = {  # kind of a secret: kinds of fields that it is typed into
    "password": frozenset({"password"}),
    "otp": frozenset({"otp", "text", "number", "tel"}),
    "text": frozenset({"text", "email", "tel", "number"}),
    "card": frozenset({"card", "text", "number", "tel"}),
}
SEARCH_ROLES = frozenset({"search", "searchbox"})
_APP = re.compile(r"[\w][\w .+-]*", re.ASCII)
_REVERSED = re.compile(r"(?:com|org|net|io|edu|gov)(?:\.[A-Za-z]\w*){2,}", re.ASCII)  # org.gnome.Calculator
_PREFIX = re.compile(r"(host|app):(?!\d+$)(.*)")


@dataclass(frozen=True)
class SecretPlace:
    """A host or an app that a secret belongs to.

    Args:
        kind: host or app.
        pattern: A host as in policies ("example.org", "*.example.org", "localhost:8080"), or an app's name.
    """

    kind: Literal["host", "app"]
    pattern: str

    def matches_host(self, host: HostAndPort) -> bool:
        """Return whether a host is this one; without a port the scheme's own counts, and on this machine every port."""
        if self.kind != "host":
            return False
        pattern = HostPattern.parse(self.pattern)
        return pattern.matches(host, is_permission=not _is_loopback(host))

    def matches_app(self, app: str) -> bool:
        """Return whether an app is this one."""
        return self.kind == "app" and self.pattern.casefold() == app.casefold()

    def __str__(self) -> str:
        return f"{self.kind}:{self.pattern}"


@dataclass(frozen=True)
class PlaceCheck:
    """Whether a secret may be typed.

    Args:
        refusal: Why not; "" if it may.
        question: Why a person has to be asked, as the surface does not tell where the text goes; "" if it does.
    """

    refusal: str = ""
    question: str = ""


def parse_place(text: str) -> SecretPlace:
    """Return the place of a text: HOST, HOST:PORT, *.SUFFIX, or the name of an app.

    A name without a dot ("Calculator") and one that begins as packages do ("org.gnome.Calculator") is an app; host: and
    app: before the name say which it is.

    Raises:
        UsageError: It is neither.
    """
    text = text.strip()
    prefix = _PREFIX.fullmatch(text)
    kind, name = (prefix[1], prefix[2]) if prefix else ("", text)
    if not kind:
        is_host = ("." in name or ":" in name or name == "localhost") and not _REVERSED.fullmatch(name)
        kind = "host" if is_host else "app"
    if kind == "app":
        if not _APP.fullmatch(name):
            raise UsageError(f"--for {text[:80]!r} is neither a host nor an app; use HOST, HOST:PORT, *.SUFFIX or APP")
        return SecretPlace("app", name)
    try:
        if not name or name == "*" or "/" in name or "@" in name:
            raise ValueError
        HostPattern.parse(name)
    except ValueError:
        raise UsageError(
            f"--for {text[:80]!r} is not a host: use a name like example.org, example.org:8080 or *.example.org, or "
            "app:NAME for an app"
        ) from None
    return SecretPlace("host", name.lower())


def check_place(kind: str, places: Sequence[str], proposal: Proposal) -> PlaceCheck:
    """Return whether what would be typed into is a field for the secret, in a place that it belongs to.

    Args:
        kind: The kind of the secret.
        places: Its places.
        proposal: The action and its facts.
    """
    facts = proposal.facts
    known = [parse_place(place) for place in places]
    if facts is None:
        return PlaceCheck(question="the surface does not tell where the text goes")
    if facts.url or proposal.surface == "browser":
        return PlaceCheck(refusal=_page_refusal(known, proposal) or _field_refusal(kind, facts.focus))
    if not facts.app:
        return PlaceCheck(question="the surface does not tell which app the text goes to")
    if not any(place.matches_app(facts.app) for place in known):
        if any(place.kind == "host" for place in known):
            return PlaceCheck(question=f"the surface does not tell which page {facts.app} shows")
        return PlaceCheck(refusal=f"it belongs to {_describe(known)}, and the app here is {facts.app[:80]}")
    if facts.focus is None or not facts.focus.field:
        return PlaceCheck(question="the surface does not tell which field the text goes into")
    return PlaceCheck(refusal=_field_refusal(kind, facts.focus))


def _page_refusal(places: Sequence[SecretPlace], proposal: Proposal) -> str:
    """Return why the page, the frame of the field, or the receiver of its form is not the secret's place."""
    assert proposal.facts is not None
    focus, url = proposal.facts.focus, proposal.facts.url
    if focus is None:
        return "no field has the keyboard focus; click into the field first"
    addresses = [focus.origin] if focus.origin else []
    if not (is_page_without_host(url) and focus.origin):  # a sign-in prompt in place of the first page
        addresses.append(url)
    if focus.target and not proposal.is_same_origin(focus.target):
        addresses.append(focus.target)
    for address in addresses:
        host = host_of(address)
        if host is None or not any(place.matches_host(host) for place in places):
            where = str(host) if host is not None else "a page without a host"
            return f"it belongs to {_describe(places)}, and this field leads to {where}"
        if not (address.lower().startswith("https:") or _is_loopback(host)):
            return f"the connection to {host} is not encrypted (http)"
    return ""


def _field_refusal(kind: str, focus: ElementFacts | None) -> str:
    if focus is None or not focus.field:
        return "no field has the keyboard focus; click into the field first"
    if focus.role in SEARCH_ROLES or focus.field not in FIELDS[kind]:
        name = "search" if focus.role in SEARCH_ROLES else focus.field
        fields = ", ".join(sorted(FIELDS[kind]))
        return f"a secret of the kind {kind} goes into a field for {fields}, and this is a {name} field"
    return ""


def _is_loopback(host: HostAndPort) -> bool:
    return is_local_name(host.name) or host.name == "::1" or (is_address(host.name) and host.name.startswith("127."))


def _describe(places: Sequence[SecretPlace]) -> str:
    return ", ".join(place.pattern for place in places)
