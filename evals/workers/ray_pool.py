"""A pool of actors on the machines of a Ray cluster.

The benchmark's folder and the model's are read by every machine at the same path. Results are written only by the
process that owns the pool.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from actions import Error, SurfaceError, UsageError
from evals.workers.pool import MAX_CRASHES, JobQueue, JobRunner, Message, WorkerJob
from evals.workers.spec import RunSpec, parse_spec

ERROR_KINDS: dict[str, type[Error]] = {"usage": UsageError, "machine": SurfaceError}


class WorkerActor:
    """The code that runs in an actor; all of its results are plain data."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = parse_spec(spec)
        self._runner: JobRunner | None = None

    def load(self) -> dict[str, Any]:
        """Load the model; return {"ready": facts}, or {"error": message, "kind"} where it failed."""
        from evals.workers.process import make_job_runner

        try:
            self._runner = make_job_runner(self._spec)
            return {"ready": self._runner.describe()}
        except Error as error:
            kind = "usage" if isinstance(error, UsageError) else "machine"
            return {"error": str(error), "kind": kind}

    def run_job(self, ids: Sequence[str], known: Mapping[str, Any]) -> Iterator[Message]:
        """Yield the messages of a job."""
        assert self._runner is not None
        yield from self._runner.run_job(ids, known)


class RayPool:
    """Actors of one run on the cluster at an address; "auto" is the cluster this machine belongs to.

    An actor waits until a machine has a core for it, and a GPU where the device asks for one and the cluster has any;
    the others run meanwhile.
    """

    def __init__(self, spec: RunSpec, workers: int, address: str) -> None:
        self.spec, self.workers, self.address = spec, workers, address

    def run(self, jobs: Sequence[WorkerJob]) -> Iterator[Message]:
        """Yield messages as the actors send them; see `WorkerPool.run`.

        Raises:
            UsageError: Ray is not installed or no cluster answers.
        """
        with _connect(self.address) as ray:
            actor_class = ray.remote(
                num_cpus=1,
                num_gpus=_gpus_per_actor(ray, self.spec.device),
                max_restarts=0,
                runtime_env=_runtime_environment(self.spec),
            )(WorkerActor)
            spec = _with_absolute_paths(self.spec).as_dict()
            queue = JobQueue(jobs)
            loading: dict[Any, Any] = {}  # actor by the reference of its load()
            running: dict[Any, tuple[Any, int]] = {}  # (actor, job number) by its stream of messages
            facts: Any = None

            def start_actor() -> None:
                actor = actor_class.remote(spec)
                loading[actor.load.remote()] = actor

            def assign_job(actor: Any) -> None:
                if queue:
                    number = queue.take()
                    job = jobs[number]
                    stream = actor.run_job.options(num_returns="streaming").remote(job.ids, job.known)
                    running[stream] = actor, number

            for _ in range(min(self.workers, len(jobs))):
                start_actor()
            while running or queue:
                (reference,), _ = ray.wait([*loading, *running], num_returns=1)
                if reference in loading:
                    actor = loading.pop(reference)
                    ready = _load_result(ray, reference)
                    if facts is not None and facts != ready:
                        raise UsageError("the model changed during the run; run the evaluation again")
                    if facts is None:
                        facts = ready
                        yield {"ready": ready}
                    assign_job(actor)
                    continue
                actor, number = running[reference]
                try:
                    message = ray.get(next(reference))
                except StopIteration:
                    del running[reference]
                    assign_job(actor)
                    continue
                except ray.exceptions.RayError as error:
                    del running[reference]
                    reason = f"{MAX_CRASHES} workers of the Ray cluster died on it ({_first_line(error)})"
                    yield from queue.record_crash(number, reason)
                    if queue:
                        start_actor()
                    continue
                queue.record(number, message)
                yield message


def _load_result(ray: Any, reference: Any) -> Any:
    """Return the facts about an actor's policy.

    Raises:
        Error: The actor could not load it, or died.
    """
    try:
        result = ray.get(reference)
    except ray.exceptions.RayError as error:
        raise SurfaceError(
            f"a worker of the Ray cluster died before it had loaded the model ({_first_line(error)})"
        ) from None
    if "error" in result:
        raise ERROR_KINDS[result["kind"]](result["error"])
    return result["ready"]


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _with_absolute_paths(spec: RunSpec) -> RunSpec:
    """Return the spec without paths relative to this process's folder."""

    def absolute(path: str) -> str:
        return str(Path(path).absolute()) if path and Path(path).exists() else path

    return replace(
        spec,
        data=absolute(spec.data),
        model=absolute(spec.model),
        grounder=absolute(spec.grounder),
        prompt=absolute(spec.prompt),
    )


def _runtime_environment(spec: RunSpec) -> dict[str, Any]:
    """Return thread counts as environment variables, which must be set before any library reads them."""
    return {"env_vars": {"OMP_NUM_THREADS": str(spec.threads), "MKL_NUM_THREADS": str(spec.threads)}}


def _gpus_per_actor(ray: Any, device: str) -> int:
    has_gpu = ray.cluster_resources().get("GPU", 0) >= 1
    if device == "cuda" and not has_gpu:
        raise UsageError("--device cuda: no machine of the Ray cluster has a GPU; omit --device")
    return int(has_gpu and device in ("auto", "cuda"))


@contextmanager
def _connect(address: str) -> Iterator[Any]:
    """Connect to Ray, and disconnect at the end unless the caller was connected before."""
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UsageError("--ray requires Ray, which is not installed; run: pip install 'pixelhand[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster at '{address}' ({_first_line(error)}); start one with `ray start --head`, or omit --ray"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
