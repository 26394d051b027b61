"""Rules of a policy file: what they match, and the schema of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from functools import cached_property, lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic_core import SchemaError

from actions import ACTION_TYPES, CONTROL_ACTIONS, InvalidActionError, Open, PressKeys, TypeText
from actions.keys import normalize_key
from actions.suggest import suggest
from agent.safety.proposal import BROWSER, HostAndPort, Proposal, host_of, is_page_without_host
from agent.safety.url_policy import is_app_name
from agent.safety.words import WORD_SETS, has_word
from envs.network.hosts import host_matches, normalize_pattern

Effect = Literal["deny", "ask", "allow"]
SEVERITY: dict[Effect, int] = {"allow": 0, "ask": 1, "deny": 2}
RULE_VERBS = tuple(verb for verb in ACTION_TYPES if verb not in CONTROL_ACTIONS)
FIELD_KINDS = ("text", "search", "email", "number", "url", "tel", "date", "file", "password", "otp", "card")
ANY_FIELD = "any"


def _one_of(names: Iterable[str], what: str) -> BeforeValidator:
    allowed = tuple(names)

    def check(value: object) -> object:
        if isinstance(value, str) and value not in allowed:
            raise ValueError(
                f"{value[:40]!r} is not {what}.{suggest(value[:40], allowed) or ' One of: ' + ', '.join(allowed)}"
            )
        return value

    return BeforeValidator(check)


def _check_pattern(pattern: str) -> str:
    try:
        _regex(pattern)
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("error: ")
        raise ValueError(f"{pattern[:60]!r} is not a regular expression of Rust's `regex` syntax: {reason}") from None
    return pattern


def _regex(pattern: str) -> TypeAdapter[str]:
    """Return a validator that searches a pattern in linear time, so that no pattern can hang the guard."""
    return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])


def _check_host(pattern: str) -> str:
    HostPattern.parse(pattern)
    return pattern


def _check_chord(chord: str) -> str:
    try:
        _parse_chord(chord)
    except InvalidActionError as error:
        raise ValueError(str(error)) from None
    return chord


def _parse_chord(chord: str) -> tuple[frozenset[str], bool]:
    """Return the keys of "ctrl+alt+t", and whether a "*" allows any other keys."""
    names = chord.split("+") if chord != "+" else ["+"]
    keys = frozenset(normalize_key(name).lower() for name in names if name != "*")
    return keys, "*" in names


class HostPattern(BaseModel):
    """A host of a policy: "example.org", "*.example.org", "localhost:8080" or "localhost:*".

    Args:
        name: The host, or "*.suffix", normalized; "*" for all.
        port: Its port; None where the pattern has none, 0 for any.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    port: int | None = None

    @classmethod
    @lru_cache(maxsize=1000)
    def parse(cls, text: str) -> HostPattern:
        """Return the pattern of a text; raise ValueError where it is none."""
        from actions import UsageError

        name, colon, port = text.rpartition(":") if not text.endswith("]") and text.count(":") == 1 else (text, "", "")
        if text.startswith("[") and "]:" in text:
            name, _, port = text.rpartition(":")
            colon = ":"
        if colon and port != "*" and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise ValueError(f"{text[:80]!r} is not HOST, HOST:PORT or HOST:*")
        name = name.removeprefix("[").removesuffix("]")
        number = None if not colon else 0 if port == "*" else int(port)
        if name == "*":
            return cls(name="*", port=number)
        try:
            return cls(name=normalize_pattern(name), port=number)
        except UsageError as error:
            raise ValueError(str(error)) from None

    def matches(self, host: HostAndPort, *, is_permission: bool) -> bool:
        """Return whether a host matches.

        Without a port the pattern means every port where it forbids something, and the scheme's own port where it
        permits something.
        """
        if self.name != "*" and not host_matches(self.name, host.name):
            return False
        if self.port is None:
            return host.is_default_port or not is_permission
        return self.port in (0, host.port)


Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^\S(.*\S)?$")]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_check_pattern)]
HostText = Annotated[str, StringConstraints(min_length=1, max_length=260), AfterValidator(_check_host)]
Chord = Annotated[str, StringConstraints(min_length=1, max_length=60), AfterValidator(_check_chord)]
RuleVerb = Annotated[str, _one_of(RULE_VERBS, "a verb of an action")]
WordSet = Annotated[str, _one_of(WORD_SETS, "a set of words")]
FieldKind = Annotated[str, _one_of((*FIELD_KINDS, ANY_FIELD), "a kind of field")]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ignored_types=(cached_property,))


