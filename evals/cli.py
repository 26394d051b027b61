"""The command `agent eval`: scores of a model on recorded and live benchmarks.

`agent eval NAME` is `agent eval predict NAME` for every recorded benchmark; other commands have names of their own.
"""

from __future__ import annotations

import json as json_
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.score_cli import Data, Json, doctor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.policies.base import Policy
    from evals.live.base import LiveTaskScore
    from evals.runner import Progress, RunPlan
    from evals.workers.spec import RunSpec

Model = Annotated[
    str, typer.Option(help="embedded, a checkpoint's folder, a GGUF file, a Hub id, or http://HOST:PORT/v1#NAME.")
]
Mmproj = Annotated[
    str, typer.Option(help="Vision encoder of a GGUF model. Default: the mmproj*.gguf beside it.", metavar="FILE")
]
Grounder = Annotated[str, typer.Option(help="A second model that locates the first one's targets. Default: none.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Prompt = Annotated[
    str, typer.Option(help="Text file that replaces the system prompt. Default: the dialect's own.", metavar="FILE")
]
Temperature = Annotated[float, typer.Option(min=0.0, help="Sampling temperature; 0 takes the likeliest token.")]
Grammar = Annotated[bool, typer.Option("--grammar/--no-grammar", help="Constrain replies to valid calls.")]
Zoom = Annotated[str, typer.Option(help="off, auto or on: whether uncertain points are located again, enlarged.")]
AutoShrink = Annotated[
    bool,
    typer.Option(
        "--auto-shrink-history/--no-auto-shrink-history",
        "--shrink/--no-shrink",
        help="Drop old screenshots from the history when the device runs out of memory.",
    ),
]
BudgetTokens = Annotated[int, typer.Option(min=0, help="Longest context in tokens; 0 for the checkpoint's own.")]
PROGRESS_INTERVAL_S = 10.0  # between two lines of progress where standard error is not a terminal


class BenchmarkGroup(typer.core.TyperGroup):
    """Routes unknown subcommands to `predict`, so that `agent eval NAME` works."""

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        """Insert `predict` before a name that is not a command."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["predict", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=BenchmarkGroup, help="Score a model.", rich_markup_mode=None, add_completion=False)
app.command("doctor")(doctor)


@app.callback()
def benchmarks() -> None:
    """Score a model on a benchmark."""


@app.command()
def predict(
    name: Annotated[str, typer.Argument(help="Benchmark, such as screenspot-pro; an unknown name lists them all.")],
    data: Data,
    model: Model = "embedded",
    mmproj: Mmproj = "",
    grounder: Grounder = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of images, or episodes, sampled with --seed. Default: all.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, each with a model of its own.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of --limit, and of sampling.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results. Default: one in the user's state folder.", metavar="DIR"),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Protocol of the benchmark; an unknown one lists them. Default: the first.")
    ] = None,
    level: Annotated[str, typer.Option(help="high: the goal alone; low: with each step's instruction.")] = "high",
    device: Device = "auto",
    dtype: Dtype = "auto",
    prompt: Prompt = "",
    temperature: Temperature = 0.0,
    grammar: Grammar = True,
    zoom: Zoom = "off",
    auto_shrink_history: AutoShrink = False,
    budget_tokens: BudgetTokens = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="CPU threads per worker. Results can differ between thread counts.")
    ] = 1,
    ray: Annotated[
        str,
        typer.Option(
            help="Run the workers on the Ray cluster at this address, or auto. All machines must see the data folder "
            "and the model at the same paths.",
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Run a model on a recorded benchmark and score it.

    Predictions are kept as they are made: the same command continues an interrupted run. Exit code 5: the machine
    failed on every task, so there is no score.
    """
    from actions import UsageError
    from envs.recorded import LEVELS
    from evals import runner
    from evals.workers.spec import RunSpec
    from model.checkpoints.gguf_settings import with_mmproj

    model = with_mmproj(model, mmproj)
    if level not in LEVELS:
        raise UsageError(f"--level is one of {', '.join(LEVELS)}, not {level!r}")
    plan = runner.plan_run(name, data, protocol, limit, seed)
    spec = RunSpec(
        name=name,
        data=str(data),
        protocol=plan.protocol,
        level=level,
        model=model,
        grounder=grounder,
        device=device,
        dtype=dtype,
        prompt=prompt,
        seed=seed,
        threads=threads,
        fingerprint=_fingerprint(model),
        grounder_fingerprint=_fingerprint(grounder) if grounder else "",
        options=_policy_options(temperature, seed, grammar, zoom, auto_shrink_history, budget_tokens),
    )
    _predict(plan, spec, out, workers=workers, limit=limit, ray=ray, json=json)


@app.command()
def traces(
    data: Annotated[
        Path, typer.Argument(help="Folder of a run, or of runs; of these, those that succeeded.", metavar="DIR")
    ],
    model: Model = "embedded",
    mmproj: Mmproj = "",
    grounder: Grounder = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Number of runs, sampled with --seed. Default: all.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, each with a model of its own.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of --limit, and of sampling.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results. Default: one in the user's state folder.", metavar="DIR"),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="box: a point within the touched element, where the trace has it; distance: never by elements."
        ),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    prompt: Prompt = "",
    temperature: Temperature = 0.0,
    grammar: Grammar = True,
    zoom: Zoom = "off",
    budget_tokens: BudgetTokens = 0,
    json: Json = False,
) -> None:
    """Ask a model for the next action on the screens of recorded runs, and report how far it agrees with them.

    Each step has the recorded ones before it as history; nothing is performed. Predictions are kept as of other
    benchmarks, and `agent score traces --data DIR` scores a file of them.
    """
    from evals import runner
    from evals.benchmarks.traces import NAME
    from evals.workers.spec import RunSpec
    from model.checkpoints.gguf_settings import with_mmproj

    model = with_mmproj(model, mmproj)
    plan = runner.plan_run(NAME, data, protocol, limit, seed)
    spec = RunSpec(
        name=NAME,
        data=str(data.absolute()),
        protocol=plan.protocol,
        model=model,
        grounder=grounder,
        device=device,
        dtype=dtype,
        prompt=prompt,
        seed=seed,
        fingerprint=_fingerprint(model),
        grounder_fingerprint=_fingerprint(grounder) if grounder else "",
        options=_policy_options(temperature, seed, grammar, zoom, False, budget_tokens),
    )
    _predict(plan, spec, out, workers=workers, limit=limit, ray="", json=json)


