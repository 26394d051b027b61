"""The MCP tools as the official client sees them, on a fake screen."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcp", reason="the package mcp is missing (extra [mcp])")

from helpers.agent_fakes import CLICK, DONE, MISS, FakeEnv
from helpers.mcp_tools import MCP_TOOLS
from mcp import Client
from PIL import Image

from actions import Action, ActionDeniedError, Reply, Screen, SurfaceError
from agent import trace, turn_executor
from agent.config import Settings
from agent.mcp import server
from agent.mcp.server import make_server
from agent.mcp.session import McpSession
from agent.policies.base import Policy
from agent.policies.scripted import ScriptPolicy
from agent.safety.url_policy import UrlGuard
from agent.see.results import Perceived, TextRegion

SETTINGS = Settings(model="script", surface="browser", url="http://127.0.0.1/", approve="never", max_steps=5, seed=3)
CLICK_CALL = {"action": {"verb": "click", "x": 5, "y": 5}}
ClientCalls = Callable[[Client], Coroutine[Any, Any, Any]]


class EndlessPolicy(ScriptPolicy):
    """A policy that generates text until it is stopped."""

    def __init__(self) -> None:
        super().__init__([MISS])
        self.is_thinking = threading.Event()
        self.on_text: Callable[[str], None] = lambda text: None

    def decide(self, *arguments: Any) -> Reply:
        self.is_thinking.set()
        while True:
            threading.Event().wait(0.01)
            self.on_text("so far")


@pytest.fixture
def env() -> FakeEnv:
    return FakeEnv()


def make_session(env: FakeEnv, *replies: str, policy: Policy | None = None) -> McpSession:
    def open_env(settings: Settings, guard: UrlGuard) -> FakeEnv:
        env.guard = guard
        return env

    loaded_policy = policy or ScriptPolicy(replies)
    settings = replace(SETTINGS, runs=os.environ["PIXELHAND_RUNS"])
    return McpSession(settings, open_env=open_env, open_policy=lambda settings, on_text: loaded_policy)


def call_tools(session: McpSession, client_calls: ClientCalls) -> Any:
    """Return what the client's calls return, and close the session."""

    async def connect_and_call() -> Any:
        async with Client(make_server(session)) as client:
            return await client_calls(client)

    try:
        return asyncio.run(connect_and_call())
    finally:
        session.close()


def call_act(session: McpSession, action: object) -> Any:
    return call_tools(session, lambda client: client.call_tool("act", {"action": action}))


def text_of(result: Any) -> str:
    return " ".join(part.text for part in result.content if part.type == "text")


def image_of(result: Any) -> np.ndarray:
    (data,) = [part.data for part in result.content if part.type == "image"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def read_traces(tmp_path: Path) -> list[trace.Trace]:
    root = tmp_path / "runs"
    return [trace.read_trace(root / run_id) for run_id in trace.list_runs(root)]


def test_tools_have_descriptions_and_schemas(env: FakeEnv) -> None:
    tools = {tool.name: tool for tool in call_tools(make_session(env), lambda client: client.list_tools()).tools}
    assert set(tools) == MCP_TOOLS
    assert all(tool.description for tool in tools.values())
    schema = json.dumps(tools["act"].input_schema)
    for verb in ("click", "press"):
        assert f'"{verb}"' in schema
    for verb in ("done", "ask"):
        assert f'"{verb}"' not in schema


def test_screenshot_and_act_are_traced(env: FakeEnv, tmp_path: Path) -> None:
    async def client_calls(client: Client) -> Any:
        before = await client.call_tool("screenshot", {})
        click = {"verb": "click", "x": 120, "y": 110}
        return before, await client.call_tool("act", {"action": click})

    before, after = call_tools(make_session(env), client_calls)
    assert "280x364" in text_of(before)
    assert image_of(before).shape == (364, 280, 3)
    assert not after.is_error
    assert "click (120, 110)" in text_of(after)
    assert "reward 1.0" in text_of(after)
    assert (image_of(after)[0, 0] == (0, 200, 0)).all()
    assert (image_of(before)[0, 0] != (0, 200, 0)).any()
    (run,) = read_traces(tmp_path)
    assert [event["event"] for event in run.events] == ["start", "reply", "act.intent", "decision", "act.result", "end"]
    assert run.check_frames() == 2
    assert run.manifest["policy"]["model"] == "mcp client"


def test_manifest_records_versions_and_platform(env: FakeEnv, tmp_path: Path) -> None:
    call_tools(make_session(env), lambda client: client.call_tool("screenshot", {}))
    (run,) = read_traces(tmp_path)
    assert run.manifest["platform"]
    assert "python" in run.manifest["versions"]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"verb": "click", "x": 999, "y": 5}, "outside the screen"),
        ({"verb": "drag", "path": [[1, 1], [2, 2]]}, "cannot 'drag'"),
        ({"verb": "open", "target": "file:///etc/passwd"}, "refused by the guard: rule 'schemes'"),
    ],
)
def test_rejected_action_returns_error(env: FakeEnv, action: dict[str, Any], message: str) -> None:
    result = call_act(make_session(env), action)
    assert result.is_error
    assert message in text_of(result)
    assert env.surface.performed == []


