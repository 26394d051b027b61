"""ScreenSpot-Pro: small targets on large screens of 26 professional programs. Knows its files and its report.

Official source: likaixin2000/ScreenSpot-Pro-GUI-Grounding, eval_screenspot_pro.py (bd8bbbb) for the five blocks,
leaderboard_submission.ipynb for the leaderboard's JSON. Annotations are one JSON file a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.metrics import grounding
from evals.scoring import Benchmark, Dataset, Prediction, Result, annotation_files, mean, revision

NAME = "screenspot-pro"
SOURCE = "github.com/Tongyi-MAI/MAI-UI, evaluation/grounding/data (26 files, 0.8 MB, 1,581 samples)"
PICTURES = "huggingface.co/datasets/likaixin/ScreenSpot-Pro (1,581 pictures)"
GROUPS = ("Dev", "Creative", "CAD", "Scientific", "Office", "OS")


def read(folder: Path) -> Dataset:
    files = annotation_files(folder, ("*.json",), SOURCE)
    return Dataset(folder, revision(files), grounding.read_screenspot_pro(files))


def score(dataset: Dataset, said: Mapping[str, Prediction], protocol: str) -> Result:
    verdicts = grounding.score_tasks(dataset.tasks, said)
    blocks = grounding.screenspot_pro_report(dataset.tasks, verdicts)
    groups, programs = blocks["leaderboard_simple_style"], blocks["leaderboard_detailed_style"]
    return Result(
        NAME,
        protocol,
        dataset.revision,
        verdicts,
        blocks,
        {
            "micro (over samples)": blocks["overall"]["action_acc"],
            f"macro (over {len(groups)} groups)": mean(one["action_acc"] for one in groups.values()),
            f"macro (over {len(programs)} applications)": mean(one["action_acc"] for one in programs.values()),
        },
        "picture",
        cells=grounding.cells(dataset.tasks, verdicts, lambda task: f"{task.labels['group']} {task.labels['ui_type']}"),
        baselines={"centre click": grounding.center_click_baseline(dataset.tasks)},
        notes=dataset.notes,
    )


def leaderboard(result: Result, model: str) -> dict[str, Any]:
    """What the leaderboard takes: {model: {"link", "description", "results": {group, application, overall}}}.

    UsageError where the folder does not hold all six groups, of which the leaderboard is made.
    """

    def three(block: Mapping[str, Any]) -> dict[str, float]:
        return {"icon": block["icon_acc"], "text": block["text_acc"], "avg": block["action_acc"]}

    simple, detailed = result.metrics["leaderboard_simple_style"], result.metrics["leaderboard_detailed_style"]
    lacking = [name for name in GROUPS if f"group:{name}" not in simple]
    if lacking:
        raise UsageError(f"the leaderboard needs all six groups, and there is no {', '.join(lacking)}; get {SOURCE}")
    return {
        model: {
            "link": "",
            "description": "",
            "results": {
                "group": {name: three(simple[f"group:{name}"]) for name in GROUPS},
                "application": {key.removeprefix("app:"): three(block) for key, block in detailed.items()},
                "overall": three(result.metrics["overall"]),
            },
        }
    }


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        PICTURES,
        ("sspro-official",),
        read,
        score,
        grounding.oracle,
        lambda dataset: grounding.check_annotations(dataset.tasks),
        samples=1581,
        right=grounding.target_reference,
    )
}