def _predict(
    plan: RunPlan, spec: RunSpec, out: Path | None, *, workers: int, limit: int | None, ray: str, json: bool
) -> None:
    """Run the tasks of a plan and print the result."""
    from evals import runner
    from evals.formatting import format_result

    for note in plan.dataset.notes:
        print(note, file=sys.stderr)
    if plan.broken:
        print(
            f"{len(plan.broken):,} tasks have no image in {plan.dataset.folder / 'images'} and are skipped; "
            f"get the images from {plan.bench.image_source}",
            file=sys.stderr,
        )
    folder = out or runner.default_folder(spec, plan.dataset.revision, limit)
    summary = runner.run_predictions(
        plan, spec, folder, workers=workers, limit=limit, on_progress=_progress_printer(), ray=ray
    )
    print(json_.dumps({**summary, "out": str(folder)}) if json else _format_summary(summary, folder, format_result))


def _policy_options(
    temperature: float, seed: int, grammar: bool, zoom: str, auto_shrink_history: bool, budget_tokens: int
) -> dict[str, Any]:
    """Return the policy options that differ from their defaults."""
    values: dict[str, Any] = {
        "zoom": zoom,
        "auto_shrink_history": auto_shrink_history,
        "budget_tokens": budget_tokens,
        "grammar": grammar,
    }
    defaults = {"zoom": "off", "auto_shrink_history": False, "budget_tokens": 0, "grammar": True}
    options = {key: value for key, value in values.items() if value != defaults[key]}
    return {**options, "temperature": temperature, "seed": seed} if temperature else options


def _fingerprint(model: str) -> str:
    """Return the fingerprint of the weights, or "" for a server, which reports its own."""
    from agent.policies.remote.endpoint import is_endpoint

    if is_endpoint(model):
        return ""
    from model.checkpoints.settings import fingerprint
    from model.checkpoints.weights import resolve_checkpoint

    return fingerprint(resolve_checkpoint(model))


def _progress_printer() -> Callable[[Progress], None]:
    """Return a function that prints progress: one changing line on a terminal, else a line every few seconds."""
    last = 0.0

    def report(progress: Progress) -> None:
        nonlocal last
        is_finished = progress.done + progress.broken == progress.total
        if sys.stderr.isatty():
            print(f"\r{progress.line():78}", end="\n" if is_finished else "", file=sys.stderr, flush=True)
        elif is_finished or time.monotonic() - last > PROGRESS_INTERVAL_S:
            last = time.monotonic()
            print(progress.line(), file=sys.stderr, flush=True)

    return report


def _format_summary(summary: dict[str, Any], folder: Path, format_result: Callable[[Mapping[str, Any]], str]) -> str:
    lines = [format_result(summary)]
    if summary["broken"]:
        first = summary["broken_ids"][0]
        lines.append(
            f"broken, counted in no figure: {summary['broken']:,} tasks, the first {first['id']}: {first['why']}"
        )
    return "\n".join([*lines, f"results are in {folder}"])


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Run A: its folder, or a file of `agent score --verdicts`.")],
    b: Annotated[Path, typer.Argument(help="Run B over the same tasks.")],
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    json: Json = False,
) -> None:
    """Compare two runs over the same tasks: McNemar's test and a paired bootstrap."""
    from evals.compare import compare as compare_runs

    comparison = compare_runs(a, b, seed=seed)
    print(json_.dumps(comparison.as_dict()) if json else comparison.format())


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or a folder of runs.", metavar="DIR")],
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: report.html in DIR.", metavar="FILE")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the benchmark. Default: where the run had it.", metavar="DIR")
    ] = None,
    failures: Annotated[int, typer.Option(min=0, help="Number of failures shown with their images, per run.")] = 40,
) -> None:
    """Write one HTML file: tables, and failures with image, reference, predicted point and reply."""
    from evals.report import write_report

    print(write_report(folder, out, data=data, failures=failures))


