"""A screen for other agents, over the Model Context Protocol: look, act, and have a whole task done.

Session knows an environment and a policy and keeps both open; serve() tells the official SDK what its tools are. What
is done here goes the way of every action: dispatch, its guard, and a trace, written before and after.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from actions import (
    ACTION_TYPES,
    CONTROL_ACTIONS,
    ActionDeniedError,
    Call,
    Error,
    InvalidActionError,
    Reply,
    Screen,
    UsageError,
)
from agent import config, trace
from agent.config import Settings
from agent.loop import Episode, run
from agent.policies.base import Policy
from agent.safety.url_policy import UrlGuard
from agent.session import install_approval, load_policy, make_env, runs_root, surface_name
from agent.ui.formatting import describe_action

MOST_WAIT_S = 300.0  # that one call may take; a task goes on behind it
Act: Any = Annotated[  # what a machine can do; answers and questions are for whoever called us
    reduce(or_, (model for verb, model in ACTION_TYPES.items() if verb not in CONTROL_ACTIONS)),
    Field(discriminator="verb"),
]


class McpSession:
    """One screen, opened when it is first needed, and at most one task at a time. Safe to call from several threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        open_env: Callable[[Settings, UrlGuard], Any] = make_env,
        open_policy: Callable[..., Policy] = load_policy,
    ) -> None:
        self.settings = settings
        self._open_env, self._open_policy = open_env, open_policy
        self._lock = threading.RLock()
        self._env: Any = None
        self._policy: Policy | None = None
        self._trace: trace.TraceWriter | None = None
        self._acts = 0
        self._task: BackgroundTask | None = None
        self._last: Screen | None = None

    def screenshot(self) -> Screen:
        """What is on the screen now; while a task runs, what the task saw last."""
        with self._lock:
            if self._is_running():
                assert self._task is not None
                return self._task.screen or self._ensure_open().screen
            live = self._ensure_open()
            live.screen = live.surface.capture()
            return live.screen

    def act(self, action: Any) -> tuple[str, Screen]:
        """Carry out one action on the screen as it was last returned: what the machine said, and the screen after.

        BadCall (nothing was done; Denied: the guard refused) or SurfaceError.
        """
        with self._lock:
            if self._is_running():
                raise InvalidActionError("a task is running on this screen; wait for it (status) or stop it (stop)")
            live = self._ensure_open()
            self._acts += 1
            before, began = live.screen, time.perf_counter()
            call = Call(action.verb, action.model_dump(exclude={"verb"}, mode="json"))
            words = Reply(action.model_dump_json(), prompt="act", image_digests=(before.digest,))
            self._tell("reply", step=self._acts, screen=before, reply=words)
            self._tell("act.intent", step=self._acts, call=call, action=action)
            info: Mapping[str, Any] = {"note": "", "verdict": None, "screen": before}
            reward, problem = 0.0, ""
            try:
                _, reward, _, _, info = self._env.step(action)
            except Error as error:
                problem = str(error)
                raise
            finally:
                facts = {"error": problem, "note": info["note"], "reward": reward, "verdict": info["verdict"]}
                self._tell(
                    "act.result",
                    step=self._acts,
                    call=call,
                    action=action,
                    **facts,
                    seconds=time.perf_counter() - began,
                    screen=info["screen"],
                    timings_s=info.get("timings_s", {}),
                )
            return _told(action, info), info["screen"]

    def run_task(self, goal: str, max_steps: int, wait_s: float) -> dict[str, Any]:
        """Begin a task with this session's model, wait for it for some seconds, and say how it stands."""
        with self._lock:
            if self._is_running():
                raise InvalidActionError("a task is running already; stop it first (stop)")
            live = self._ensure_open()
            if not goal and not live.task:
                raise UsageError("the goal is empty; say what to do")
            self._task = BackgroundTask(goal, self, max_steps)
            self._task.start()
            task = self._task
        task.thread.join(min(max(wait_s, 0.0), MOST_WAIT_S))
        return self.status()

    def status(self) -> dict[str, Any]:
        """How the task stands: state (idle, running, finished), steps, the last action, and how it ended."""
        return {"state": "idle"} if self._task is None else self._task.as_dict()

    def stop(self) -> dict[str, Any]:
        """End the task: at the next word of the model, or after the act that has begun."""
        task = self._task
        if task is not None and task.thread.is_alive():
            task.stopping.set()
            task.thread.join(MOST_WAIT_S)
        return self.status()

    def close(self) -> None:
        """Stop what runs and let go of screen, model and trace."""
        self.stop()
        with self._lock:
            if self._trace is not None:
                said = {"status": "stopped", "cause": "interrupted", "message": "the client went away"}
                with suppress(Error):
                    self._tell("end", **said, reward=None, steps=self._acts)
                self._trace.close()
            for one in (self._env, self._policy):
                if one is not None:
                    one.close()
            self._env = self._policy = self._trace = None

    def policy(self, on_text: Callable[[str], None]) -> Policy:
        """The model that carries out tasks, loaded when it is first needed."""
        if self._policy is None:
            if not self.settings.model:
                raise UsageError("no model was named; start the server with --model NAME to have tasks run")
            self._policy = self._open_policy(self.settings, on_text=on_text)
        if hasattr(self._policy, "on_text"):
            self._policy.on_text = on_text
        return self._policy

    def env(self) -> Any:
        """The environment, as the task's loop takes it."""
        return self._env

    def manifest(self, goal: str, about: Mapping[str, Any]) -> dict[str, Any]:
        """What a trace of this session begins with."""
        return {
            "goal": goal,
            "surface": self.settings.surface,
            "url": self.settings.url,
            "seed": self.settings.seed,
            "policy": dict(about),
            "settings": config.as_dict(self.settings),
        }

    def _is_running(self) -> bool:
        return self._task is not None and self._task.thread.is_alive()

    def _ensure_open(self) -> Any:
        """The LiveEnv behind everything, with its screen; opened now if it is not."""
        if self._env is None:
            guard = UrlGuard(
                self.settings.allow_schemes, self.settings.allow_hosts, apps=surface_name(self.settings) != "browser"
            )
            folder = trace.new_folder(runs_root(self.settings))
            with ExitStack() as stack:  # what does not come up is let go of: the next call begins afresh
                writer = trace.TraceWriter(folder, self.manifest("", {"model": "mcp client", "fingerprint": ""}))
                stack.callback(writer.close)
                env = self._open_env(self.settings, guard)
                stack.callback(env.close)
                install_approval(env, self.settings, folder, self._tell, None)
                _, info = env.reset(seed=self.settings.seed)
                facts = {"goal": info["goal"], "seed": self.settings.seed, "max_steps": 0}
                writer.write("start", **facts, screen=info["screen"], note=info["note"])
                stack.pop_all()
            self._trace, self._env = writer, env
        return self._env.unwrapped

    def _tell(self, event: str, **facts: Any) -> None:
        assert self._trace is not None
        self._trace.write(event, **facts)


