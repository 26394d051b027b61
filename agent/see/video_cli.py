"""Command line of `agent see video`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli_options import Device, Model, Runs
from agent.see.command import open_policy, print_json

if TYPE_CHECKING:
    from agent.config import Settings


def video(
    source: Annotated[
        str,
        typer.Argument(help="A video file, or a run: its id, its beginning, a folder, or: last.", metavar="FILE|RUN"),
    ],
    question: Annotated[str, typer.Argument(help="What to find; default: all events.")] = "",
    model: Model = None,
    device: Device = None,
    frames: Annotated[
        int, typer.Option(min=0, help="Most frames that are shown; 0 (default): 768 in a video, else 16 images.")
    ] = 0,
    sheet: Annotated[
        Path | None, typer.Option(help="Image to write, with a frame of each event.", metavar="FILE")
    ] = None,
    clips: Annotated[
        Path | None, typer.Option(help="Folder to write the part of each event to, as MP4.", metavar="DIR")
    ] = None,
    runs: Runs = None,
) -> None:
    """Find events in a video, with their times, and print them as JSON.

    Models in process that take videos are shown one; servers are shown frames as images, with their times as text.
    """
    import tempfile

    from agent import config
    from agent.see.video import find_events
    from agent.see.video_export import write_clips, write_contact_sheet

    settings = config.load({"model": model, "device": device, "runs": runs})
    with tempfile.TemporaryDirectory() as folder:
        path = _video_file(source, settings, Path(folder))
        with open_policy(settings) as policy:
            answer = find_events(path, question, policy, frames)
        if sheet is not None:
            write_contact_sheet(answer.video, answer.events, sheet)
        if clips is not None:
            write_clips(path, answer.events, clips)
    print_json(answer.as_json())


def _video_file(source: str, settings: Settings, folder: Path) -> Path:
    """Return the video file that a source names; the recording of a run is written into a folder."""
    path = Path(source)
    if path.is_file():
        return path
    from actions import UsageError
    from agent.report.video import write_run_video
    from agent.session import runs_root
    from agent.trace import find_run

    try:
        run = find_run(runs_root(settings), source)
    except UsageError as error:
        raise UsageError(f"{source} is no file, and no run: {error}") from None
    return write_run_video(run, folder / "run.mp4")
