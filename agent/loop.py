"""The loop: look, think, call, act, look again. Knows an environment and a policy by their protocols, nothing else.

Each event is told, first to the trace, before the next thing happens: nothing is lost when the power goes. Ctrl-C is
answered while the model thinks or a person is asked; an act that has begun is finished and written down first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from actions import Ask, BadCall, Step, SurfaceError, UsageError, Wait
from agent.endings import Cause, Ending, Outcome, Patience, Status, Watch
from agent.interrupts import Hold, held
from agent.policy import Policy
from agent.trace import Trace

OnEvent = Callable[[Mapping[str, Any]], None]
AskPerson = Callable[[str], str]  # a question -> the answer; EOFError when nobody is there


@dataclass(frozen=True)
class Episode:
    """A finished run. reward is the task's own, None where it gave none; run is the trace's folder, "" without one."""

    status: Status
    reward: float | None
    steps: tuple[Step, ...]
    message: str
    run: str
    cause: Cause


def run(
    goal: str,
    env: Any,
    policy: Policy,
    *,
    max_steps: int,
    seed: int | None = None,
    trace: Trace | None = None,
    on_event: OnEvent | None = None,
    ask: AskPerson | None = None,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> Episode:
    """Run a policy in an environment until the task is over, the model ends it, or patience or max_steps do.

    env is a gymnasium.Env as envs.live.LiveEnv describes it; an empty goal means the environment's own. ask answers
    the model's questions; without it the model reads that nobody does. The machine's trouble and Ctrl-C end a run with
    a status; anything else is written to the trace and raised.
    """
    if max_steps < 1:
        raise UsageError(f"a run needs at least 1 step, not {max_steps}")
    steps: list[Step] = []
    watch = Watch(max_steps, patience)
    came, ending = None, None

    def tell(event: str, **facts: Any) -> None:
        try:
            if trace is not None and not trace.broken:
                trace.write(event, **facts)
        finally:
            if on_event is not None:
                on_event({"event": event, **facts})

    with held() as hold:
        try:
            _, info = env.reset(seed=seed)  # look
            came = Outcome.of(info)
            goal, verbs = goal or info["goal"], env.unwrapped.verbs()
            tell("start", goal=goal, seed=seed, max_steps=max_steps, screen=came.screen, note=came.note)
            while ending is None:
                turn, screen, began = len(steps) + 1, came.screen, time.perf_counter()
                with hold.released():
                    reply = policy.decide(goal, steps, screen, verbs)  # think
                thought_s = time.perf_counter() - began
                tell("reply", step=turn, screen=screen, reply=reply)
                call = action = None
                try:
                    call = policy.parse(reply)  # call
                    action = policy.ground(call, screen)
                    tell("act.intent", step=turn, call=call, action=action)
                    came = watch.moved(action, screen, _act(action, env, ask, hold))  # act, and look again
                except (BadCall, SurfaceError) as error:  # a BadCall is the model's mistake: it reads of it next turn
                    came = Outcome(screen, came.verdict, error=error)
                seconds = time.perf_counter() - began
                step = Step(turn, screen, reply, call, action, str(came.error or ""), came.note, came.reward, seconds)
                steps.append(step)
                tell(
                    "act.result",
                    **{name: getattr(step, name) for name in ("call", "action", "error", "note", "reward", "seconds")},
                    step=turn,
                    verdict=came.verdict,
                    screen=came.screen,
                    timings_s={"think": thought_s, **reply.timings_s, **came.timings_s},
                )
                ending = watch.ending(steps, came)
        except SurfaceError as error:
            ending = Ending("error", "machine", str(error))
        except KeyboardInterrupt:
            ending = Ending("stopped", "interrupted", "a person stopped the run")
        except BaseException as error:
            ending = Ending("error", "machine", f"{type(error).__name__}: {error}")
            raise
        finally:
            reward = came.verdict["reward"] if came and came.verdict else None
            if ending is not None:
                said = {"status": ending.status, "cause": ending.cause, "message": ending.message}
                with suppress(SurfaceError):  # the run is over; a disk that is full now does not change how
                    tell("end", **said, reward=reward, steps=len(steps))
    folder = str(trace.folder) if trace else ""
    return Episode(ending.status, reward, tuple(steps), ending.message, folder, ending.cause)


def _act(action: Any, env: Any, ask: AskPerson | None, hold: Hold) -> Outcome:
    """env.step; but a question goes to the person, and then the screen is looked at again: they may have used it."""
    if not isinstance(action, Ask):
        with hold.released() if isinstance(action, Wait) else nullcontext():  # to wait no longer does no harm
            _, reward, terminated, truncated, info = env.step(action)
        return Outcome.of(info, reward, terminated or truncated)
    try:
        if ask is None:
            raise EOFError
        with hold.released():
            answer = ask(action.question)
    except EOFError:
        raise BadCall(
            "nobody is there to answer; decide by yourself, or end the run with status failure and say why"
        ) from None
    _, reward, terminated, truncated, info = env.step(Wait(seconds=0))
    return Outcome.of(info, reward, terminated or truncated).noting(f"The person answers: {answer}")
