"""Command line of the training recipe: `python -m training`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actions import UsageError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from training.config import TrainingConfig
    from training.trainer import TrainingStage

app = typer.Typer(no_args_is_help=True, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})

MAX_SHARD_BYTES = 12_000_000
MORE_TO_DO = 3  # exit code of `train`
EMBEDDED = Path(__file__).parent.parent / "model" / "embedded"

DataFolder = Annotated[Path, typer.Option(help="Data folder.")]
Chrome = Annotated[str, typer.Option(help="Chrome or Chromium executable that renders the pages.")]
Sandbox = Annotated[bool, typer.Option(help="Use Chromium's sandbox, which does not work as root.")]
First = Annotated[int, typer.Option(min=0, help="First seed.")]
Last = Annotated[int, typer.Option(min=0, help="Seed after the last.")]
Fonts = Annotated[Path | None, typer.Option(help="Folder of font files to use besides Arial.", metavar="DIR")]
Tasks = Annotated[str, typer.Option(help="Comma-separated tasks; default: all that have an oracle.")]


@app.callback()
def main() -> None:
    """Train the embedded checkpoint: render data, train in stages, evaluate, publish."""


@app.command()
def screens(
    out: DataFolder = Path(".training"),
    first: First = 0,
    last: Last = 160,
    fonts: Fonts = None,
    sparse: Annotated[bool, typer.Option(help="Put few elements on each screen.")] = False,
    unseen: Annotated[bool, typer.Option(help="Render the 16 pages reserved for evaluation.")] = False,
    chrome: Chrome = "/usr/bin/chromium",
    sandbox: Sandbox = False,
) -> None:
    """Render synthetic screens, 64 to a page. Skips pages that are stored already."""
    from training.synthetic_screens import UNSEEN_SEED_START, render_screens

    folder, name = out / "screens", f"{'sparse' if sparse else 'screens'}-{first}"
    if unseen:
        folder, name = out / "unseen", "screens"
        first, last = UNSEEN_SEED_START, UNSEEN_SEED_START + 16
    _check_seeds(last, UNSEEN_SEED_START, unseen)
    with open_browser(chrome, sandbox) as browser:
        for start in range(first, last, 10):
            start_time = time.monotonic()
            new = render_screens(start, min(last, start + 10), folder, name, browser, fonts, sparse)
            print(f"{name} {start}: {new} new in {time.monotonic() - start_time:.1f} s", flush=True)


@app.command()
def lines(
    out: DataFolder = Path(".training"),
    first: First = 0,
    last: Last = 80,
    fonts: Fonts = None,
    unseen: Annotated[bool, typer.Option(help="Render the 20 pages of words reserved for evaluation.")] = False,
    chrome: Chrome = "/usr/bin/chromium",
    sandbox: Sandbox = False,
) -> None:
    """Render strips with a line of text each, 240 to a page. Skips pages that are stored already."""
    from training.synthetic_screens import UNSEEN_SEED_START
    from training.text_strips import render_strips

    sources = {f"lines-{first}": False}  # name: whether its words are English
    if unseen:
        first, last = UNSEEN_SEED_START, UNSEEN_SEED_START + 10
        sources = {"words": False, "english": True}
    _check_seeds(last, UNSEEN_SEED_START, unseen)
    folder = out / ("unseen-lines" if unseen else "lines")
    with open_browser(chrome, sandbox) as browser:
        for name, english in sources.items():
            for start in range(first, last, 10):
                start_time = time.monotonic()
                new = render_strips(start, min(last, start + 10), folder, name, browser, fonts, english)
                print(f"{name} {start}: {new} new in {time.monotonic() - start_time:.1f} s", flush=True)


@app.command()
def render(
    out: DataFolder = Path(".training/practice"),
    tasks: Tasks = "",
    first: First = 0,
    last: Last = 600,
    chrome: Chrome = "/usr/bin/chromium",
    sandbox: Sandbox = False,
) -> None:
    """Render practice pages in several states, with the right next action for every goal of the oracle."""
    from training.miniwob_renderer import render_task
    from training.oracles import ORACLES

    names = tasks.split(",") if tasks else sorted(ORACLES)
    with open_browser(chrome, sandbox) as browser:
        for start in range(first, last, 60):  # in rounds, so that training can start on all tasks early
            for task in names:
                start_time = time.monotonic()
                new = render_task(task, start, min(last, start + 60), out, browser)
                print(f"{task} {start}: {new} new in {time.monotonic() - start_time:.1f} s", flush=True)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe of the stage, see training/configs.")],
    data: DataFolder = Path(".training"),
    run: Annotated[Path | None, typer.Option(help="Run folder; default: DATA/<name of the recipe>.")] = None,
    before: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder or checkpoint to load weights from; several are loaded in turn."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Time after which to stop and save.")] = 10.0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train a stage, or resume a run. Exit code 0 when the recipe is finished, 3 when there is more to do."""
    import torch

    from training.config import TrainingConfig
    from training.trainer import Trainer

    torch.set_num_threads(threads)
    config = TrainingConfig.load(recipe)
    folder = run or data / recipe.stem
    stage = _make_stage(config, data, folder, before or [], device)
    raise typer.Exit(0 if Trainer(config, stage, folder).train(minutes) else MORE_TO_DO)


