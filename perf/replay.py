"""The command `agent bench replay`: one recorded episode, replayed on pages of other seeds or on changed ones."""

from __future__ import annotations

import json as json_
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from agent.loop import Episode
    from agent.policies.base import Policy
    from agent.replay.program import Program
    from envs.live import LiveEnv

TASKS = ("login-user", "enter-date", "click-tab-2-easy", "book-flight")
RECORD_START, REPLAY_START = 810_000, 820_000  # first seeds
MAX_RECORDINGS = 30  # seeds that are tried until the oracle wins
MAX_STEPS = 60


@dataclass
class ReplayScore:
    """How the replays of one task ended.

    Args:
        task: The task.
        recorded: Seed of the recorded episode.
        recorded_steps: Its steps.
        recorded_step_ms: Median duration of one of them.
        done: Replays that the page rewarded.
        halted: Replays that ended before their last action, and said why.
        wrong: Replays that performed an action after which the page gave no reward.
        silent: Replays that ended as a success although the page gave no reward.
        step_ms: Median duration of a step of the replays.
        reasons: Why replays halted or were wrong, with the seeds.
        model_step_ms: Median duration of a step of the model; None without one.
        model_done: Episodes of the same seeds that the model finished; None without one.
    """

    task: str
    recorded: int
    recorded_steps: int
    recorded_step_ms: float
    done: int = 0
    halted: int = 0
    wrong: int = 0
    silent: int = 0
    step_ms: float | None = None
    reasons: dict[str, list[int]] = field(default_factory=dict)
    model_step_ms: float | None = None
    model_done: int | None = None


