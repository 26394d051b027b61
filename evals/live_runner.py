"""Run a policy on a live benchmark, in this process or in several, with results kept in a folder.

    run.json       the run's specification and facts about the model
    journal.jsonl  one finished task per line

The same command continues an interrupted run. Tasks on which the machine failed are run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from actions import SurfaceError
from actions.rewards import is_success
from agent.env import Env
from agent.loop import raise_if_interrupted, run
from agent.policies.base import Policy
from agent.safety.policy import SafetyPolicy, load_safety_policy
from agent.session import install_guard
from evals.journal import open_journal
from evals.live.base import LiveBenchmark, LiveReport, LiveTaskScore, check_tasks, load_live_benchmark, parse_seeds
from evals.run_folder import check_same_model, check_same_run
from evals.workers.pool import Message, WorkerJob, open_pool
from evals.workers.spec import RunSpec, describe_policy

OnResult = Callable[[str, int, str], None]  # (task, seed, status)
OnTask = Callable[[str, LiveTaskScore], None]
MakeEnv = Callable[[str], Env]


def evaluate_task(
    bench: LiveBenchmark,
    policy: Policy,
    task: str,
    seeds: range,
    *,
    max_steps: int | None = None,
    make_env: MakeEnv | None = None,
    on_result: OnResult = lambda task, seed, status: None,
    safety: SafetyPolicy | None = None,
) -> LiveTaskScore:
    """Return the score of one task: each seed once, with a new environment after a failure of the machine.

    Args:
        bench: The benchmark.
        policy: The policy; it stays open.
        task: The task.
        seeds: The seeds.
        max_steps: Steps per episode; None for the benchmark's.
        make_env: Returns the environment of a task, in place of the benchmark's.
        on_result: Called after each episode.
        safety: The policy of the guard; None for `sandbox`. Nobody is asked: an action that needs an approval ends its
            episode without success.

    Raises:
        KeyboardInterrupt: The run was interrupted; half of the seeds would be another benchmark.
    """
    score, step_s = LiveTaskScore(), list[float]()
    safety = safety or load_live_safety("")
    env: Env | None = None
    try:
        for seed in seeds:
            try:
                env = env or (make_env or bench.make_env)(task)
            except SurfaceError:
                score.broken.append(seed)
                on_result(task, seed, "error")
                continue
            with TemporaryDirectory() as folder:  # no question is asked, so it stays empty
                install_guard(env, safety, Path(folder), _ignore_event, None)
                episode = run("", env, policy, max_steps=max_steps or bench.max_steps, seed=seed)
            raise_if_interrupted(episode)
            if episode.status == "error":
                score.broken.append(seed)
                env.close()
                env = None
            else:
                success = episode.reward is not None and is_success(episode.reward)
                score.total += 1
                score.success += success
                if not success:
                    score.failed.append(seed)
                step_s += [step.seconds for step in episode.steps]
            on_result(task, seed, episode.status)
    finally:
        if env is not None:
            env.close()
    score.step_ms = round(median(step_s) * 1000, 1) if step_s else None
    return score


def load_live_safety(name: str) -> SafetyPolicy:
    """Load the policy of the guard of a live benchmark.

    Args:
        name: A preset or the path of a policy file; "" for `sandbox`.

    Raises:
        UsageError: The file is missing or not valid.
    """
    return load_safety_policy(name or "sandbox", is_practice=True)


def _ignore_event(event: str, **facts: object) -> None:
    """Record no decisions: an evaluation keeps no trace."""


def evaluate_live(
    bench: LiveBenchmark | str,
    policy: Policy,
    tasks: Sequence[str],
    seeds: range,
    *,
    max_steps: int | None = None,
    make_env: MakeEnv | None = None,
    on_result: OnResult = lambda task, seed, status: None,
    on_task: OnTask = lambda task, score: None,
) -> LiveReport:
    """Return the report of a policy on every task and seed, run in this process.

    Raises:
        UsageError: There is no task or no seed, or a task does not exist.
        KeyboardInterrupt: The run was interrupted; there is no partial report.
    """
    benchmark = load_live_benchmark(bench) if isinstance(bench, str) else bench
    check_tasks(benchmark, tasks, seeds)
    scores: dict[str, LiveTaskScore] = {}
    for task in tasks:
        scores[task] = evaluate_task(
            benchmark, policy, task, seeds, max_steps=max_steps, make_env=make_env, on_result=on_result
        )
        on_task(task, scores[task])
    return LiveReport(scores)


class LiveJobRunner:
    """Runs tasks as the jobs of a worker pool; the `line` of a message is the task's score."""

    def __init__(self, spec: RunSpec, policy: Policy, on_result: OnResult = lambda task, seed, status: None) -> None:
        self.spec, self.policy, self._on_result = spec, policy, on_result
        self._bench = load_live_benchmark(spec.name)
        self._seeds = parse_seeds(spec.seeds)
        self._safety = load_live_safety(spec.safety_policy)

    def describe(self) -> dict[str, Any]:
        """Return what a score must carry about the policy."""
        return describe_policy(self.policy)

    def prefetch(self, ids: Sequence[str]) -> None:
        """Do nothing: a live screen cannot be loaded ahead."""

    def run_job(self, ids: Sequence[str], known: Mapping[str, Any]) -> Iterator[Message]:
        """Yield a message per task."""
        for task in ids:
            if task not in known:
                score = evaluate_task(
                    self._bench,
                    self.policy,
                    task,
                    self._seeds,
                    max_steps=self.spec.max_steps or None,
                    on_result=self._on_result,
                    safety=self._safety,
                )
                yield {"id": task, "line": score.as_dict()}

    def close(self) -> None:
        """Close the policy."""
        self.policy.close()


