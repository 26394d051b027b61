"""A screen for other agents: the tools as the official client sees them, on a screen without a browser."""

from __future__ import annotations

import asyncio
import base64
import io
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
from mcp import Client
from PIL import Image

from actions import ActionDeniedError, SurfaceError
from agent import trace
from agent.config import Settings
from agent.mcp.server import McpSession, make_server
from agent.policies.scripted import ScriptPolicy
from agent.safety.url_policy import UrlGuard

SETTINGS = Settings(model="script", on="browser", url="http://127.0.0.1/", approve="never", max_steps=5, seed=3)


class Slow(ScriptPolicy):
    """Thinks until it is stopped, telling its text as a model does."""

    def __init__(self) -> None:
        super().__init__([MISS])
        self.thinking = threading.Event()
        self.on_text: Callable[[str], None] = lambda text: None

    def decide(self, *given: Any) -> Any:
        self.thinking.set()
        while True:
            threading.Event().wait(0.01)
            self.on_text("so far")


@pytest.fixture
def env() -> FakeEnv:
    return FakeEnv()


def session(env: FakeEnv, *replies: str, policy: Any = None) -> McpSession:
    def open_env(settings: Settings, guard: UrlGuard) -> Any:
        env.guard = guard
        return env

    made = policy or ScriptPolicy(replies)
    settings = replace(SETTINGS, runs=os.environ["PIXELHAND_RUNS"])
    return McpSession(settings, open_env=open_env, open_policy=lambda settings, on_text: made)


def talk(one: McpSession, what: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    async def go() -> Any:
        async with Client(make_server(one)) as client:
            return await what(client)

    try:
        return asyncio.run(go())
    finally:
        one.close()


def words(result: Any) -> str:
    return " ".join(part.text for part in result.content if part.type == "text")


def picture(result: Any) -> np.ndarray:
    (data,) = [part.data for part in result.content if part.type == "image"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def traces(tmp_path: Path) -> list[trace.RunRecord]:
    root = tmp_path / "runs"
    return [trace.read_trace(root / name) for name in trace.list_runs(root)]


def test_the_tools_have_names_words_and_schemas(env: FakeEnv) -> None:
    tools = {tool.name: tool for tool in talk(session(env), lambda client: client.list_tools()).tools}
    assert set(tools) == {"screenshot", "act", "run_task", "status", "stop"}
    assert all(tool.description for tool in tools.values())
    schema = json.dumps(tools["act"].input_schema)
    assert '"click"' in schema and '"press"' in schema and '"done"' not in schema and '"ask"' not in schema


def test_look_and_act_and_a_trace_of_it(env: FakeEnv, tmp_path: Path) -> None:
    async def what(client: Client) -> Any:
        before = await client.call_tool("screenshot", {})
        click = {"verb": "click", "x": 120, "y": 110}
        return before, await client.call_tool("act", {"action": click})

    before, after = talk(session(env), what)
    assert "280x364" in words(before) and picture(before).shape == (364, 280, 3)
    assert not after.is_error and "click (120, 110)" in words(after) and "reward 1.0" in words(after)
    assert (picture(after)[0, 0] == (0, 200, 0)).all() and (picture(before)[0, 0] != (0, 200, 0)).any()
    (run,) = traces(tmp_path)
    assert [event["event"] for event in run.events] == ["start", "reply", "act.intent", "act.result", "end"]
    assert run.check_frames() == 2 and run.manifest["policy"]["model"] == "mcp client"


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ({"verb": "click", "x": 999, "y": 5}, "outside the screen"),
        ({"verb": "drag", "path": [[1, 1], [2, 2]]}, "cannot 'drag'"),
        ({"verb": "open", "target": "file:///etc/passwd"}, "refused by the guard: rule 'schemes'"),
    ],
)
def test_what_may_not_be_is_an_error_and_nothing_is_done(env: FakeEnv, action: Any, sentence: str) -> None:
    result = talk(session(env), lambda client: client.call_tool("act", {"action": action}))
    assert result.is_error and sentence in words(result) and env.surface.performed == []


@pytest.mark.parametrize("action", [{"verb": "done"}, {"verb": "clik", "x": 1, "y": 2}, {"verb": "click", "x": "a"}])
def test_what_is_no_action_of_a_machine_does_not_fit_the_schema(env: FakeEnv, action: Any) -> None:
    result = talk(session(env), lambda client: client.call_tool("act", {"action": action}))
    assert result.is_error and env.surface.performed == []


