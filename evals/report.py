"""Runs as one HTML file: tables, and the failures with picture, target, point and reply. Knows runs' folders.

The file holds its pictures and loads nothing. What a model said is text in it, never markup.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from actions import Error, SurfaceError, UsageError, parse_action
from envs.surfaces.image import load_screenshot
from evals import scoring
from evals.runner import LOCAL_STATE, PREDICTIONS, RESULT, RUN, VERDICTS
from evals.scoring import Benchmark, Prediction

WIDE, TALL = 760, 620  # pixels of a picture in the report, at most
QUALITY = 72
REPLY = 700  # characters shown of a reply
LISTED = 200  # ids shown of what is missing or broken

STYLE = """
:root { color-scheme: light dark; --line: #d5d8de; --soft: #f4f5f7; --ink: #1b1e24; --dim: #626874; --bad: #c22f2f; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a3f48; --soft: #22262c; --ink: #e8eaee; --dim: #9aa1ad; --bad: #ff7b72; }
  body { background: #15181d; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; border-top: 2px solid var(--line); padding-top: 1.2rem; }
h3 { font-size: 1.02rem; margin: 1.4rem 0 .4rem; }
.big { font-size: 2rem; font-weight: 600; } .dim { color: var(--dim); }
.tables { display: flex; flex-wrap: wrap; gap: 0 2.5rem; }
table { border-collapse: collapse; margin: .3rem 0; } th, td { text-align: left; padding: .15rem .9rem .15rem 0; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } tr { border-bottom: 1px solid var(--line); }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 1.1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; background: var(--soft); }
.shot { position: relative; display: block; line-height: 0; background: #888; text-align: center; }
.shot div { position: relative; display: inline-block; max-width: 100%; }
.shot img { max-width: 100%; max-height: 460px; } .shot svg { position: absolute; inset: 0; width: 100%; height: 100%; }
figcaption { padding: .5rem .7rem; font-size: .86rem; } figcaption p { margin: .15rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .78rem; margin: .3rem 0 0; }
.target { fill: #19a34a33; stroke: #19a34a; stroke-width: 2; vector-effect: non-scaling-stroke; }
.said { stroke: #e0201b; stroke-width: 2.5; fill: none; vector-effect: non-scaling-stroke; }
.word { font-weight: 600; color: var(--bad); } code { font-size: .85em; overflow-wrap: anywhere; }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write(folder: Path, out: Path | None = None, *, data: Path | None = None, failures: int = 40) -> Path:
    """Write the report of a run, or of all runs in a folder; returns where it is.

    data: the benchmark's folder, where it is not the one that the run was made with. UsageError where no run is
    finished.
    """
    runs = [folder] if (folder / RESULT).is_file() else sorted(one.parent for one in folder.glob(f"*/{RESULT}"))
    if not runs:
        raise UsageError(f"{folder} holds no finished run ({RESULT}); `agent eval NAME --out DIR` makes one")
    if data is not None and len(runs) > 1:
        raise UsageError(
            f"{folder} holds {len(runs)} runs, and --data is the folder of one benchmark; report each alone"
        )
    told = [json.loads((one / RESULT).read_text(encoding="utf-8")) for one in runs]
    parts = [_overview(runs, told)] if len(runs) > 1 else []
    parts += [_run(one, result, data, failures) for one, result in zip(runs, told, strict=True)]
    title = told[0]["benchmark"] if len(told) == 1 else f"{len(told)} runs"
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}: report</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>{''.join(parts)}</html>\n"
    )
    path = out or folder / "report.html"
    try:
        path.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror})") from None
    return path


def _overview(runs: Sequence[Path], told: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            run.name,
            one["benchmark"],
            one["protocol"],
            str(one["about"].get("model", "")),
            _rate(one["accuracy"]),
            f"{one['correct']:,} of {one['total']:,}",
            f"{one['broken']:,}",
        )
        for run, one in zip(runs, told, strict=True)
    ]
    return _table(rows, ("run", "benchmark", "protocol", "model", "correct", "", "broken"))


