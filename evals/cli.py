"""`agent eval`: a model's score on a benchmark. Thin: arguments in, a table or JSON out.

`agent eval NAME` is `agent eval predict NAME` for every recorded benchmark; the other commands have names of their own.
"""

from __future__ import annotations

import json as json_
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.score_cli import Data, Json, doctor, table

if TYPE_CHECKING:
    from evals.benchmarks.miniwob import TaskScore
    from evals.runner import Progress
    from evals.workers.process import RunSpec

Ray = Annotated[
    str, typer.Option(help="Workers on a Ray cluster: its address, or auto. DIR and the model are seen by all.")
]
Grounder = Annotated[str, typer.Option(help="A second model, which finds what the first one points at.")]
AND = " + "  # between the two models of a pair, in an order
TELL_S = 10.0  # between two lines of progress where there is no terminal


class Benchmarks(typer.core.TyperGroup):
    """A first word that is no command is a benchmark's name: `predict` takes it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["predict", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Benchmarks, help="Score a model.", rich_markup_mode=None, add_completion=False)
app.command("doctor")(doctor)


@app.callback()
def benchmarks() -> None:
    """Score a model on a benchmark."""


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="screenspot-pro, android-control, ...; a wrong name lists them.")],
    data: Data,
    model: Annotated[
        str, typer.Option(help="embedded, a checkpoint's folder, a Hub id, or http://host:port/v1#NAME.")
    ] = "embedded",
    grounder: Grounder = "",
    limit: Annotated[int | None, typer.Option(min=1, help="So many pictures, or episodes, drawn by --seed.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with a model of its own.")] = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.", metavar="DIR")] = None,
    protocol: Annotated[str | None, typer.Option(help="One of the benchmark's named protocols.")] = None,
    level: Annotated[str, typer.Option(help="high: the goal alone; low: each step's instruction too.")] = "high",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    prompt: Annotated[str, typer.Option(help="File with a text for the system prompt.", metavar="FILE")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Of each worker; another number may be another answer.")] = 1,
    ray: Ray = "",
    json: Json = False,
) -> None:
    """Ask a model all of a recorded benchmark, and score it.

    Answers are kept as they come: the same command goes on where a killed one stopped. Exit code 5: the machine
    failed on every task, and there is no score.
    """
    from actions import UsageError
    from evals import runner
    from evals.workers.process import RunSpec

    if level not in runner.LEVELS:
        raise UsageError(f"--level is one of {', '.join(runner.LEVELS)}, not {level!r}")
    planned = runner.plan_run(name, data, protocol, limit, seed)
    for note in planned.dataset.notes:
        print(note, file=sys.stderr)
    if planned.broken:
        print(
            f"{len(planned.broken):,} tasks have no picture in {data / 'images'} and are not asked; "
            f"get them from {planned.bench.pictures}",
            file=sys.stderr,
        )
    models = [model, grounder] if grounder else [model]
    order = RunSpec(
        name=name,
        data=str(data),
        protocol=planned.protocol,
        level=level,
        model=AND.join(models),
        device=device,
        dtype=dtype,
        prompt=prompt,
        seed=seed,
        threads=threads,
        fingerprint=AND.join(map(_fingerprint, models)),
        maker="evals.cli:pair" if grounder else "",
    )
    folder = out or runner.default_folder(order, planned.dataset.revision, limit)
    told = runner.run_predictions(planned, order, folder, workers=workers, limit=limit, on_progress=_teller(), ray=ray)
    print(json_.dumps({**told, "out": str(folder)}) if json else _told(told, folder))


def pair(order: RunSpec) -> Any:
    """The policy of an order whose model is a planner's, AND, a grounder's. The prompt is the planner's."""
    from dataclasses import replace

    from agent.policies.planner_grounder import PlannerGrounderPolicy
    from evals.workers.process import make_policy

    planner, _, grounder = order.model.partition(AND)
    alone = replace(order, maker="")
    return PlannerGrounderPolicy(
        make_policy(replace(alone, model=planner)), make_policy(replace(alone, model=grounder, prompt=""))
    )


def _fingerprint(model: str) -> str:
    """Of the weights; "" of a server's, who says it himself once he is asked."""
    from evals.workers.process import is_address

    if is_address(model):
        return ""
    from model.checkpoints.settings import fingerprint
    from model.checkpoints.weights import resolve_checkpoint

    return fingerprint(resolve_checkpoint(model))


def _teller() -> Any:
    """Progress on standard error: one line that changes on a terminal, else a line now and then."""
    last = 0.0

    def tell(progress: Progress) -> None:
        nonlocal last
        over = progress.done + progress.broken == progress.total
        if sys.stderr.isatty():
            print(f"\r{progress.line():78}", end="\n" if over else "", file=sys.stderr, flush=True)
        elif over or time.monotonic() - last > TELL_S:
            last = time.monotonic()
            print(progress.line(), file=sys.stderr, flush=True)

    return tell


