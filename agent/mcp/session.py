"""The screen behind the MCP tools: it is opened on first use and shared by single actions and whole tasks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from actions import Action, Error, InvalidActionError, Reply, Screen, UsageError
from agent import trace
from agent.config import Settings
from agent.control import serve_control
from agent.env import Env
from agent.loop import Episode, run
from agent.policies.base import Policy
from agent.policies.scripted import ScriptPolicy
from agent.safety.guard import ActionGuard
from agent.safety.policy import SafetyPolicy
from agent.safety.signals import InterruptShield, StopRequest
from agent.safety.url_policy import UrlGuard
from agent.see.results import Item, Perceived
from agent.session import (
    install_guard,
    make_env,
    make_guard,
    manifest,
    open_run_telemetry,
    policy_from_settings,
    runs_root,
    safety_policy,
)
from agent.telemetry import SendEvent
from agent.termination import StopLimits, TerminationMonitor, TurnResult
from agent.turn_executor import TurnExecutor, redact_event
from agent.ui.formatting import describe_action

MAX_WAIT_S = 300.0  # of one tool call; a task continues in the background after it
DISCONNECTED = StopRequest("interrupted", "the client disconnected", 0)
CLIENT_METADATA = {"model": "mcp client", "fingerprint": ""}


class McpSession:
    """One screen, opened on first use, with at most one task at a time. Thread-safe.

    Args:
        settings: As of `agent run`; `model` carries out the tasks.
        open_env: Opens the environment; replaced in tests.
        open_policy: Loads the model; replaced in tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        open_env: Callable[[Settings, UrlGuard], Any] = make_env,
        open_policy: Callable[..., Policy] = policy_from_settings,
    ) -> None:
        self.settings = settings
        self._open_env, self._open_policy = open_env, open_policy
        self._lock = threading.RLock()
        self._env: Env | None = None
        self._policy: Policy | None = None
        self._safety: SafetyPolicy | None = None
        self._trace: trace.TraceWriter | None = None
        self._executor: TurnExecutor | None = None
        self._action_count = 0
        self._task: BackgroundTask | None = None
        self._control = ExitStack()  # the control socket of the session

    def screenshot(self) -> Screen:
        """Return the current screen or, while a task runs, the last screen that the task captured."""
        with self._lock:
            if self._is_running():
                assert self._task is not None
                return self._task.screen or self._ensure_open().screen
            env = self._ensure_open()
            env.screen = env.surface.capture()
            return env.screen

    def act(self, action: Action) -> TurnResult:
        """Carry out one action on the screen that was returned last, and return its result.

        Raises:
            InvalidActionError: Nothing was done; an ActionDeniedError if the guard refused.
            SurfaceError: The machine failed.
        """
        with self._lock:
            if self._is_running():
                raise InvalidActionError("a task is running on this screen; wait for it (status) or stop it (stop)")
            env = self._ensure_open()
            assert self._executor is not None
            self._check_cycle(action)
            self._action_count += 1
            screen, start = env.screen, time.perf_counter()
            reply = Reply(action.model_dump_json(), prompt="act", image_digests=(screen.digest,))
            self._executor.protect(reply, screen)
            self._emit("reply", step=self._action_count, screen=screen, reply=reply)
            step, result = self._executor.execute(self._action_count, reply, TurnResult(screen, None), start, 0.0)
            _, result = self._executor.review_writes(step, result)
            if result.error is not None:
                raise result.error
            return result

    def run_task(self, goal: str, max_steps: int, wait_s: float) -> dict[str, object]:
        """Start a task, wait up to `wait_s` seconds for its end, and return its status."""
        with self._lock:
            if self._is_running():
                raise InvalidActionError("a task is running already; stop it first (stop)")
            env = self._ensure_open()
            if not goal and not env.task:
                raise UsageError("the goal is empty: describe the task")
            self._task = BackgroundTask(goal, self, max_steps)
            self._task.start()
            task = self._task
        task.thread.join(min(max(wait_s, 0.0), MAX_WAIT_S))
        return self.status()

    def perceive(self, question: Callable[[Screen, Policy], Perceived[Item]]) -> dict[str, JsonValue]:
        """Return what the model answers about the current screen.

        Args:
            question: A function of `agent.see`, such as `elements`.

        Raises:
            UsageError: There is no model, or it cannot answer this.
            InvalidActionError: A task is running.
        """
        with self._lock:
            if self._is_running():
                raise InvalidActionError("a task is running on this screen; wait for it (status) or stop it (stop)")
            screen = self.screenshot()
            return question(screen, self.policy(lambda text: None)).as_dict()

    def status(self) -> dict[str, object]:
        """Return the state of the task (idle, running, finished), its steps, last action and result."""
        return {"state": "idle"} if self._task is None else self._task.as_dict()

    def stop(self) -> dict[str, object]:
        """Stop the task at the next token of the model, or after the action in progress."""
        task = self._task
        if task is not None and task.thread.is_alive():
            task.stopping.set()
            task.thread.join(MAX_WAIT_S)
        return self.status()

    def close(self, request: StopRequest = DISCONNECTED) -> None:
        """Stop the task and release screen, model and trace.

        Args:
            request: Why the session ends, for its trace.
        """
        self.stop()
        with self._lock:
            self._control.close()
            if self._trace is not None:
                facts = {"status": "stopped", "cause": request.cause, "message": request.message}
                with suppress(Error):
                    if self._executor is not None:
                        self._executor.finish_writes(asks=False)
                    self._emit("end", **facts, reward=None, steps=self._action_count)
                self._trace.close()
            for resource in (self._env, self._policy):
                if resource is not None:
                    resource.close()
            self._env = self._policy = self._trace = self._executor = None

    def policy(self, on_text: Callable[[str], None]) -> Policy:
        """Return the model that carries out tasks, loaded on first use."""
        if self._policy is None:
            if not self.settings.model:
                raise UsageError("this tool needs a model: start the server with --model NAME")
            self._policy = self._open_policy(self.settings, on_text=on_text)
        if hasattr(self._policy, "on_text"):
            self._policy.on_text = on_text
        return self._policy

    def safety(self) -> SafetyPolicy:
        """Return the policy of the guard, loaded on first use."""
        if self._safety is None:
            self._safety = safety_policy(self.settings)
        return self._safety

    def env(self) -> Env:
        """Return the environment for the loop of a task; call it after the first screenshot or action."""
        assert self._env is not None
        return self._env

    def _check_cycle(self, action: Action) -> None:
        """Raise RunStoppedError if the client goes on with actions that have led nowhere; see limits.repeats."""
        assert self._executor is not None
        guard, repetition = getattr(self.env().unwrapped, "guard", None), self._executor.monitor.repetition
        if isinstance(guard, ActionGuard) and repetition.is_in_cycle((action,)):
            guard.limits.check_cycle(repetition.count)

    def _is_running(self) -> bool:
        return self._task is not None and self._task.thread.is_alive()

    def _ensure_open(self) -> Any:
        """Return the unwrapped environment, opened on first use together with its trace."""
        if self._env is None:
            guard = make_guard(self.settings)
            folder = trace.new_folder(runs_root(self.settings))
            with ExitStack() as stack:  # closes what was opened if a later part fails
                safety = self.safety()
                writer = trace.TraceWriter(folder, manifest("", self.settings, CLIENT_METADATA, safety))
                stack.callback(writer.close)
                env = self._open_env(self.settings, guard)
                stack.callback(env.close)
                install_guard(env, safety, folder, self._emit, None)
                _, info = env.reset(seed=self.settings.seed)
                facts = {"goal": info["goal"], "seed": self.settings.seed, "max_steps": 0}
                writer.write("start", **facts, screen=info["screen"], note=info["note"])
                stack.pop_all()
            self._trace, self._env = writer, env
            end_process = partial(os.kill, os.getpid(), signal.SIGINT)
            self._control.enter_context(serve_control(folder.name, self.status, end_process, _warn))
            monitor = TerminationMonitor(0, StopLimits(repeats=safety.limits.repeats or StopLimits.repeats))
            self._executor = TurnExecutor(env, ScriptPolicy(()), monitor, self._emit, InterruptShield())
        return self._env.unwrapped

    def _emit(self, event: str, **facts: Any) -> None:
        assert self._trace is not None
        facts = redact_event(self._env, facts) if self._env is not None else facts
        self._trace.write(event, **facts)


