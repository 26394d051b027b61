"""ScreenSpot v1 and v2: phones, desktops and web pages; text and icon targets.

v1 is scored as njucckevin/SeeClick, pretrain/screenspot_test.py (0ef37ac) does: `bbox` is x, y, width, height in
pixels, a click in the box is correct, edges included, and a reply without a point is wrong. It is read from SeeClick's
three files or from UGround's single file, where the image's key is `image` and each record has its platform. The files
have no ids: a task's id is "screenspot_PLATFORM_N", N counted from 0 within the platform.

v2 is read from the converted files of MAI-UI and UI-Ins (x1, y1, x2, y2, in ScreenSpot-Pro's format) and reported as
that harness does. OS-Atlas' own files are refused: none was available to check how they write boxes.

"Average" is the mean of the six cells in SeeClick and UGround, and the mean over samples in UI-TARS and OS-Atlas. Both
are reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.benchmarks import _screenspot_pro_format as pro_format
from evals.files import annotation_files, revision
from evals.metrics import grounding
from evals.metrics.grounding import GroundingTask, Target
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Finding, Prediction, SampleScore, count_outcomes

PLATFORMS = ("mobile", "desktop", "web")
SOURCE_V1 = "github.com/OSU-NLP-Group/UGround, offline_evaluation/ScreenSpot/re_gpt-4o.jsonl (0.4 MB, 1,272 samples)"
IMAGE_SOURCE_V1 = "the link in github.com/njucckevin/SeeClick (610 images)"
SOURCE_V2 = (
    "github.com/Tongyi-MAI/MAI-UI, evaluation/grounding/data, screenspot_*_v2_convert.json (0.6 MB, 1,272 samples)"
)
IMAGE_SOURCE_V2 = "huggingface.co/datasets/OS-Copilot/ScreenSpot-v2 (730 images)"


def read_v1(folder: Path) -> Dataset:
    """Read the annotations of v1."""
    files = annotation_files(folder, ("screenspot_*.jsonl", "re_gpt-*.jsonl", "screenspot_*.json"), SOURCE_V1)
    counts: Counter[str] = Counter()

    def to_task(record: Any, path: Path) -> GroundingTask:
        platform = str(record["platform"] if "platform" in record else path.stem.removeprefix("screenspot_"))
        if platform not in PLATFORMS:
            raise ValueError(f"platform {platform!r} is none of {', '.join(PLATFORMS)}")
        x, y, width, height = (float(number) for number in record["bbox"])
        task = GroundingTask(
            id=f"screenspot_{platform}_{counts[platform]}",
            image=str(record["image"] if "image" in record else record["img_filename"]),
            size=None,
            instruction=str(record["instruction"]),
            target=Target("box", (x, y, x + width, y + height)),
            labels={
                "platform": platform,
                "ui_type": str(record["data_type"]),
                "application": str(record.get("data_source") or record.get("data_souce")),
                "group": None,
            },
        )
        counts[platform] += 1
        return task

    return Dataset(folder, revision(files), pro_format.convert_records(files, to_task, "ScreenSpot"))


def read_v2(folder: Path) -> Dataset:
    """Read the annotations of v2."""
    files = annotation_files(folder, ("screenspot_*v2*.json",), SOURCE_V2)
    return Dataset(folder, revision(files), pro_format.read_tasks(files))


def cell_name(task: GroundingTask) -> str:
    """Return one of the six cells, such as "mobile text"; v2 has the platform in the application's name."""
    words = f"{task.labels['platform']} {task.labels['application']}".lower()
    platform = next((name for name in PLATFORMS if name in words), "other")
    return f"{platform} {task.labels['ui_type']}"


def score_v1(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return SeeClick's report of the predictions."""
    scores = grounding.score_tasks(dataset.tasks, predictions, known=known)
    cells = grounding.group_accuracy(dataset.tasks, scores, cell_name)
    metrics: dict[str, Any] = {
        platform: {
            f"{kind}_acc": cells.get(f"{platform} {kind}", {"accuracy": 0.0})["accuracy"] for kind in ("text", "icon")
        }
        for platform in PLATFORMS
    }
    metrics["average"] = mean(cell["accuracy"] for cell in cells.values())
    metrics["num_wrong_format"] = sum(sample.outcome == "wrong_format" for sample in scores)
    return _result("screenspot", dataset, protocol, scores, metrics, cells)


def score_v2(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return ScreenSpot-Pro's report of the predictions."""
    scores = grounding.score_tasks(dataset.tasks, predictions, known=known)
    cells = grounding.group_accuracy(dataset.tasks, scores, cell_name)
    blocks = pro_format.report_blocks(dataset.tasks, scores)
    return _result("screenspot-v2", dataset, protocol, scores, blocks, cells)


def _result(
    name: str,
    dataset: Dataset,
    protocol: str,
    scores: tuple[SampleScore, ...],
    metrics: Mapping[str, Any],
    cells: Mapping[str, Any],
) -> EvaluationResult:
    averages = {
        "micro (over samples)": count_outcomes(scores)["accuracy"],
        "macro (over the six cells platform x type)": mean(cell["accuracy"] for cell in cells.values()),
    }
    center = grounding.center_click_baseline(dataset.tasks)
    return EvaluationResult(
        name,
        protocol,
        dataset.revision,
        scores,
        metrics,
        averages,
        "picture",
        groups=cells,
        baselines={"centre click": center} if center else {},
        notes=dataset.notes,
    )


def check_v1(dataset: Dataset) -> list[Finding]:
    """Return what is wrong with v1's annotations, which have no image sizes to check boxes against."""
    findings = grounding.check_annotations(dataset.tasks)
    tasks: Sequence[GroundingTask] = dataset.tasks
    as_corners = [task.id for task in tasks if _fits_as_corners(task.target.values)]
    if len(as_corners) > len(tasks) / 2:
        findings.append(("bbox, read as x, y, width, height, could also be two corners", as_corners))
    return findings


def _fits_as_corners(box: Sequence[float]) -> bool:
    """Return whether the width and height of a box could be the coordinates of its second corner."""
    x1, y1, x2, y2 = box
    return x2 - x1 > x1 and y2 - y1 > y1


BENCHMARKS = {
    "screenspot": Benchmark(
        "screenspot",
        SOURCE_V1,
        IMAGE_SOURCE_V1,
        ("seeclick",),
        read_v1,
        score_v1,
        grounding.score_click,
        grounding.oracle,
        check_v1,
        samples=1272,
        reference=grounding.target_reference,
        env_id="pixelhand/ScreenSpot-v0",
    ),
    "screenspot-v2": Benchmark(
        "screenspot-v2",
        SOURCE_V2,
        IMAGE_SOURCE_V2,
        ("sspro-official",),
        read_v2,
        score_v2,
        grounding.score_click,
        grounding.oracle,
        lambda dataset: grounding.check_annotations(dataset.tasks),
        samples=1272,
        reference=grounding.target_reference,
        env_id="pixelhand/ScreenSpotV2-v0",
    ),
}
