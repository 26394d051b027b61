"""Policies: what each kind of rule matches, how layers narrow, presets, words and errors of files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actions import Action, Back, Click, Drag, Open, PressKeys, Scroll, TypeText, UsageError
from actions.facts import ActionFacts, ElementFacts
from agent.safety import policy as policy_module
from agent.safety.policy import (
    PRESETS,
    PolicyLayer,
    SafetyPolicy,
    load_preset,
    load_safety_policy,
    parse_policy,
    read_policy_file,
)
from agent.safety.proposal import Proposal
from agent.safety.rules import SEVERITY, AllowLists, Effect, Limits, PolicyRule
from agent.safety.words import LANGUAGES, WORD_SETS, has_word

CLICK = Click(x=1, y=2)
TYPE = TypeText(text="hello")
ENTER = PressKeys(keys=("enter",))
SPACE = PressKeys(keys=("space",))
PAGE = ActionFacts(url="https://shop.test/cart", document="d")
BUTTON = ElementFacts(role="button", label="Cancel")
PAY = replace(BUTTON, label="Pay now")
SUBMIT = ElementFacts(role="button", label="Next", target="https://shop.test/go", method="POST")
LINK = ElementFacts(role="link", label="Read more", target="https://shop.test/news")
FIELD = ElementFacts(role="textbox", label="Name", field="text", target="https://shop.test/go", method="POST")
SEARCH = ElementFacts(role="searchbox", label="Search", field="search", target="https://shop.test/s", method="GET")


@pytest.fixture(autouse=True)
def _no_machine_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "org_file", lambda: tmp_path / "none" / "org.toml")
    monkeypatch.delenv(policy_module.ORG_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def on_page(
    action: Action,
    *elements: ElementFacts,
    focus: ElementFacts | None = None,
    own: bool = False,
    surface: str = "browser",
) -> Proposal:
    return Proposal(action, surface, own, replace(PAGE, elements=elements, focus=focus))


def decide(rule: str, proposal: Proposal, effect: str = "deny") -> str:
    """Return the effect of a file with one rule."""
    text = f"default = 'allow'\n[[rules]]\nname = 'r'\neffect = '{effect}'\n{rule}\n"
    if effect == "allow":
        text = text.replace("default = 'allow'", "default = 'deny'")
    return PolicyLayer("user", "user.toml", parse_policy(text, "user.toml")).decide(proposal).effect


# matchers


@pytest.mark.parametrize(
    ("rule", "matching", "other"),
    [
        ("surfaces = ['browser']", on_page(CLICK), on_page(CLICK, surface="desktop")),
        ("screen = 'own'", on_page(CLICK, own=True), on_page(CLICK)),
        ("verbs = ['click', 'drag']", on_page(CLICK), on_page(TYPE)),
        ("hosts = ['*.test']", on_page(CLICK), Proposal(Open(target="a.org"), "browser", False)),
        (
            "hosts = ['a.org:8080']",
            Proposal(Open(target="a.org:8080"), "browser", False),
            Proposal(Open(target="a.org"), "browser", False),
        ),
        (
            "hosts = ['a.org']",
            Proposal(Open(target="http://a.org:99/x"), "browser", False),
            Proposal(Open(target="http://b.a.org"), "browser", False),
        ),
        ("target = 'other'", on_page(CLICK, replace(SUBMIT, target="https://evil.test")), on_page(CLICK, SUBMIT)),
        ("target = 'other'", on_page(CLICK, replace(SUBMIT, target="http://shop.test/go")), on_page(CLICK, BUTTON)),
        ("target = 'other'", on_page(CLICK, replace(SUBMIT, target="https://shop.test:444/go")), on_page(CLICK, LINK)),
        (
            "target = 'other'",
            on_page(CLICK, replace(LINK, target="mailto:a@b.c")),
            on_page(CLICK, replace(LINK, target="javascript:x()")),
        ),
        ("target = 'same'", on_page(CLICK, SUBMIT), on_page(CLICK, BUTTON)),
        ("targets = ['shop.test']", on_page(CLICK, LINK), on_page(CLICK, replace(LINK, target="https://a.org"))),
        ("methods = ['POST']", on_page(CLICK, SUBMIT), on_page(CLICK, FIELD)),
        ("methods = ['POST']", on_page(ENTER, focus=FIELD), on_page(ENTER, focus=SEARCH)),
        ("methods = ['POST']", on_page(TypeText(text="a\n"), focus=FIELD), on_page(TYPE, focus=FIELD)),
        ("plain_link = true", on_page(CLICK, LINK), on_page(CLICK, replace(LINK, target="https://shop.test/cart#top"))),
        ("plain_link = false", on_page(CLICK, BUTTON), on_page(CLICK, LINK)),
        ("words = ['pay']", on_page(CLICK, PAY), on_page(CLICK, BUTTON)),
        ("words = ['pay']", on_page(ENTER, focus=PAY), on_page(TYPE, focus=PAY)),
        ("words = ['pay']", on_page(TypeText(text=" "), focus=PAY), on_page(TypeText(text=" "), focus=FIELD)),
        ("methods = ['POST']", on_page(PressKeys(keys=("space",)), focus=SUBMIT), on_page(SPACE, focus=FIELD)),
        ("words = ['pay']", on_page(Drag(path=((1, 2), (3, 4))), BUTTON, PAY), on_page(Scroll(x=1, y=2, down=1), PAY)),
        ("words = ['pay']", on_page(CLICK, PAY), on_page(Click(x=1, y=2, button="right"), PAY)),
        (
            "words = ['pay']",
            on_page(CLICK, replace(LINK, label="Pay")),
            on_page(CLICK, replace(LINK, label="Berlin is to pay more for trains")),
        ),
        (
            "words = ['send']",
            on_page(CLICK, replace(BUTTON, label="Send")),
            on_page(CLICK, replace(FIELD, label="Send to")),
        ),
        ("labels = ['(?i)^cancel$']", on_page(CLICK, BUTTON), on_page(CLICK, replace(BUTTON, label="Cancel it"))),
        ("roles = ['button']", on_page(CLICK, BUTTON), on_page(CLICK, LINK)),
        ("fields = ['password']", on_page(TYPE, focus=replace(FIELD, field="password")), on_page(TYPE, focus=FIELD)),
        ("fields = ['password']", on_page(TYPE, focus=replace(FIELD, label="Passwort:")), on_page(TYPE, focus=BUTTON)),
        ("fields = ['card']", on_page(TYPE, focus=replace(FIELD, label="Card number")), on_page(TYPE, focus=FIELD)),
        ("fields = ['otp']", on_page(TYPE, focus=replace(FIELD, label="验证码")), on_page(TYPE, focus=FIELD)),
        ("fields = ['any']", on_page(TYPE, focus=FIELD), on_page(TYPE, focus=BUTTON)),
        ("unknown = true", Proposal(CLICK, "desktop", True), on_page(CLICK, BUTTON)),
        ("unknown = true", on_page(CLICK, ElementFacts()), Proposal(Back(), "desktop", True)),
        (
            "keys = ['ctrl+alt+t']",
            on_page(PressKeys(keys=("alt", "ctrl", "T"))),
            on_page(PressKeys(keys=("ctrl", "t"))),
        ),
        ("keys = ['super+*']", on_page(PressKeys(keys=("win", "r"))), on_page(PressKeys(keys=("ctrl", "r")))),
        ("texts = ['(?i)rm +-rf']", on_page(TypeText(text="sudo RM  -rf /")), on_page(TYPE)),
        (
            "texts = ['token=']",
            Proposal(Open(target="a.org/?token=1"), "browser", False),
            Proposal(Open(target="a.org"), "browser", False),
        ),
        ("hosts = []", on_page(CLICK), on_page(CLICK)),
    ],
)
def test_rule_matches(rule: str, matching: Proposal, other: Proposal) -> None:
    expected = "allow" if rule == "hosts = []" else "deny"
    assert decide(rule, matching) == expected
    assert decide(rule, other) == "allow"


@pytest.mark.parametrize(
    ("rule", "surface", "facts", "matches"),
    [
        ("apps = ['*term*']", "desktop", ActionFacts(app="XTerm"), True),
        ("apps = ['gedit']", "desktop", ActionFacts(app="XTerm"), False),
        ("packages = ['com.bank.*']", "android", ActionFacts(app="com.bank.app"), True),
        ("packages = ['com.bank.*']", "desktop", ActionFacts(app="com.bank.app"), False),
        ("windows = ['(?i)settings']", "desktop", ActionFacts(window="System Settings"), True),
        ("window_words = ['delete']", "browser", ActionFacts(window="Alle Dateien löschen?"), True),
        ("window_words = ['delete']", "browser", ActionFacts(window="All files"), False),
    ],
)
def test_rule_matches_app_and_window(rule: str, surface: str, facts: ActionFacts, matches: bool) -> None:
    assert decide(rule, Proposal(CLICK, surface, False, facts)) == ("deny" if matches else "allow")


def test_deny_precedes_ask_and_allow() -> None:
    rules = "".join(f"[[rules]]\nname = '{effect}'\neffect = '{effect}'\n" for effect in ("allow", "deny", "ask"))
    decision = PolicyLayer("user", "u", parse_policy(rules, "u")).decide(on_page(CLICK))
    assert (decision.effect, decision.rule) == ("deny", "deny")


def test_permission_without_port_means_default_port() -> None:
    opened = [Proposal(Open(target=f"http://a.org{port}/"), "browser", False) for port in ("", ":80", ":8000")]
    assert [decide("hosts = ['a.org']", proposal, "allow") for proposal in opened] == ["allow", "allow", "deny"]
    assert [decide("hosts = ['a.org']", proposal, "deny") for proposal in opened] == ["deny"] * 3
    assert decide("hosts = ['a.org:*']", opened[2], "allow") == "allow"


@pytest.mark.parametrize("name", ["hosts", "apps", "packages", "surfaces", "verbs"])
def test_empty_allow_list_allows_nothing(name: str) -> None:
    layer = PolicyLayer("user", "u", parse_policy(f"[allow]\n{name} = []\n", "u"))
    for proposal in (on_page(CLICK, BUTTON), on_page(TYPE), Proposal(Open(target="a.org"), "android", False)):
        assert layer.decide(proposal).effect == "deny"


@pytest.mark.parametrize(
    ("proposal", "effect"),
    [
        (on_page(CLICK, BUTTON), "allow"),
        (on_page(CLICK, LINK), "allow"),
        (on_page(CLICK, replace(LINK, target="https://evil.test/")), "deny"),
        (on_page(ENTER, focus=replace(SEARCH, target="https://evil.test/")), "deny"),
        (on_page(CLICK, replace(LINK, target="mailto:a@evil.test")), "deny"),
        (Proposal(CLICK, "browser", False, replace(PAGE, url="https://shop.test.evil.test/")), "deny"),
        (Proposal(CLICK, "browser", False, replace(PAGE, url="https://shop.test:8443/")), "deny"),
        (Proposal(CLICK, "browser", False, replace(PAGE, url="file:///etc/passwd")), "deny"),
        (Proposal(CLICK, "browser", False, replace(PAGE, url="about:blank")), "allow"),
        (Proposal(CLICK, "browser", False), "deny"),
        (Proposal(Open(target="https://shop.test/x"), "browser", False), "allow"),
        (Proposal(Open(target="https://shop.test@evil.test"), "browser", False), "deny"),
        (Proposal(Open(target="https://SHOP.test"), "browser", False), "allow"),
        (Proposal(Open(target="Calculator"), "android", False), "allow"),
    ],
)
def test_allowed_hosts_cover_pages_and_targets(proposal: Proposal, effect: str) -> None:
    layer = PolicyLayer("user", "u", parse_policy("[allow]\nhosts = ['shop.test']\n", "u"))
    assert layer.decide(proposal).effect == effect


def test_file_that_allows_something_denies_the_rest() -> None:
    assert parse_policy("", "u").default is None
    text = "[[rules]]\nname = 'a'\neffect = 'allow'\nverbs = ['scroll']\n"
    layer = PolicyLayer("user", "u", parse_policy(text, "u"))
    assert layer.decide(on_page(Scroll(down=1))).effect == "allow"
    assert layer.decide(on_page(CLICK)).effect == "deny"


# presets


@pytest.mark.parametrize(
    ("proposal", "effects"),
    [  # read-only, cautious, unattended, sandbox
        (on_page(CLICK, LINK), ("allow", "allow", "allow", "allow")),
        (on_page(Scroll(x=1, y=2, down=3), BUTTON), ("allow", "allow", "allow", "allow")),
        (on_page(CLICK, BUTTON), ("deny", "allow", "allow", "allow")),
        (on_page(TYPE, focus=SEARCH), ("deny", "allow", "allow", "allow")),
        (on_page(TypeText(text="shoes\n"), focus=SEARCH), ("deny", "allow", "allow", "allow")),
        (on_page(CLICK, PAY), ("deny", "ask", "deny", "allow")),
        (on_page(CLICK, replace(BUTTON, label="削除")), ("deny", "ask", "deny", "allow")),
        (on_page(CLICK, replace(LINK, label="Delete")), ("deny", "ask", "deny", "allow")),
        (on_page(CLICK, SUBMIT), ("deny", "allow", "allow", "allow")),
        (on_page(CLICK, replace(SUBMIT, target="https://evil.test/")), ("deny", "ask", "deny", "allow")),
        (on_page(ENTER, focus=FIELD), ("deny", "ask", "deny", "allow")),
        (on_page(TYPE, focus=replace(FIELD, field="password")), ("deny", "ask", "deny", "allow")),
        (on_page(PressKeys(keys=("ctrl", "alt", "t"))), ("deny", "ask", "deny", "allow")),
        (on_page(CLICK, BUTTON, own=True), ("deny", "ask", "allow", "allow")),
        (Proposal(CLICK, "desktop", True), ("deny", "ask", "deny", "allow")),
        (Proposal(CLICK, "desktop", False), ("deny", "allow", "allow", "allow")),
        (Proposal(TYPE, "desktop", False, ActionFacts(app="XTerm")), ("deny", "ask", "deny", "allow")),
    ],
)
def test_presets_decide(proposal: Proposal, effects: tuple[str, ...]) -> None:
    decisions = [SafetyPolicy(load_safety_policy(preset).layers).decide(proposal).effect for preset in PRESETS]
    assert tuple(decisions) == effects


def test_dialog_with_effect_is_asked_about() -> None:
    dialog = replace(PAGE, window="Delete all 12 messages?", elements=(replace(BUTTON, label="OK"),))
    policy = load_safety_policy("cautious")
    assert policy.decide(Proposal(CLICK, "browser", False, dialog)).rule == "dialogs"
    assert policy.decide(Proposal(CLICK, "browser", False, replace(dialog, window="Welcome"))).effect == "allow"


@pytest.mark.parametrize("focus", [None, FIELD, replace(BUTTON, role="", label="Delete all messages? " * 9)])
@pytest.mark.parametrize("action", [ENTER, TypeText(text="x\n")])
def test_enter_in_dialog_counts_as_ok(action: Action, focus: ElementFacts | None) -> None:
    dialog = replace(PAGE, window="Delete all messages?", focus=focus, enter=replace(BUTTON, label="OK"))
    policy = load_safety_policy("unattended")
    assert policy.decide(Proposal(action, "browser", False, dialog)).effect == "deny"
    assert policy.decide(Proposal(TYPE, "browser", False, dialog)).effect == "allow"


def test_default_preset_and_approve_map(tmp_path: Path) -> None:
    assert load_safety_policy().layers[-1].source == "preset cautious"
    assert load_safety_policy(is_practice=True).layers[-1].source == "preset sandbox"
    assert load_safety_policy(approve="never").layers[-1].source == "preset sandbox"
    assert load_safety_policy("sandbox", approve="each").decide(on_page(CLICK)).effect == "ask"
    with pytest.raises(UsageError, match="--approve never cannot be used"):
        load_safety_policy("cautious", approve="never")


# words


def test_each_set_has_every_language() -> None:
    for name, languages in WORD_SETS.items():
        assert set(languages) == set(LANGUAGES), name


@pytest.mark.parametrize(
    ("word_set", "labels"),
    [
        ("pay", "Pay|Jetzt bezahlen|Payer|Pagar|Acquista ora|Finalizar compra|Betalen|Zapłać|立即支付|購入する"),
        ("send", "Send|Absenden|Envoyer|Enviar|Invia|Enviar|Verzenden|Wyślij|发送|送信"),
        ("delete", "Delete|Löschen|Supprimer|Eliminar|Elimina|Excluir|Verwijderen|Usuń|删除|削除"),
        ("publish", "Publish|Veröffentlichen|Publier|Publicar|Pubblica|Publicar|Publiceren|Opublikuj|发布|投稿"),
        ("grant", "Allow|Zulassen|Autoriser|Permitir|Consenti|Permitir|Toestaan|Zezwól|允许|許可"),
        (
            "install",
            "Install|Installieren|Installer|Instalar|Installa|Instalar|Installeren|Zainstaluj|安装|インストール",
        ),
    ],
)
def test_effect_words_in_ten_languages(word_set: str, labels: str) -> None:
    assert len(labels.split("|")) == len(LANGUAGES)
    for label in labels.split("|"):
        for spelling in (label, label.upper(), f"  {label}…", f"➜ {label}!"):
            assert has_word(spelling, [word_set]) == word_set, spelling


@pytest.mark.parametrize("label", ["Pa\u200by", "P a y", "Рау", "ｐａｙ", "PAY\u00ad", "buy_now", "pay!€5"])
def test_disguised_words_are_recognized(label: str) -> None:
    assert has_word(label, ["pay"]) == "pay"


@pytest.mark.parametrize(
    "label", ["Paypal settings", "Display", "payload", "Sender", "Deleted items", "Postal code", ""]
)
def test_parts_of_words_do_not_match(label: str) -> None:
    assert has_word(label, ["pay", "send", "delete", "publish"]) == ""


# layers


def test_layers_are_read_and_narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deny = "[[rules]]\nname = '{}'\neffect = '{}'\nverbs = ['{}']\n"
    paths = {name: tmp_path / f"{name}.toml" for name in ("org", "named", "user", "task")}
    for (name, path), verb in zip(paths.items(), ("click", "back", "scroll", "type"), strict=True):
        path.write_text(deny.format(name, "deny", verb))
    project = tmp_path / ".pixelhand" / "policy.toml"
    project.parent.mkdir()
    project.write_text(deny.format("project", "ask", "open") + "[[rules]]\nname = 'x'\neffect = 'allow'\n")
    policy = load_safety_policy(
        str(paths["task"]),
        environment={"PIXELHAND_ORG_POLICY": str(paths["named"])},
        org=paths["org"],
        user=paths["user"],
    )
    assert [layer.name for layer in policy.layers] == [
        "organisation",
        "organisation",
        "user",
        "project",
        "task",
        "preset",
    ]
    rules = {
        action.verb: policy.decide(on_page(action))
        for action in (CLICK, Back(), Scroll(down=1), TYPE, Open(target="a.org"))
    }
    assert {verb: (decision.rule, decision.layer) for verb, decision in rules.items()} == {
        "click": ("org", "organisation"),
        "back": ("named", "organisation"),
        "scroll": ("user", "user"),
        "type": ("task", "task"),
        "open": ("project", "project"),
    }


def test_limits_of_layers_take_the_lowest(tmp_path: Path) -> None:
    user, task = tmp_path / "user.toml", tmp_path / "task.toml"
    user.write_text("[limits]\nsteps = 5\nrefusals = 99\n")
    task.write_text("preset = 'sandbox'\n[limits]\nsteps = 50\n")
    policy = load_safety_policy(str(task), user=user)
    assert (policy.limits.steps, policy.limits.refusals) == (5, 20)
    assert policy.limit_source("steps") == str(user)


def test_hash_changes_with_content_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text("preset = 'sandbox'")
    second.write_text("preset = 'sandbox'  # a comment")
    hashes = [load_safety_policy(str(path)).sha256 for path in (first, second)]
    second.write_text("preset = 'sandbox'\n[limits]\nsteps = 1")
    assert hashes[0] == hashes[1] != load_safety_policy(str(second)).sha256


EFFECTS = st.sampled_from(["deny", "ask", "allow"])
RULES = st.builds(
    lambda effect, keys: f"[[rules]]\nname = 'r'\neffect = '{effect}'\n" + "\n".join(keys),
    EFFECTS,
    st.lists(
        st.sampled_from(
            [
                "verbs = ['click']",
                "hosts = ['shop.test']",
                "words = ['pay']",
                "screen = 'own'",
                "roles = ['button']",
                "target = 'other'",
                "fields = ['any']",
                "hosts = []",
            ]
        ),
        max_size=3,
        unique_by=lambda key: key.partition(" ")[0],
    ),
)
FILES = st.builds(
    lambda default, lists, rules: "\n".join([default, *rules, lists]),
    st.sampled_from(["", "default = 'allow'", "default = 'ask'", "default = 'deny'", "unattended = true"]),
    st.sampled_from(["", "[allow]\nhosts = ['shop.test']", "[allow]\nverbs = ['click']", "[allow]\napps = []"]),
    st.lists(RULES, max_size=3),
)
PROPOSALS = st.sampled_from(
    [
        on_page(CLICK, PAY),
        on_page(CLICK, LINK),
        on_page(CLICK, BUTTON, own=True),
        on_page(TYPE, focus=FIELD),
        on_page(ENTER, focus=replace(FIELD, target="https://evil.test")),
        Proposal(Open(target="a.org"), "browser", False),
        Proposal(CLICK, "desktop", True),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FILES, min_size=1, max_size=3), FILES, st.sampled_from(PRESETS), PROPOSALS)
def test_another_layer_never_allows_more(files: list[str], added: str, preset: str, proposal: Proposal) -> None:
    layers = [PolicyLayer("user", f"{n}", parse_policy(text, "f")) for n, text in enumerate(files)]
    layers.append(PolicyLayer("preset", preset, load_preset(preset)))
    without = SafetyPolicy(tuple(layers)).decide(proposal).effect
    for place in range(len(layers) + 1):
        more = [*layers[:place], PolicyLayer("project", "added", parse_policy(added, "added")), *layers[place:]]
        with_added: Effect = SafetyPolicy(tuple(more)).decide(proposal).effect
        assert SEVERITY[with_added] >= SEVERITY[without]


# files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "unknown key 'x'"),
        ("[allow]\nhost = []", "unknown key 'allow.host'.*'hosts'"),
        ("[[rules]]\nname = 'a'\neffect = 'ask'\nverb = ['click']", r"'rules\[1\].verb'.*'verbs'"),
        ("[[rules]]\nname = 'a'\neffect = 'perhaps'", r"'rules\[1\].effect'"),
        ("[[rules]]\neffect = 'ask'", r"'rules\[1\].name' is missing"),
        ("[[rules]]\nname = 'a'\neffect = 'ask'\nwords = ['buy']", "set of words"),
        ("[[rules]]\nname = 'a'\neffect = 'ask'\nkeys = ['ctl+x']", "Did you mean 'ctrl'"),
        ("[[rules]]\nname = 'a'\neffect = 'ask'\nhosts = ['https://a.org/']", "HOST"),
        ("[[rules]]\nname = 'a'\neffect = 'ask'\nlabels = ['(a']", "regular expression"),
        ("[[rules]]\nname = 'a'\neffect = 'ask'\nverbs = 'click'", "array|list"),
        ("[limits]\nsteps = -1", "'limits.steps'"),
        ("[limits]\nsteps = true", "'limits.steps'"),
        ("[limits]\nminutes = nan", "'limits.minutes'"),
        ("version = 2", "'version'"),
        ("preset = 'careful'", "unknown preset"),
        ("= 1", "not valid TOML"),
        ("a = " + "[" * 5000, "TOML|deep"),
    ],
)
def test_invalid_file_names_the_place(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_policy_file(path)
    assert "Traceback" not in str(caught.value)


def test_named_file_must_exist_and_be_regular(tmp_path: Path) -> None:
    (tmp_path / "link.toml").symlink_to(tmp_path / "gone.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * 2_000_000)
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    for name in ("gone.toml", "link.toml", "big.toml", "latin.toml", "endless.toml", "."):
        with pytest.raises(UsageError, match="nothing is run"):
            load_safety_policy(str(tmp_path / name))
        if name not in ("gone.toml", "."):
            with pytest.raises(UsageError, match="nothing is run"):
                load_safety_policy(user=tmp_path / name)
    with pytest.raises(UsageError, match="does not exist"):
        load_safety_policy(environment={"PIXELHAND_ORG_POLICY": str(tmp_path / "gone.toml")})
    with pytest.raises(UsageError, match="Did you mean 'cautious'"):
        load_safety_policy("cautios")


def test_page_lists_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "safety.md").read_text(encoding="utf-8")
    for model in (PolicyRule, Limits, AllowLists):
        for key in model.model_fields:
            assert f"`{key}`" in page or f"{key} = " in page, key
    for preset in PRESETS:
        assert f"| `{preset}` |" in page
