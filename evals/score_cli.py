"""`agent score` and `agent eval doctor`: arguments in, a table or JSON out. Thin."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Name = Annotated[str, typer.Argument(help="screenspot-pro, android-control, ...; a wrong name lists them.")]
Data = Annotated[Path, typer.Option(help="Folder with annotations/ (and images/).", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@app.command()
def score(
    name: Name,
    data: Data,
    predictions: Annotated[Path, typer.Option(help='JSON lines {"id", "point"} or {"id", "actions"}.', metavar="FILE")],
    protocol: Annotated[str | None, typer.Option(help="One of the benchmark's named protocols.")] = None,
    form: Annotated[str, typer.Option("--format", help="auto, lines, or an importer's name.")] = "auto",
    verdicts: Annotated[Path | None, typer.Option(help="Write the word on each sample.", metavar="FILE")] = None,
    leaderboard: Annotated[
        Path | None, typer.Option(help="Write ScreenSpot-Pro's leaderboard.", metavar="FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Score a file of predictions under a benchmark's official metric. No model is needed."""
    from actions import UsageError
    from evals import scoring as scoring
    from evals.benchmarks import screenspot_pro

    if leaderboard and name != screenspot_pro.NAME:
        raise UsageError(f"--leaderboard is for {screenspot_pro.NAME}, not {name}")
    result = scoring.score(name, data, predictions, protocol, form)
    if verdicts:
        _write(verdicts, result.lines())
    if leaderboard:
        _write(leaderboard, json_.dumps(screenspot_pro.leaderboard(result, predictions.name), indent=4) + "\n")
    told = result.as_dict()
    print(json_.dumps(told) if json else table(told))


def _write(path: Path, text: str) -> None:
    from actions import UsageError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); choose another file") from None


def doctor(name: Name, data: Data, json: Json = False) -> None:
    """Check a benchmark's annotations: boxes, duplicates, pictures that are missing."""
    from evals.dataset_check import check_dataset

    checkup = check_dataset(name, data)
    print(json_.dumps(checkup.as_dict()) if json else checkup.story())
    if checkup.findings:
        raise typer.Exit(1)


def table(told: dict[str, Any]) -> str:
    """A result for a person: the count, its interval, every average by its name, the cells, the trivial baselines."""
    between = told["interval"]
    lines = [
        f"{told['benchmark']} (revision {told['revision']}), protocol {told['protocol']}",
        *(f"{key:14} {value}" for key, value in told["about"].items()),
        f"{told['correct']:,} of {told['total']:,} correct, {100 * told['accuracy']:.2f} %; "
        f"wrong format {told['wrong_format']:,}, missing {told['missing']:,}",
        f"95 % interval {100 * between['low']:.2f} to {100 * between['high']:.2f} % "
        f"({between['clusters']:,} clusters by {between['clustered_by']})",
        *(f"{100 * value:7.2f} %  {key}" for key, value in told["averages"].items()),
        *_cells("", told["cells"]),
        *_cells("baseline: ", told["baselines"]),
    ]
    if told["missing_ids"]:
        shown = told["missing_ids"][:10]
        more = f" and {len(told['missing_ids']) - len(shown):,} more (--json lists all)" if told["missing"] > 10 else ""
        lines.append(f"missing, counted as wrong: {', '.join(shown)}{more}")
    return "\n".join([*lines, *(f"note: {one}" for one in told["notes"])])


def _cells(front: str, cells: dict[str, Any]) -> list[str]:
    lines = []
    for name, held in cells.items():
        if not isinstance(held, dict):
            lines.append(f"  {front}{name}: {held}")
        elif "total" in held:
            part = held["correct"] if "correct" in held else held["count"]
            rate = held["accuracy"] if "accuracy" in held else held["share"]
            amount = f"{part:.6g}" if isinstance(part, float) else f"{part:,}"
            lines.append(f"{100 * rate:7.2f} %  {front}{name} ({amount} of {held['total']:,})")
        else:
            lines += _cells(f"{front}{name}, ", held)
    return lines
