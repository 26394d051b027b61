"""Tasks measured in several processes at a time, each by the command itself. Knows processes; knows no browser.

One task is one process of `agent eval miniwob --json`: its own model, its own browser, its own share of the cores.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from actions import Error, SurfaceError, UsageError
from envs import subprocesses
from evals.benchmarks.miniwob import Report, TaskScore

COMMAND = tuple(subprocesses.command("agent", "eval", "miniwob"))


def evaluate_parallel(
    tasks: Sequence[str],
    workers: int,
    options: Sequence[str],
    *,
    on_task: Callable[[str, TaskScore], None] = lambda task, score: None,
    command: Sequence[str] = COMMAND,
) -> tuple[Report, dict[str, Any]]:
    """The report of all tasks and what the processes say of the model; at most so many workers at a time.

    What ends one of them ends all: its sentence is raised, and the others are stopped.
    """
    running: set[subprocess.Popen[str]] = set()
    threads = max(1, (os.cpu_count() or 1) // workers)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}  # or each would take all cores for itself

    def measure(task: str) -> dict[str, Any]:
        line = [*command, "--tasks", task, *options, "--json"]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        running.add(process)
        out, errors = process.communicate()
        running.discard(process)
        return _answer(task, process.returncode, out, errors)

    scores: dict[str, TaskScore] = {}
    facts: dict[str, Any] = {}
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(measure, task): task for task in tasks}
        try:
            for future in as_completed(waiting):
                task, said = waiting[future], future.result()
                scores[task] = TaskScore.from_dict(said["tasks"][task])
                about = {key: said[key] for key in ("model", "fingerprint", "prompt")}
                if facts and about != facts:
                    raise UsageError("the model changed while it was measured; measure it again")
                facts = about
                on_task(task, scores[task])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.terminate()
            raise
    return Report({task: scores[task] for task in tasks}), facts


def _answer(task: str, code: int, out: str, errors: str) -> dict[str, Any]:
    """The report on a process's standard output; else its last sentence as the error that it was."""
    if out.strip():
        report: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        return report
    if code == 130:
        raise KeyboardInterrupt
    sentence = (errors.strip().splitlines() or [f"the process that measured {task} ended with exit code {code}"])[-1]
    raise {2: UsageError, 5: SurfaceError}.get(code, Error)(sentence)
