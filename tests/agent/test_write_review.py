"""The questions about held requests in a whole run, on a fake surface that holds one request per click."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, DONE, MISS, ButtonSurface, FakeEnv

from actions import Action
from actions.held_writes import HeldWrite, WriteOutcome
from agent import config
from agent.config import Settings
from agent.loop import Episode, run
from agent.policies.scripted import ScriptPolicy
from agent.safety.approval import ApprovalRequest, WriteRequest
from agent.session import install_guard, safety_policy, surface_options
from agent.trace import TraceWriter, new_folder, read_trace
from agent.ui.display import JsonDisplay, TextDisplay
from agent.ui.run_report import format_run

ASK = '{"verb": "ask", "question": "may it be sent?"}'


class HoldingSurface(ButtonSurface):
    """A surface on which each click makes a request that is held.

    Args:
        kind: What sends the requests; a beacon is not awaited.
    """

    holds_writes = True

    def __init__(self, kind: str = "form") -> None:
        super().__init__()
        self.kind = kind
        self.held: dict[int, HeldWrite] = {}
        self.sent: list[int] = []
        self.dropped: list[int] = []
        self.alike = False

    def perform(self, action: Action) -> str:
        if action.verb == "click":
            number = len(self.held) + len(self.sent) + len(self.dropped) + 1
            is_awaited = self.kind != "beacon"
            self.held[number] = HeldWrite(
                number,
                "POST",
                f"http://shop.test/order/{number}",
                "shop.test",
                self.kind,
                "application/json",
                17,
                '{"item": "geheimnis"}',
                "http://shop.test",
                is_awaited,
            )
        return super().perform(action)

    def held_writes(self) -> tuple[HeldWrite, ...]:
        return tuple(self.held.values())

    def send_writes(self, numbers: Sequence[int], *, alike: bool = False) -> tuple[WriteOutcome, ...]:
        self.alike = alike
        self.sent += numbers
        return tuple(WriteOutcome(self.held.pop(number), "sent", "201") for number in numbers)

    def drop_writes(self, numbers: Sequence[int]) -> tuple[WriteOutcome, ...]:
        self.dropped += numbers
        return tuple(WriteOutcome(self.held.pop(number), "dropped") for number in numbers)

    def pop_write_outcomes(self) -> tuple[WriteOutcome, ...]:
        return ()


class ScriptedReviewer:
    """A person who answers questions about held requests from a list, and raises EOFError after it."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.requests: list[WriteRequest] = []

    def review_writes(self, request: WriteRequest) -> str:
        self.requests.append(request)
        if not self.answers:
            raise EOFError
        answer = self.answers.pop(0)
        if answer == "^C":
            raise KeyboardInterrupt
        return answer

    def approve(self, request: ApprovalRequest) -> str:
        raise EOFError

    def paused(self, reason: str) -> str:
        raise EOFError


def run_holding(
    folder: Path,
    person: ScriptedReviewer | None,
    *replies: str,
    kind: str = "form",
    on_event: Callable[..., None] | None = None,
    ask: Callable[[str], str] | None = None,
) -> tuple[Episode, HoldingSurface]:
    """Run a script on a holding surface, with a trace in `folder`."""
    env = FakeEnv(task=False)
    env.surface = surface = HoldingSurface(kind)
    manifest = {"goal": "go", "policy": {"model": "script", "fingerprint": "0"}}
    writer = TraceWriter(folder, {**manifest, "surface": "fake", "url": "", "seed": None})

    def record(event: str, **facts: object) -> None:
        writer.write(event, **facts)
        if on_event is not None:
            on_event({"event": event, **facts})

    install_guard(env, safety_policy(Settings(policy="sandbox")), folder, record, person)
    policy = ScriptPolicy(replies)
    episode = run("", env, policy, max_steps=len(replies), trace=writer, on_event=on_event, ask=ask)
    writer.close()
    return episode, surface


def events_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return [dict(event) for event in read_trace(folder).events if event["event"] == name]


@pytest.mark.parametrize(("answer", "alike"), [("y", False), (" YES ", False), ("a", True)])
def test_approved_request_is_sent(tmp_path: Path, answer: str, alike: bool) -> None:
    folder, person = new_folder(tmp_path), ScriptedReviewer(answer)
    episode, surface = run_holding(folder, person, CLICK, DONE)
    assert (surface.sent, surface.dropped, surface.alike) == ([1], [], alike)
    assert len(person.requests) == 1
    assert "the server answered 201" in episode.steps[0].notice
    assert [event["writes"][0]["number"] for event in events_of(folder, "writes.held")] == [1]
    assert [event["results"][0]["status"] for event in events_of(folder, "writes.result")] == ["sent"]
    names = [event["event"] for event in read_trace(folder).events if event["event"].startswith("writes")]
    assert names == ["writes.held", "writes.answer", "writes.result", "writes.note"]
    assert read_trace(folder).steps()[0].notice == episode.steps[0].notice


@pytest.mark.parametrize(("answer", "reason"), [("n", ""), ("buy the blue one", "buy the blue one")])
def test_refused_request_is_dropped(tmp_path: Path, answer: str, reason: str) -> None:
    folder = new_folder(tmp_path)
    episode, surface = run_holding(folder, ScriptedReviewer(answer), CLICK, MISS, DONE)
    assert surface.sent == []
    assert surface.dropped == [1, 2]
    assert "did not let this be sent" in episode.steps[0].notice
    assert reason in episode.steps[0].notice
    assert events_of(folder, "writes.answer")[0]["reason"] == reason


