"""`python -m model.training ...`: the recipe's commands. Knows arguments and folders only."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from actions import UsageError

app = typer.Typer(no_args_is_help=True)

FILE_BYTES = 12_000_000  # of a file of weights, at most
EMBEDDED = Path(__file__).parent.parent / "model" / "embedded"

Data = Annotated[Path, typer.Option(help="data folder")]
Chrome = Annotated[str, typer.Option(help="Chrome or Chromium to draw with")]
Sandbox = Annotated[bool, typer.Option(help="off where the user is root")]
First = Annotated[int, typer.Option(help="first seed")]
Last = Annotated[int, typer.Option(help="the seed after the last")]


@app.callback()
def recipe() -> None:
    """How the embedded checkpoint is made: draw screens, train in stages, measure, publish."""


@app.command()
def screens(
    out: Data = Path(".training"),
    first: First = 0,
    last: Last = 160,
    fonts: Annotated[Path | None, typer.Option(help="folder of font files to mix with the shipped one")] = None,
    sparse: Annotated[bool, typer.Option(help="screens with few things on them")] = False,
    unseen: Annotated[bool, typer.Option(help="draw the 16 pages that are for measuring")] = False,
    chrome: Chrome = "/usr/bin/chromium",
    sandbox: Sandbox = False,
) -> None:
    """Draw invented screens, 64 a page, with all that is on them. Resumes; 40 screens a second on one core."""
    from training.synthetic_screens import UNSEEN, draw

    folder, name = (
        (out / "unseen", "screens") if unseen else (out / "screens", f"{'sparse' if sparse else 'screens'}-{first}")
    )
    if unseen:
        first, last = UNSEEN, UNSEEN + 16
    elif last > UNSEEN:
        raise typer.BadParameter(f"pages from {UNSEEN} on are for measuring; draw below it, not up to {last}")
    with _browser(chrome, sandbox) as browser:
        for start in range(first, last, 10):
            began = time.monotonic()
            new = draw(start, min(last, start + 10), folder, name, browser, fonts, sparse)
            print(f"{name} {start}: {new} new in {time.monotonic() - began:.1f} s", flush=True)


@app.command()
def lines(
    out: Data = Path(".training"),
    first: First = 0,
    last: Last = 80,
    fonts: Annotated[Path | None, typer.Option(help="folder of font files to mix with the shipped one")] = None,
    unseen: Annotated[bool, typer.Option(help="draw the 20 pages of single words that are for measuring")] = False,
    chrome: Chrome = "/usr/bin/chromium",
    sandbox: Sandbox = False,
) -> None:
    """Draw strips with a line of text each, 240 a page. Resumes."""
    from training.synthetic_screens import UNSEEN
    from training.text_strips import draw

    kinds = {f"lines-{first}": False}
    if unseen:
        first, last = UNSEEN, UNSEEN + 10
        kinds = {"words": False, "english": True}
    elif last > UNSEEN:
        raise typer.BadParameter(f"pages from {UNSEEN} on are for measuring; draw below it, not up to {last}")
    with _browser(chrome, sandbox) as browser:
        for name, english in kinds.items():
            for start in range(first, last, 10):
                began = time.monotonic()
                folder = out / ("unseen-lines" if unseen else "lines")
                new = draw(start, min(last, start + 10), folder, name, browser, fonts, english)
                print(f"{name} {start}: {new} new in {time.monotonic() - began:.1f} s", flush=True)


@app.command()
def render(
    out: Data = Path(".training/practice"),
    tasks: Annotated[str, typer.Option(help="comma-separated; default all that have an oracle")] = "",
    first: First = 0,
    last: Last = 600,
    chrome: Chrome = "/usr/bin/chromium",
    sandbox: Sandbox = False,
) -> None:
    """Draw practice pages in several states each, with the right next action for every wish that they could pose."""
    from training.miniwob_renderer import render as draw
    from training.oracles import ORACLES

    chosen = tasks.split(",") if tasks else sorted(ORACLES)
    with _browser(chrome, sandbox) as browser:
        for start in range(first, last, 60):  # in rounds, so that training can begin on all tasks early
            for task in chosen:
                began = time.monotonic()
                new = draw(task, start, min(last, start + 60), out, browser)
                print(f"{task} {start}: {new} new in {time.monotonic() - began:.1f} s", flush=True)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="a stage's file, see training/configs")],
    data: Data = Path(".training"),
    run: Annotated[Path | None, typer.Option(help="run folder; default <data>/<the recipe's name>")] = None,
    before: Annotated[
        list[Path] | None, typer.Option(help="run folder of the stage to begin from, or a checkpoint; several in turn")
    ] = None,
    minutes: Annotated[float, typer.Option(help="length of this slice")] = 10.0,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
) -> None:
    """Train one slice, or go on with a run. Exit code 0 when the recipe is done, 3 when there is more to do."""
    import torch

    from training.dpo import DPOStage
    from training.episodes import EpisodeStage
    from training.sft import SFTStage
    from training.trainer import Trainer, TrainingConfig
    from training.vision_pretraining import VisionPretrainingStage

    torch.set_num_threads(threads)
    read = TrainingConfig.load(recipe)
    folder = run or data / recipe.stem
    whole = {"answers": SFTStage, "episodes": EpisodeStage, "preference": DPOStage}
    stage: Any
    if read["stage"] == "visual":
        stage = VisionPretrainingStage(read, data, before or [], device)
    elif read["stage"] in whole:
        stage = whole[read["stage"]](read, data, folder, before or [], device)
    else:
        raise typer.BadParameter(f"stage in {recipe} must be visual, {', '.join(whole)}, not {read['stage']!r}")
    raise typer.Exit(0 if Trainer(read, stage, folder).train(minutes) else 3)


@app.command()
def measure(
    checkpoint: Annotated[Path, typer.Argument(help="a checkpoint's folder")] = EMBEDDED,
    data: Data = Path(".training"),
    words: Annotated[int, typer.Option(help="words to read on screens, and as many strips of a word each")] = 2000,
    screens: Annotated[int, typer.Option(help="screens to point in")] = 1000,
) -> None:
    """Reading and pointing on unseen strips and screens, and practice screens held back; JSON on standard output."""
    from training.checkpoint import load_for_evaluation
    from training.dataset import read
    from training.evaluate import own_goals, pointing, reading, reading_strips
    from training.packing import Packer
    from training.synthetic_screens import READ_PX
    from training.text_strips import SHOWN

    model, tokenizer, packer = load_for_evaluation(checkpoint)
    unseen = list(read(data / "unseen"))
    readable = [one for one in unseen if READ_PX[0] <= one.font_px <= READ_PX[1]]
    held = [one for one in read(data / "practice") if one.seed < 10]
    shown = Packer(tokenizer, model.config, *SHOWN)
    strips = {name: list(read(data / "unseen-lines", [name]))[:words] for name in ("words", "english")}
    figures = {
        "strips": reading_strips(model, tokenizer, shown, strips["words"]),
        "strips_english": reading_strips(model, tokenizer, shown, strips["english"]),
        "reading": reading(model, tokenizer, packer, readable, words),
        "pointing": pointing(model, tokenizer, packer, unseen[:screens]),
        "practice": own_goals(model, tokenizer, packer, held),
    }
    print(json.dumps(figures))


@app.command()
def publish(
    run: Annotated[Path, typer.Option(help="run folder of the last stage")],
    into: Annotated[Path, typer.Option(help="folder of the embedded checkpoint")] = EMBEDDED,
) -> None:
    """Put a trained checkpoint where the package carries it. Measure it next: see its README.md."""
    import shutil

    import torch

    from model.checkpoints.weights import INDEX, SINGLE, load_model, save_model

    made = run / "checkpoint"
    model = load_model(made)  # before anything is replaced: a damaged one is refused here
    for file in sorted(made.iterdir()):
        if file.name not in (SINGLE, INDEX):
            shutil.copy(file, into / file.name)
    for old in [*into.glob("*.safetensors"), into / INDEX]:
        old.unlink(missing_ok=True)
    for file in save_model(model, into, torch.float16, shard_bytes=FILE_BYTES):
        print(f"{file.name}: {file.stat().st_size} bytes")


@app.command()
def collect(
    checkpoint: Annotated[Path, typer.Argument(help="folder of the checkpoint that acts")],
    out: Data = Path(".training/collected"),
    tasks: Annotated[str, typer.Option(help="comma-separated; default all that have an oracle")] = "",
    first: First = 20_000,
    last: Last = 20_030,
    temperature: Annotated[float, typer.Option(min=0.0, help="of the words that it says; 0 takes the likeliest")] = 0.0,
    tries: Annotated[int, typer.Option(min=1, help="episodes of each seed")] = 1,
    chrome: Chrome = "/usr/bin/chromium",
    sandbox: Sandbox = False,
) -> None:
    """Let a checkpoint act on practice pages, and store what it sees and says with the oracle's answers. Resumes."""
    if tries > 1 and not temperature:
        raise typer.BadParameter(f"{tries} tries at temperature 0 are all the same; give a --temperature, or one try")
    from model.engine.decode import Sampling
    from training.checkpoint import load_for_evaluation
    from training.dagger import collect as act
    from training.evaluate import generate_replies
    from training.oracles import ORACLES

    model, tokenizer, packer = load_for_evaluation(checkpoint)

    def answer(png: bytes, goal: str, seed: int) -> str:
        return generate_replies(model, tokenizer, packer, [(png, goal)], 64, Sampling(temperature, seed=seed))[0]

    with _browser(chrome, sandbox) as browser:
        for task in tasks.split(",") if tasks else sorted(ORACLES):
            new, episodes, won = act(task, first, last, out, browser, answer, tries)
            print(f"{task}: {new} new screens, {won} of {episodes} new episodes won", flush=True)


@app.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(help="run folders, in the order of their stages")],
    out: Annotated[Path, typer.Option(help="the picture")] = Path("docs/training.svg"),
) -> None:
    """Draw the losses of runs."""
    from training.plot import draw

    draw(runs, out)


class _browser:
    """Chromium as the practice pages want it, closed at the end."""

    def __init__(self, chrome: str, sandbox: bool) -> None:
        self.chrome, self.sandbox = chrome, sandbox

    def __enter__(self) -> Any:
        from playwright.sync_api import sync_playwright

        from envs.chromium.flags import BROWSER_FLAGS

        self.driver = sync_playwright().start()
        flags = [*BROWSER_FLAGS, *([] if self.sandbox else ["--no-sandbox"])]
        self.browser = self.driver.chromium.launch(
            executable_path=self.chrome,
            args=flags,
            ignore_default_args=["--hide-scrollbars"],  # Playwright's own; the agent's browser draws them
        )
        return self.browser

    def __exit__(self, *_: object) -> None:
        self.browser.close()
        self.driver.stop()


if __name__ == "__main__":
    try:
        app()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
