"""The guard with facts: what is held when the screen changes, what answers cover, and what is counted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from helpers.facts_surface import CANCEL, LINK, PASSWORD, PAY, SEARCH, FactsSurface, PixelSurface

from actions import (
    Action,
    ActionDeniedError,
    ActionRejectedError,
    Click,
    Open,
    PressKeys,
    RunStoppedError,
    Screen,
    TypeText,
    dispatch,
)
from actions.facts import ElementFacts
from agent.config import Settings
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.safety.approval import ApprovalRequest
from agent.safety.guard import ActionGuard
from agent.safety.policy import PolicyLayer, SafetyPolicy, load_preset, load_safety_policy, parse_policy
from agent.session import install_guard, manifest
from agent.trace import TraceWriter, new_folder, read_trace
from envs.live import LiveEnv
from envs.stability import SettleOptions

CLICK = Click(x=150, y=125)
TYPE = TypeText(text="hello")
ASK_ALL = "[[rules]]\nname = 'all'\neffect = 'ask'\n"


class Person:
    """Answers from a list; `on_question` is called at each question, before the answer."""

    def __init__(self, *answers: str, on_question: Callable[[], object] = lambda: None) -> None:
        self.answers, self.on_question = list(answers), on_question
        self.requests: list[ApprovalRequest] = []
        self.pauses: list[str] = []

    def approve(self, request: ApprovalRequest) -> str:
        self.requests.append(request)
        self.on_question()
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def paused(self, reason: str) -> str:
        self.pauses.append(reason)
        return ""


class Bench:
    """A guard on a surface, and the events that it emits."""

    def __init__(
        self,
        surface: FactsSurface,
        folder: Path,
        person: Person | None = None,
        policy: str = "",
        preset: str = "cautious",
    ) -> None:
        layers = [PolicyLayer("user", "user.toml", parse_policy(policy, "user.toml"))]
        layers.append(PolicyLayer("preset", preset, load_preset(preset)))
        self.surface, self.events = surface, list[tuple[str, dict[str, Any]]]()
        self.guard = ActionGuard(SafetyPolicy(tuple(layers)), surface, folder, self.record, person=person)
        self.screen: Screen = surface.capture()

    def record(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))

    def do(self, action: Action, screen: Screen | None = None) -> str:
        return dispatch(action, self.surface, screen or self.screen, self.guard)

    def decisions(self) -> list[tuple[str, str]]:
        return [(facts["effect"], facts["rule"]) for event, facts in self.events if event == "decision"]


def swap_text(surface: FactsSurface) -> None:
    surface.elements = {(100, 100, 200, 150): replace(CANCEL, label="Pay")}


def swap_element(surface: FactsSurface) -> None:
    surface.elements = {(100, 100, 200, 150): replace(CANCEL, identity="other")}


def lay_overlay(surface: FactsSurface) -> None:
    surface.elements = {**surface.elements, (0, 0, 400, 300): ElementFacts(role="", identity="overlay")}


def shift(surface: FactsSurface) -> None:
    surface.elements = {(100, 160, 200, 210): CANCEL, (100, 100, 200, 150): PAY}


def navigate(surface: FactsSurface) -> None:
    surface.state = replace(surface.state, document="d2", url="https://shop.test/other")


def reload(surface: FactsSurface) -> None:
    surface.state = replace(surface.state, document="d3")


def move_focus(surface: FactsSurface) -> None:
    surface.state = replace(surface.state, focus=replace(SEARCH, identity="stolen"))


def raise_window(surface: FactsSurface) -> None:
    surface.state = replace(surface.state, window="Terminal", app="xterm", pid=77)


def rotate(surface: FactsSurface) -> None:
    surface.size = (400, 300)


SWAPS = [swap_text, swap_element, lay_overlay, shift, navigate, reload, move_focus, raise_window, rotate]


def action_of(swap: Callable[[FactsSurface], None]) -> Action:
    return TYPE if swap is move_focus else CLICK


# what was seen and what is there agree


@pytest.mark.parametrize("swap", SWAPS)
def test_swap_during_question_is_not_done(swap: Callable[[FactsSurface], None], tmp_path: Path) -> None:
    surface = FactsSurface()
    bench = Bench(surface, tmp_path, Person("y", on_question=lambda: swap(surface)), ASK_ALL)
    with pytest.raises(ActionRejectedError, match="look again"):
        bench.do(action_of(swap))
    assert surface.performed == []


@pytest.mark.parametrize("swap", SWAPS)
def test_swap_between_look_and_act_is_not_done(swap: Callable[[FactsSurface], None], tmp_path: Path) -> None:
    surface = FactsSurface()
    bench = Bench(surface, tmp_path)
    swap(surface)
    with pytest.raises(ActionRejectedError, match="look again"):
        bench.do(action_of(swap))
    assert surface.performed == []
    assert bench.decisions() == [("deny", "unchanged")]


@pytest.mark.parametrize("swap", [swap_text, shift, rotate])
@pytest.mark.parametrize("policy", ["", ASK_ALL])
def test_swap_is_seen_in_pixels_without_facts(
    swap: Callable[[FactsSurface], None], policy: str, tmp_path: Path
) -> None:
    surface = PixelSurface()
    bench = Bench(surface, tmp_path, Person("y", on_question=lambda: swap(surface)), policy)
    if not policy:
        swap(surface)
    with pytest.raises(ActionRejectedError, match="look again"):
        bench.do(CLICK)
    assert surface.performed == []


def test_unchanged_screen_is_acted_on(tmp_path: Path) -> None:
    for surface in (FactsSurface(), PixelSurface()):
        bench = Bench(surface, tmp_path, Person("y"), ASK_ALL)
        bench.do(CLICK)
        assert surface.performed == [CLICK]


def test_change_after_second_look_is_not_done(tmp_path: Path) -> None:
    """The last facts are taken after the pixels, so a change during the capture counts."""
    surface = FactsSurface()
    bench = Bench(surface, tmp_path, Person("y"), ASK_ALL)
    capture = surface.capture

    def capture_and_swap() -> Screen:
        screen = capture()
        swap_element(surface)
        return screen

    surface.capture = capture_and_swap  # type: ignore[method-assign]
    with pytest.raises(ActionRejectedError):
        bench.do(CLICK)
    assert surface.performed == []


# answers


def test_answer_after_time_limit_is_void(tmp_path: Path) -> None:
    surface = FactsSurface()
    policy = ASK_ALL + "[limits]\napproval_seconds = 0.01\n"
    bench = Bench(surface, tmp_path, Person("y", on_question=lambda: time.sleep(0.05)), policy)
    with pytest.raises(ActionRejectedError, match="approval_seconds"):
        bench.do(CLICK)
    assert surface.performed == []


def test_approval_is_used_once(tmp_path: Path) -> None:
    person = Person("y", "no")
    bench = Bench(FactsSurface(), tmp_path, person, ASK_ALL)
    bench.do(CLICK)
    with pytest.raises(ActionRejectedError):
        bench.do(CLICK)
    assert len(person.requests) == 2


def test_kind_covers_same_verb_host_and_role(tmp_path: Path) -> None:
    surface = FactsSurface(
        {(100, 100, 200, 150): CANCEL, (0, 0, 50, 50): LINK, (50, 0, 99, 50): replace(CANCEL, label="Next")}
    )
    person = Person("a", "n", "n")
    bench = Bench(surface, tmp_path, person, ASK_ALL)
    bench.do(CLICK)
    bench.do(Click(x=60, y=20))
    assert len(person.requests) == 1, "another button of the same page"
    with pytest.raises(ActionRejectedError):
        bench.do(Click(x=20, y=20))
    surface.state = replace(surface.state, url="https://other.test/")
    with pytest.raises(ActionRejectedError):
        bench.do(CLICK, surface.capture())
    assert len(person.requests) == 3, "another role and another host are asked about"


@pytest.mark.parametrize(
    ("element", "action"), [(PAY, CLICK), (PASSWORD, TYPE), (replace(CANCEL, label="Löschen"), CLICK)]
)
def test_kind_never_covers_effects_and_secrets(element: ElementFacts, action: Action, tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): element})
    surface.state = replace(surface.state, focus=element)
    person = Person("a", "n")
    bench = Bench(surface, tmp_path, person, ASK_ALL, preset="sandbox")
    bench.do(action)
    with pytest.raises(ActionRejectedError):
        bench.do(action)
    assert len(person.requests) == 2
    assert not person.requests[0].can_approve_kind


def test_kind_of_harmless_control_does_not_cover_payment(tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): CANCEL, (0, 0, 50, 50): PAY})
    person = Person("a", "n")
    bench = Bench(surface, tmp_path, person, ASK_ALL)
    bench.do(CLICK)
    with pytest.raises(ActionRejectedError):
        bench.do(Click(x=20, y=20))
    assert len(person.requests) == 2


def test_edited_action_passes_the_guard_again(tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): CANCEL, (0, 0, 50, 50): PAY})
    person = Person("e 20 20", "y")
    bench = Bench(surface, tmp_path, person, ASK_ALL)
    notice = bench.do(CLICK)
    assert surface.performed == [Click(x=20, y=20)]
    assert "click (20, 20)" in notice
    assert '"Pay now"' in person.requests[1].description
    assert bench.decisions() == [("ask", "all"), ("ask", "effects")]


def test_edited_action_may_be_denied(tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): CANCEL, (0, 0, 50, 50): PAY})
    policy = ASK_ALL + "[[rules]]\nname = 'no-pay'\neffect = 'deny'\nwords = ['pay']\n"
    bench = Bench(surface, tmp_path, Person("e 20 20", "y"), policy)
    with pytest.raises(ActionDeniedError, match="no-pay"):
        bench.do(CLICK)
    assert surface.performed == []


@pytest.mark.parametrize("edit", ["e", "e 5", "e 9999 9999 1", 'e {"verb": "clik"}', "e {", "edit x y"])
def test_invalid_edit_is_asked_again(edit: str, tmp_path: Path) -> None:
    person = Person(edit, "n")
    with pytest.raises(ActionRejectedError):
        Bench(FactsSurface(), tmp_path, person, ASK_ALL).do(CLICK)
    assert len(person.requests) == 2
    assert person.requests[1].problem


@pytest.mark.parametrize(
    ("action", "answer", "performed"),
    [
        (TYPE, "e bye now", TypeText(text="bye now")),
        (PressKeys(keys=("enter",)), "e ctrl+s", PressKeys(keys=("ctrl", "s"))),
        (Open(target="https://a.test"), "edit https://shop.test/x", Open(target="https://shop.test/x")),
        (CLICK, 'e {"verb": "type", "text": "x"}', TypeText(text="x")),
    ],
)
def test_edits_of_each_kind(action: Action, answer: str, performed: Action, tmp_path: Path) -> None:
    surface = FactsSurface()
    Bench(surface, tmp_path, Person(answer, "y"), ASK_ALL).do(action)
    assert surface.performed == [performed]


def test_point_edited_off_screen_is_an_error(tmp_path: Path) -> None:
    surface = FactsSurface()
    with pytest.raises(Exception, match="outside the screen"):
        Bench(surface, tmp_path, Person("e 9999 5", "y"), ASK_ALL).do(CLICK)
    assert surface.performed == []


def test_take_over_pauses_and_looks_again(tmp_path: Path) -> None:
    surface, person = FactsSurface(), Person("t")
    bench = Bench(surface, tmp_path, person, ASK_ALL)
    with pytest.raises(ActionRejectedError, match="took over"):
        bench.do(CLICK)
    assert (len(person.pauses), surface.performed) == (1, [])
    assert [event for event, _ in bench.events] == ["decision", "approval", "paused"]


@pytest.mark.parametrize(
    "answer",
    ["yes please", "y y", "\x1b[A y", "ja", "Y\x00", "1", "ok", "а", "n", "yy", "always yes", "{}", "e" * 5000],
)
def test_only_exact_answers_approve(answer: str, tmp_path: Path) -> None:
    surface = FactsSurface()
    with pytest.raises(ActionRejectedError):
        Bench(surface, tmp_path, Person(answer), ASK_ALL).do(CLICK)
    assert surface.performed == []


def test_nobody_to_ask_stops_the_run(tmp_path: Path) -> None:
    for person in (None, Person()):
        surface = FactsSurface({(100, 100, 200, 150): PAY})
        with pytest.raises(RunStoppedError, match="effects"):
            Bench(surface, tmp_path, person).do(CLICK)
        assert surface.performed == []


def test_unattended_denies_instead_of_asking(tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): PAY})
    bench = Bench(surface, tmp_path, Person("y"), preset="unattended")
    with pytest.raises(ActionDeniedError, match="effects") as caught:
        bench.do(CLICK)
    assert not isinstance(caught.value, RunStoppedError)
    assert surface.performed == []


# limits


def repeat(bench: Bench, *actions: Action) -> int:
    """Perform actions until one stops the run; return how many were performed."""
    for count, action in enumerate(actions):
        try:
            bench.do(action)
        except RunStoppedError:
            return count
    return len(actions)


@pytest.mark.parametrize(
    ("limit", "actions", "count"),
    [
        ("steps = 2", [CLICK, TYPE, CLICK, TYPE], 2),
        ("typed_chars = 12", [TYPE, TYPE, TYPE, TYPE], 2),
        ("repeats = 3", [CLICK] * 6, 3),
        ("new_hosts = 1", [Open(target="https://a.test"), Open(target="b.test"), Open(target="c.test")], 1),
        ("minutes = 0", [CLICK, TYPE], 0),
    ],
)
def test_limit_ends_the_run(limit: str, actions: list[Action], count: int, tmp_path: Path) -> None:
    bench = Bench(FactsSurface(), tmp_path, policy=f"[limits]\n{limit}\n", preset="sandbox")
    assert repeat(bench, *actions) == count
    name = limit.partition(" ")[0]
    with pytest.raises(RunStoppedError, match=f"limit '{name}'.*user.toml"):
        bench.do(actions[-1])
    assert len(bench.surface.performed) == count


def test_refusals_in_a_row_end_the_run(tmp_path: Path) -> None:
    policy = "[limits]\nrefusals = 3\n[[rules]]\nname = 'no'\neffect = 'deny'\nverbs = ['type']\n"
    bench = Bench(FactsSurface(), tmp_path, policy=policy, preset="sandbox")
    for action in (TYPE, TYPE, CLICK, TYPE, TYPE):
        try:
            bench.do(action)
        except ActionDeniedError as error:
            assert not isinstance(error, RunStoppedError)
    for action in (TYPE, CLICK):
        with pytest.raises(RunStoppedError, match="limit 'refusals'"):
            bench.do(action)


# records


def test_decision_records_rule_and_facts(tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): LINK})
    surface.state = replace(surface.state, url="https://user:pw@shop.test/cart")
    bench = Bench(surface, tmp_path)
    bench.do(CLICK)
    (event, facts) = bench.events[0]
    assert (event, facts["effect"], facts["rule"], facts["screen_owner"]) == ("decision", "allow", "default", "agent")
    assert facts["facts"]["elements"][0]["label"] == "News"
    assert facts["facts"]["url"] == "https://shop.test/cart"
    json.dumps(facts["facts"])


def test_text_for_password_field_is_masked(tmp_path: Path) -> None:
    surface = FactsSurface()
    surface.state = replace(surface.state, focus=PASSWORD)
    bench = Bench(surface, tmp_path, Person("y"))
    secret = TypeText(text="hunter2-PASSWORD")
    bench.guard.protect([secret])
    bench.do(secret)
    assert surface.performed == [secret]
    recorded = str(bench.events) + str(bench.guard.redact({"prompt": 'you typed "hunter2-PASSWORD"', "action": secret}))
    assert "hunter2" not in recorded
    assert "•••" in recorded


def test_text_after_click_on_password_is_masked(tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): PASSWORD})
    surface.state = replace(surface.state, focus=SEARCH)
    bench = Bench(surface, tmp_path)
    bench.guard.protect([CLICK, TypeText(text="hunter2")])
    assert bench.guard.redact({"reply": "type hunter2"}) == {"reply": "type •••"}


def test_text_after_tab_is_masked(tmp_path: Path) -> None:
    surface = FactsSurface()
    surface.state = replace(surface.state, focus=SEARCH)
    bench = Bench(surface, tmp_path)
    bench.do(TypeText(text="alice\thunter2"))
    assert "hunter2" not in str(bench.events)


def test_other_text_is_not_masked(tmp_path: Path) -> None:
    surface = FactsSurface()
    surface.state = replace(surface.state, focus=SEARCH)
    bench = Bench(surface, tmp_path)
    bench.guard.protect([TYPE])
    bench.do(TYPE)
    assert bench.guard.redact({"action": TYPE}) == {"action": TYPE}


def test_password_is_in_no_byte_of_a_run(tmp_path: Path) -> None:
    surface = FactsSurface({(100, 100, 200, 150): PASSWORD})
    surface.state = replace(surface.state, focus=PASSWORD)
    folder = new_folder(tmp_path)
    writer = TraceWriter(folder, {"goal": "log in", "policy": {}})
    env = LiveEnv(surface, settle=SettleOptions(0.0, 0.0, 0.0, 0.0))
    install_guard(env, load_safety_policy("sandbox"), folder, writer.write, None)
    secret = 'hün"ter\\2 PASSWORD'
    replies = [json.dumps({"verb": "type", "text": secret, "thought": f"the password is {secret}"}), '{"verb": "done"}']
    events: list[Any] = []
    run("log in", env, ScriptPolicy(replies), max_steps=3, trace=writer, on_event=events.append)
    writer.close()
    assert [action.text for action in surface.performed if isinstance(action, TypeText)] == [secret]
    spellings = [secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret))[3:-3], "PASSWORD", quote(secret)]
    data = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for spelling in spellings:
        assert spelling.encode() not in data
        assert spelling not in str(events)
    assert [event["action"]["text"] for event in read_trace(folder).finished if "text" in event["action"]] == ["•••"]


def test_manifest_has_hash_of_policy(tmp_path: Path) -> None:
    policy = load_safety_policy("cautious")
    assert manifest("g", Settings(), {}, policy)["safety_policy"]["sha256"] == policy.sha256  # type: ignore[index]