class PolicyRule(_Closed):
    """One rule: what it matches and what it decides. All keys that are given must match; of a list, one entry.

    An empty list matches nothing.
    """

    name: Name = Field(description="Shown in refusals, questions and traces.")
    effect: Effect = Field(description="deny, ask or allow.")
    each_time: bool = Field(default=False, description="An answer never covers later actions of the kind.")
    reason: str = Field(default="", max_length=300, description="Shown to the person and the model.")
    surfaces: tuple[Name, ...] | None = Field(default=None, description="browser, desktop, android or a plug-in.")
    screen: Literal["own", "agent"] | None = Field(default=None, description="Whose screen it is.")
    verbs: tuple[RuleVerb, ...] | None = Field(default=None, description="click, type, open, ...")
    apps: tuple[Glob, ...] | None = Field(default=None, description="Window classes; * stands for any characters.")
    packages: tuple[Glob, ...] | None = Field(default=None, description="Android packages, on android alone.")
    windows: tuple[Pattern, ...] | None = Field(default=None, description="Window titles, dialogs or activities.")
    hosts: tuple[HostText, ...] | None = Field(default=None, description="Host of the page, or of what is opened.")
    target: Literal["same", "other"] | None = Field(
        default=None, description="Origin that a link or form leads to, compared with the page's."
    )
    targets: tuple[HostText, ...] | None = Field(default=None, description="Host that a link or form leads to.")
    methods: tuple[Literal["GET", "POST", "PUT", "PATCH", "DELETE", "DIALOG"], ...] | None = Field(
        default=None, description="HTTP method of the form that would be submitted."
    )
    plain_link: bool | None = Field(default=None, description="A link to another page, which opens it and no more.")
    words: tuple[WordSet, ...] | None = Field(default=None, description="Words on the control, in ten languages.")
    labels: tuple[Pattern, ...] | None = Field(default=None, description="Label of the control.")
    window_words: tuple[WordSet, ...] | None = Field(default=None, description="Words in the window's title or dialog.")
    roles: tuple[Name, ...] | None = Field(default=None, description="Role of the element: button, link, ...")
    fields: tuple[FieldKind, ...] | None = Field(default=None, description="Kind of the editable field.")
    unknown: bool | None = Field(default=None, description="Nothing is known about the element that is used.")
    stored_secret: bool | None = Field(
        default=None, description="The text is a stored secret, and the field one that it belongs to."
    )
    keys: tuple[Chord, ...] | None = Field(default=None, description="Key chords; ctrl+* is ctrl with any others.")
    texts: tuple[Pattern, ...] | None = Field(default=None, description="Typed text, or the target of open.")

    @cached_property
    def _labels(self) -> tuple[TypeAdapter[str], ...]:
        return tuple(map(_regex, self.labels or ()))

    @cached_property
    def _windows(self) -> tuple[TypeAdapter[str], ...]:
        return tuple(map(_regex, self.windows or ()))

    @cached_property
    def _texts(self) -> tuple[TypeAdapter[str], ...]:
        return tuple(map(_regex, self.texts or ()))

    def matches(self, proposal: Proposal) -> bool:
        """Return whether everything that the rule names matches."""
        return self._matches_screen(proposal) and self._matches_element(proposal) and self._matches_input(proposal)

    def _matches_screen(self, proposal: Proposal) -> bool:
        facts, is_permission = proposal.facts, self.effect == "allow"
        window = facts.window if facts is not None else ""
        is_package = proposal.surface == "android"
        return (
            (self.surfaces is None or proposal.surface in self.surfaces)
            and (self.screen is None or proposal.is_user_owned == (self.screen == "own"))
            and (self.verbs is None or proposal.action.verb in self.verbs)
            and (self.apps is None or matches_glob(proposal.app, self.apps))
            and (self.packages is None or (is_package and matches_glob(proposal.app, self.packages)))
            and (self.windows is None or _search(self._windows, window))
            and (self.window_words is None or bool(has_word(window, self.window_words)))
            and (self.hosts is None or matches_host(proposal.host, self.hosts, is_permission))
        )

    def _matches_element(self, proposal: Proposal) -> bool:
        is_permission = self.effect == "allow"
        activated, labels = proposal.activated, proposal.labels
        if self.target is not None:
            same = [proposal.is_same_origin(element.target) for element in proposal.targets]
            if not (all(same) and same if self.target == "same" else not all(same)):
                return False
        if self.targets is not None:
            hosts = [host_of(element.target) for element in proposal.targets]
            quantifier = all if is_permission else any
            if not hosts or not quantifier(matches_host(host, self.targets, is_permission) for host in hosts):
                return False
        if self.plain_link is not None and self.plain_link != (
            bool(activated) and all(map(proposal.is_plain_link, activated))
        ):
            return False
        kinds = proposal.field_kinds
        return (
            (self.methods is None or any(element.method in self.methods for element in activated))
            and (self.words is None or any(has_word(label, self.words) for label in labels))
            and (self.labels is None or any(_search(self._labels, label) for label in labels))
            and (self.roles is None or any(element.role in self.roles for element in proposal.touched))
            and (self.fields is None or bool(kinds & {*self.fields}) or (ANY_FIELD in self.fields and bool(kinds)))
            and (self.unknown is None or proposal.is_target_unknown == self.unknown)
            and (self.stored_secret is None or proposal.types_stored_secret == self.stored_secret)
        )

    def _matches_input(self, proposal: Proposal) -> bool:
        action = proposal.action
        if self.keys is not None and not (
            isinstance(action, PressKeys) and any(_has_chord(action, chord) for chord in self.keys)
        ):
            return False
        if self.texts is None:
            return True
        text = action.text if isinstance(action, TypeText) else action.target if isinstance(action, Open) else None
        return text is not None and _search(self._texts, text)


