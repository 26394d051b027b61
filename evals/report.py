"""Write runs as one HTML file: tables, and failures with image, reference, predicted point and reply.

The page is made of the same parts as the report of a run, in agent/report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actions import Error, SurfaceError, UsageError, parse_action
from agent.report.images import encode_image, to_base64
from agent.report.page import render_page
from agent.ui.formatting import describe_action
from envs.surfaces.image import load_screenshot
from evals.files import write_text
from evals.formatting import flatten_groups
from evals.metrics.geometry import Point, parse_box, parse_point
from evals.registry import load_benchmark
from evals.run_folder import LOCAL_STATE, PREDICTIONS, RESULT, RUN, VERDICTS
from evals.stats import format_rate
from evals.types import Benchmark, Prediction

TEMPLATES = Path(__file__).parent / "templates"
MAX_WIDTH, MAX_HEIGHT = 760, 620  # pixels of an embedded image
JPEG_QUALITY = 72
MAX_REPLY_CHARS = 700
CLUSTER_NAMES = {"picture": "image"}  # name in result.json: name in the report
MAX_IDS = 200  # ids listed of missing or broken samples


def write_report(folder: Path, out: Path | None = None, *, data: Path | None = None, failures: int = 40) -> Path:
    """Write the report of a run, or of all runs in a folder, and return its path.

    Args:
        folder: A run's folder, or a folder of them.
        out: The file to write; None for report.html in `folder`.
        data: The benchmark's folder, where it is no longer where the run had it.
        failures: Number of failures shown per run, evenly spaced over all.

    Raises:
        UsageError: No run is finished, or the file cannot be written.
    """
    runs = [folder] if (folder / RESULT).is_file() else sorted(path.parent for path in folder.glob(f"*/{RESULT}"))
    if not runs:
        raise UsageError(f"{folder} has no finished run ({RESULT}); `agent eval NAME --out DIR` makes one")
    if data is not None and len(runs) > 1:
        raise UsageError(
            f"{folder} has {len(runs)} runs, and --data is the folder of a single benchmark; report each run alone"
        )
    summaries = [json.loads((run / RESULT).read_text(encoding="utf-8")) for run in runs]
    values = {
        "title": summaries[0]["benchmark"] if len(runs) == 1 else f"{len(runs)} runs",
        "overview": _overview(runs, summaries) if len(runs) > 1 else [],
        "runs": [_run_context(run, summary, data, failures) for run, summary in zip(runs, summaries, strict=True)],
        "max_ids": MAX_IDS,
    }
    tests = {"numeric_cell": _is_numeric}
    page = render_page("report.html.jinja", values, folders=[TEMPLATES], styles=["report.css"], tests=tests)
    path = out or folder / "report.html"
    write_text(path, page)
    return path


def _overview(runs: Sequence[Path], summaries: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            run.name,
            summary["benchmark"],
            summary["protocol"],
            str(summary["about"].get("model", "")),
            format_rate(summary["accuracy"], summary["total"]),
            f"{summary['correct']:,} of {summary['total']:,}",
            f"{summary['broken']:,}",
        )
        for run, summary in zip(runs, summaries, strict=True)
    ]


def _run_context(folder: Path, summary: Mapping[str, Any], data: Path | None, failures: int) -> dict[str, Any]:
    """Return the template's variables of one run."""
    interval, total = summary["interval"], summary["total"]
    request = json.loads((folder / RUN).read_text(encoding="utf-8"))["asked"]
    configuration = {
        "benchmark": summary["benchmark"],
        "revision": summary["revision"],
        "protocol": summary["protocol"],
        "level": request.get("level", ""),
        "samples": request.get("limit") or "all",
        "seed": request.get("seed", ""),
        **request.get("options", {}),
        **summary["about"],
    }
    return {
        "benchmark": summary["benchmark"],
        "model": str(summary["about"].get("model", "")),
        "rate": format_rate(summary["accuracy"], total),
        "interval": (
            f"{format_rate(interval['low'], total)} to {format_rate(interval['high'], total)}, "
            f"samples clustered by {CLUSTER_NAMES.get(interval['clustered_by'], interval['clustered_by'])}, "
            f"{interval['clusters']:,} in all"
        ),
        "notes": summary["notes"],
        "counts": [
            ("correct", f"{summary['correct']:,} of {total:,}"),
            ("wrong format", f"{summary['wrong_format']:,}"),
            ("no prediction, counted as wrong", f"{summary['missing']:,}"),
            ("not scored, because of an error", f"{summary['broken']:,}"),
        ],
        "averages": [(name, format_rate(value, total)) for name, value in summary["averages"].items()],
        "configuration": [(key.replace("_", " "), str(value)) for key, value in configuration.items()],
        "groups": _rate_rows(summary["cells"]),
        "baselines": _rate_rows(summary["baselines"]),
        "metrics": json.dumps(summary["metrics"], indent=1),
        "missing": summary["missing_ids"],
        "broken": [f"{task['id']}: {task['why']}" for task in summary["broken_ids"]],
        **_failures_context(folder, summary, data, failures),
    }


