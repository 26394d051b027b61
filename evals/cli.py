"""`agent eval`: a model's score on a benchmark. Thin: arguments in, a table or JSON out."""

from __future__ import annotations

import json as json_
import sys
from typing import Annotated

import typer

app = typer.Typer(help="Score a model.", rich_markup_mode=None, add_completion=False)


@app.callback()
def benchmarks() -> None:
    """Score a model on a benchmark."""


@app.command()
def miniwob(
    tasks: Annotated[str, typer.Option(help="Comma-separated practice tasks; default: those on the card.")] = "",
    seeds: Annotated[str, typer.Option(help="FIRST:LAST, LAST not included.")] = "900000:900050",
    model: Annotated[str, typer.Option(help="embedded, a checkpoint's folder, or a Hub id.")] = "embedded",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_steps: Annotated[int, typer.Option(min=1)] = 30,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """MiniWoB++ practice pages, live; success is the page's own raw reward of 1."""
    from agent.demos import measured
    from agent.launch import local_policy
    from evals.benchmarks.miniwob import evaluate, parse_seeds, stopwatch, table

    chosen = [one.strip() for one in tasks.split(",") if one.strip()] if tasks else list(measured())
    span = parse_seeds(seeds)
    policy = local_policy(model, device)
    clock = stopwatch()
    done = 0

    def tell(task: str, seed: int, status: str) -> None:
        nonlocal done
        done += 1
        rate = done / max(clock(), 1e-9)
        left = (len(chosen) * len(span) - done) / rate
        print(f"\r{task} seed {seed}: {status:8} {rate:.1f} a second, {left:.0f} s left   ", end="", file=sys.stderr)

    report = evaluate(policy, chosen, span, max_steps=max_steps, on_result=tell)
    print(file=sys.stderr)
    about = policy.about
    facts = {"model": about["model"], "fingerprint": about["fingerprint"], "prompt": about["prompt_hash"][:16]}
    facts["seeds"] = f"{span.start} to {span.stop - 1}"
    print(json_.dumps({**report.as_dict(), **facts}) if json else table(report, facts))
