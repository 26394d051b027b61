"""The agent loop: capture, decide, act, repeat.

Events are written to the trace before the next action, so a crash loses nothing. Ctrl-C takes effect while the model
generates or the user is asked; an action that has started is finished and recorded first. See agent/turn_executor.py
for what happens within one turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from actions import Screen, Step, SurfaceError, UsageError
from agent.env import BaseEnv, Env
from agent.policies.base import Policy
from agent.safety.signals import defer_interrupts
from agent.screen_archive import ScreenArchive
from agent.termination import Status, StopLimits, StopReason, Termination, TerminationMonitor, TurnResult
from agent.trace import TraceWriter
from agent.turn_executor import AskUser, TurnExecutor, hide_secrets, redact_event

EventFacts = Mapping[str, Any]
OnEvent = Callable[[EventFacts], None]  # receives {"event": name, **facts}; see agent/trace.py


@dataclass(frozen=True)
class Episode:
    """A finished run.

    The screenshots of all but the last steps are read from disk when their pixels are accessed: from the trace, or from
    temporary files that are deleted with the last of them.
    """

    status: Status
    reward: float | None  # the task's own; None when it gave none
    steps: tuple[Step, ...]
    message: str
    run: str  # the trace's folder; "" without a trace
    cause: StopReason


def run(
    goal: str,
    env: Env,
    policy: Policy,
    *,
    max_steps: int,
    seed: int | None = None,
    trace: TraceWriter | None = None,
    on_event: OnEvent | None = None,
    ask: AskUser | None = None,
    approves_each: bool = False,
    stop_limits: StopLimits = StopLimits(),  # noqa: B008 - frozen
) -> Episode:
    """Run a policy in an environment until the task ends, the model ends it, or a limit is reached.

    Args:
        goal: The task in plain language; "" for the environment's own.
        env: The environment, such as envs.live.LiveEnv.
        policy: Decides what to do.
        max_steps: Steps after which the run ends unfinished.
        seed: The environment's seed.
        trace: Records all events.
        on_event: Receives all events, after the trace.
        ask: Answers the model's questions; without it, a question is an error that the model reads.
        approves_each: The environment's guard shows every action to the user, who is then not asked about uncertain
            ones a second time.
        stop_limits: When a run without progress is ended.

    Returns:
        The finished run. Failures of the machine and Ctrl-C end it with a status.

    Raises:
        Exception: Any other exception, after it was written to the trace.
    """
    if max_steps < 1:
        raise UsageError(f"--max-steps must be at least 1, not {max_steps}")
    steps: list[Step] = []
    monitor = TerminationMonitor(max_steps, stop_limits)
    archive = ScreenArchive(trace)
    state: TurnResult | None = None
    ending: Termination | None = None
    start = time.perf_counter()

    def record(event: str, **facts: object) -> None:
        facts = redact_event(env, facts)
        try:
            if trace is not None and not trace.broken:
                trace.write(event, **facts)
        finally:
            if on_event is not None:
                on_event({"event": event, **facts})

    with defer_interrupts() as shield:
        executor = TurnExecutor(env, policy, monitor, record, shield, ask, approves_each)
        try:
            _, info = env.reset(seed=seed)
            state = TurnResult.from_info(info)
            goal, verbs = goal or info["goal"], cast(BaseEnv, env.unwrapped).verbs()
            record("start", goal=goal, seed=seed, max_steps=max_steps, screen=state.screen, note=state.notice)
            while ending is None:
                turn, screen, turn_start = len(steps) + 1, state.screen, time.perf_counter()
                with shield.allow_interrupts():
                    reply = policy.decide(goal, steps, screen, verbs)
                think_s = time.perf_counter() - turn_start
                executor.protect(reply, screen)
                record("reply", step=turn, screen=screen, reply=reply)
                step, state = executor.execute(turn, reply, state, turn_start, think_s)
                steps.append(step)
                ending = monitor.check(steps, state)
                archive.offload_old(steps)
        except SurfaceError as error:
            ending = Termination("error", "machine", hide_secrets(env, str(error)))
        except KeyboardInterrupt:
            ending = Termination("stopped", "interrupted", "the user stopped the run")
        except BaseException as error:
            ending = Termination("error", "machine", f"{type(error).__name__}: {error}")
            raise
        finally:
            reward = state.verdict["reward"] if state and state.verdict else None
            if ending is not None:
                with suppress(SurfaceError):  # a full disk does not change how the run ended
                    record("end", **_end_facts(ending, reward, steps, state.screen if state else None, start))
    folder = str(trace.folder) if trace else ""
    return Episode(ending.status, reward, tuple(steps), ending.message, folder, ending.cause)


def _end_facts(
    ending: Termination, reward: float | None, steps: list[Step], screen: Screen | None, start: float
) -> dict[str, object]:
    facts: dict[str, object] = {
        "status": ending.status,
        "cause": ending.cause,
        "message": ending.message,
        "reward": reward,
        "steps": len(steps),
        "duration_s": round(time.perf_counter() - start, 3),
        "prompt_tokens": sum(step.reply.prompt_tokens for step in steps),
        "reply_tokens": sum(step.reply.reply_tokens for step in steps),
    }
    return facts if screen is None else {**facts, "screen": screen}