def _rate_rows(groups: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (name, rate, count) of the groups that have a count."""
    return [(name.replace("_", " "), rate, count) for name, rate, count in flatten_groups(groups) if count]


def _is_numeric(cell: str) -> bool:
    """Return whether a table's cell is a number, a rate or a count, which is right-aligned."""
    return cell[:1].isdigit() and (cell.endswith("%") or " of " in cell or cell.replace(",", "").isdigit())


# ---- failures


def _failures_context(folder: Path, summary: Mapping[str, Any], data: Path | None, limit: int) -> dict[str, Any]:
    """Return the template's variables of a run's failures, or why they are not shown."""
    verdicts = [json.loads(line) for line in (folder / VERDICTS).read_text(encoding="utf-8").splitlines()]
    failed = [verdict for verdict in verdicts if verdict["outcome"] != "correct"]
    if not failed or not limit:
        return {"failures_text": "" if failed else "None.", "samples": []}
    data_folder = data or Path(json.loads((folder / LOCAL_STATE).read_text(encoding="utf-8"))["data"])
    try:
        bench = load_benchmark(summary["benchmark"])
        dataset = bench.read(data_folder)
    except UsageError as error:
        return {"failures_text": f"{len(failed):,}, not shown: {error} (or set --data)", "samples": []}
    if dataset.revision != summary["revision"]:
        text = f"{len(failed):,}, not shown: {data_folder} has another revision of the annotations."
        return {"failures_text": text, "samples": []}
    tasks = {task.id: task for task in (*dataset.tasks, *dataset.extra_tasks)}
    predictions = {}
    for line in (folder / PREDICTIONS).read_text(encoding="utf-8").splitlines():
        prediction = json.loads(line)
        if "id" in prediction:
            predictions[prediction["id"]] = prediction
    stride = max(1.0, len(failed) / limit)
    chosen = [failed[int(n * stride)] for n in range(min(limit, len(failed)))]
    count = f"{len(chosen):,} of {len(failed):,}" if len(chosen) < len(failed) else f"all {len(failed):,}"
    return {
        "failures_text": "",
        "samples_text": count,
        "samples": [
            _sample_context(bench, data_folder, tasks[verdict["id"]], verdict, predictions.get(verdict["id"], {}))
            for verdict in chosen
        ],
    }


def _sample_context(
    bench: Benchmark, data: Path, task: Any, verdict: Mapping[str, Any], prediction: Prediction
) -> dict[str, Any]:
    """Return the template's variables of one failure; an image that cannot be read is replaced by the reason."""
    image: dict[str, Any] = {"image": "", "image_error": "", "shapes": [], "marks": []}
    try:
        screen = load_screenshot(data / "images" / task.image)
        size = (screen.width, screen.height)
        reference = bench.reference(task, size)
        image |= {
            "image": _encode_jpeg(screen.pixels),
            "width": size[0],
            "height": size[1],
            "shapes": [" ".join(f"{side:g}" for side in shape) for shape in reference.shapes],
            "marks": [_mark(point, max(size) / 60) for point in predicted_points(prediction)],
        }
    except SurfaceError as error:
        reference = bench.reference(task, task.size or (1, 1))
        image["image_error"] = str(error)
    reply = str(prediction.get("reply", ""))
    return {
        **image,
        "id": task.id,
        "outcome": verdict["outcome"].replace("_", " "),
        "partial_score": f" ({verdict['score']:.2f})" if 0 < verdict["score"] < 1 else "",
        "goal": task.goal if bench.has_episodes else "",
        "instruction": task.instruction,
        "reference": reference.text,
        "prediction": _describe_prediction(prediction),
        "error": str(prediction.get("error") or ""),
        "reply": reply if len(reply) <= MAX_REPLY_CHARS else reply[:MAX_REPLY_CHARS] + " …",
    }


def predicted_points(prediction: Prediction) -> list[Point]:
    """Return the points of a prediction, in pixels of the image."""
    point = parse_point(prediction.get("point"))
    points = [point] if point else []
    for action in prediction.get("actions") or ():
        try:
            points += [(float(at.x), float(at.y)) for at in parse_action(action).points()]
        except Error:
            continue
    return points


def _describe_prediction(prediction: Prediction) -> str:
    if "actions" in prediction:
        return "; ".join(map(_describe_action, prediction["actions"])) or "no action could be parsed"
    if "box" in prediction:
        box = parse_box(prediction["box"])
        return f"the box {', '.join(f'{side:g}' for side in box)}, in pixels of the image" if box else "no box"
    if "point" not in prediction:
        return "the reply"
    if prediction.get("refused"):
        return "a refusal"
    point = parse_point(prediction.get("point"))
    return f"({point[0]:g}, {point[1]:g}), in pixels of the image" if point else "no point"


def _describe_action(action: Mapping[str, Any]) -> str:
    """Return a predicted action as a run displays it, or its values where it is invalid."""
    try:
        return describe_action(parse_action(action))
    except Error:
        return " ".join(str(value) for value in action.values() if value not in ((), [], None, ""))


def _encode_jpeg(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    """Return an image as base64, scaled down to the report's size."""
    from PIL import Image

    return to_base64(encode_image(Image.fromarray(pixels), "JPEG", JPEG_QUALITY, (MAX_WIDTH, MAX_HEIGHT)))


def _mark(point: Point, radius: float) -> dict[str, str]:
    """Return the circle and cross at a predicted point, in pixels of the original image."""
    x, y = point
    cross = f"M{x - 2 * radius:g} {y:g}h{4 * radius:g}M{x:g} {y - 2 * radius:g}v{4 * radius:g}"
    return {"x": f"{x:g}", "y": f"{y:g}", "radius": f"{radius:g}", "cross": cross}