@app.command("unpack")
def convert(
    name: Annotated[str, typer.Argument(help="android-control or aitw.")],
    data: Annotated[Path, typer.Option(help="Folder with the TFRecord shards and their splits.", metavar="DIR")],
    split: Annotated[
        str, typer.Option(help="Split to convert: test, validation or train; of aitw also FILE/NAME, unseen_verb/test.")
    ] = "test",
) -> None:
    """Convert published TFRecord shards to images and annotations, without TensorFlow."""
    from actions import UsageError

    if name == "android-control":
        from evals.datasets.convert_android_control import convert
    elif name == "aitw":
        from evals.datasets.convert_aitw import convert
    else:
        raise UsageError(f"only android-control and aitw are published as shards, not '{name}'")
    count = convert(data, split, lambda done: print(f"\r{done:,} episodes", end="", file=sys.stderr, flush=True))
    print(f"\n{count:,} episodes in {data}", file=sys.stderr)


@app.command()
def miniwob(
    tasks: Annotated[
        str, typer.Option(help="Comma-separated MiniWoB++ pages. Default: those on the embedded model's card.")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds FIRST:LAST, LAST not included.")] = "900000:900050",
    model: Model = "embedded",
    mmproj: Mmproj = "",
    grounder: Grounder = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    prompt: Prompt = "",
    temperature: Temperature = 0.0,
    grammar: Grammar = True,
    zoom: Zoom = "off",
    auto_shrink_history: AutoShrink = False,
    budget_tokens: BudgetTokens = 0,
    max_steps: Annotated[int, typer.Option(min=1, help="Steps per episode.")] = 30,
    policy: Annotated[
        str,
        typer.Option(
            help="What the guard allows and denies: read-only, cautious, unattended, sandbox, or a policy file. An "
            "action that would be asked about ends its episode without success. Default: sandbox.",
            metavar="NAME|FILE",
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option(min=1, help="Tasks at a time, each in a process with a model and a browser of its own.")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps finished tasks; the same command continues. Default: keep nothing.", metavar="DIR"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Run a model on live MiniWoB++ pages; success is the page's own raw reward of 1.

    Ctrl-C ends the run without a report; --out keeps the finished tasks. Exit code 5: the machine failed on every seed,
    so there is no score.
    """
    import os

    from agent.safety.policy import PRESETS
    from evals.live import base
    from evals.live_runner import load_live_safety, run_live
    from evals.workers.spec import RunSpec
    from model.checkpoints.gguf_settings import with_mmproj

    model = with_mmproj(model, mmproj)
    bench = base.load_live_benchmark("miniwob")
    names = [name.strip() for name in tasks.split(",") if name.strip()] if tasks else bench.default_tasks()
    chosen, seed_range = list(dict.fromkeys(names)), base.parse_seeds(seeds)
    base.check_tasks(bench, chosen, seed_range)
    safety = load_live_safety(policy)
    is_preset = policy in ("", *PRESETS)
    started_at, finished = time.monotonic(), 0

    def on_result(task: str, seed: int, status: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{task} seed {seed}: {status:8}", end="\r", file=sys.stderr, flush=True)

    def on_task(task: str, score: LiveTaskScore) -> None:
        nonlocal finished
        finished += 1
        remaining_s = (time.monotonic() - started_at) / finished * (len(chosen) - finished)
        line = base.format_score(task, score) + (f"  about {remaining_s:.0f} s left" if remaining_s else "")
        print(f"{line:80}", file=sys.stderr, flush=True)

    spec = RunSpec(
        name=bench.name,
        data="",
        protocol="live",
        model=model,
        grounder=grounder,
        device=device,
        dtype=dtype,
        prompt=prompt,
        threads=max(1, (os.cpu_count() or 1) // workers),
        options=_policy_options(temperature, 0, grammar, zoom, auto_shrink_history, budget_tokens),
        seeds=seeds,
        max_steps=max_steps,
        safety_policy=policy if is_preset else str(Path(policy).absolute()),
        safety_sha256=safety.sha256 if policy else "",
    )
    live_report, about = run_live(
        spec,
        chosen,
        workers=workers,
        out=out,
        load_policy=_load_policy,
        on_result=on_result,
        on_task=on_task,
    )
    facts: dict[str, Any] = {key: about.get(key) for key in ("model", "fingerprint")}
    facts["prompt"] = str(about.get("prompt_hash", ""))[:16]
    if policy:
        facts["policy"] = f"{policy} (sha256 {safety.sha256[:12]})"
    facts |= {"seeds": f"{seed_range.start} to {seed_range.stop - 1}", "max_steps": max_steps}
    print(json_.dumps({**live_report.as_dict(), **facts}) if json else base.format_report(live_report, facts))
    if live_report.mean is None:
        raise typer.Exit(5)


def _load_policy(spec: RunSpec) -> Policy:
    from evals.workers.spec import load_spec_policy

    return load_spec_policy(spec)
