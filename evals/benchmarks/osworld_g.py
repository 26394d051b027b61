"""OSWorld-G and its refined wording: boxes, polygons, and instructions that cannot be followed. Knows its files.

Two forms are read. The benchmark's own: box_type bbox (x, y, width, height), polygon (flat x, y, ...), refusal; known
from three public readers of it, its file was not at hand. And MAI-UI's and UI-Ins' conversion to ScreenSpot-Pro's form.
There a refusal is the box 0, 0, 0, 0, and the second corner of each of the 40 polygons was taken for width and height:
[x0, y0, x0 + x1, y0 + y1, x2, y2, ...]. ScreenSpot-Pro's script reads the first four numbers as a box, which is another
place: MAI-UI-8B hits 37 of the 40 polygons, and 25 of those boxes. The polygons can be had back, and are.

What refuses, nobody agrees on, so both are in the protocol's name:
`converted-boxes`: as MAI-UI and UI-Ins are scored, polygons as those boxes; the default for the converted files.
`polygons`: polygons by ray casting; the default for the benchmark's own files.
    Under both a prediction refuses by saying "refused": true: a point is never a refusal, an unreadable reply neither.
`polygons-negative-point`: a point left of and above the screen refuses (lmms-eval, FocusUI).
`sspro-official`: the very script on the converted files: nothing refuses, and 0, 0 hits the box 0, 0, 0, 0.
Results name both totals, all 564 and the 510 that can be clicked, and the polygons under both readings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.metrics import grounding
from evals.metrics.grounding import GroundingTask, Target
from evals.scoring import (
    Benchmark,
    Dataset,
    Outcome,
    Prediction,
    Result,
    annotation_files,
    count,
    pixel,
    ratio,
    revision,
)

SOURCE = (
    "github.com/Tongyi-MAI/MAI-UI, evaluation/grounding/data (0.3 MB, 564 samples), or github.com/xlang-ai/OSWorld-G"
)
PICTURES = "github.com/xlang-ai/OSWorld-G, benchmark/images (251 pictures)"
FILES = {
    "osworld-g": ("osworld_g.json", "OSWorld-G.json", "OSWorld-G_sspro.json"),
    "osworld-g-refined": ("osworld_g_refined.json", "OSWorld-G_refined.json", "OSWorld-G_refined_sspro.json"),
}
PROTOCOLS = ("polygons", "converted-boxes", "polygons-negative-point", "sspro-official")


def read(name: str, folder: Path) -> Dataset:
    files = annotation_files(folder, FILES[name], SOURCE)[:1]
    content = grounding.records(files[0])
    if content and isinstance(content[0], dict) and "box_type" in content[0]:
        tasks = [_own(record, index, files[0]) for index, record in enumerate(content)]
        return Dataset(folder, revision(files), tasks)
    return Dataset(folder, revision(files), grounding.read_screenspot_pro(files, converted), protocol="converted-boxes")


def converted(numbers: Sequence[float]) -> Target:
    """The target that a converted bbox once was."""
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        x, y, x_and_x1, y_and_y1 = numbers[:4]
        return Target("polygon", (x, y, x_and_x1 - x, y_and_y1 - y, *numbers[4:]))
    return Target("refusal") if not any(numbers) else grounding.xyxy_box(numbers)


def _own(record: Mapping[str, Any], index: int, path: Path) -> GroundingTask:
    try:
        kind, numbers = record["box_type"], tuple(float(one) for one in record["box_coordinates"])
        if kind not in ("bbox", "polygon", "refusal") or len(numbers) < 4:
            raise ValueError(f"box_type {kind!r} with {len(numbers)} numbers")
        x, y, width, height = numbers[:4]
        box = (0.0, 0.0, 0.0, 0.0) if kind == "refusal" else (x, y, x + width, y + height)
        target = {"bbox": Target("box", box), "polygon": Target("polygon", numbers), "refusal": Target("refusal")}[kind]
        width_px, height_px = (int(one) for one in record["image_size"])
        return GroundingTask(
            str(record["id"]),
            str(record["image_path"]),
            (width_px, height_px),
            str(record["instruction"]),
            target,
            {
                "platform": "linux",
                "application": "osworld-g",
                "group": None,
                "ui_type": record.get("GUI_types"),
                "bbox": box,
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path}, record {index}: not in OSWorld-G's form ({what})") from None


def refuses(said: Prediction, protocol: str) -> bool:
    if protocol == "polygons-negative-point":
        point = pixel(said.get("point"))
        return point is not None and point[0] < 0 and point[1] < 0
    return protocol != "sspro-official" and said.get("refused") is True


def word(protocol: str, task: GroundingTask, said: Prediction) -> Outcome:
    kind, point = task.target.kind, pixel(said.get("point"))
    if refuses(said, protocol):
        return "correct" if kind == "refusal" else "wrong"
    as_box = protocol == "sspro-official" or (protocol == "converted-boxes" and kind == "polygon")
    if as_box and point is not None:
        return "correct" if grounding.in_box(point, task.labels["bbox"], task.size) else "wrong"
    return grounding.score_click(task, said)


def score(name: str, dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    tasks: Sequence[GroundingTask] = dataset.tasks
    verdicts = grounding.score_tasks(tasks, said, partial(word, protocol))
    there = [verdict for task, verdict in zip(tasks, verdicts, strict=True) if task.target.kind != "refusal"]
    clickable, false = count(there), sum(refuses(said.get(one.id, {}), protocol) for one in there)
    polygons = [task for task in tasks if task.target.kind == "polygon"]
    readings = {"polygons, by ray casting": "polygons", "polygons, as the converted boxes": "converted-boxes"}
    refusals = len(verdicts) - len(there)
    return Result(
        name,
        protocol,
        dataset.revision,
        verdicts,
        grounding.screenspot_pro_report(tasks, verdicts),
        {
            f"micro (over all {len(verdicts)} samples, refusals included)": count(verdicts)["accuracy"],
            f"micro (over the {len(there)} samples that can be clicked)": clickable["accuracy"],
        },
        "picture",
        cells={
            **{
                kind: held
                for kind, held in grounding.cells(tasks, verdicts, lambda task: task.target.kind).items()
                if kind != "polygon"
            },
            **{
                told: _count(grounding.score_tasks(polygons, said, partial(word, one)))
                for told, one in readings.items()
            },
            "can be clicked": _count(there),
            "refused though it can be clicked": {
                "count": false,
                "total": len(there),
                "share": ratio(false, len(there)),
            },
        },
        baselines={
            "centre click": grounding.center_click_baseline(tasks),
            "refuse always": {
                "correct": refusals,
                "total": len(verdicts),
                "accuracy": ratio(refusals, len(verdicts)),
            },
        },
        notes=dataset.notes,
    )


def _count(verdicts: Sequence[Any]) -> dict[str, Any]:
    whole = count(verdicts)
    return {key: whole[key] for key in ("correct", "total", "accuracy")}


BENCHMARKS = {
    name: Benchmark(
        name,
        SOURCE,
        PICTURES,
        PROTOCOLS,
        partial(read, name),
        partial(score, name),
        grounding.oracle,
        lambda dataset: grounding.check_annotations(dataset.tasks),
        samples=564,
        right=grounding.target_reference,
    )
    for name in FILES
}
