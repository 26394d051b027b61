"""`python -m model.training render|train|publish`: the recipe's commands. Knows arguments and folders only."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def recipe() -> None:
    """How the embedded checkpoint is made: render screens, then train."""


EMBEDDED = Path(__file__).parent.parent / "embedded"


@app.command()
def render(
    out: Annotated[Path, typer.Option(help="data folder")] = Path(".training/data"),
    tasks: Annotated[str, typer.Option(help="comma-separated; default all that have an oracle")] = "",
    first: Annotated[int, typer.Option(help="first seed")] = 0,
    last: Annotated[int, typer.Option(help="the seed after the last, at most 900000")] = 1200,
    chrome: Annotated[str, typer.Option(help="Chrome or Chromium to draw with")] = "/usr/bin/chromium",
    sandbox: Annotated[bool, typer.Option(help="off where the user is root")] = False,
) -> None:
    """Draw practice pages with all their questions and answers. Resumes; 12 screens a second on one core."""
    from playwright.sync_api import sync_playwright

    from envs.practice import BROWSER_FLAGS
    from model.training.oracles.clicks import ORACLES
    from model.training.render import render as draw

    chosen = tasks.split(",") if tasks else sorted(ORACLES)
    flags = [*BROWSER_FLAGS, *([] if sandbox else ["--no-sandbox"])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chrome, args=flags)
        for start in range(first, last, 200):  # in rounds, so that training can begin on all tasks early
            for task in chosen:
                began = time.monotonic()
                new = draw(task, start, min(last, start + 200), out, browser)
                print(f"{task} {start}: {new} new in {time.monotonic() - began:.1f} s", flush=True)


@app.command()
def train(
    recipe: Annotated[Path, typer.Option(help="recipe file")] = Path(__file__).parent / "first.toml",
    data: Annotated[Path, typer.Option(help="data folder that render filled")] = Path(".training/data"),
    run: Annotated[Path, typer.Option(help="run folder: state, losses, checkpoint")] = Path(".training/first"),
    minutes: Annotated[float, typer.Option(help="length of this slice")] = 10.0,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
) -> None:
    """Train one slice, or go on with a run. Exit code 0 when the recipe is done, 3 when there is more to do."""
    import torch

    from model.training.train import Recipe, Trainer

    torch.set_num_threads(threads)
    trainer = Trainer(Recipe.load(recipe), data, run)
    done = trainer.train(minutes)
    trainer.measure()
    raise typer.Exit(0 if done else 3)


@app.command()
def publish(
    run: Annotated[Path, typer.Option(help="run folder of a finished training")] = Path(".training/first"),
    into: Annotated[Path, typer.Option(help="folder of the embedded checkpoint")] = EMBEDDED,
) -> None:
    """Put a trained checkpoint and its log where the package carries it. Measure it next: see its README.md."""
    import shutil

    for file in sorted((run / "checkpoint").iterdir()):
        shutil.copy(file, into / file.name)
        print(f"{file.name}: {file.stat().st_size} bytes")
    shutil.copy(run / "losses.jsonl", into / "training_log.jsonl")


if __name__ == "__main__":
    app()
