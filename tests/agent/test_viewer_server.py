"""Who may reach the viewer, which commands it accepts, and what it tells about a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from helpers.agent_fakes import ButtonSurface
from helpers.eventually import eventually
from helpers.viewer_page import MessageDisplay

from actions import InvalidActionError, Reply, UsageError, parse_action
from agent.config import Settings
from agent.interaction import open_interaction, require_viewer
from agent.run_control import RunControl
from agent.safety.approval import ApprovalRequest
from agent.viewer.commands import OWN_SCREEN_COMMANDS, CommandRunner
from agent.viewer.questions import ViewerPerson
from agent.viewer.server import MAX_COMMAND_BYTES, ViewerServer
from agent.viewer.state import ViewerState

CLICK = parse_action({"verb": "click", "x": 1, "y": 2})


class Served:
    """A viewer of a run that nothing happens in."""

    def __init__(self, server: ViewerServer, control: RunControl) -> None:
        self.server, self.control = server, control
        self.token = server.url.partition("#")[2]
        self.base = f"http://127.0.0.1:{server.port}"

    def headers(self, **changes: str | None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.token}", "Origin": self.base}
        merged = {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return {name: value for name, value in merged.items() if value is not None}

    def send(self, data: Any, **headers: str | None) -> httpx.Response:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return httpx.post(f"{self.base}/commands", content=body, headers=self.headers(**headers), timeout=30)


@pytest.fixture
def served() -> Iterator[Served]:
    control = RunControl()
    person = ViewerPerson(control)
    with ViewerServer(ViewerState(control, person), CommandRunner(control, person)) as server:
        yield Served(server, control)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic x"}, 401),
        ({"Origin": None}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_foreign_requests_are_refused(served: Served, headers: dict[str, str | None], status: int) -> None:
    assert served.send({"name": "pause"}, **headers).status_code == status
    assert served.control.mode == ("paused" if status == 200 else "running")


@pytest.mark.parametrize("path", ["/events", "/screens/0123456789abcdef", "/commands", "/unknown"])
def test_nothing_of_run_without_token(served: Served, path: str) -> None:
    assert httpx.get(served.base + path).status_code == 401


@pytest.mark.parametrize("path", ["/", "/viewer.js", "/viewer.css"])
def test_page_has_strict_headers(served: Served, path: str) -> None:
    response = httpx.get(served.base + path)
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in response.headers
    assert httpx.get(served.base + path, headers={"Host": "rebound.example"}).status_code == 403


def test_commands_change_nothing_by_get(served: Served) -> None:
    response = httpx.get(f"{served.base}/commands?name=stop", headers=served.headers())
    assert response.status_code == 405


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        {"name": "approve"},
        {"name": "pause", "extra": 1},
        {"name": "steer", "text": " "},
        {"name": "steer", "text": "x" * 2001},
        {"name": "act", "action": {"verb": "click", "x": 1, "y": 1}},  # nobody has taken over
        {"name": "act", "action": {"verb": "done"}},
        {"name": "act", "action": {"verb": "click", "x": "1"}},
        {"name": "answer", "question": 1, "answer": "yes"},
        {"name": "step"},
        {"name": "hand_back"},
        {"name": "stop"},  # the run has not begun
    ],
)
def test_invalid_commands_get_one_sentence(served: Served, data: Any) -> None:
    response = served.send(data)
    assert response.status_code == 409
    assert response.json()["error"]


def test_long_command_is_refused(served: Served) -> None:
    assert served.send(b" " * (MAX_COMMAND_BYTES + 1)).status_code == 413


def test_screens_outside_of_run_are_missing(served: Served) -> None:
    for name in ("0123456789abcdef", "..%2f..%2fmanifest", "%2e%2e"):
        response = httpx.get(f"{served.base}/screens/{name}", headers=served.headers())
        assert response.status_code == 404


def test_answer_to_earlier_question_does_not_count() -> None:
    control = RunControl()
    person = ViewerPerson(control)
    lines: list[str] = []
    request = ApprovalRequest("click (1, 2)", None, CLICK, can_approve_kind=False)  # type: ignore[arg-type]
    thread = threading.Thread(target=lambda: lines.extend([person.approve(request), person.approve(request)]))
    thread.start()
    first = eventually(lambda: person.question)
    with pytest.raises(UsageError, match="no answer"):
        person.answer(first.number, "always")
    person.answer(first.number, "no", "s")
    with pytest.raises(UsageError, match="not asked any more"):
        person.answer(first.number, "yes")
    second = eventually(lambda: person.question if person.question is not first else None)
    person.answer(second.number, "take over")
    thread.join(30)
    assert lines == ["n s", "t"]
    assert control.mode == "taken over"


@pytest.mark.parametrize("name", ["answer", "take_over", "steer", "act", "step"])
def test_own_screen_accepts_no_decisions(name: str) -> None:
    control = RunControl()
    run_command = CommandRunner(control, None, OWN_SCREEN_COMMANDS)
    arguments = {"steer": {"text": "x"}, "answer": {"question": 1, "answer": "yes"}, "act": {"action": {}}}
    with pytest.raises(UsageError, match="own screen"):
        run_command(json.dumps({"name": name, **arguments.get(name, {})}).encode())
    assert control.mode == "running"


def test_own_desktop_is_asked_in_terminal() -> None:
    display = MessageDisplay()
    with open_interaction(display, Settings(surface="desktop"), view=True) as user:
        assert not isinstance(user.person, ViewerPerson)
        assert user.blocked_ports


def test_without_view_nothing_is_served() -> None:
    display = MessageDisplay()
    with open_interaction(display, Settings(), view=False) as user:
        assert (user.display, user.control, user.blocked_ports) == (display, None, frozenset())


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from agent import interaction

    monkeypatch.setattr(interaction, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pixelhand\\[serve\\]"):
        require_viewer()


def test_state_follows_step() -> None:
    state, screen = ViewerState(), ButtonSurface().capture()
    state({"event": "begin", "run": "/nowhere/run", "model": "m", "where": "w"})
    state({"event": "start", "goal": "g\x1b[2J", "max_steps": 3, "screen": screen, "note": "", "seed": None})
    state.on_text("I click")
    assert state.snapshot()["reply"] == "I click"
    localization = {"x": 1, "y": 2, "probability": 0.75}
    reply = Reply("click", localizations=(localization,), uncertainty="two places")
    state({"event": "reply", "step": 1, "screen": screen, "reply": reply})
    state({"event": "act.intent", "step": 1, "call": None, "action": CLICK})
    snapshot = state.snapshot()
    assert snapshot["mark"] == {"verb": "click", "points": [[1, 2]]}
    assert snapshot["confidence"] == {"probabilities": [0.75], "uncertainty": "two places"}
    assert "\x1b" not in json.dumps(snapshot, ensure_ascii=False)
    image = state.image(screen.digest)
    assert image is not None
    assert image.startswith(b"\x89PNG")


def test_actions_of_person_are_validated() -> None:
    control = RunControl()
    control.take_over()
    run_command = CommandRunner(control, None)
    with pytest.raises(InvalidActionError):
        run_command(b'{"name": "act", "action": {"verb": "press", "keys": ["no such key"]}}')
    run_command(b'{"name": "act", "action": {"verb": "press", "keys": ["enter"]}}')
    action = control.pop_action()
    assert action is not None
    assert action.verb == "press"