@pytest.mark.parametrize("action", [{"verb": "done"}, {"verb": "clik", "x": 1, "y": 2}, {"verb": "click", "x": "a"}])
def test_invalid_action_does_not_match_schema(env: FakeEnv, action: dict[str, Any]) -> None:
    assert call_act(make_session(env), action).is_error
    assert env.surface.performed == []


def test_every_action_passes_the_guard(env: FakeEnv) -> None:
    checked_verbs: list[str] = []

    class DenyingGuard(UrlGuard):
        def __call__(self, action: Action, screen: Screen) -> None:
            checked_verbs.append(action.verb)
            raise ActionDeniedError("rule 'none': nothing may be done")

    session = make_session(env)
    session._ensure_open()
    env.guard = DenyingGuard()
    result = call_act(session, {"verb": "wait", "seconds": 0})
    assert result.is_error
    assert "rule 'none'" in text_of(result)
    assert checked_verbs == ["wait"]


def test_task_runs_to_its_end(env: FakeEnv) -> None:
    async def client_calls(client: Client) -> Any:
        idle = await client.call_tool("status", {})
        return idle, await client.call_tool("run_task", {"goal": "press it", "wait_s": 30})

    idle, finished = call_tools(make_session(env, MISS, CLICK), client_calls)
    assert idle.structured_content == {"state": "idle"}
    status = finished.structured_content
    assert (status["state"], status["status"], status["reward"], status["steps"]) == ("finished", "success", 1.0, 2)
    assert status["last_action"] == "click (120, 110)"
    assert env.seeds == [3, 3]
    assert trace.read_trace(Path(status["run"])).status == "success"


def test_running_task_blocks_actions_and_stops(env: FakeEnv) -> None:
    policy = EndlessPolicy()

    async def client_calls(client: Client) -> Any:
        running = await client.call_tool("run_task", {"goal": "think", "wait_s": 0})
        await asyncio.to_thread(policy.is_thinking.wait, 30)
        screenshot = await client.call_tool("screenshot", {})
        act = await client.call_tool("act", CLICK_CALL)
        second_task = await client.call_tool("run_task", {"goal": "more", "wait_s": 0})
        return running, screenshot, act, second_task, await client.call_tool("stop", {})

    running, screenshot, act, second_task, stopped = call_tools(make_session(env, policy=policy), client_calls)
    assert running.structured_content["state"] == "running"
    assert image_of(screenshot).shape == (364, 280, 3)
    assert act.is_error
    assert "a task is running" in text_of(act)
    assert env.surface.performed == []
    assert second_task.is_error
    assert "a task is running already" in text_of(second_task)
    status = stopped.structured_content
    assert (status["state"], status["status"], status["cause"]) == ("finished", "stopped", "interrupted")


def test_actions_are_possible_after_task(env: FakeEnv) -> None:
    async def client_calls(client: Client) -> Any:
        await client.call_tool("run_task", {"goal": "press it", "wait_s": 30})
        return await client.call_tool("act", CLICK_CALL)

    result = call_tools(make_session(env, DONE), client_calls)
    assert not result.is_error
    assert len(env.surface.performed) == 1


def test_task_without_model_returns_error(env: FakeEnv) -> None:
    settings = Settings(surface="browser", url="http://127.0.0.1/", approve="never")
    session = McpSession(settings, open_env=lambda *_: env)
    status = call_tools(session, lambda client: client.call_tool("run_task", {"goal": "go"})).structured_content
    assert (status["state"], status["status"]) == ("finished", "error")
    assert "--model" in status["message"]


def test_closing_session_closes_screen(env: FakeEnv) -> None:
    call_tools(make_session(env), lambda client: client.call_tool("screenshot", {}))
    assert env.surface.closed


