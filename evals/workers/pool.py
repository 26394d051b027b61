"""What all worker pools share: jobs, their queue, and the interface of a pool."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from evals.workers.spec import RunSpec

PREFETCH = 2  # jobs assigned to a worker: the current one, and one whose images it loads meanwhile
MAX_CRASHES = 2  # crashes of workers on a job after which its tasks are broken
Message = Mapping[str, Any]


@dataclass
class WorkerJob:
    """Tasks that one worker runs in order, such as the steps of an episode."""

    ids: tuple[str, ...]
    known: dict[str, Any] = field(default_factory=dict)  # predictions of earlier runs, by id

    def remaining(self) -> tuple[str, ...]:
        """Return the ids without a prediction."""
        return tuple(name for name in self.ids if name not in self.known)


class JobRunner(Protocol):
    """What a worker runs its jobs with."""

    def prefetch(self, ids: Sequence[str]) -> None:
        """Start loading what the next job needs."""

    def run_job(self, ids: Sequence[str], known: Mapping[str, Any]) -> Iterator[Message]:
        """Yield a message per task without a known prediction."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what a score must carry about the policy."""
        ...

    def close(self) -> None:
        """Release the policy and all resources."""


class WorkerPool(Protocol):
    """Workers that run jobs; one that dies loses only the task it was running."""

    def run(self, jobs: Sequence[WorkerJob]) -> Iterator[Message]:
        """Yield messages as the workers send them.

        {"ready": facts about the policy} once, then for every task without a known prediction either
        {"id", "line", "score", "seconds", ...} or, where the machine failed, {"id", "broken": reason}.

        Raises:
            Error: A worker could not load the policy or the benchmark.
            UsageError: The workers loaded different models.
        """
        ...


class JobQueue:
    """Jobs that wait for a worker, and how many workers died on each."""

    def __init__(self, jobs: Sequence[WorkerJob]) -> None:
        self.jobs = jobs
        self._waiting = deque(range(len(jobs)))
        self._crashes: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> int:
        """Remove the next job and return its number."""
        return self._waiting.popleft()

    def put_back(self, numbers: Iterable[int]) -> None:
        """Return jobs to the front of the queue, in order."""
        self._waiting.extendleft(reversed(list(numbers)))

    def record(self, number: int, message: Message) -> None:
        """Keep a job's prediction, which is history if another worker has to continue the job."""
        if "line" in message:
            self.jobs[number].known[message["id"]] = message["line"]

    def record_crash(self, number: int, reason: str) -> list[Message]:
        """Put a job back after its worker died, or return its remaining tasks as broken after MAX_CRASHES."""
        self._crashes[number] = self._crashes.get(number, 0) + 1
        if self._crashes[number] < MAX_CRASHES:
            self.put_back([number])
            return []
        return [{"id": name, "broken": reason} for name in self.jobs[number].remaining()]


def open_pool(spec: RunSpec, workers: int, *, ray: str = "", command: Sequence[str] | None = None) -> WorkerPool:
    """Return a pool of local processes, or of actors on the Ray cluster at the address `ray`."""
    if ray:
        from evals.workers.ray_pool import RayPool

        return RayPool(spec, workers, ray)
    from evals.workers.local_pool import COMMAND, LocalPool

    return LocalPool(spec, workers, command or COMMAND)