def _run(folder: Path, told: Mapping[str, Any], data: Path | None, failures: int) -> str:
    between = told["interval"]
    asked = json.loads((folder / RUN).read_text(encoding="utf-8"))["asked"]
    made = {
        "benchmark": told["benchmark"],
        "revision": told["revision"],
        "protocol": told["protocol"],
        "level": asked.get("level", ""),
        "limit": asked.get("limit") or "none",
        "seed": asked.get("seed", ""),
        **told["about"],
    }
    counts = [
        ("correct", f"{told['correct']:,} of {told['total']:,}"),
        ("wrong format", f"{told['wrong_format']:,}"),
        ("missing, counted as wrong", f"{told['missing']:,}"),
        ("broken, in no figure", f"{told['broken']:,}"),
    ]
    official = json.dumps(told["metrics"], indent=1)
    return "".join(
        [
            f"<h2>{escape(told['benchmark'])} · {escape(str(told['about'].get('model', '')))}</h2>",
            f'<p><span class="big">{_rate(told["accuracy"])}</span> <span class="dim">95 % interval '
            f"{_rate(between['low'])} to {_rate(between['high'])}, {between['clusters']:,} clusters by "
            f"{escape(between['clustered_by'])}</span></p>",
            *(f"<p>{escape(note)}</p>" for note in told["notes"]),
            '<div class="tables"><div><h3>Counts</h3>',
            _table(counts),
            "<h3>Averages</h3>",
            _table((name, _rate(value)) for name, value in told["averages"].items()),
            "</div><div><h3>What made this number</h3>",
            _table(((key, str(value)) for key, value in made.items()), words=True),
            "</div></div>",
            _cells("Cells", told["cells"]),
            _cells("Baselines that see nothing", told["baselines"]),
            f"<details><summary>Official metrics</summary><pre>{escape(official)}</pre></details>",
            _list("Missing", told["missing_ids"]),
            _list("Broken", [f"{one['id']}: {one['why']}" for one in told["broken_ids"]]),
            _gallery(folder, told, data, failures),
        ]
    )


def _cells(title: str, cells: Mapping[str, Any]) -> str:
    rows = list(_flat("", cells))
    return f"<h3>{escape(title)}</h3>{_table(rows)}" if rows else ""


