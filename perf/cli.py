"""`agent bench`: how fast the engine is, beside transformers and beside this machine's floor. Thin."""

from __future__ import annotations

import json as json_
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from perf.miniwob import miniwob
from perf.surfaces import surfaces

if TYPE_CHECKING:
    from perf.engine import Bench, Result

app = typer.Typer(help="Measure the engine's speed.", rich_markup_mode=None, add_completion=False, no_args_is_help=True)
app.command("miniwob")(miniwob)
app.command("surfaces")(surfaces)

Model = Annotated[
    str, typer.Option(help="embedded, a checkpoint's folder, a Hub id, random:50m, random:3b, random:7b.")
]
Size = Annotated[str, typer.Option(help="Of the screenshots, WIDTHxHEIGHT.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Dtype = Annotated[
    str, typer.Option(help="float32, bfloat16 or float16; int8 or int4, where the peer stays in bfloat16.")
]
Graphs = Annotated[bool, typer.Option("--graphs", help="Decode and encode by recorded steps (CUDA).")]
Against = Annotated[str, typer.Option(help="transformers, or none.")]
Json = Annotated[bool, typer.Option("--json", help="No table: one JSON object a line.")]
DTYPES = ("float32", "bfloat16", "float16", "int8", "int4")
Repeat = Annotated[int, typer.Option(min=1, help="Times that each is measured; the median counts.")]


def _bench(model: str, device: str, dtype: str, against: str, graphs: bool = False) -> Bench:
    from actions import UsageError

    if dtype not in DTYPES:
        raise UsageError(f"dtype must be {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, not '{dtype}'")
    from perf.engine import Bench

    return Bench(model, device, dtype, against, graphs)


def _tell(result: Result, json: bool) -> None:
    if not json:
        print(result.table(), file=sys.stderr)
    print(json_.dumps(result.as_dict()))


@app.command()
def step(
    model: Model = "embedded",
    size: Size = "1920x1080",
    steps: Annotated[int, typer.Option(min=1, help="Of the episode, each with one more screenshot.")] = 10,
    said: Annotated[int, typer.Option(min=1, help="Ids of each reply.")] = 14,
    repeat: Repeat = 1,
    pictures: Annotated[
        int | None, typer.Option(min=0, help="Of so many earlier steps at most the picture is kept, as a run does.")
    ] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    against: Against = "transformers",
    graphs: Graphs = False,
    json: Json = False,
) -> None:
    """Steps of an append-only episode: one more screenshot, one more reply."""
    from perf.engine import parse_size

    _tell(_bench(model, device, dtype, against, graphs).step(parse_size(size), steps, said, repeat, pictures), json)


@app.command()
def decode(
    model: Model = "embedded",
    tokens: Annotated[int, typer.Option(min=1, help="Of the prompt.")] = 1000,
    said: Annotated[int, typer.Option(min=1, help="Ids of the reply.")] = 32,
    repeat: Repeat = 3,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    against: Against = "transformers",
    graphs: Graphs = False,
    json: Json = False,
) -> None:
    """One token after the other, in milliseconds a token."""
    _tell(_bench(model, device, dtype, against, graphs).decode(tokens, said, repeat), json)


@app.command()
def prefill(
    model: Model = "embedded",
    tokens: Annotated[int, typer.Option(min=1, help="Of the prompt.")] = 1000,
    repeat: Repeat = 5,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    against: Against = "transformers",
    json: Json = False,
) -> None:
    """A cold prompt of words."""
    _tell(_bench(model, device, dtype, against).prefill(tokens, repeat), json)


@app.command()
def vision(
    model: Model = "embedded",
    size: Size = "1920x1080",
    repeat: Repeat = 5,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    against: Against = "transformers",
    graphs: Graphs = False,
    json: Json = False,
) -> None:
    """A screenshot: its pixels to patches on the CPU, then its patches to embeddings; two lines."""
    from perf.engine import parse_size

    bench = _bench(model, device, dtype, against, graphs)
    _tell(bench.preprocess(parse_size(size), 2 * repeat - 1), json)
    _tell(bench.vision(parse_size(size), repeat), json)


@app.command()
def load(
    model: Model = "embedded",
    repeat: Repeat = 3,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    against: Against = "transformers",
    json: Json = False,
) -> None:
    """A checkpoint's files to a model that can be called."""
    _tell(_bench(model, device, dtype, against).load(repeat), json)
