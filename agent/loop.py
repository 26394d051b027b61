"""The loop: look, think, call, act, look again. Knows an environment and a policy by their protocols, nothing else.

Each event is told, first to the trace, before the next thing happens: nothing is lost when the power goes. Ctrl-C is
answered while the model thinks or a person is asked; an act that has begun is finished and written down first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from actions import CONTROL_VERBS, Ask, BadCall, Step, SurfaceError, UsageError, Wait
from agent.endings import Cause, Ending, Patience, Status, Watch
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
    verdict: Mapping[str, Any] | None = None
    ending: Ending | None = None
    watch = Watch(max_steps, patience)

    def tell(event: str, **facts: Any) -> None:
        if trace is not None:
            trace.write(event, **facts)
        if on_event is not None:
            on_event({"event": event, **facts})

    with held() as hold:
        try:
            _, info = env.reset(seed=seed)  # look
            goal, screen = goal or info["goal"], info["screen"]
            verbs = env.unwrapped.surface.verbs() | CONTROL_VERBS
            tell("start", goal=goal, seed=seed, max_steps=max_steps, screen=screen)
            while ending is None:
                turn, began = len(steps) + 1, time.perf_counter()
                with hold.released():
                    reply = policy.decide(goal, steps, screen, verbs)  # think
                thought_s = time.perf_counter() - began
                tell("reply", step=turn, screen=screen, reply=reply)

                seen, call, action, mistake, note, reward, over = screen, None, None, None, "", 0.0, False
                acted_s: Mapping[str, float] = {}
                try:
                    call = policy.parse(reply)  # call
                    action = policy.ground(call, seen)
                    tell("act.intent", step=turn, call=call, action=action)
                    _, reward, terminated, truncated, info = _act(action, env, ask, hold)  # act, and look again
                    screen, over, acted_s = info["screen"], terminated or truncated, info["timings_s"]
                    note = "\n".join(filter(None, (info["note"], watch.moved(action, seen, screen))))
                except BadCall as error:  # the model's mistake: it reads about it next turn
                    mistake = error
                except SurfaceError as error:  # the machine's trouble
                    ending = Ending("error", "machine", str(error))

                trouble = str(mistake or (ending.message if ending else ""))
                seconds = time.perf_counter() - began
                steps.append(Step(turn, seen, reply, call, action, trouble, note, float(reward), seconds))
                verdict = info["verdict"]
                timings_s = {"think": thought_s, **reply.timings_s, **acted_s}
                tell("act.result", step=turn, call=call, action=action, error=trouble, note=note, reward=float(reward),
                     verdict=verdict, screen=screen, seconds=seconds, timings_s=timings_s)  # fmt: skip
                ending = ending or watch.ending(steps, mistake, verdict, over)
        except SurfaceError as error:
            ending = Ending("error", "machine", str(error))
        except KeyboardInterrupt:
            ending = Ending("stopped", "interrupted", "a person stopped the run")
        except BaseException as error:
            ending = Ending("error", "machine", f"{type(error).__name__}: {error}")
            raise
        finally:
            total = verdict["reward"] if verdict else None
            if ending is not None:
                with suppress(SurfaceError):  # a trace that failed before has no room for a last word either
                    tell("end", status=ending.status, cause=ending.cause, message=ending.message,
                         reward=total, steps=len(steps))  # fmt: skip
    return Episode(ending.status, total, tuple(steps), ending.message, str(trace.folder) if trace else "", ending.cause)


def _act(action: Any, env: Any, ask: AskPerson | None, hold: Hold) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """env.step; but a question goes to the person, and then the screen is looked at again: they may have used it."""
    if not isinstance(action, Ask):
        return env.step(action)
    try:
        if ask is None:
            raise EOFError
        with hold.released():
            answer = ask(action.question)
    except EOFError:
        raise BadCall(
            "nobody is there to answer; decide by yourself, or end the run with status failure and say why"
        ) from None
    observation, reward, terminated, truncated, info = env.step(Wait(seconds=0))
    told = "\n".join(filter(None, (f"The person answers: {answer}", info["note"])))
    return observation, reward, terminated, truncated, {**info, "note": told}