def test_every_act_passes_the_one_guard(env: FakeEnv) -> None:
    asked: list[Any] = []

    class Strict(UrlGuard):
        def __call__(self, action: Any, screen: Any) -> None:
            asked.append(action.verb)
            raise ActionDeniedError("rule 'none': nothing may be done")

    one = session(env)
    one._ensure_open()
    env.guard = Strict()
    result = talk(one, lambda client: client.call_tool("act", {"action": {"verb": "wait", "seconds": 0}}))
    assert result.is_error and "rule 'none'" in words(result) and asked == ["wait"]


def test_a_task_runs_to_its_end_and_says_how(env: FakeEnv, tmp_path: Path) -> None:
    async def what(client: Client) -> Any:
        idle = await client.call_tool("status", {})
        return idle, await client.call_tool("run_task", {"goal": "press it", "wait_s": 30})

    idle, done = talk(session(env, MISS, CLICK), what)
    assert idle.structured_content == {"state": "idle"}
    told = done.structured_content
    assert (told["state"], told["status"], told["reward"], told["steps"]) == ("finished", "success", 1.0, 2)
    assert told["last_action"] == "click (120, 110)" and env.seeds == [3, 3]
    assert trace.read_trace(Path(told["run"])).status == "success"


def test_a_task_that_thinks_can_be_stopped_and_nobody_acts_meanwhile(env: FakeEnv) -> None:
    slow = Slow()

    async def what(client: Client) -> Any:
        running = await client.call_tool("run_task", {"goal": "think", "wait_s": 0})
        await asyncio.to_thread(slow.thinking.wait, 10)
        seen = await client.call_tool("screenshot", {})
        act = await client.call_tool("act", {"action": {"verb": "click", "x": 5, "y": 5}})
        again = await client.call_tool("run_task", {"goal": "more", "wait_s": 0})
        return running, seen, act, again, await client.call_tool("stop", {})

    running, seen, act, again, stopped = talk(session(env, policy=slow), what)
    assert running.structured_content["state"] == "running" and picture(seen).shape == (364, 280, 3)
    assert act.is_error and "a task is running" in words(act) and env.surface.performed == []
    assert again.is_error and "a task is running already" in words(again)
    told = stopped.structured_content
    assert (told["state"], told["status"], told["cause"]) == ("finished", "stopped", "interrupted")


def test_after_a_task_the_screen_is_free_again(env: FakeEnv) -> None:
    async def what(client: Client) -> Any:
        await client.call_tool("run_task", {"goal": "press it", "wait_s": 30})
        return await client.call_tool("act", {"action": {"verb": "click", "x": 5, "y": 5}})

    result = talk(session(env, DONE), what)
    assert not result.is_error and len(env.surface.performed) == 1


def test_a_model_that_cannot_be_had_is_said(env: FakeEnv) -> None:
    one = McpSession(Settings(surface="browser", url="http://127.0.0.1/", approve="never"), open_env=lambda *_: env)
    told = talk(one, lambda client: client.call_tool("run_task", {"goal": "go"})).structured_content
    assert (told["state"], told["status"]) == ("finished", "error") and "--model" in told["message"]


def test_closing_lets_go_of_the_screen(env: FakeEnv) -> None:
    talk(session(env), lambda client: client.call_tool("screenshot", {}))
    assert env.surface.closed


def test_a_screen_that_does_not_come_up_is_let_go_of_and_tried_again(env: FakeEnv, tmp_path: Path) -> None:
    """It must not be used half set up."""
    reset, fails = env.reset, [True]

    def reset_at_the_second_time(**more: Any) -> Any:
        if fails:
            fails.clear()
            raise SurfaceError("the page did not load")
        return reset(**more)

    env.reset = reset_at_the_second_time  # type: ignore[method-assign]
    one = session(env)
    with pytest.raises(SurfaceError, match="did not load"):
        one.screenshot()
    assert env.surface.closed and one._env is None and one._trace is None
    one.screenshot()
    assert env.seeds == [3], "the second time the page was set up"
    one.close()
    assert sorted(run.status for run in traces(tmp_path)) == ["broken off", "stopped"]
