"""A pool of worker processes on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from actions import Error, SurfaceError, UsageError
from envs import subprocesses
from evals.workers.pool import MAX_CRASHES, PREFETCH, JobQueue, Message, WorkerJob
from evals.workers.spec import RunSpec

COMMAND = tuple(subprocesses.command("evals.workers.process"))
INTERRUPTED = (129, 130, 143)  # exit codes of workers that SIGHUP, Ctrl-C or SIGTERM stopped
EXIT_ERRORS: dict[int, type[Error]] = {2: UsageError, 5: SurfaceError}


class Worker:
    """One process and the thread that reads its messages into a queue, as (worker, message or None at its end)."""

    def __init__(
        self, spec: RunSpec, messages: SimpleQueue[tuple[Worker, Message | None]], command: Sequence[str]
    ) -> None:
        self.job_numbers: deque[int] = deque()
        self.is_ready = False
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - read after the process has ended
        environment = {**os.environ, "OMP_NUM_THREADS": str(spec.threads), "MKL_NUM_THREADS": str(spec.threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True, env=environment
        )
        self.send(run=spec.as_dict())
        Thread(target=self._read_messages, args=(messages,), daemon=True).start()

    def send(self, **message: object) -> None:
        """Send a message; a dead process is detected by the reading thread."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass

    def _read_messages(self, messages: SimpleQueue[tuple[Worker, Message | None]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # else the process died while writing
                messages.put((self, json.loads(line)))
        self.process.wait()
        messages.put((self, None))

    def stderr_tail(self) -> str:
        """Return the last line of standard error."""
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def kill(self) -> None:
        """Kill the process and close its pipes."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._stderr):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass


class LocalPool:
    """Worker processes of one run."""

    def __init__(self, spec: RunSpec, workers: int, command: Sequence[str] = COMMAND) -> None:
        self.spec, self.workers, self.command = spec, workers, command

    def run(self, jobs: Sequence[WorkerJob]) -> Iterator[Message]:
        """Yield messages as the workers send them; see `WorkerPool.run`."""
        queue = JobQueue(jobs)
        messages: SimpleQueue[tuple[Worker, Message | None]] = SimpleQueue()
        workers: set[Worker] = set()
        facts: Any = None
        try:
            for _ in range(min(self.workers, len(jobs))):
                workers.add(Worker(self.spec, messages, self.command))
            while any(worker.job_numbers for worker in workers) or queue:
                worker, message = messages.get()
                if worker not in workers:
                    continue
                if message is None:
                    workers.discard(worker)
                    yield from _handle_crash(worker, queue)
                    worker.kill()
                    if queue and len(workers) < self.workers:
                        workers.add(Worker(self.spec, messages, self.command))
                    continue
                if "ready" in message:
                    if facts is not None and facts != message["ready"]:
                        raise UsageError("the model changed during the run; run the evaluation again")
                    if facts is None:
                        facts = message["ready"]
                        yield message
                    worker.is_ready = True
                elif "done" in message:
                    worker.job_numbers.remove(message["done"])
                else:
                    queue.record(worker.job_numbers[0], message)
                    yield message
                while worker.is_ready and queue and len(worker.job_numbers) < PREFETCH:
                    number = queue.take()
                    worker.job_numbers.append(number)
                    worker.send(job=number, ids=jobs[number].ids, known=jobs[number].known)
        finally:
            for worker in workers:
                worker.kill()


def _handle_crash(worker: Worker, queue: JobQueue) -> Iterator[Message]:
    """Requeue a dead worker's jobs; the one it was running is broken after MAX_CRASHES.

    Raises:
        Error: The worker died before it was ready.
    """
    code, tail = worker.process.returncode, worker.stderr_tail()
    if not worker.is_ready:
        if code in INTERRUPTED:
            raise KeyboardInterrupt
        raise EXIT_ERRORS.get(code, Error)(tail or f"a worker exited with code {code} before it had loaded the model")
    if worker.job_numbers:
        current = worker.job_numbers.popleft()
        queue.put_back(worker.job_numbers)
        detail = f"{code}: {tail}" if tail else f"{code}"
        yield from queue.record_crash(current, f"{MAX_CRASHES} worker processes died on it (exit code {detail})")
    worker.job_numbers.clear()
