"""{{NAME}} in actions: where it is typed, what is refused or asked, and what nobody reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import keyring
import numpy as np
import pytest
from helpers.facts_surface import FactsSurface, PixelSurface
from keyring.backends.fail import Keyring as NoKeyring

from actions import (
    Action,
    ActionDeniedError,
    ActionRejectedError,
    InvalidActionError,
    Open,
    RunStoppedError,
    Screen,
    SurfaceError,
    TypeText,
    UsageError,
    dispatch,
)
from actions.facts import ElementFacts
from agent.safety.approval import ApprovalRequest
from agent.safety.guard import ActionGuard
from agent.safety.policy import PolicyLayer, SafetyPolicy, load_preset
from agent.safety.redaction import EventRedactor, hide_credentials
from agent.safety.secret_forms import secret_pattern
from agent.safety.secret_places import parse_place
from agent.safety.secret_store import SecretStore

VALUE = 'p&ss "wörd"/+7?'
TYPE = TypeText(text="{{PW}}")
PASSWORD = ElementFacts(role="textbox", label="Password", field="password", identity="e1", origin="https://shop.test")
CODE = replace(PASSWORD, label="Code", field="otp")
USER = replace(PASSWORD, label="User", field="text")


class MaskedSurface(FactsSurface):
    """A surface that can hide fields; `on_mask` is called when it does."""

    def __init__(self, focus: ElementFacts | None, url: str = "https://shop.test/login", **options: Any) -> None:
        super().__init__(**options)
        self.state = replace(self.state, url=url, focus=focus)
        self.is_masked, self.notice = False, ""
        self.on_mask: Callable[[], object] = lambda: None

    def mask_field(self) -> bool:
        self.is_masked = True
        self.on_mask()
        return True

    def perform(self, action: Action) -> str:
        super().perform(action)
        return self.notice


class FailingSurface(MaskedSurface):
    """A surface whose errors quote the text."""

    def perform(self, action: Action) -> str:
        assert isinstance(action, TypeText)
        raise SurfaceError(f"typing {action.text} failed")


class Answers:
    """A person who gives the same answer each time."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.requests: list[ApprovalRequest] = []

    def approve(self, request: ApprovalRequest) -> str:
        self.requests.append(request)
        return self.answer

    def paused(self, reason: str) -> str:
        return ""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SecretStore]:
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    secrets = SecretStore(tmp_path / "secrets.json")
    secrets.set("PW", VALUE, "password", ("shop.test",), is_totp=False)
    secrets.set("USER", "ann.example", "text", ("*.test", "app:Shop"), is_totp=False)
    secrets.set("CODE", "JBSWY3DPEHPK3PXP" * 2, "otp", ("shop.test",), is_totp=True)
    yield secrets
    keyring.set_keyring(before)


@pytest.fixture
def guard(store: SecretStore, tmp_path: Path) -> Callable[..., ActionGuard]:
    """Return a function that builds a guard of a surface."""

    def build(surface: FactsSurface, preset: str = "cautious", person: Answers | None = None) -> ActionGuard:
        policy = SafetyPolicy((PolicyLayer("preset", preset, load_preset(preset)),))
        build.events = []  # type: ignore[attr-defined]

        def record(event: str, **facts: Any) -> None:
            build.events.append((event, facts))  # type: ignore[attr-defined]

        return ActionGuard(policy, surface, tmp_path, record, person=person, secrets=store)

    return build


def perform(guard: ActionGuard, action: Action = TYPE) -> str:
    return dispatch(action, guard.surface, guard.surface.capture(), guard)


@pytest.mark.parametrize("preset", ["cautious", "unattended", "sandbox"])
@pytest.mark.parametrize(
    ("name", "focus"),
    [("PW", PASSWORD), ("USER", USER), ("CODE", CODE), ("CODE", USER), ("PW", replace(PASSWORD, origin=""))],
)
def test_secret_is_typed_where_it_belongs(guard: Any, preset: str, name: str, focus: ElementFacts) -> None:
    surface = MaskedSurface(focus)
    checked = guard(surface, preset)
    perform(checked, TypeText(text=f"{{{{{name}}}}}"))
    (action,) = surface.performed
    assert isinstance(action, TypeText)
    assert "{{" not in action.text
    assert surface.is_masked
    assert action.text not in str(guard.events)