def run_live(
    spec: RunSpec,
    tasks: Sequence[str],
    *,
    workers: int = 1,
    out: Path | None = None,
    load_policy: Callable[[RunSpec], Policy] | None = None,
    on_result: OnResult = lambda task, seed, status: None,
    on_task: OnTask = lambda task, score: None,
    command: Sequence[str] | None = None,
) -> tuple[LiveReport, dict[str, Any]]:
    """Return (report, facts about the policy) of a live benchmark.

    KeyboardInterrupt leaves the finished tasks in `out`.

    Args:
        spec: The specification of the run, with `seeds` and `max_steps`.
        tasks: The tasks.
        workers: Number of tasks at a time; each worker process has a model and a browser of its own.
        out: Folder that keeps finished tasks; None keeps nothing.
        load_policy: Loads the policy when there is one worker, which is then this process.
        on_result: Called after each episode of this process.
        on_task: Called after each task.
        command: Command of a worker process, in place of this project's.

    Raises:
        UsageError: A task, a seed or the model does not exist, or `out` holds another run.
    """
    bench = load_live_benchmark(spec.name)
    seeds = parse_seeds(spec.seeds)
    check_tasks(bench, tasks, seeds)
    scores: dict[str, LiveTaskScore] = {}
    about: dict[str, Any] = {}
    request = spec.identity()
    with ExitStack() as stack:
        journal = None
        if out is not None:
            journal = stack.enter_context(open_journal(out))
            about = check_same_run(out, request)
            for task, entry in journal.entries.items():
                score = LiveTaskScore.from_dict(entry["line"])
                if task in tasks and not score.broken:
                    scores[task] = score
        jobs = [WorkerJob((task,)) for task in tasks if task not in scores]
        if workers > 1 or load_policy is None:
            messages = open_pool(spec, workers, command=command).run(jobs)
        else:
            messages = _run_here(spec, load_policy, jobs, on_result)
        for message in messages:
            if "ready" in message:
                about = (
                    dict(message["ready"]) if out is None else check_same_model(out, request, about, message["ready"])
                )
                continue
            if "broken" in message:  # every worker that ran the task died
                score = LiveTaskScore(broken=list(seeds))
            else:
                score = LiveTaskScore.from_dict(message["line"])
                if journal is not None:
                    journal.append(message)
            scores[message["id"]] = score
            on_task(message["id"], score)
    return LiveReport({task: scores[task] for task in tasks}), about


def _run_here(
    spec: RunSpec,
    load_policy: Callable[[RunSpec], Policy],
    jobs: Sequence[WorkerJob],
    on_result: OnResult,
) -> Iterator[Message]:
    """Yield the messages of a worker that is this process."""
    if not jobs:
        return
    runner = LiveJobRunner(spec, load_policy(spec), on_result)
    try:
        yield {"ready": runner.describe()}
        for job in jobs:
            yield from runner.run_job(job.ids, job.known)
    finally:
        runner.close()