def _warn(message: str) -> None:
    print(message, file=sys.stderr)  # standard output belongs to the protocol


class BackgroundTask:
    """One task: the loop in a thread, with a trace of its own."""

    def __init__(self, goal: str, session: McpSession, max_steps: int) -> None:
        self.goal, self.session, self.max_steps = goal, session, max_steps
        self.stopping = threading.Event()
        self.screen: Screen | None = None
        self.thread = threading.Thread(target=self._work, name="pixelhand-task", daemon=True)
        self._folder: Path | None = None
        self._send: SendEvent | None = None
        self._steps, self._last_action, self._note = 0, "", ""
        self._episode: Episode | None = None
        self._error = ""

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def as_dict(self) -> dict[str, object]:
        """Return the state of the task as JSON data."""
        facts: dict[str, object] = {
            "state": "running" if self.thread.is_alive() else "finished",
            "goal": self.goal,
            "steps": self._steps,
            "last_action": self._last_action,
            "note": self._note,
            "run": str(self._folder or ""),
        }
        if self._episode is not None:
            facts |= {name: getattr(self._episode, name) for name in ("status", "cause", "message", "reward")}
        elif self._error and not self.thread.is_alive():
            facts |= {"status": "error", "cause": "machine", "message": self._error, "reward": None}
        return facts

    def _work(self) -> None:
        session = self.session
        try:
            policy = session.policy(self._on_text)
            self._folder = trace.new_folder(runs_root(session.settings))
            writer = trace.TraceWriter(
                self._folder, manifest(self.goal, session.settings, policy.metadata, session.safety())
            )
            control = serve_control(self._folder.name, self.as_dict, self.stopping.set, _warn)
            try:
                with control, ExitStack() as stack:
                    self._send = open_run_telemetry(session.settings, policy, self._folder.name, stack)
                    self._episode = run(
                        self.goal,
                        session.env(),
                        policy,
                        max_steps=self.max_steps,
                        seed=session.settings.seed,
                        trace=writer,
                        on_event=self._on_event,
                    )
            finally:
                writer.close()
        except Error as error:
            self._error = str(error)
        except KeyboardInterrupt:
            self._error = "the task was stopped before it started"
        except Exception as error:
            self._error = f"internal error ({type(error).__name__}: {str(error)[:200]})"

    def _on_text(self, text: str) -> None:
        self._raise_if_stopping()

    def _raise_if_stopping(self) -> None:
        """Raise KeyboardInterrupt, with which the loop ends a run, once the task is to stop."""
        if self.stopping.is_set():
            raise KeyboardInterrupt

    def _on_event(self, event: Mapping[str, Any]) -> None:
        if self._send is not None:
            self._send(event)
        self.screen = event.get("screen") or self.screen
        if event["event"] == "start":
            self.goal = event["goal"]
        if event["event"] == "act.result":
            self._steps, self._last_action = event["step"], describe_action(event["action"])
            self._note = "; ".join(text for text in (event["error"], event["note"]) if text)
        if event["event"] in ("start", "reply", "act.result"):
            self._raise_if_stopping()