@app.command()
def measure(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")] = EMBEDDED,
    data: DataFolder = Path(".training"),
    words: Annotated[int, typer.Option(min=1, help="Words to read on screens, and in strips of each kind.")] = 2000,
    screens: Annotated[int, typer.Option(min=1, help="Screens to point at.")] = 1000,
) -> None:
    """Evaluate reading and pointing on unseen data, and held-back practice screens; print JSON."""
    from training.dataset import Sample, read_samples

    def load(folder: str, command: str, sources: list[str] | None = None) -> list[Sample]:
        samples = list(read_samples(data / folder, sources))
        if not samples:
            raise UsageError(f"no samples in {data / folder}: run `python -m training {command}` first")
        return samples

    unseen = load("unseen", "screens --unseen")
    strips = {name: load("unseen-lines", "lines --unseen", [name])[:words] for name in ("words", "english")}
    held_back = [sample for sample in load("practice", "render") if sample.seed < 10]

    from training.checkpoint import load_for_evaluation
    from training.evaluate import pointing_accuracy, reading_accuracy, strip_accuracy, task_accuracy
    from training.packing import Packer
    from training.synthetic_screens import READ_FONT_PX
    from training.text_strips import RESIZED

    model, tokenizer, packer = load_for_evaluation(checkpoint)
    readable = [sample for sample in unseen if READ_FONT_PX[0] <= sample.font_px <= READ_FONT_PX[1]]
    strip_packer = Packer(tokenizer, model.config, *RESIZED)
    metrics = {
        "strips": strip_accuracy(model, tokenizer, strip_packer, strips["words"]),
        "strips_english": strip_accuracy(model, tokenizer, strip_packer, strips["english"]),
        "reading": reading_accuracy(model, tokenizer, packer, readable, words),
        "pointing": pointing_accuracy(model, tokenizer, packer, unseen[:screens]),
        "practice": task_accuracy(model, tokenizer, packer, held_back),
    }
    print(json.dumps(metrics))


@app.command()
def publish(
    run: Annotated[Path, typer.Option(help="Run folder of the last stage.")],
    into: Annotated[Path, typer.Option(help="Folder of the embedded checkpoint.")] = EMBEDDED,
) -> None:
    """Copy a trained checkpoint into the package. Evaluate it next, as its README.md describes."""
    import shutil

    import torch

    from model.checkpoints.weights import INDEX, SINGLE, load_model, save_model

    checkpoint = run / "checkpoint"
    model = load_model(checkpoint)  # before anything is replaced: raises if the checkpoint is damaged
    for path in sorted(checkpoint.iterdir()):
        if path.name not in (SINGLE, INDEX):
            shutil.copy(path, into / path.name)
    for path in [*into.glob("*.safetensors"), into / INDEX]:
        path.unlink(missing_ok=True)
    for path in save_model(model, into, torch.float16, shard_bytes=MAX_SHARD_BYTES):
        print(f"{path.name}: {path.stat().st_size} bytes")


