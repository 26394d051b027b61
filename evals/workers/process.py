"""One process that answers tasks of a run: JSON lines on standard input, JSON lines on standard output.

    {"run": {...}}                          the first line: which benchmark, model, ...; answered by {"ready": about}
    {"job": n, "ids": [...], "known": {}}   answered by a line for each id that is not known, then by {"done": n}
    {"id", "line", "score", "seconds"}      an answer; {"id", "broken"} where the machine failed

It ends when its input does. Knows no files of results. Run by evals.crew as `python -m evals.worker`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from actions import Error, UsageError
from evals import scoring


@dataclass(frozen=True)
class RunSpec:
    """What a run asks for, the same for all its workers.

    fingerprint: of the model's weights; maker: "module:function" that makes the policy from the order, in place of a
    model on this machine.
    """

    name: str
    data: str
    protocol: str
    level: str = "high"
    model: str = "embedded"
    device: str = "auto"
    dtype: str = "auto"
    prompt: str = ""
    seed: int = 0
    threads: int = 1
    fingerprint: str = ""
    maker: str = ""


def make_policy(order: RunSpec) -> Any:
    """The policy that answers, made in this process."""
    if order.maker:
        module, _, function = order.maker.partition(":")
        return getattr(import_module(module), function)(order)
    if is_address(order.model):
        from agent.policies.factory import load_policy

        return load_policy(order.model, prompt=order.prompt)
    import torch

    from agent.policies.factory import load_local_policy

    torch.set_num_threads(order.threads)  # sums split among another number of threads can differ in their last bit
    return load_local_policy(order.model, device=order.device, dtype=order.dtype, prompt=order.prompt)


def is_address(model: str) -> bool:
    """Whether a model is a server's http://host:port/v1#NAME and no name, folder or hub id."""
    return "://" in model


def about(policy: Any) -> dict[str, Any]:
    """What a number must carry: model, its hash, the prompt's hash, how pictures are resized, and what else decides."""
    told = {key: value for key, value in policy.metadata.items() if key != "path"}
    chat = getattr(policy, "chat", None)
    limits = getattr(chat or getattr(policy, "profile", None), "limits", None)
    if limits is not None:
        told["resize"] = (
            f"smart_resize to multiples of {limits.factor}, {limits.min_pixels} to {limits.max_pixels} pixels, bicubic"
        )
    if chat is not None:
        told["device"] = str(getattr(chat.model.device, "type", chat.model.device))
        told["dtype"] = str(next(chat.model.parameters()).dtype).removeprefix("torch.")
    return told


def main() -> int:
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever any library prints

    def tell(**line: Any) -> None:
        own.write(json.dumps(line) + "\n")
        own.flush()

    first = json.loads(sys.stdin.readline())
    try:
        _answer(RunSpec(**first["run"]), tell)
    except BrokenPipeError:
        return 1  # nobody listens any more
    except Error as error:
        print(str(error), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 5
    return 0


def open_asker(order: RunSpec) -> Any:
    """Who puts the order's tasks to its model, made in this process."""
    from evals.predictor import Predictor

    bench = scoring.benchmark(order.name)
    policy = make_policy(order)
    return Predictor(bench, bench.read(Path(order.data)), order.protocol, order.level, policy)  # type: ignore[arg-type]


def to_message(one: Any) -> dict[str, Any]:
    """An answer as a line."""
    if one.line is None:
        return {"id": one.id, "broken": one.broken}
    return {"id": one.id, "line": one.line, "score": one.score, "seconds": one.seconds}


def _answer(order: RunSpec, tell: Any) -> None:
    asker = open_asker(order)
    tell(ready=about(asker.policy))
    for job in _jobs(asker):
        for one in asker.ask(job["ids"], job["known"]):
            tell(**to_message(one))
        tell(done=job["job"])
    asker.close()


def _jobs(asker: Any) -> Iterator[dict[str, Any]]:
    """The jobs as they come; the pictures of one that waits are read meanwhile."""
    waiting: SimpleQueue[dict[str, Any] | None] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            job = json.loads(line)
            asker.ahead([one for one in job["ids"] if one not in job["known"]])
            waiting.put(job)
        waiting.put(None)

    Thread(target=listen, daemon=True).start()
    while (job := waiting.get()) is not None:
        yield job


if __name__ == "__main__":
    sys.exit(main())