def _flat(front: str, cells: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for name, held in cells.items():
        if isinstance(held, Mapping) and "total" in held:
            part = held["correct"] if "correct" in held else held["count"]
            yield (
                f"{front}{name}",
                _rate(held["accuracy"] if "accuracy" in held else held["share"]),
                (f"{part:.6g} of {held['total']:,}"),
            )
        elif isinstance(held, Mapping):
            yield from _flat(f"{front}{name}, ", held)


def _list(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" … and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    shown = "\n".join(names[:LISTED])
    return f"<details><summary>{title}: {len(names):,}</summary><pre>{escape(shown)}{more}</pre></details>"


def _table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), *, words: bool = False) -> str:
    """words: numbers are names here, and stand at the left like those."""
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"] if head else []
    for row in rows:
        cells = (
            f"<td{'' if words or n == 0 or not _number(cell) else ' class=n'}>{escape(cell)}</td>"
            for n, cell in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _number(cell: str) -> bool:
    return cell[:1].isdigit() and (cell.endswith("%") or " of " in cell or cell.replace(",", "").isdigit())


def _rate(value: float) -> str:
    return f"{100 * value:.2f} %"


# ---- the gallery


def _gallery(folder: Path, told: Mapping[str, Any], data: Path | None, most: int) -> str:
    """Failures, evenly spread over all, each with its picture. A picture that cannot be read says so in its place."""
    words = [json.loads(line) for line in (folder / VERDICTS).read_text(encoding="utf-8").splitlines()]
    failed = [word for word in words if word["outcome"] != "correct"]
    if not failed or not most:
        return "" if failed else "<h3>Failures</h3><p>None.</p>"
    where = data or Path(json.loads((folder / LOCAL_STATE).read_text(encoding="utf-8"))["data"])
    try:
        bench = scoring.benchmark(told["benchmark"])
        dataset = bench.read(where)
    except UsageError as error:
        return f"<h3>Failures</h3><p>{len(failed):,}, not shown: {escape(str(error))} (or give --data)</p>"
    if dataset.revision != told["revision"]:
        return f"<h3>Failures</h3><p>{len(failed):,}, not shown: {escape(str(where))} holds another revision.</p>"
    tasks = {task.id: task for task in (*dataset.tasks, *dataset.more)}
    said = {}
    for line in (folder / PREDICTIONS).read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if "id" in one:
            said[one["id"]] = one
    step = max(1.0, len(failed) / most)
    chosen = [failed[int(n * step)] for n in range(min(most, len(failed)))]
    figures = [_figure(bench, where, tasks[word["id"]], word, said.get(word["id"], {})) for word in chosen]
    shown = f"{len(chosen):,} of {len(failed):,}" if len(chosen) < len(failed) else f"all {len(failed):,}"
    legend = "green is right, red is what the model pointed at"
    return f'<h3>Failures ({shown}; {legend})</h3><div class="gallery">{"".join(figures)}</div>'


def _figure(bench: Benchmark, data: Path, task: Any, word: Mapping[str, Any], said: Prediction) -> str:
    goal = f"<p>{escape(task.goal)}</p>" if bench.episodes else ""
    try:
        screen = load_screenshot(data / "images" / task.picture)
        size = (screen.width, screen.height)
        right = bench.right(task, size)
        shot = _shot(screen.pixels, size, right.shapes, points(said))
    except SurfaceError as error:
        right, shot = bench.right(task, task.size or (1, 1)), f"<p>{escape(str(error))}</p>"
    reply = str(said.get("reply", ""))
    cut = reply if len(reply) <= REPLY else reply[:REPLY] + " …"
    lines = [
        f'<p><code>{escape(task.id)}</code> <span class="word">{escape(word["outcome"].replace("_", " "))}</span>'
        + (f" ({word['score']:.2f})" if 0 < word["score"] < 1 else "")
        + "</p>",
        goal,
        f"<p><b>{escape(task.instruction)}</b></p>" if task.instruction else "",
        f'<p class="dim">right: {escape(right.words)}</p>' if right.words else "",
        f'<p class="dim">said: {escape(_acts(said))}</p>',
        f'<p class="dim">{escape(str(said["error"]))}</p>' if said.get("error") else "",
        f"<pre>{escape(cut)}</pre>",
    ]
    return f"<figure>{shot}<figcaption>{''.join(lines)}</figcaption></figure>"


def points(said: Prediction) -> list[tuple[float, float]]:
    """Where a prediction points, in pixels of the picture."""
    point = scoring.pixel(said.get("point"))
    found = [point] if point else []
    for one in said.get("actions") or ():
        try:
            found += [(float(at.x), float(at.y)) for at in parse_action(one).points()]
        except Error:
            continue
    return found


def _acts(said: Prediction) -> str:
    if "actions" in said:
        plain = [
            " ".join(str(value) for key, value in one.items() if value not in ((), [], None, ""))
            for one in said["actions"]
        ]
        return "; ".join(plain) or "nothing that could be read"
    if said.get("refused"):
        return "that it cannot be done"
    point = scoring.pixel(said.get("point"))
    return f"{point[0]:g}, {point[1]:g}" if point else "no point"


def _shot(
    pixels: Any, size: tuple[int, int], shapes: Sequence[Sequence[float]], at: Sequence[tuple[float, float]]
) -> str:
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((WIDE, TALL), Image.Resampling.LANCZOS)
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=QUALITY)
    width, height = size
    reach = max(width, height) / 60
    marks = [f'<polygon class="target" points="{" ".join(f"{n:g}" for n in shape)}"/>' for shape in shapes]
    for x, y in at:
        marks.append(f'<circle class="said" cx="{x:g}" cy="{y:g}" r="{reach:g}"/>')
        marks.append(
            f'<path class="said" d="M{x - 2 * reach:g} {y:g}h{4 * reach:g}M{x:g} {y - 2 * reach:g}v{4 * reach:g}"/>'
        )
    code = base64.b64encode(held.getvalue()).decode()
    return (
        f'<div class="shot"><div><img alt="" src="data:image/jpeg;base64,{code}">'
        f'<svg viewBox="0 0 {width} {height}">{"".join(marks)}</svg></div></div>'
    )
