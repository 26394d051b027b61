"""The commands `agent score` and `agent eval doctor`."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Name = Annotated[str, typer.Argument(help="Benchmark, such as screenspot-pro; an unknown name lists them all.")]
Data = Annotated[Path, typer.Option(help="Folder of the benchmark, with annotations/ and images/.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]


@app.command()
def score(
    name: Name,
    data: Data,
    predictions: Annotated[
        Path,
        typer.Option(
            help='JSON lines {"id", "point": [x, y]} in pixels, {"id", "actions"} or {"id", "reply"}; or another '
            "harness's file, or a folder of ID.md.",
            metavar="FILE",
        ),
    ],
    protocol: Annotated[
        str | None, typer.Option(help="Protocol of the benchmark; an unknown one lists them. Default: the first.")
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="Format of the file: auto, lines (this project's), or an importer's name; IMPORTER:SPACE sets the "
            "coordinates: pixels, normalized, 0-1000 or resized.",
        ),
    ] = "auto",
    verdicts: Annotated[
        Path | None, typer.Option(help="Also write the score of each sample as JSON lines.", metavar="FILE")
    ] = None,
    leaderboard: Annotated[
        Path | None, typer.Option(help="Also write the submission to ScreenSpot-Pro's leaderboard.", metavar="FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Score a file of predictions under a benchmark's official metric. No model is needed."""
    from actions import UsageError
    from evals.benchmarks import screenspot_pro
    from evals.files import write_text
    from evals.formatting import format_result
    from evals.scoring import score_file

    if leaderboard and name != screenspot_pro.NAME:
        raise UsageError(f"--leaderboard is for {screenspot_pro.NAME}, not {name}")
    result = score_file(name, data, predictions, protocol, form)
    if verdicts:
        write_text(verdicts, result.verdict_lines())
    if leaderboard:
        submission = screenspot_pro.leaderboard(result, predictions.name)
        write_text(leaderboard, json_.dumps(submission, indent=4) + "\n")
    summary = result.as_dict()
    print(json_.dumps(summary) if json else format_result(summary))


def doctor(name: Name, data: Data, json: Json = False) -> None:
    """Check a benchmark's annotations and images. Exit code 1: the annotations have problems."""
    from evals.dataset_check import check_dataset

    report = check_dataset(name, data)
    print(json_.dumps(report.as_dict()) if json else report.format())
    if report.findings:
        raise typer.Exit(1)