def replay(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(help="Tasks, or changes of the page on other surfaces. Default: all.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds on which each program is replayed.")] = 30,
    surface: Annotated[
        Literal["browser", "desktop:virtual", "phone"],
        typer.Option("--surface", "--on", help="browser, desktop:virtual, or phone for a simulated one."),
    ] = "browser",
    model: Annotated[str, typer.Option(help="Model that runs the same seeds, for comparison; default: none.")] = "",
    fallback: Annotated[
        str, typer.Option(help="Model that replays ask for a place that is missing; default: none.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Record a won episode of each task, replay it on pages of other seeds, and count how the replays end.

    Episodes are recorded with the oracles of the training data. On a desktop and a phone, an order on one page is
    recorded, and replayed for other names where theme, scale and layout of the page have changed. The exit code is 1
    if a replay ends as a success that the page does not confirm.
    """
    from actions import UsageError

    if surface != "browser" and model:
        raise UsageError(f"--model cannot be used with --surface {surface}: it compares practice pages; remove --model")
    if surface != "browser":
        from perf.replay_changes import score_changes

        with tempfile.TemporaryDirectory() as folder:
            _report(score_changes(surface, tasks or (), seeds, Path(folder), fallback), seeds, json)
    names = tasks or list(TASKS)
    if unknown := sorted(set(names) - set(TASKS)):
        raise UsageError(f"agent bench replay has no task '{unknown[0]}'; tasks: {', '.join(TASKS)}")
    with tempfile.TemporaryDirectory() as folder:
        _report([score_task(task, seeds, Path(folder), model, fallback) for task in names], seeds, json)


def _report(scores: list[ReplayScore], seeds: int, json: bool) -> NoReturn:
    """Print the scores and exit."""
    if json:
        print(json_.dumps({"seeds": seeds, "tasks": [asdict(score) for score in scores]}))
    else:
        for score in scores:
            print(format_score(score, seeds))
    raise typer.Exit(1 if any(score.silent for score in scores) else 0)


def format_score(score: ReplayScore, seeds: int) -> str:
    """Return the score of a task as text."""
    lines = [
        f"{score.task:26} {score.done:3} of {seeds} done, {score.halted} halted, {score.wrong} wrong, "
        f"{score.silent} silently wrong; {score.step_ms or 0:.0f} ms a step, "
        f"{score.recorded_step_ms:.0f} ms when recorded"
    ]
    if score.model_step_ms is not None:
        lines.append(f"{'':26} the model: {score.model_done} of {seeds} done, {score.model_step_ms:.0f} ms a step")
    lines += [f"{'':28}{len(seeds_of):3} x {reason}" for reason, seeds_of in score.reasons.items()]
    return "\n".join(lines)


def score_task(task: str, seeds: int, folder: Path, model: str = "", fallback: str = "") -> ReplayScore:
    """Record an episode of a task, replay it, and return the score.

    Args:
        task: The task, one of TASKS.
        seeds: How many seeds it is replayed on.
        folder: Where traces are written.
        model: A model that runs the same seeds; "" for none.
        fallback: A model that is asked for missing places; "" for none.
    """
    from agent.policies.factory import load_policy
    from envs.miniwob.env import miniwob_env

    env = miniwob_env(task)
    try:
        recorded, program, recording = record_program(env, task, folder)
        durations = [step.seconds for step in recording.steps]
        score = ReplayScore(task, recorded, len(recording.steps), round(1000 * median(durations), 1))
        policy = load_policy(fallback) if fallback else None
        replayed_s: list[float] = []
        for seed in range(REPLAY_START, REPLAY_START + seeds):
            episode, performed = replay_program(env, program, seed, folder, policy)
            replayed_s += [step.seconds for step in episode.steps if step.action and step.action.verb != "wait"]
            count_end(score, episode, seed, performed)
        score.step_ms = round(1000 * median(replayed_s), 1) if replayed_s else None
        if model:
            _run_model(score, env, model, seeds)
    finally:
        env.close()
    return score


def record_program(env: LiveEnv, task: str, folder: Path) -> tuple[int, Program, Episode]:
    """Return the first seed on which the oracle wins, and the program and the episode of its run.

    Raises:
        UsageError: It wins on none of MAX_RECORDINGS seeds.
    """
    from actions import UsageError
    from agent.replay.recording import compile_trace
    from agent.trace import read_trace
    from perf.oracle_policy import OraclePolicy

    for seed in range(RECORD_START, RECORD_START + MAX_RECORDINGS):
        episode = run_guarded(
            env, OraclePolicy(env, task), seed, folder, MAX_STEPS, {"url": f"miniwob:{task}", "seed": seed}
        )
        if episode.status == "success":
            return seed, compile_trace(read_trace(Path(episode.run))), episode
    raise UsageError(f"the oracle of {task} won on none of {MAX_RECORDINGS} seeds, so nothing can be replayed")


def replay_program(
    env: LiveEnv, program: Program, seed: int, folder: Path, fallback: Policy | None = None
) -> tuple[Episode, int]:
    """Return the episode of a replay, and how many actions of the program were performed."""
    from agent.replay.policy import STEPS_PER_ACTION, ReplayPolicy

    typed = {item.name: item.recorded for item in program.parameters if not item.is_in_goal}
    policy = ReplayPolicy(program, typed, fallback)
    policy.attach(env.surface)
    max_steps = len(program.steps) * STEPS_PER_ACTION + 1
    episode = run_guarded(env, policy, seed, folder, max_steps, {"url": program.url, "seed": seed})
    performed = sum(
        step.action is not None and not step.error and step.action.verb not in ("wait", "done")
        for step in episode.steps
    )
    return episode, performed


def run_guarded(
    env: LiveEnv, policy: Policy, seed: int, folder: Path, max_steps: int, about: Mapping[str, object]
) -> Episode:
    """Run one guarded episode with a trace."""
    from agent.loop import run
    from agent.safety.policy import load_safety_policy
    from agent.session import install_guard
    from agent.trace import TraceWriter, new_folder

    run_folder = new_folder(folder)
    writer = TraceWriter(run_folder, {"goal": "", "surface": "browser", "policy": dict(policy.metadata), **about})
    try:
        env.guard = None
        install_guard(env, load_safety_policy("", approve="", is_practice=True), run_folder, writer.write, None)
        return run("", env, policy, max_steps=max_steps, seed=seed, trace=writer)
    finally:
        writer.close()


def count_end(score: ReplayScore, episode: Episode, seed: int, performed: int) -> None:
    """Add the end of a replay to a score."""
    is_rewarded = episode.reward is not None and episode.reward > 0
    if is_rewarded:
        score.done += 1
        return
    is_halt = "the replay halted" in episode.message
    score.halted += is_halt
    score.wrong += not is_halt
    score.silent += episode.status == "success"
    reason = episode.message.partition("the replay halted at ")[2] if is_halt else f"wrong after {performed} actions"
    if " does not fit the recorded one" in reason:
        reason = "the goal does not fit the recorded one"
    score.reasons.setdefault(reason[:160], []).append(seed)


def _run_model(score: ReplayScore, env: LiveEnv, model: str, seeds: int) -> None:
    """Run a model on the seeds of the replays."""
    from agent.loop import run
    from agent.policies.factory import load_policy

    policy = load_policy(model)
    durations: list[float] = []
    score.model_done = 0
    env.guard = None
    try:
        for seed in range(REPLAY_START, REPLAY_START + seeds):
            episode = run("", env, policy, max_steps=MAX_STEPS, seed=seed)
            durations += [step.seconds for step in episode.steps]
            score.model_done += episode.status == "success"
    finally:
        policy.close()
    score.model_step_ms = round(1000 * median(durations), 1)
