"""ScreenSpot v1 and v2: phones, desktops, web pages; text or icon. Knows their files and SeeClick's six cells.

v1: njucckevin/SeeClick, pretrain/screenspot_test.py (0ef37ac): `bbox` is x, y, width, height in pixels; right if the
point lies in the box, edges included; a reply without a point is wrong and counted. Read from SeeClick's three files,
or from UGround's single file, which names the picture `image` and the platform itself. v1's files have no ids: a task
is "screenspot_PLATFORM_N", N its place among its platform's, from 0.
v2: the converted files of MAI-UI and UI-Ins (x1, y1, x2, y2, in ScreenSpot-Pro's form) and that harness's report; a
file in OS-Atlas' own form is refused, for we have seen none to check how it writes its boxes.

"Average" in SeeClick and UGround is the mean of the six cells, in UI-TARS and OS-Atlas over samples. Both are here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.metrics import grounding
from evals.metrics.grounding import GroundingTask, Target
from evals.scoring import Benchmark, Dataset, Prediction, Result, SampleScore, annotation_files, count, mean, revision

PLATFORMS = ("mobile", "desktop", "web")
SOURCE_V1 = "github.com/OSU-NLP-Group/UGround, offline_evaluation/ScreenSpot/re_gpt-4o.jsonl (0.4 MB, 1,272 samples)"
PICTURES_V1 = "the link in github.com/njucckevin/SeeClick (610 pictures)"
SOURCE_V2 = (
    "github.com/Tongyi-MAI/MAI-UI, evaluation/grounding/data, screenspot_*_v2_convert.json (0.6 MB, 1,272 samples)"
)
PICTURES_V2 = "huggingface.co/datasets/OS-Copilot/ScreenSpot-v2 (730 pictures)"


def read_v1(folder: Path) -> Dataset:
    files = annotation_files(folder, ("screenspot_*.jsonl", "re_gpt-*.jsonl", "screenspot_*.json"), SOURCE_V1)
    seen: Counter[str] = Counter()
    tasks = []
    for path in files:
        of_file = path.stem.removeprefix("screenspot_")
        for index, record in enumerate(grounding.records(path)):
            try:
                platform = str(record["platform"]) if "platform" in record else of_file
                if platform not in PLATFORMS:
                    raise ValueError(f"platform {platform!r} is none of {', '.join(PLATFORMS)}")
                x, y, width, height = (float(one) for one in record["bbox"])
                labels = {
                    "platform": platform,
                    "ui_type": str(record["data_type"]),
                    "application": str(record.get("data_source") or record.get("data_souce")),
                    "group": None,
                }
                tasks.append(
                    GroundingTask(
                        id=f"screenspot_{platform}_{seen[platform]}",
                        picture=str(record["image"] if "image" in record else record["img_filename"]),
                        size=None,
                        instruction=str(record["instruction"]),
                        target=Target("box", (x, y, x + width, y + height)),
                        labels=labels,
                    )
                )
                seen[platform] += 1
            except (KeyError, TypeError, ValueError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise UsageError(f"{path}, record {index}: not in ScreenSpot's form ({what})") from None
    return Dataset(folder, revision(files), tasks)


def read_v2(folder: Path) -> Dataset:
    files = annotation_files(folder, ("screenspot_*v2*.json",), SOURCE_V2)
    return Dataset(folder, revision(files), grounding.read_screenspot_pro(files))


def cell(task: GroundingTask) -> str:
    """One of the six: "mobile text" and so on. v2's files have the platform in the application's name."""
    words = f"{task.labels['platform']} {task.labels['application']}".lower()
    platform = next((one for one in PLATFORMS if one in words), "other")
    return f"{platform} {task.labels['ui_type']}"


def score_v1(dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    verdicts = grounding.score_tasks(dataset.tasks, said)
    cells = grounding.cells(dataset.tasks, verdicts, cell)
    metrics: dict[str, Any] = {
        platform: {
            f"{kind}_acc": cells.get(f"{platform} {kind}", {"accuracy": 0.0})["accuracy"] for kind in ("text", "icon")
        }
        for platform in PLATFORMS
    }
    metrics["average"] = mean(one["accuracy"] for one in cells.values())
    metrics["num_wrong_format"] = sum(one.outcome == "wrong_format" for one in verdicts)
    return _result("screenspot", dataset, protocol, verdicts, metrics, cells)


def score_v2(dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    verdicts = grounding.score_tasks(dataset.tasks, said)
    cells = grounding.cells(dataset.tasks, verdicts, cell)
    return _result(
        "screenspot-v2", dataset, protocol, verdicts, grounding.screenspot_pro_report(dataset.tasks, verdicts), cells
    )


def _result(
    name: str,
    dataset: Dataset,
    protocol: str,
    verdicts: tuple[SampleScore, ...],
    metrics: Mapping[str, Any],
    cells: Mapping[str, Any],
) -> Result:
    averages = {
        "micro (over samples)": count(verdicts)["accuracy"],
        "macro (over the six cells platform x type)": mean(one["accuracy"] for one in cells.values()),
    }
    centre = grounding.center_click_baseline(dataset.tasks)
    return Result(
        name,
        protocol,
        dataset.revision,
        verdicts,
        metrics,
        averages,
        "picture",
        cells=cells,
        baselines={"centre click": centre} if centre else {},
        notes=dataset.notes,
    )


def doctor_v1(dataset: Dataset) -> list[tuple[str, list[str]]]:
    """v1 has no sizes: that its boxes are x, y, width, height shows in how few could be two corners."""
    found = grounding.check_annotations(dataset.tasks)
    tasks: Sequence[GroundingTask] = dataset.tasks
    corners = [task.id for task in tasks if _could_be_corners(task.target.values)]
    if len(corners) > len(tasks) / 2:
        found.append(("read as x, y, width, height, most boxes are also two corners: perhaps they are", corners))
    return found


def _could_be_corners(box: Sequence[float]) -> bool:
    x1, y1, x2, y2 = box
    return x2 - x1 > x1 and y2 - y1 > y1


BENCHMARKS = {
    "screenspot": Benchmark(
        "screenspot",
        SOURCE_V1,
        PICTURES_V1,
        ("seeclick",),
        read_v1,
        score_v1,
        grounding.oracle,
        doctor_v1,
        samples=1272,
        right=grounding.target_reference,
    ),
    "screenspot-v2": Benchmark(
        "screenspot-v2",
        SOURCE_V2,
        PICTURES_V2,
        ("sspro-official",),
        read_v2,
        score_v2,
        grounding.oracle,
        lambda dataset: grounding.check_annotations(dataset.tasks),
        samples=1272,
        right=grounding.target_reference,
    ),
}