@pytest.mark.parametrize(
    ("focus", "url"),
    [
        (PASSWORD, "https://evil.test/login"),
        (PASSWORD, "https://shop.test.evil.test/"),
        (PASSWORD, "https://xshop.test/"),
        (PASSWORD, "http://shop.test/login"),
        (PASSWORD, "https://shop.test:8443/login"),
        (PASSWORD, "https://shop.test@evil.test/"),
        (PASSWORD, "file:///tmp/shop.test"),
        (PASSWORD, "about:blank#shop.test"),
        (replace(PASSWORD, origin="https://evil.test"), "https://shop.test/login"),
        (replace(PASSWORD, origin="null"), "https://shop.test/login"),
        (replace(PASSWORD, target="https://evil.test/collect", method="POST"), "https://shop.test/login"),
        (replace(PASSWORD, target="mailto:a@evil.test"), "https://shop.test/login"),
        (replace(PASSWORD, field="search", role="searchbox"), "https://shop.test/login"),
        (replace(PASSWORD, field="text"), "https://shop.test/login"),
        (replace(PASSWORD, field="", role="button"), "https://shop.test/login"),
        (None, "https://shop.test/login"),
    ],
)
@pytest.mark.parametrize("preset", ["cautious", "sandbox"])
def test_secret_is_refused_elsewhere(guard: Any, preset: str, focus: ElementFacts | None, url: str) -> None:
    surface = MaskedSurface(focus, url)
    with pytest.raises(ActionDeniedError, match="secrets"):
        perform(guard(surface, preset, Answers("y")))
    assert surface.performed == []


@pytest.mark.parametrize(
    ("action", "word"),
    [
        (TypeText(text="x{{PW}}"), "beside"),
        (TypeText(text="{{PW}}\n"), "beside"),
        (TypeText(text="{{USER}}\t{{PW}}"), "beside"),
        (TypeText(text="{{OTHER}}"), "{{USER}}"),
        (Open(target="https://shop.test/?q={{PW}}"), "only typed"),
    ],
)
def test_other_uses_of_names_are_explained(guard: Any, action: Action, word: str) -> None:
    surface = MaskedSurface(PASSWORD)
    with pytest.raises(InvalidActionError) as caught:
        perform(guard(surface), action)
    assert word in str(caught.value)
    assert surface.performed == []


@pytest.mark.parametrize("change", ["focus", "page"])
def test_change_while_masking_is_refused(guard: Any, change: str) -> None:
    surface = MaskedSurface(PASSWORD)

    def alter() -> None:
        other = {"focus": replace(PASSWORD, identity="e9")} if change == "focus" else {"document": "d2"}
        surface.state = replace(surface.state, **other)  # type: ignore[arg-type]

    surface.on_mask = alter
    with pytest.raises(ActionRejectedError):
        perform(guard(surface))
    assert surface.performed == []


def test_surface_without_facts_asks_each_time(guard: Any) -> None:
    surface, person = PixelSurface(name="desktop"), Answers("a")
    checked = guard(surface, "cautious", person)
    perform(checked)
    perform(checked)
    assert len(person.requests) == 2
    assert "{{PW}}" in person.requests[0].description
    assert VALUE not in str(person.requests)
    assert surface.performed == [TypeText(text=VALUE)] * 2


def test_unknown_place_is_denied_unattended(guard: Any) -> None:
    surface = PixelSurface(name="desktop")
    with pytest.raises(ActionDeniedError, match="secrets"):
        perform(guard(surface, "unattended", Answers("y")))
    assert surface.performed == []


def test_unknown_place_without_person_ends_run(guard: Any) -> None:
    with pytest.raises(RunStoppedError):
        perform(guard(PixelSurface(name="desktop"), "sandbox"))


def test_secret_of_app_is_refused_in_another(guard: Any) -> None:
    surface = MaskedSurface(USER, "", name="desktop")
    surface.state = replace(surface.state, app="Notes")
    with pytest.raises(ActionDeniedError, match="secrets"):
        perform(guard(surface, "sandbox"), TYPE)
    surface.state = replace(surface.state, app="shop")
    perform(guard(surface, "sandbox"), TypeText(text="{{USER}}"))
    assert surface.performed == [TypeText(text="ann.example")]


def test_visible_secret_without_mask_is_asked(guard: Any) -> None:
    surface, person = FactsSurface(), Answers("y")
    surface.state = replace(surface.state, focus=USER)
    perform(guard(surface, "sandbox", person), TypeText(text="{{USER}}"))
    assert "screenshots" in person.requests[0].reason


