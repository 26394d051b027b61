"""EventRedactor: keeps what is typed into fields for secrets out of events, traces and displays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

from actions import Action, BaseAction, Call, Reply, Screen, TypeText
from actions.facts import ActionFacts, ElementFacts
from agent.safety.secret_forms import secret_pattern

MASK = "•••"  # of a fixed length, so that the length of a secret stays unknown
_CREDENTIALS = re.compile(  # of addresses as browsers read them (http:u@a.org), also within another address
    r"(?P<plain>\b(?:https?|wss?|ftp):[/\\]*|://)[^\s/?#\"'<>\\]*@"
    r"|(?P<encoded>%3a(?:%2f){2})(?:(?!%2f|%3f|%23)[^\s/?#&\"'<>\\])*%40",
    re.IGNORECASE,
)
MIN_CHARS = 4  # shorter texts are replaced only where they are quoted: "1" would be found everywhere


class EventRedactor:
    """Replaces known secrets in the facts of events."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._forms: list[tuple[str, str]] = []  # a secret as it is spelled in texts, and its replacement
        self._hides_screens = False  # what shows a secret on the screens is not known
        self._screens: dict[str, str] = {}  # digests of screens with secrets, and of their stored copies
        self._stored: dict[str, tuple[str, re.Pattern[str]]] = {}  # value: the name of a stored secret, its pattern

    def add(self, text: str) -> None:
        """Replace a text from now on."""
        for secret in {text, text.strip("\n\t")} - {""} - self._secrets:
            self._secrets.add(secret)
            self._forms += _spellings(secret)
        self._forms.sort(key=lambda form: -len(form[0]))  # the longest first: one may contain another

    def add_secret(self, name: str, text: str) -> None:
        """Replace a stored secret by {{name}} from now on, in all forms that `secret_forms` knows."""
        self._stored[text] = name, secret_pattern(text)

    def hide_secrets(self, text: str) -> str:
        """Return a text with the name of each stored secret in its place; other secrets stay."""
        for value in sorted(self._stored, key=len, reverse=True):
            name, pattern = self._stored[value]
            text = pattern.sub(f"{{{{{name}}}}}", text)
        return text

    def hide_screens(self) -> None:
        """Hide all screens from now on, as any part of them may show a secret."""
        self._hides_screens = True

    def redact_screen(self, screen: Screen) -> Screen:
        """Return a screen as it may be stored."""
        if self._hides_screens:
            screen.hide_all()
        stored = screen.without_secrets()
        if stored is not screen:
            self._screens[screen.digest] = stored.digest
        return stored

    def redact(self, facts: Mapping[str, object]) -> dict[str, object]:
        """Return the facts of an event without the secrets; `masked` is added where a part of a screen is hidden."""
        redacted = {name: self._redact(value) for name, value in facts.items()}
        is_masked = any(isinstance(value, Screen) and redacted[name] is not value for name, value in facts.items())
        return {**redacted, "masked": True} if is_masked else redacted

    def redact_facts(self, facts: ActionFacts) -> ActionFacts:
        """Return facts without the secrets."""
        return replace(
            facts,
            url=self._redact_text(facts.url),
            window=self._redact_text(facts.window),
            elements=tuple(self._redact_element(element) for element in facts.elements),
            focus=self._redact_element(facts.focus) if facts.focus is not None else None,
            changes=tuple(map(self._redact_text, facts.changes)),
        )

    def redact_action(self, action: Action) -> Action:
        """Return an action without the secrets in its texts."""
        if isinstance(action, TypeText) and action.text in self._secrets:
            return action.model_copy(update={"text": MASK})
        fields = {name: self._redact_text(field) for name, field in action if isinstance(field, str) and name != "verb"}
        return action.model_copy(update=fields) if fields else action

    def _redact(self, value: object) -> object:
        if isinstance(value, str):
            return self._redact_text(value)
        if isinstance(value, BaseAction):
            return self.redact_action(cast(Action, value))
        if isinstance(value, Screen):
            return self.redact_screen(value)
        if isinstance(value, Reply):
            digests = tuple(self._screens.get(digest, digest) for digest in value.image_digests)
            text, prompt = self._redact_text(value.text), self._redact_text(value.prompt)
            return replace(value, text=text, prompt=prompt, image_digests=digests)
        if isinstance(value, Call):
            arguments = {name: self._redact_argument(item) for name, item in value.arguments.items()}
            return replace(value, arguments=arguments, thought=self._redact_text(value.thought))
        if isinstance(value, Mapping):
            return {name: self._redact(item) for name, item in value.items()}
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            return type(value)(self._redact(item) for item in value)
        return value

    def _redact_element(self, element: ElementFacts) -> ElementFacts:
        return replace(element, label=self._redact_text(element.label), target=self._redact_text(element.target))

    def _redact_argument(self, value: object) -> object:
        return MASK if isinstance(value, str) and value in self._secrets else self._redact(value)

    def _redact_text(self, text: str) -> str:
        text = hide_credentials(self.hide_secrets(text))
        for spelling, replacement in self._forms:
            text = text.replace(spelling, replacement)
        return text


def _spellings(secret: str) -> list[tuple[str, str]]:
    """Return how a secret is spelled in replies, prompts and addresses, each with its replacement."""
    escaped = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    if len(secret) >= MIN_CHARS:
        return [(spelling, MASK) for spelling in {*escaped, quote(secret, safe=""), quote_plus(secret)}]
    quotes = ('"', "'")
    return [(f"{mark}{spelling}{mark}", f"{mark}{MASK}{mark}") for mark in quotes for spelling in escaped]


def strip_userinfo(url: str) -> str:
    """Return an address without a user name and password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url


def hide_credentials(text: str) -> str:
    """Return a text without the user names and passwords of the addresses in it."""
    if "@" not in text and "%40" not in text:
        return text
    return _CREDENTIALS.sub(lambda match: match["plain"] or match["encoded"], text)


def cut_strings(value: object, limit: int) -> object:
    """Return plain data with each text cut to `limit` characters."""
    if isinstance(value, str):
        return value if len(value) <= limit else value[: limit - 1] + "…"
    if isinstance(value, Mapping):
        return {str(name): cut_strings(item, limit) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [cut_strings(item, limit) for item in value]
    return value