class AllowLists(_Closed):
    """What alone is allowed: an action for which a list has no entry is denied. An empty list allows nothing."""

    hosts: tuple[HostText, ...] | None = None
    apps: tuple[Glob, ...] | None = None
    packages: tuple[Glob, ...] | None = None
    surfaces: tuple[Name, ...] | None = None
    verbs: tuple[RuleVerb, ...] | None = None

    def violation(self, proposal: Proposal) -> str:
        """Return the name of the list that does not have what the action needs, "" if it is allowed."""
        for name in type(self).model_fields:
            if getattr(self, name) == ():
                return name
        if self.surfaces is not None and proposal.surface not in self.surfaces:
            return "surfaces"
        if self.verbs is not None and proposal.action.verb not in self.verbs:
            return "verbs"
        if self.hosts is not None and not self._allows_hosts(proposal):
            return "hosts"
        is_app = not proposal.url
        if self.apps is not None and is_app and not matches_glob(proposal.app, self.apps):
            return "apps"
        if (
            self.packages is not None
            and proposal.surface == "android"
            and not matches_glob(proposal.app, self.packages)
        ):
            return "packages"
        return ""

    def _allows_hosts(self, proposal: Proposal) -> bool:
        assert self.hosts is not None
        hosts: list[HostAndPort | None] = []
        if isinstance(proposal.action, Open):
            is_app = proposal.surface != BROWSER and is_app_name(proposal.action.target)
            hosts += [] if is_app else [proposal.host]
        elif not is_page_without_host(proposal.url) and (proposal.url or proposal.surface == BROWSER):
            hosts.append(proposal.host)
        for element in proposal.targets:
            host = host_of(element.target)
            if host is not None or not proposal.is_same_origin(element.target):
                hosts.append(host)
        return all(matches_host(host, self.hosts, True) for host in hosts)


class Limits(_Closed):
    """Numbers after which the guard ends the run. The lowest of all layers applies."""

    steps: int | None = Field(default=None, ge=0, description="Actions that were done.")
    minutes: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="Since the first action.")
    typed_chars: int | None = Field(default=None, ge=0, description="Typed characters.")
    new_hosts: int | None = Field(default=None, ge=0, description="Hosts beyond that of the first page.")
    refusals: int | None = Field(default=None, ge=1, description="Actions refused by rules, in a row.")
    repeats: int | None = Field(default=None, ge=1, description="The same action on the same screen, in a row.")
    approval_seconds: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="How long an answer to a question is valid."
    )


class PolicyFile(_Closed):
    """The content of a policy file."""

    version: Literal[1] = 1
    preset: str = Field(default="", description="A preset whose rules apply as well.")
    default: Effect | None = Field(
        default=None,
        description="Effect where no rule matches; by default deny if a rule allows something, else allow.",
    )
    unattended: bool = Field(default=False, description="What would be asked is denied: nobody is there.")
    compare_pixels: bool = Field(
        default=True, description="Where the surface has no facts, compare the target's pixels before each action."
    )
    allow: AllowLists = AllowLists()
    limits: Limits = Limits()
    rules: tuple[PolicyRule, ...] = ()


def matches_glob(text: str, patterns: Sequence[str]) -> bool:
    """Return whether a text equals a pattern in which * stands for any characters; case does not matter."""
    return bool(text) and any(_glob(pattern, text) for pattern in patterns)


def _glob(pattern: str, text: str) -> bool:
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return re.compile(translate(literal), re.IGNORECASE).fullmatch(text) is not None


def matches_host(host: HostAndPort | None, patterns: Sequence[str], is_permission: bool) -> bool:
    """Return whether a host matches one of the patterns; see HostPattern.matches."""
    return host is not None and any(
        HostPattern.parse(pattern).matches(host, is_permission=is_permission) for pattern in patterns
    )


def _search(patterns: Sequence[TypeAdapter[str]], text: str) -> bool:
    from pydantic import ValidationError

    for pattern in patterns:
        try:
            pattern.validate_python(text)
            return True
        except ValidationError:
            continue
    return False


def _has_chord(action: PressKeys, chord: str) -> bool:
    keys, is_open = _parse_chord(chord)
    pressed = frozenset(key.lower() for key in action.keys)
    return keys < pressed or keys == pressed if is_open else keys == pressed
