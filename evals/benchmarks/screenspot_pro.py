"""ScreenSpot-Pro: small targets on large screens of 26 professional applications.

Source: likaixin2000/ScreenSpot-Pro-GUI-Grounding, eval_screenspot_pro.py (bd8bbbb) for the five blocks of the report,
leaderboard_submission.ipynb for the leaderboard's JSON. Annotations are one JSON file per application.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.benchmarks import _screenspot_pro_format as pro_format
from evals.files import annotation_files, revision
from evals.metrics import grounding
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Prediction, SampleScore

NAME = "screenspot-pro"
SOURCE = "github.com/Tongyi-MAI/MAI-UI, evaluation/grounding/data (26 files, 0.8 MB, 1,581 samples)"
IMAGE_SOURCE = "huggingface.co/datasets/likaixin/ScreenSpot-Pro (1,581 images)"
GROUPS = ("Dev", "Creative", "CAD", "Scientific", "Office", "OS")


def read_dataset(folder: Path) -> Dataset:
    """Read the annotations."""
    files = annotation_files(folder, ("*.json",), SOURCE)
    return Dataset(folder, revision(files), pro_format.read_tasks(files))


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return the official report of the predictions."""
    scores = grounding.score_tasks(dataset.tasks, predictions, known=known)
    blocks = pro_format.report_blocks(dataset.tasks, scores)
    groups, applications = blocks["leaderboard_simple_style"], blocks["leaderboard_detailed_style"]
    return EvaluationResult(
        NAME,
        protocol,
        dataset.revision,
        scores,
        blocks,
        {
            "micro (over samples)": blocks["overall"]["action_acc"],
            f"macro (over {len(groups)} groups)": mean(block["action_acc"] for block in groups.values()),
            f"macro (over {len(applications)} applications)": mean(
                block["action_acc"] for block in applications.values()
            ),
        },
        "picture",
        groups=grounding.group_accuracy(
            dataset.tasks, scores, lambda task: f"{task.labels['group']} {task.labels['ui_type']}"
        ),
        baselines={"centre click": grounding.center_click_baseline(dataset.tasks)},
        notes=dataset.notes,
    )


def leaderboard(result: EvaluationResult, model: str) -> dict[str, Any]:
    """Return the leaderboard's submission: {model: {"link", "description", "results"}}.

    Raises:
        UsageError: The dataset does not hold all six groups.
    """

    def rates(block: Mapping[str, Any]) -> dict[str, float]:
        return {"icon": block["icon_acc"], "text": block["text_acc"], "avg": block["action_acc"]}

    simple, detailed = result.metrics["leaderboard_simple_style"], result.metrics["leaderboard_detailed_style"]
    missing = [name for name in GROUPS if f"group:{name}" not in simple]
    if missing:
        raise UsageError(
            f"the leaderboard needs all six groups and the folder lacks {', '.join(missing)}; get {SOURCE}"
        )
    return {
        model: {
            "link": "",
            "description": "",
            "results": {
                "group": {name: rates(simple[f"group:{name}"]) for name in GROUPS},
                "application": {key.removeprefix("app:"): rates(block) for key, block in detailed.items()},
                "overall": rates(result.metrics["overall"]),
            },
        }
    }


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        IMAGE_SOURCE,
        ("sspro-official",),
        read_dataset,
        score,
        grounding.score_click,
        grounding.oracle,
        lambda dataset: grounding.check_annotations(dataset.tasks),
        samples=1581,
        reference=grounding.target_reference,
        env_id="pixelhand/ScreenSpotPro-v0",
    )
}