def test_held_requests_are_asked_about_at_end(tmp_path: Path) -> None:
    person = ScriptedReviewer("h", "hold on", "y")
    episode, surface = run_holding(new_folder(tmp_path), person, CLICK, CLICK, DONE)
    assert [request.is_final for request in person.requests] == [False, False, True]
    assert [sorted(request.new_numbers) for request in person.requests] == [[1], [2], []]
    assert "held until you ask" in episode.steps[0].notice
    assert surface.sent == [1, 2]
    assert episode.status == "success"


def test_question_of_model_shows_held_requests_again(tmp_path: Path) -> None:
    person = ScriptedReviewer("h", "y")
    episode, surface = run_holding(new_folder(tmp_path), person, CLICK, ASK, DONE, ask=lambda question: "yes")
    assert surface.sent == [1]
    assert "the server answered" in episode.steps[1].notice


@pytest.mark.parametrize("person", [None, ScriptedReviewer()])
def test_unattended_requests_are_dropped_at_end(tmp_path: Path, person: ScriptedReviewer | None) -> None:
    folder = new_folder(tmp_path)
    episode, surface = run_holding(folder, person, CLICK, DONE)
    assert (surface.sent, surface.dropped) == ([], [1])
    assert "Nobody can be asked" in episode.steps[0].notice
    assert {event["answer"] for event in events_of(folder, "writes.answer")} == {"nobody"}
    assert events_of(folder, "writes.result")[0]["results"][0]["status"] == "dropped"


@pytest.mark.parametrize("answer", ["s", "^C"])
def test_stopped_run_drops_held_requests(tmp_path: Path, answer: str) -> None:
    folder = new_folder(tmp_path)
    episode, surface = run_holding(folder, ScriptedReviewer(answer), CLICK, DONE)
    assert (episode.status, episode.cause, len(episode.steps)) == ("stopped", "interrupted", 1)
    assert (surface.sent, surface.dropped) == ([], [1])
    assert read_trace(folder).pending_action is None


def test_interrupt_at_end_drops_held_requests(tmp_path: Path) -> None:
    episode, surface = run_holding(new_folder(tmp_path), ScriptedReviewer("h", "^C"), CLICK, DONE)
    assert (surface.sent, surface.dropped) == ([], [1])
    assert episode.status == "success"


def test_beacon_raises_no_question_of_its_own(tmp_path: Path) -> None:
    person = ScriptedReviewer("n")
    episode, surface = run_holding(new_folder(tmp_path), person, CLICK, DONE, kind="beacon")
    assert [request.is_final for request in person.requests] == [True]
    assert surface.dropped == [1]
    assert episode.steps[0].notice == ""


def test_blank_answer_asks_again(tmp_path: Path) -> None:
    person = ScriptedReviewer("", "  ", "y")
    _, surface = run_holding(new_folder(tmp_path), person, CLICK, DONE)
    assert surface.sent == [1]


def test_protected_text_is_masked_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.safety.redaction import EventRedactor

    added = EventRedactor.__init__

    def with_secret(self: EventRedactor) -> None:
        added(self)
        self.add("geheimnis")

    monkeypatch.setattr(EventRedactor, "__init__", with_secret)
    folder, person = new_folder(tmp_path), ScriptedReviewer("y")
    run_holding(folder, person, CLICK, DONE)
    assert "geheimnis" not in person.requests[0].writes[0].preview
    assert "geheimnis" not in (folder / "steps.jsonl").read_text()


def test_run_report_shows_held_requests(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    run_holding(folder, ScriptedReviewer("y", "n"), CLICK, CLICK, DONE)
    text = format_run(tmp_path, folder.name)
    assert "POST http://shop.test/order/1" in text
    assert "sent, the server answered 201" in text
    assert "dropped, not sent" in text
    assert '{"item": "geheimnis"}' in text


def test_text_display_asks_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    answers = iter(["h", "y"])
    monkeypatch.setattr("agent.ui.display._read_fresh_line", lambda prompt: next(answers))
    with TextDisplay(out) as display:
        run_holding(new_folder(tmp_path), display, CLICK, DONE, on_event=display)  # type: ignore[arg-type]
    text = out.getvalue()
    assert "1 request waits to be sent" in text
    assert "the run is over" in text
    assert "application/json, 17 bytes" in text
    assert "h: hold on" in text
    assert "sent, the server answered 201" in text


def test_json_display_reports_held_requests(tmp_path: Path) -> None:
    class OpenStream(io.StringIO):
        def close(self) -> None:
            self.text = self.getvalue()

    stream = OpenStream()
    with JsonDisplay(stream) as display:
        run_holding(new_folder(tmp_path), None, CLICK, DONE, on_event=display)
    events = [json.loads(line)["event"] for line in stream.text.splitlines()]
    assert events == ["start", "step", "writes.held", "writes.answer", "step", "writes.answer", "writes.result", "end"]


def test_project_cannot_switch_holding_off(tmp_path: Path) -> None:
    user, project = tmp_path / "config.toml", tmp_path / "pixelhand.toml"
    user.write_text("hold_writes = true")
    project.write_text("hold_writes = false")
    with pytest.raises(config.UsageError, match="hold_writes"):
        config.load({}, environment={}, user=user, project=project)
    project.write_text("")
    assert surface_options(config.load({}, environment={}, user=user, project=project)).hold_writes
