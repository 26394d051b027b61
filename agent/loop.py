"""The agent loop: capture, decide, act, repeat.

Events are written to the trace before the next action, so a crash loses nothing. Ctrl-C, SIGTERM and SIGHUP take effect
while the model generates or the user is asked; an action that has started is finished and recorded first. See
agent/turn_executor.py for what happens within one turn, and agent/resume.py for runs that go on from a trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from pydantic import BaseModel, JsonValue

from actions import Answer, RunStoppedError, Screen, Step, SurfaceError, UsageError
from agent.env import BaseEnv, Env
from agent.extraction.extractor import Extractor
from agent.extraction.output import Output
from agent.extraction.output_schema import InvalidOutputError
from agent.hooks import HookError, Hooks
from agent.person_turn import PersonTurn
from agent.policies.base import Policy
from agent.resume import RepeatedAction, Resumption
from agent.run_control import RunControl
from agent.safety.signals import CTRL_C, StopRequest, StopRequestedError, defer_interrupts, request_of_error
from agent.screen_archive import ScreenArchive
from agent.target_recorder import TargetRecorder
from agent.termination import Status, StopLimits, StopReason, Termination, TerminationMonitor, TurnResult
from agent.trace import TraceWriter
from agent.turn_executor import AskUser, TurnExecutor, hide_secrets, redact_event
from agent.verification.proof import Proof, prove
from agent.verification.second_look import SecondLook
from agent.verification.verifier import Verifier

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
    exit_code: int = 0  # of a process that was asked to stop; 0 for other causes
    proof: Proof | None = None  # how far the outcome is proven; None where the model did not report one
    extraction: Output | None = None  # the output and where it was read; None unless one was asked for and read

    @property
    def output(self) -> BaseModel | JsonValue:
        """The output of the run, as an instance of the model where one was given; None without an output."""
        return None if self.extraction is None else self.extraction.instance


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
    resumption: Resumption | None = None,
    verifier: Verifier | None = None,
    second_look: SecondLook | None = None,
    control: RunControl | None = None,
    extractor: Extractor | None = None,
    hooks: Hooks = Hooks(),  # noqa: B008 - frozen
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
        resumption: The earlier run that this one continues; its steps count.
        verifier: Checks what the user expects when the model reports success.
        second_look: Asks the model in place of a verifier.
        control: What a person asks for between the steps; None where nobody can.
        extractor: Reads the output when the run ends with success; if it cannot, the run fails.
        hooks: Called after each step and after the end. An exception of a hook ends the run with an error, is recorded,
            and is raised.

    Returns:
        The finished run. Failures of the machine, Ctrl-C, SIGTERM and SIGHUP end it with a status.

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
    proof: Proof | None = None
    output: Output | None = None
    stop_request: StopRequest | None = None
    hook_error: Exception | None = None
    start = time.perf_counter()

    def record(event: str, **facts: object) -> None:
        facts = redact_event(env, facts)
        try:
            if trace is not None and not trace.broken:
                trace.write(event, **facts)
        finally:
            if on_event is not None:
                on_event({"event": event, **facts})

    def show(event: str, **facts: object) -> None:
        if on_event is not None:
            on_event({"event": event, **redact_event(env, facts)})

    with defer_interrupts() as shield:
        surface = getattr(env.unwrapped, "surface", None)
        targets = TargetRecorder(surface) if trace is not None and surface is not None else None
        executor = TurnExecutor(env, policy, monitor, record, shield, ask, approves_each, targets)
        person = None
        if control is not None:
            person = PersonTurn(env, control, record, show, executor.recapture, shield, targets)
        try:
            _, info = env.reset(seed=seed)
            state = TurnResult.from_info(info)
            goal, verbs = goal or info["goal"], cast(BaseEnv, env.unwrapped).verbs()
            record("start", goal=goal, seed=seed, max_steps=max_steps, screen=state.screen, note=state.notice)
            if verifier is not None:
                verifier.start()
            repeated: RepeatedAction | None = None
            if resumption is not None:
                with shield.allow_interrupts():
                    steps += resumption.history
                    tail, repeated = resumption.resolve(state.screen, ask, record)
                    steps += tail
            while ending is None:
                if person is not None:
                    note, state = person.before_decision(len(steps), state)
                    if note and steps:
                        steps[-1] = replace(steps[-1], notice="\n".join(filter(None, (steps[-1].notice, note))))
                        steps[-1], state = executor.review_writes(steps[-1], state)
                        monitor.repetition.reset()
                    elif note:
                        goal = f"{goal}\n{note}"
                    if (ending := monitor.check_verdict(state)) is not None:
                        break
                turn, screen, turn_start = len(steps) + 1, state.screen, time.perf_counter()
                if repeated is not None:
                    reply, actions = repeated
                else:
                    with shield.allow_interrupts():
                        reply, actions = policy.decide(goal, steps, screen, verbs), None
                repeated = None
                think_s = time.perf_counter() - turn_start
                executor.protect(reply, screen)
                record("reply", step=turn, screen=screen, reply=reply)
                step, state = executor.execute(turn, reply, state, turn_start, think_s, actions)
                steps.append(step)
                steps[-1], state = executor.review_writes(step, state)
                if verifier is not None:
                    verifier.observe()
                ending = monitor.check(steps, state)
                archive.offload_old(steps)
                hooks.finish_step(steps[-1])
            executor.finish_writes(asks=ending.cause not in ("interrupted", "signal", "machine"))
            check = verifier.check if verifier is not None else None
            if check is None and second_look is not None and ending.cause == "own word":
                screens = [*(step.screen for step in steps), state.screen]
                answer = ending.message if isinstance(steps[-1].action, Answer) else ""
                check = partial(second_look.check, goal, screens, answer)
            with shield.allow_interrupts():
                ending, proof = prove(ending, check)
            if extractor is not None and ending.status == "success":
                screens = [*(step.screen for step in steps), state.screen]
                try:
                    with shield.allow_interrupts():
                        output = extractor.extract(goal, ending.message, screens, record)
                except InvalidOutputError as error:
                    ending = Termination("failure", "no output", hide_secrets(env, str(error)))
        except RunStoppedError as error:  # an answer about held requests, or a hook
            ending = Termination("stopped", "interrupted", str(error))
        except HookError as error:
            hook_error = error.error
            ending = Termination("error", "hook", hide_secrets(env, str(error)))
        except SurfaceError as error:
            ending = Termination("error", "machine", hide_secrets(env, str(error)))
        except KeyboardInterrupt as error:
            stop_request = request_of_error(error)
            ending = Termination("stopped", stop_request.cause, stop_request.message)
        except BaseException as error:
            ending = Termination("error", "machine", f"{type(error).__name__}: {error}")
            raise
        finally:
            if ending is not None and ending.cause == "interrupted" and shield.request is not None:
                stop_request = shield.request  # it ended a question to the person
                ending = Termination("stopped", stop_request.cause, stop_request.message)
            reward = state.verdict["reward"] if state and state.verdict else None
            with suppress(SurfaceError):
                executor.finish_writes(asks=False)
            if ending is not None:
                facts = _end_facts(ending, reward, steps, state.screen if state else None, start, proof, output)
                folder = str(trace.folder) if trace else ""
                exit_code = stop_request.exit_code if stop_request is not None else 0
                episode = Episode(
                    ending.status, reward, tuple(steps), ending.message, folder, ending.cause, exit_code, proof, output
                )
                try:
                    with suppress(SurfaceError):  # a full disk does not change how the run ended
                        record("end", **facts)
                finally:
                    hooks.finish_run(episode)
    if hook_error is not None:
        raise hook_error
    return episode


def raise_if_interrupted(episode: Episode) -> None:
    """Raise StopRequestedError, a KeyboardInterrupt, for an episode that the user or a signal stopped."""
    if episode.cause == "interrupted" or episode.cause == "signal":
        exit_code = episode.exit_code or CTRL_C.exit_code
        raise StopRequestedError(StopRequest(episode.cause, episode.message, exit_code))


def _end_facts(
    ending: Termination,
    reward: float | None,
    steps: list[Step],
    screen: Screen | None,
    start: float,
    proof: Proof | None,
    output: Output | None,
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
    if proof is not None:
        facts["proof"] = proof.as_dict()
    if output is not None:
        facts["output"] = output.as_dict()
    return facts if screen is None else {**facts, "screen": screen}
