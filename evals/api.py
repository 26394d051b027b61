"""The Python API of evaluations: a policy object, or a file of predictions, in; a result out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actions import UsageError
from evals.scoring import score_file
from evals.types import EvaluationResult

if TYPE_CHECKING:
    from agent.policies.base import Policy
    from envs.recorded import Level
    from evals.runner import Progress


def evaluate(
    name: str,
    policy: Policy,
    *,
    data: Path | str,
    protocol: str | None = None,
    level: Level = "high",
    limit: int | None = None,
    seed: int = 0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> EvaluationResult:
    """Run a policy on a recorded benchmark in this process and return its official score.

    The policy stays open; the caller owns it. Nothing is written; `agent eval NAME --out DIR` keeps predictions.

    Args:
        name: Name of the benchmark, such as "screenspot-pro".
        policy: The policy, as `agent.policies.factory.load_policy` returns it.
        data: The benchmark's folder, with annotations/ and images/.
        protocol: One of the benchmark's protocols; None for the default of these annotations.
        level: "high" for the goal alone, "low" with each step's instruction.
        limit: Number of images, or episodes, to sample; None for all.
        seed: Random seed of the sample.
        on_progress: Called after each task.

    Returns:
        The result: `accuracy` and the sample `scores` are 0 to 1; `interval` is the 95 % interval of the mean score;
        `broken` holds the tasks that the machine failed on, which count in no figure.

    Raises:
        UsageError: The benchmark, the protocol, the level or the folder does not exist, or no image is in the folder.
        SurfaceError: No task could be run.
        KeyboardInterrupt: The run was interrupted; there is no partial score.
    """
    from envs.recorded import LEVELS
    from evals.predictor import Predictor
    from evals.runner import ProgressMeter, finish, plan_run

    if level not in LEVELS:
        raise UsageError(f"level is one of {', '.join(LEVELS)}, not {level!r}")
    plan = plan_run(name, Path(data), protocol, limit, seed)
    predictor = Predictor(plan.bench, plan.dataset, plan.protocol, level, policy)
    meter = ProgressMeter(len(plan.ids), {}, on_progress)
    lines: dict[str, Any] = {}
    known, broken = {}, {}
    try:
        about = predictor.describe()
        for ids in plan.jobs():
            for result in predictor.predict(ids, {}):
                if result.line is None or result.score is None:
                    broken[result.id] = result.broken
                    meter.update(result.id, None)
                else:
                    lines[result.id], known[result.id] = result.line, result.score
                    meter.update(result.id, result.score.score)
    finally:
        predictor.stop_prefetching()
    return finish(plan, lines, broken, known=known, about=about)


def score(
    name: str, predictions: Path | str, *, data: Path | str, protocol: str | None = None, format: str = "auto"
) -> EvaluationResult:
    """Return the official score of a file of predictions; no model is needed.

    Args:
        name: Name of the benchmark, such as "screenspot-pro".
        predictions: JSON lines {"id", "point": [x, y], "reply"} or {"id", "actions", "reply"}, or a file of another
            harness. Points are pixels of the original image.
        data: The benchmark's folder, with annotations/.
        protocol: One of the benchmark's protocols; None for the default of these annotations.
        format: "auto", "lines" for this project's format, or IMPORTER[:SPACE].

    Raises:
        UsageError: The file, an id, the protocol or the annotations do not fit.
    """
    return score_file(name, Path(data), Path(predictions), protocol, format)