class BackgroundTask:
    """One task: the loop in a thread of its own, with its own trace."""

    def __init__(self, goal: str, session: McpSession, max_steps: int) -> None:
        self.goal, self.session, self.max_steps = goal, session, max_steps
        self.stopping = threading.Event()
        self.screen: Screen | None = None
        self.thread = threading.Thread(target=self._work, name="pixelhand-task", daemon=True)
        self._folder: Path | None = None
        self._steps, self._action, self._note = 0, "", ""
        self._episode: Episode | None = None
        self._problem = ""

    def start(self) -> None:
        self.thread.start()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the client."""
        facts: dict[str, Any] = {
            "state": "running" if self.thread.is_alive() else "finished",
            "goal": self.goal,
            "steps": self._steps,
            "last_action": self._action,
            "note": self._note,
            "run": str(self._folder or ""),
        }
        if self._episode is not None:
            facts |= {name: getattr(self._episode, name) for name in ("status", "cause", "message", "reward")}
        elif self._problem and not self.thread.is_alive():
            facts |= {"status": "error", "cause": "machine", "message": self._problem, "reward": None}
        return facts

    def _work(self) -> None:
        session = self.session
        try:
            policy = session.policy(self._on_text)
            self._folder = trace.new_folder(runs_root(session.settings))
            writer = trace.TraceWriter(self._folder, session.manifest(self.goal, policy.metadata))
            try:
                self._episode = run(
                    self.goal,
                    session.env(),
                    policy,
                    max_steps=self.max_steps,
                    seed=session.settings.seed,
                    trace=writer,
                    on_event=self._heard,
                )
            finally:
                writer.close()
        except Error as error:
            self._problem = str(error)
        except KeyboardInterrupt:
            self._problem = "the task was stopped before it began"
        except Exception as error:
            self._problem = f"something unforeseen went wrong ({type(error).__name__}: {str(error)[:200]})"

    def _on_text(self, text: str) -> None:
        self._go_on()

    def _go_on(self) -> None:
        """The loop's own word for a person who stops it; it is asked where nothing is half done."""
        if self.stopping.is_set():
            raise KeyboardInterrupt

    def _heard(self, event: Mapping[str, Any]) -> None:
        self.screen = event.get("screen") or self.screen
        if event["event"] == "start":
            self.goal = event["goal"]
        if event["event"] == "act.result":
            self._steps, self._action = event["step"], describe_action(event["action"])
            self._note = "; ".join(part for part in (event["error"], event["note"]) if part)
        if event["event"] in ("start", "reply", "act.result"):
            self._go_on()