def test_notice_with_part_of_secret_is_left_out(guard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    surface = FactsSurface()
    surface.state = replace(surface.state, url="https://shop.test/", focus=PASSWORD)
    monkeypatch.setattr(surface, "perform", lambda action: f"the field reads {VALUE[:6]!r}")
    assert VALUE[:4] not in perform(guard(surface))


@pytest.mark.parametrize("notice", [f"the page says {VALUE!r}", f"a link to /?q={quote(VALUE)} opened"])
def test_notice_for_model_has_no_secret(guard: Any, notice: str) -> None:
    surface = MaskedSurface(PASSWORD)
    surface.notice = notice
    result = perform(guard(surface))
    assert "{{PW}}" in result
    assert VALUE[:4] not in result


def test_error_for_model_has_no_secret(guard: Any) -> None:
    with pytest.raises(SurfaceError) as caught:
        perform(guard(FailingSurface(PASSWORD)))
    assert str(caught.value) == "typing {{PW}} failed"


@pytest.mark.parametrize("secret", [VALUE, "123456", "日本語パス", "a b%c"])
def test_pattern_finds_each_form(secret: str) -> None:
    data = secret.encode()
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), quote(quote(secret, safe=""), safe="")}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], data.hex(), data.hex().upper()}
    forms |= {quote(secret, safe="").lower(), base64.b64encode(data).decode(), data.hex(":")}
    for before in (b"", b"u", b"us"):
        forms.add(base64.b64encode(before + b":" + data + b"!").decode())
        forms.add(base64.urlsafe_b64encode(before + b":" + data + b"!").decode())
    assert [form for form in forms if not secret_pattern(secret).search(form)] == []


def test_pattern_leaves_other_texts() -> None:
    pattern = secret_pattern("123456")
    assert not any(map(pattern.search, ("12345", "654321", "12 34 56x", "", "MTIzNDU=")))


def test_event_tells_that_its_screen_is_masked() -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    redactor = EventRedactor()
    assert redactor.redact({"step": 1, "screen": Screen(pixels)}).keys() == {"step", "screen"}
    assert redactor.redact({"step": 1, "screen": Screen(pixels, secret_areas=[(2, 2, 5, 5)])})["masked"] is True


def test_nested_events_are_redacted() -> None:
    redactor = EventRedactor()
    redactor.add_secret("PW", VALUE)
    facts = {"note": f"x {VALUE}", "facts": {"url": f"https://a.org/?p={quote_plus(VALUE)}"}, "list": [VALUE]}
    redacted = redactor.redact(facts)
    assert redacted["list"] == ["{{PW}}"]
    assert str(redacted).count("{{PW}}") == 3


@pytest.mark.parametrize(
    "text",
    [
        "http://u:p@a.org/x",
        "see https://u:p@ss@a.org.",
        "'ftp://:p@a.org'",
        "https://u:p%40@a.org",
        "http:u:p@a.org",
        "http:/u:p@a.org",
        r"http:\\u:p@a.org",
        r"http:\/\/u:p@a.org",
        "https://u:@a.org",
        "?to=http%3A%2F%2Fu%3Ap%40a.org",
        "wss://u:p@a.org",
        "HTTPS://u:p@a.org",
        "git+https://u:p@a.org",
    ],
)
def test_credentials_of_addresses_are_removed(text: str) -> None:
    hidden = hide_credentials(text)
    assert "a.org" in hidden
    assert not [part for part in (":p", "u:", "u%3A") if part in hidden]


def test_token_in_address_is_removed() -> None:
    assert hide_credentials("https://ghp_token@a.org/x") == "https://a.org/x"


@pytest.mark.parametrize(
    "text",
    [
        "mail ann@a.org: http://a.org/x",
        "http://a.org/a:b@c",
        "http://a.org?x=u:p@h",
        "mailto:ann@a.org",
        "x?to=http%3A%2F%2Fa.org%2Fu%40b",
    ],
)
def test_other_addresses_stay(text: str) -> None:
    assert hide_credentials(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Example.org", "host:example.org"),
        ("*.example.org", "host:*.example.org"),
        ("localhost:8080", "host:localhost:8080"),
        ("127.0.0.1", "host:127.0.0.1"),
        ("[::1]:80", "host:[::1]:80"),
        ("Calculator", "app:Calculator"),
        ("com.example.shop", "app:com.example.shop"),
        ("host:com.example.shop", "host:com.example.shop"),
        ("app:example.org", "app:example.org"),
        ("app:8080", "host:app:8080"),
    ],
)
def test_place_is_a_host_or_an_app(text: str, expected: str) -> None:
    assert str(parse_place(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "*", "https://a.org", "a.org/x", "u:p@a.org", "a.org:0", "a b.org:1", "*.1.2.3.4"]
)
def test_invalid_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--for"):
        parse_place(text)
