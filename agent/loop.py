"""The loop: look, think, call, act, look again. Knows an environment and a policy by their protocols, nothing else.

Each event is told, first to the trace, before the next thing happens: nothing is lost when the power goes. Ctrl-C is
answered while the model thinks or a person is asked; an act that has begun is finished and written down first. What
one turn does with the model's words stands in agent/turn.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from actions import Step, SurfaceError, UsageError
from agent.policies.base import Policy
from agent.safety.signals import defer_interrupts
from agent.termination import Status, StopLimits, StopReason, Termination, TerminationMonitor, TurnResult
from agent.trace import TraceWriter
from agent.turn_executor import AskPerson, TurnExecutor

OnEvent = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Episode:
    """A finished run. reward is the task's own, None where it gave none; run is the trace's folder, "" without one."""

    status: Status
    reward: float | None
    steps: tuple[Step, ...]
    message: str
    run: str
    cause: StopReason


def run(
    goal: str,
    env: Any,
    policy: Policy,
    *,
    max_steps: int,
    seed: int | None = None,
    trace: TraceWriter | None = None,
    on_event: OnEvent | None = None,
    ask: AskPerson | None = None,
    approved: bool = False,
    patience: StopLimits = StopLimits(),  # noqa: B008 - frozen
) -> Episode:
    """Run a policy in an environment until the task is over, the model ends it, or patience or max_steps do.

    env is a gymnasium.Env as envs.live.LiveEnv describes it; an empty goal means the environment's own. ask answers
    the model's questions; without it the model reads that nobody does. approved: the environment's guard shows each
    action to a person, who is then not asked about unsure ones besides. The machine's trouble and Ctrl-C end a run with
    a status; anything else is written to the trace and raised.
    """
    if max_steps < 1:
        raise UsageError(f"a run needs at least 1 step, not {max_steps}")
    steps: list[Step] = []
    watch = TerminationMonitor(max_steps, patience)
    came, ending = None, None

    def tell(event: str, **facts: Any) -> None:
        try:
            if trace is not None and not trace.broken:
                trace.write(event, **facts)
        finally:
            if on_event is not None:
                on_event({"event": event, **facts})

    with defer_interrupts() as hold:
        hands = TurnExecutor(env, policy, watch, tell, hold, ask, approved)
        try:
            _, info = env.reset(seed=seed)  # look
            came = TurnResult.from_info(info)
            goal, verbs = goal or info["goal"], env.unwrapped.verbs()
            tell("start", goal=goal, seed=seed, max_steps=max_steps, screen=came.screen, note=came.note)
            while ending is None:
                turn, screen, began = len(steps) + 1, came.screen, time.perf_counter()
                with hold.allow_interrupts():
                    reply = policy.decide(goal, steps, screen, verbs)  # think
                thought_s = time.perf_counter() - began
                tell("reply", step=turn, screen=screen, reply=reply)
                step, came = hands.execute(turn, reply, came, began, thought_s)  # call, act, and look again
                steps.append(step)
                ending = watch.check(steps, came)
        except SurfaceError as error:
            ending = Termination("error", "machine", str(error))
        except KeyboardInterrupt:
            ending = Termination("stopped", "interrupted", "a person stopped the run")
        except BaseException as error:
            ending = Termination("error", "machine", f"{type(error).__name__}: {error}")
            raise
        finally:
            reward = came.verdict["reward"] if came and came.verdict else None
            if ending is not None:
                said = {"status": ending.status, "cause": ending.cause, "message": ending.message}
                with suppress(SurfaceError):  # the run is over; a disk that is full now does not change how
                    tell("end", **said, reward=reward, steps=len(steps))
    folder = str(trace.folder) if trace else ""
    return Episode(ending.status, reward, tuple(steps), ending.message, folder, ending.cause)
