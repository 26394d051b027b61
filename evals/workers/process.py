"""The worker process: JSON lines on standard input and output.

    {"run": {...}}                          the first line, a RunSpec; answered by {"ready": facts about the policy}
    {"job": n, "ids": [...], "known": {}}   answered by a line per id without a known prediction, then {"done": n}
    {"id", "line", "score", "seconds"}      a prediction; {"id", "broken"} where the machine failed

It exits at the end of its input. `evals.workers.local_pool` starts it as `python -m evals.workers.process`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from actions import Error, UsageError
from evals.workers.pool import JobRunner
from evals.workers.spec import RunSpec, load_spec_policy, parse_spec


def main() -> int:
    """Run the worker; return its exit code."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keep what libraries print out of the messages

    def send(**message: Any) -> None:
        output.write(json.dumps(message) + "\n")
        output.flush()

    first = json.loads(sys.stdin.readline())
    try:
        _run_jobs(parse_spec(first["run"]), send)
    except BrokenPipeError:
        return 1  # the parent is gone
    except Error as error:
        print(str(error), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 5
    return 0


def make_job_runner(spec: RunSpec) -> JobRunner:
    """Load a spec's policy and benchmark in this process."""
    if spec.seeds:
        from evals.live_runner import LiveJobRunner

        return LiveJobRunner(spec, load_spec_policy(spec))
    from envs.recorded import LEVELS
    from evals.predictor import Predictor
    from evals.registry import load_benchmark

    level = next((level for level in LEVELS if level == spec.level), None)
    if level is None:
        raise UsageError(f"--level is one of {', '.join(LEVELS)}, not {spec.level!r}")
    bench = load_benchmark(spec.name)
    return Predictor(bench, bench.read(Path(spec.data)), spec.protocol, level, load_spec_policy(spec))


def _run_jobs(spec: RunSpec, send: Callable[..., None]) -> None:
    runner = make_job_runner(spec)
    send(ready=runner.describe())
    for job in _read_jobs(runner):
        for message in runner.run_job(job["ids"], job["known"]):
            send(**message)
        send(done=job["job"])
    runner.close()


def _read_jobs(runner: JobRunner) -> Iterator[dict[str, Any]]:
    """Yield jobs as they arrive; the next job's images load while the current one runs."""
    jobs: SimpleQueue[dict[str, Any] | None] = SimpleQueue()

    def read_input() -> None:
        for line in sys.stdin:
            job = json.loads(line)
            runner.prefetch([name for name in job["ids"] if name not in job["known"]])
            jobs.put(job)
        jobs.put(None)

    Thread(target=read_input, daemon=True).start()
    while (job := jobs.get()) is not None:
        yield job


if __name__ == "__main__":
    sys.exit(main())