def _told(told: dict[str, Any], folder: Path) -> str:
    lines = [table(told)]
    if told["broken"]:
        first = told["broken_ids"][0]
        lines.append(f"broken, in no figure: {told['broken']:,}, the first {first['id']}: {first['why']}")
    return "\n".join([*lines, f"kept in {folder}"])


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A run's folder, or a file of `agent score --verdicts`.")],
    b: Annotated[Path, typer.Argument(help="Another, of the same tasks.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    json: Json = False,
) -> None:
    """Say whether B is better than A on the same tasks: McNemar's test and a paired bootstrap."""
    from evals.compare import compare as compared

    result = compared(a, b, seed=seed)
    print(json_.dumps(result.as_dict()) if json else result.story())


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or a folder of them.", metavar="DIR")],
    out: Annotated[Path | None, typer.Option(help="Default: report.html in DIR.", metavar="FILE")] = None,
    data: Annotated[Path | None, typer.Option(help="Where the pictures lie now.", metavar="DIR")] = None,
    failures: Annotated[int, typer.Option(min=0, help="Failures shown with their pictures, of each run.")] = 40,
) -> None:
    """Write one HTML file: tables, and the failures with picture, target, point and reply."""
    from evals.report import write

    print(write(folder, out, data=data, failures=failures))


@app.command()
def unpack(
    name: Annotated[str, typer.Argument(help="android-control or aitw.")],
    data: Annotated[Path, typer.Option(help="Folder with the shards and their splits.", metavar="DIR")],
    split: Annotated[str, typer.Option(help="test, validation or train; of aitw also unseen_verb/test, ...")] = "test",
) -> None:
    """Turn TFRecord shards as they were published into pictures and annotations, without TensorFlow."""
    from actions import UsageError

    if name == "android-control":
        from evals.datasets.convert_android_control import convert as unpacked
    elif name == "aitw":
        from evals.datasets.convert_aitw import convert as unpacked
    else:
        raise UsageError(f"only android-control and aitw come in shards, not '{name}'")
    count = unpacked(data, split, lambda done: print(f"\r{done:,} episodes", end="", file=sys.stderr, flush=True))
    print(f"\n{count:,} episodes in {data}", file=sys.stderr)


@app.command()
def miniwob(
    tasks: Annotated[str, typer.Option(help="Comma-separated practice tasks; default: those on the card.")] = "",
    seeds: Annotated[str, typer.Option(help="FIRST:LAST, LAST not included.")] = "900000:900050",
    model: Annotated[
        str, typer.Option(help="embedded, a checkpoint's folder, a Hub id, or http://host:port/v1#NAME.")
    ] = "embedded",
    grounder: Grounder = "",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_steps: Annotated[int, typer.Option(min=1)] = 30,
    workers: Annotated[
        int, typer.Option(min=1, help="Tasks at a time, each with a model and a browser of its own.")
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """MiniWoB++ practice pages, live; success is the page's own raw reward of 1.

    Ctrl-C ends it without a report. Exit code 5: the machine failed on every seed, and there is no score.
    """
    from agent.demo import success_rates
    from evals.benchmarks.miniwob import check, evaluate, line, parse_seeds, stopwatch, table

    named = [one.strip() for one in tasks.split(",") if one.strip()] if tasks else list(success_rates())
    chosen, span = list(dict.fromkeys(named)), parse_seeds(seeds)
    check(chosen, span)
    clock = stopwatch()
    finished = 0

    def tell(task: str, seed: int, status: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{task} seed {seed}: {status:8}", end="\r", file=sys.stderr, flush=True)

    def tell_task(task: str, score: TaskScore) -> None:
        nonlocal finished
        finished += 1
        left = clock() / finished * (len(chosen) - finished)
        words = line(task, score) + (f"  about {left:.0f} s left" if left else "")
        print(f"{words:80}", file=sys.stderr, flush=True)

    if workers > 1:
        from evals.workers.miniwob import evaluate_parallel

        options = ["--seeds", seeds, "--model", model, "--device", device, "--max-steps", str(max_steps)]
        options += ["--grounder", grounder] if grounder else []
        report, facts = evaluate_parallel(chosen, workers, options, on_task=tell_task)
    else:
        from agent.config import Settings
        from agent.session import load_policy

        policy = load_policy(Settings(model=model, grounder=grounder, device=device))
        report = evaluate(policy, chosen, span, max_steps=max_steps, on_result=tell, on_task=tell_task)
        facts = {"model": policy.metadata["model"], "fingerprint": policy.metadata["fingerprint"]}
        facts["prompt"] = str(policy.metadata["prompt_hash"])[:16]
    shown: dict[str, Any] = {**facts, "seeds": f"{span.start} to {span.stop - 1}", "max_steps": max_steps}
    print(json_.dumps({**report.as_dict(), **shown}) if json else table(report, shown))
    if report.mean is None:
        raise typer.Exit(5)
