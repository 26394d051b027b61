"""The command `agent bench`: speed of the engine and the surfaces beside other implementations."""

from __future__ import annotations

import json as json_
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from perf.agreement import agreement
from perf.guard import guard
from perf.miniwob import miniwob
from perf.reading import reading
from perf.repeat import repeat
from perf.replay import replay
from perf.startup import startup
from perf.surfaces import surfaces

if TYPE_CHECKING:
    from perf.bench_result import BenchResult
    from perf.engine import EngineBench

app = typer.Typer(
    help="Measure the speed of the engine and of surfaces.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)
app.command("agreement")(agreement)
app.command("guard")(guard)
app.command("miniwob")(miniwob)
app.command("reading")(reading)
app.command("startup")(startup)
app.command("surfaces")(surfaces)
app.command("repeat")(repeat)
app.command("replay")(replay)

DTYPES = ("float32", "bfloat16", "float16", "int8", "int4")
Model = Annotated[
    str, typer.Option(help="embedded, a checkpoint's folder, a Hub id, random:50m, random:3b or random:7b.")
]
Size = Annotated[str, typer.Option(help="Size of the screenshots in pixels, WIDTHxHEIGHT.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Dtype = Annotated[
    str, typer.Option(help="float32, bfloat16 or float16; int8 or int4, where the baseline stays in bfloat16.")
]
Graphs = Annotated[bool, typer.Option("--graphs", help="Decode and encode with CUDA graphs.")]
Baseline = Annotated[str, typer.Option("--baseline", "--against", help="transformers or none.")]
Json = Annotated[bool, typer.Option("--json", help="Print no table, only one JSON object per line.")]
Repeat = Annotated[int, typer.Option(min=1, help="Number of timed repetitions, of which the median is reported.")]
PromptTokens = Annotated[int, typer.Option(min=1, help="Length of the prompt in tokens.")]
ReplyTokens = Annotated[int, typer.Option("--reply-tokens", "--said", min=1, help="Length of each reply in tokens.")]


def _make_bench(model: str, device: str, dtype: str, baseline: str, graphs: bool = False) -> EngineBench:
    from actions import UsageError

    if dtype not in DTYPES:
        raise UsageError(f"--dtype is {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, not '{dtype}'")
    from perf.engine import EngineBench

    return EngineBench(model, device, dtype, baseline, graphs)


def _print_result(result: BenchResult, json: bool) -> None:
    if not json:
        print(result.table(), file=sys.stderr)
    print(json_.dumps(result.as_dict()))


@app.command()
def step(
    model: Model = "embedded",
    size: Size = "1920x1080",
    steps: Annotated[int, typer.Option(min=1, help="Steps of the episode, each with one more screenshot.")] = 10,
    reply_tokens: ReplyTokens = 14,
    repeat: Repeat = 1,
    images: Annotated[
        int | None,
        typer.Option("--images", "--pictures", min=0, help="Earlier steps kept in the context. Default: all."),
    ] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    baseline: Baseline = "transformers",
    graphs: Graphs = False,
    json: Json = False,
) -> None:
    """Time the steps of an episode: one more screenshot and one more reply each."""
    from perf.inputs import parse_size

    bench = _make_bench(model, device, dtype, baseline, graphs)
    _print_result(bench.step(parse_size(size), steps, reply_tokens, repeat, images), json)


@app.command()
def decode(
    model: Model = "embedded",
    tokens: PromptTokens = 1000,
    reply_tokens: ReplyTokens = 32,
    repeat: Repeat = 3,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    baseline: Baseline = "transformers",
    graphs: Graphs = False,
    json: Json = False,
) -> None:
    """Time decoding, in milliseconds per token."""
    bench = _make_bench(model, device, dtype, baseline, graphs)
    _print_result(bench.decode(tokens, reply_tokens, repeat), json)


@app.command()
def prefill(
    model: Model = "embedded",
    tokens: PromptTokens = 1000,
    repeat: Repeat = 5,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    baseline: Baseline = "transformers",
    json: Json = False,
) -> None:
    """Time the prefill of a text prompt without a cache."""
    _print_result(_make_bench(model, device, dtype, baseline).prefill(tokens, repeat), json)


@app.command()
def vision(
    model: Model = "embedded",
    size: Size = "1920x1080",
    repeat: Repeat = 5,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    baseline: Baseline = "transformers",
    graphs: Graphs = False,
    json: Json = False,
) -> None:
    """Time a screenshot's preprocessing on the CPU, then its encoding; one line each."""
    from perf.inputs import parse_size

    bench = _make_bench(model, device, dtype, baseline, graphs)
    _print_result(bench.preprocess(parse_size(size), 2 * repeat - 1), json)
    _print_result(bench.vision(parse_size(size), repeat), json)


@app.command()
def load(
    model: Model = "embedded",
    repeat: Repeat = 3,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    baseline: Baseline = "transformers",
    json: Json = False,
) -> None:
    """Time loading a checkpoint."""
    _print_result(_make_bench(model, device, dtype, baseline).load(repeat), json)
