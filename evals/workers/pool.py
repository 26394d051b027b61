"""Worker processes: jobs go out, answers come back in whatever order. Knows processes; knows no benchmark.

A worker that dies takes nothing with it but the answer it was at: its jobs go to another one. A task on which two
workers died is broken.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from actions import Error, SurfaceError, UsageError
from envs import subprocesses
from evals.workers.process import RunSpec

PREFETCH = 2  # jobs that a worker has: the one it is at, and one whose pictures it reads meanwhile
MAX_CRASHES = 2  # workers that a task may cost
COMMAND = tuple(subprocesses.command("evals.workers.process"))


@dataclass
class Job:
    """Tasks to be asked one after the other by one worker; what is known of them from before."""

    ids: tuple[str, ...]
    known: dict[str, Any] = field(default_factory=dict)

    def left(self) -> tuple[str, ...]:
        return tuple(one for one in self.ids if one not in self.known)


class Worker:
    """One process and the thread that hears it."""

    def __init__(self, order: RunSpec, heard: SimpleQueue[Any], command: Sequence[str]) -> None:
        self.jobs: deque[int] = deque()
        self.ready = False
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has ended
        environment = {**os.environ, "OMP_NUM_THREADS": str(order.threads), "MKL_NUM_THREADS": str(order.threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=environment
        )
        self.say(run=asdict(order))
        Thread(target=self._hear, args=(heard,), daemon=True).start()

    def say(self, **line: Any) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it has died; the thread that hears it tells

    def _hear(self, heard: SimpleQueue[Any]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # else its last words were cut off
                heard.put((self, json.loads(line)))
        self.process.wait()
        heard.put((self, None))

    def last_words(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def end(self) -> None:
        """End the process, whatever it is at."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass


def run_jobs(
    order: RunSpec, jobs: Sequence[Job], workers: int, *, command: Sequence[str] = COMMAND
) -> Iterator[Mapping[str, Any]]:
    """What the workers say, as it comes: {"ready": about} once, then {"id", "line", "score", "seconds"} or
    {"id", "broken"} for every task that was not known. Error when a worker cannot even begin.
    """
    waiting = deque(range(len(jobs)))
    died: dict[int, int] = {}
    heard: SimpleQueue[Any] = SimpleQueue()
    crew: set[Worker] = set()
    facts: Any = None
    try:
        for _ in range(min(workers, len(jobs))):
            crew.add(Worker(order, heard, command))
        while any(worker.jobs for worker in crew) or waiting:
            worker, line = heard.get()
            if worker not in crew:
                continue
            if line is None:
                crew.discard(worker)
                yield from _lost(worker, jobs, waiting, died)
                worker.end()
                if waiting and len(crew) < workers:
                    crew.add(Worker(order, heard, command))
                continue
            if "ready" in line:
                if facts is not None and facts != line["ready"]:
                    raise UsageError("the model changed while it was measured; measure it again")
                if facts is None:
                    facts = line["ready"]
                    yield line
                worker.ready = True
            elif "done" in line:
                worker.jobs.remove(line["done"])
            else:
                if "line" in line:
                    jobs[worker.jobs[0]].known[line["id"]] = line["line"]
                yield line
            while worker.ready and waiting and len(worker.jobs) < PREFETCH:
                number = waiting.popleft()
                worker.jobs.append(number)
                worker.say(job=number, ids=jobs[number].ids, known=jobs[number].known)
    finally:
        for worker in crew:
            worker.end()


def _lost(
    worker: Worker, jobs: Sequence[Job], waiting: deque[int], died: dict[int, int]
) -> Iterator[Mapping[str, Any]]:
    """A worker has ended: its jobs wait again, and the one it was at is broken when that was not the first time."""
    code = worker.process.returncode
    if not worker.ready:
        kind = {2: UsageError, 5: SurfaceError}.get(code, Error)
        raise kind(worker.last_words() or f"a worker ended with exit code {code} before it had loaded the model")
    if worker.jobs:
        at = worker.jobs[0]
        died[at] = died.get(at, 0) + 1
        if died[at] >= MAX_CRASHES:
            worker.jobs.popleft()
            words = worker.last_words()
            why = f"{MAX_CRASHES} worker processes ended on it (exit code {code}{': ' + words if words else ''})"
            yield from ({"id": one, "broken": why} for one in jobs[at].left())
    waiting.extendleft(reversed(worker.jobs))
    worker.jobs.clear()
