"""Workers on the machines of a Ray cluster: jobs go out, answers come back as they are made. Knows Ray; no benchmark.

Each worker is an actor with a model of its own: evals.crew, with actors where that has processes. A worker that dies
takes nothing with it but the answer it was at; a task on which two died is broken. The folder of data, and a model's,
are read by every machine at the same path. The journal is written by the one who asks.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from actions import Error, SurfaceError, UsageError
from evals.workers.pool import MAX_CRASHES, Job
from evals.workers.process import RunSpec

KINDS: dict[str, type[Error]] = {"usage": UsageError, "machine": SurfaceError}


class WorkerActor:
    """What runs in an actor. Everything that comes out of it is plain data."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = RunSpec(**order)
        self._asker: Any = None

    def begin(self) -> dict[str, Any]:
        """Load the model; {"ready": about}, or {"error": sentence, "kind"} where that cannot be."""
        from evals.workers.process import about, open_asker

        try:
            self._asker = open_asker(self._order)
            return {"ready": about(self._asker.policy)}
        except Error as error:
            kind = "usage" if isinstance(error, UsageError) else "machine"
            return {"error": str(error), "kind": kind}

    def ask(self, ids: Sequence[str], known: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The answers to a job, one after the other."""
        from evals.workers.process import to_message

        for one in self._asker.ask(ids, known):
            yield to_message(one)


def answers(order: RunSpec, jobs: Sequence[Job], workers: int, address: str) -> Iterator[Mapping[str, Any]]:
    """As evals.crew.answers, from actors on the cluster at the address ("auto": the one that this machine is in).

    UsageError where Ray is not installed or no cluster answers. A worker waits until a machine has a core for it (and a
    graphics card, where the device asks for one and the cluster has some); the others go on meanwhile.
    """
    with _cluster(address) as ray:
        actor = ray.remote(
            num_cpus=1, num_gpus=_cards(ray, order.device), max_restarts=0, runtime_env=_environment(order)
        )(WorkerActor)
        order = _everywhere(order)
        waiting, died = deque(range(len(jobs))), dict[int, int]()
        loading: dict[Any, Any] = {}  # a promise of begin(): its actor
        at: dict[Any, tuple[Any, int]] = {}  # a stream of answers: its actor, and the job's number
        facts: Any = None

        def start() -> None:
            one = actor.remote(asdict(order))
            loading[one.begin.remote()] = one

        def hand(one: Any) -> None:
            if waiting:
                number = waiting.popleft()
                job = jobs[number]
                at[one.ask.options(num_returns="streaming").remote(job.ids, job.known)] = one, number

        for _ in range(min(workers, len(jobs))):
            start()
        while at or waiting:
            (ready,), _ = ray.wait([*loading, *at], num_returns=1)
            if ready in loading:
                one = loading.pop(ready)
                said = _begun(ray, ready)
                if facts is not None and facts != said:
                    raise UsageError("the model changed while it was measured; measure it again")
                if facts is None:
                    facts = said
                    yield {"ready": said}
                hand(one)
                continue
            one, number = at[ready]
            try:
                line = ray.get(next(ready))
            except StopIteration:
                del at[ready]
                hand(one)
                continue
            except ray.exceptions.RayError as error:
                del at[ready]
                yield from _lost(jobs[number], number, waiting, died, error)
                if waiting:
                    start()
                continue
            if "line" in line:
                jobs[number].known[line["id"]] = line["line"]
            yield line


def _begun(ray: Any, promise: Any) -> Any:
    """What a worker says of its model. Error where it could not load it, or died of it."""
    try:
        said = ray.get(promise)
    except ray.exceptions.RayError as error:
        raise SurfaceError(
            f"a worker of the Ray cluster ended before it had loaded the model ({_first(error)})"
        ) from None
    if "error" in said:
        raise KINDS[said["kind"]](said["error"])
    return said["ready"]


def _lost(
    job: Job, number: int, waiting: deque[int], died: dict[int, int], error: Exception
) -> Iterator[Mapping[str, Any]]:
    """A worker has died: its job waits again, or is broken when that was not the first time."""
    died[number] = died.get(number, 0) + 1
    if died[number] < MAX_CRASHES:
        waiting.appendleft(number)
        return
    why = f"{MAX_CRASHES} workers of the Ray cluster ended on it ({_first(error)})"
    yield from ({"id": one, "broken": why} for one in job.left())


def _first(error: Exception) -> str:
    """The first words of Ray's many."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _everywhere(order: RunSpec) -> RunSpec:
    """The order as other machines understand it: no path is relative to this process's folder."""

    def absolute(path: str) -> str:
        return str(Path(path).absolute()) if path and Path(path).exists() else path

    return replace(order, data=absolute(order.data), model=absolute(order.model), prompt=absolute(order.prompt))


def _environment(order: RunSpec) -> dict[str, Any]:
    """Threads are set before anything counts the machine's cores."""
    return {"env_vars": {"OMP_NUM_THREADS": str(order.threads), "MKL_NUM_THREADS": str(order.threads)}}


def _cards(ray: Any, device: str) -> int:
    there = ray.cluster_resources().get("GPU", 0) >= 1
    if device == "cuda" and not there:
        raise UsageError("--device cuda: no machine of the Ray cluster has a graphics card; leave --device out")
    return int(there and device in ("auto", "cuda"))


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Ray, connected; left again where it was this call that connected."""
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UsageError("--ray needs Ray, which is not installed; pip install 'pixelhand[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster at '{address}' ({_first(error)}); start one with `ray start --head`, or leave out --ray"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