def _told(action: Any, info: Mapping[str, Any]) -> str:
    screen, verdict = info["screen"], info["verdict"]
    parts = [f"done: {describe_action(action)}", info["note"], f"the screen is {screen.width}x{screen.height}"]
    if verdict and verdict["done"]:
        parts.append(f"the page's task is over, reward {verdict['reward']}")
    return "; ".join(part for part in parts if part)


INSTRUCTIONS = (
    "One screen (a browser page, a desktop or a phone). screenshot shows it; act carries out one action on the screen "
    "as it was last returned, points in its pixels from the top left, and returns the screen after it; run_task has "
    "this server's own model carry out a whole task, status says how it stands, stop ends it. What the guard refuses "
    "is not done, and the reason says what a person can change."
)


def make_server(session: McpSession) -> Any:
    """The MCP server of a session, from the official SDK."""
    import anyio.to_thread
    from mcp.server.mcpserver import Image, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    server = MCPServer("pixelhand", instructions=INSTRUCTIONS)

    async def worked(do: Callable[[], Any]) -> Any:
        try:
            return await anyio.to_thread.run_sync(do, abandon_on_cancel=True)
        except ActionDeniedError as error:
            raise ToolError(f"refused by the guard: {error}") from None
        except Error as error:
            raise ToolError(str(error)) from None

    def shown(screen: Screen) -> Any:
        return Image(data=_png(screen), format="png")

    @server.tool(structured_output=False)
    async def screenshot() -> list[Any]:
        """The screen as it is now, as a PNG, and its size in pixels."""
        screen = await worked(session.screenshot)
        return [f"the screen is {screen.width}x{screen.height}", shown(screen)]

    @server.tool(structured_output=False)
    async def act(action: Act) -> list[Any]:
        """Carry out one action, like {"verb": "click", "x": 3, "y": 4}; gives what came of it, and the screen after."""
        words, screen = await worked(lambda: session.act(action))
        return [words, shown(screen)]

    @server.tool()
    async def run_task(goal: str, max_steps: int = session.settings.max_steps, wait_s: float = 60.0) -> dict[str, Any]:
        """Have the server's own model carry out a task on this screen. Waits up to wait_s seconds, then see status."""
        return dict(await worked(lambda: session.run_task(goal, max_steps, wait_s)))

    @server.tool()
    async def status() -> dict[str, Any]:
        """How the task stands: state, steps, last action; at its end status, cause, message and reward."""
        return session.status()

    @server.tool()
    async def stop() -> dict[str, Any]:
        """Stop the task; an act that has begun is finished first."""
        return dict(await worked(session.stop))

    return server


def _png(screen: Screen) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(screen.pixels).save(file, "PNG", compress_level=3)
    return file.getvalue()


def serve(settings: Settings) -> None:
    """Serve one session over standard input and output until the client goes away."""
    if settings.seed is None:
        settings = replace(settings, seed=0)
    session = McpSession(settings)
    try:
        make_server(session).run("stdio")
    finally:
        session.close()