def test_failed_reset_is_retried_from_scratch(env: FakeEnv, tmp_path: Path) -> None:
    """A half opened screen must not be used."""
    reset, failures = env.reset, ["the page did not load"]

    def reset_failing_once(**options: Any) -> Any:
        if failures:
            raise SurfaceError(failures.pop())
        return reset(**options)

    env.reset = reset_failing_once  # type: ignore[method-assign]
    session = make_session(env)
    with pytest.raises(SurfaceError, match="did not load"):
        session.screenshot()
    assert env.surface.closed
    assert session._env is None
    assert session._trace is None
    session.screenshot()
    assert env.seeds == [3], "the page was set up the second time"
    session.close()
    assert sorted(run.status for run in read_traces(tmp_path)) == ["broken off", "stopped"]


def test_session_stops_acting_after_refusals(env: FakeEnv, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    rule = "name = 'no-text'\neffect = 'deny'\nverbs = ['type']\n"
    policy.write_text(f"preset = 'sandbox'\n[limits]\nrefusals = 3\n[[rules]]\n{rule}")
    session = make_session(env)
    session.settings = replace(session.settings, policy=str(policy), approve="")

    async def client_calls(client: Client) -> list[Any]:
        actions = [{"verb": "type", "text": "x"}] * 4 + [CLICK_CALL["action"]]
        return [await client.call_tool("act", {"action": action}) for action in actions]

    results = call_tools(session, client_calls)
    assert [result.is_error for result in results] == [True] * 5
    assert "rule 'no-text'" in text_of(results[0])
    for result in results[2:]:
        assert "limit 'refusals'" in text_of(result)
    assert env.surface.performed == []


@pytest.mark.parametrize("has_clock", [False, True])
def test_session_stops_acting_in_circles(
    env: FakeEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_clock: bool
) -> None:
    """Two clicks in turn lead nowhere; a clock on the screen is no progress."""
    monkeypatch.setattr(turn_executor, "WATCH_S", 0.0)
    policy = tmp_path / "policy.toml"
    policy.write_text("preset = 'sandbox'\n[limits]\nrepeats = 4\n")
    session = make_session(env)
    session.settings = replace(session.settings, policy=str(policy), approve="")
    captures = itertools.count(1)

    def capture() -> Screen:
        pixels = env.surface.pixels.copy()
        pixels[340:352, 200:240] = next(captures) * 37 % 251 if has_clock else 0
        return Screen(pixels)

    monkeypatch.setattr(env.surface, "capture", capture)

    async def client_calls(client: Client) -> list[Any]:
        turn = [{"verb": "click", "x": 5, "y": 5}, {"verb": "click", "x": 5, "y": 90}]
        return [await client.call_tool("act", {"action": action}) for action in turn * 6]

    results = call_tools(session, client_calls)
    assert [result.is_error for result in results] == [False] * 8 + [True] * 4
    assert "limit 'repeats'" in text_of(results[-1])
    assert len(env.surface.performed) == 8


def test_model_reads_screen_for_client(env: FakeEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[tuple[str, object]] = []

    def answer(name: str) -> Callable[..., Perceived[TextRegion]]:
        def ask(screen: Screen, *arguments: object, **options: object) -> Perceived[TextRegion]:
            questions.append((name, arguments[0] if name in ("ground", "count") else options.get("unit")))
            return Perceived((TextRegion("Save", (1, 2, 30, 14)),), (screen.width, screen.height), "model")

        return ask

    for name in ("ground", "count", "elements", "read_text"):
        monkeypatch.setattr(server, name, answer(name))

    async def calls(client: Client) -> list[Any]:
        return [
            (await client.call_tool(name, arguments)).structured_content
            for name, arguments in (
                ("see_ground", {"description": "the button"}),
                ("see_count", {"description": "buttons"}),
                ("see_elements", {}),
                ("see_read", {"unit": "word"}),
            )
        ]

    results = call_tools(make_session(env), calls)
    assert questions == [("ground", "the button"), ("count", "buttons"), ("elements", None), ("read_text", "word")]
    for result in results:
        assert result["items"] == [{"text": "Save", "box": [1, 2, 30, 14], "polygon": []}]
        assert result["size"] == [env.screen.width, env.screen.height]


def test_model_without_answers_is_named(env: FakeEnv) -> None:
    async def calls(client: Client) -> Any:
        return await client.call_tool("see_elements", {})

    result = call_tools(make_session(env), calls)
    assert result.is_error
    assert "script" in result.content[0].text