@app.command()
def collect(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of the checkpoint that acts.")],
    out: DataFolder = Path(".training/collected"),
    tasks: Tasks = "",
    first: First = 20_000,
    last: Last = 20_030,
    temperature: Annotated[float, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy.")] = 0.0,
    tries: Annotated[int, typer.Option(min=1, help="Episodes of each seed.")] = 1,
    chrome: Chrome = "/usr/bin/chromium",
    sandbox: Sandbox = False,
) -> None:
    """Let a checkpoint act on practice pages; store its screens and replies with the oracle's answers."""
    if tries > 1 and not temperature:
        raise typer.BadParameter(
            f"--tries {tries} at temperature 0 gives equal episodes; set --temperature, or use --tries 1"
        )
    from model.engine.decode import Sampling
    from training.checkpoint import load_for_evaluation
    from training.dagger import collect as collect_task
    from training.evaluate import generate_replies
    from training.oracles import ORACLES

    model, tokenizer, packer = load_for_evaluation(checkpoint)

    def reply(png: bytes, goal: str, seed: int) -> str:
        return generate_replies(model, tokenizer, packer, [(png, goal)], 64, Sampling(temperature, seed=seed))[0]

    with open_browser(chrome, sandbox) as browser:
        for task in tasks.split(",") if tasks else sorted(ORACLES):
            counts = collect_task(task, first, last, out, browser, reply, tries)
            print(f"{task}: {counts.screens} new screens, {counts.won} of {counts.episodes} episodes won", flush=True)


@app.command()
def corrections(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs in which a person moved actions in the viewer.")],
    out: DataFolder = Path(".training/corrections"),
) -> None:
    """Store what a person moved to another place on practice pages, as screens with the right answer."""
    from agent.trace import read_trace
    from training.corrections import store_corrections

    count, left_out = store_corrections([read_trace(folder) for folder in runs], out)
    for reason, number in left_out.items():
        print(f"left out: {number} {reason}", file=sys.stderr)
    print(f"{out}: {count} new screens")
    raise typer.Exit(0 if count else 1)


@app.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, in the order of their stages.")],
    out: Annotated[Path, typer.Option(help="Image file.")] = Path("docs/lab/training.png"),
) -> None:
    """Plot the losses and accuracies of runs."""
    from training.plot import plot_losses

    plot_losses(runs, out)


@contextmanager
def open_browser(chrome: str, sandbox: bool) -> Iterator[Browser]:
    """Start Chromium with the flags of the browser surface."""
    from playwright.sync_api import sync_playwright

    from envs.chromium.flags import BROWSER_FLAGS, OFFLINE_FLAGS

    flags = [*BROWSER_FLAGS, *OFFLINE_FLAGS, *([] if sandbox else ["--no-sandbox"])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chrome,
            args=flags,
            ignore_default_args=["--hide-scrollbars"],  # Playwright's default; the agent's browser shows scroll bars
        )
        try:
            yield browser
        finally:
            browser.close()


def _check_seeds(last: int, reserved_start: int, unseen: bool) -> None:
    if last > reserved_start and not unseen:
        raise typer.BadParameter(f"seeds from {reserved_start} are reserved for evaluation; --last {last} is too high")


def _make_stage(config: TrainingConfig, data: Path, run: Path, before: list[Path], device: str) -> TrainingStage[Any]:
    """Return the stage that a recipe names."""
    from training.dpo import DPOStage
    from training.episodes import EpisodeStage
    from training.sft import SFTStage
    from training.vision_pretraining import VisionPretrainingStage

    match config["stage"]:
        case "vision":
            return VisionPretrainingStage(config, data, before, device)
        case "sft":
            return SFTStage(config, data, run, before, device)
        case "episodes":
            return EpisodeStage(config, data, run, before, device)
        case "dpo":
            return DPOStage(config, data, run, before, device)
        case name:
            raise UsageError(f"stage in {config.path} must be vision, sft, episodes or dpo, not {name!r}")


if __name__ == "__main__":
    try:
        app()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
