"""Score recorded steps on phones under a matching rule: step, type, grounding and episode accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evals.metrics import trajectory
from evals.metrics.mobile_actions import MatchRule, MobileAction, RecordedMobileStep, parse_prediction
from evals.stats import mean, ratio
from evals.types import Dataset, EvaluationResult, Outcome, Prediction, SampleScore, count_correct, count_outcomes

TYPE = "type"  # sub-score: whether the action's type is correct


def score_step(step: RecordedMobileStep, prediction: Prediction | None, rule: MatchRule) -> SampleScore:
    """Return the score of one prediction, None for a missing one, clustered by episode."""
    action = parse_prediction(prediction) if prediction is not None else None
    type_matches, matches = rule(step, action) if action else (False, False)
    outcome: Outcome = "correct" if matches else "wrong"
    if action is None:
        outcome = "missing" if prediction is None else "wrong_format"
    return SampleScore(step.id, outcome, step.episode, float(matches), {TYPE: float(type_matches)})


def evaluation_result(
    name: str,
    protocol: str,
    dataset: Dataset,
    steps: Sequence[RecordedMobileStep],
    rule: MatchRule,
    predictions: Mapping[str, Prediction],
    *,
    scorer: Callable[[RecordedMobileStep, Prediction | None], SampleScore] | None = None,
    known: Mapping[str, SampleScore] | None = None,
    splits: Mapping[str, Callable[[RecordedMobileStep], bool]] | None = None,
    notes: Sequence[str] = (),
) -> EvaluationResult:
    """Return the result of the steps under one rule, by action and by split.

    Args:
        name: The benchmark.
        protocol: The protocol.
        dataset: The dataset, for its revision and notes.
        steps: The steps to score.
        rule: The matching rule; the baselines are scored with it.
        predictions: Predictions by id.
        scorer: Scores a step; default: `score_step` with the rule.
        known: Sample scores that need not be computed again.
        splits: Which steps belong to a split, by its name.
        notes: Further notes for the result.
    """
    known = known or {}
    scores = []
    for step in steps:
        prediction = predictions.get(step.id)
        if prediction is not None and step.id in known:
            scores.append(known[step.id])
        else:
            scores.append(scorer(step, prediction) if scorer else score_step(step, prediction, rule))
    types = [bool(sample.parts[TYPE]) for sample in scores]
    correct = [sample.outcome == "correct" for sample in scores]
    per_action = _per_action(steps, types, correct)
    unscored = len(set(predictions) - {step.id for step in steps})
    if unscored:
        notes = (*notes, f"{unscored:,} predictions are for steps that this protocol does not score")
    return EvaluationResult(
        name,
        protocol,
        dataset.revision,
        tuple(scores),
        {
            "type": count_correct(types),
            "grounding": _grounding(steps, types, correct, conditional=False),
            "grounding_conditional": _grounding(steps, types, correct, conditional=True),
            "step_success": count_correct(correct),
            "episode_success": trajectory.episode_accuracy(scores, [step.episode for step in steps]),
        },
        {
            "micro (step success over steps)": count_outcomes(scores)["accuracy"],
            f"macro (step success over {len(per_action)} kinds of action)": mean(
                group["accuracy"] for group in per_action.values()
            ),
        },
        "episode",
        groups={
            **{f"action {verb}": group for verb, group in per_action.items()},
            **{
                f"split {split}": count_correct(
                    flag for flag, step in zip(correct, steps, strict=True) if is_member(step)
                )
                for split, is_member in (splits or {}).items()
            },
        },
        baselines=blind_baselines(steps, rule),
        notes=(*dataset.notes, *notes),
    )


def blind_baselines(steps: Sequence[RecordedMobileStep], rule: MatchRule) -> dict[str, Any]:
    """Return the score of two policies that ignore the screen: click the center, or repeat the commonest action."""
    counts = Counter(step.action for step in steps if step.action.point is None)
    commonest = counts.most_common(1)[0][0] if counts else MobileAction("click")
    fields = (commonest.verb, commonest.direction, commonest.text, commonest.button)
    description = " ".join(value for value in fields if value)
    policies: dict[str, Callable[[RecordedMobileStep], MobileAction]] = {
        "centre click": lambda step: MobileAction("click", point=(step.size[0] / 2, step.size[1] / 2)),
        f"commonest action ({description})": lambda step: commonest,
    }
    baselines: dict[str, Any] = {}
    for name, policy in policies.items():
        matches = [rule(step, policy(step)) for step in steps]
        types, correct = [is_type for is_type, _ in matches], [is_correct for _, is_correct in matches]
        baselines[name] = {
            "type": count_correct(types),
            "grounding": _grounding(steps, types, correct, conditional=False),
            "step_success": count_correct(correct),
        }
    return baselines


def _grounding(
    steps: Sequence[RecordedMobileStep], types: Sequence[bool], correct: Sequence[bool], *, conditional: bool
) -> dict[str, Any]:
    """Return the accuracy of click steps; conditional: only of those where a click was predicted."""
    rows = zip(steps, types, correct, strict=True)
    return count_correct(
        flag for step, is_type, flag in rows if step.action.verb == "click" and (is_type or not conditional)
    )


def _per_action(
    steps: Sequence[RecordedMobileStep], types: Sequence[bool], correct: Sequence[bool]
) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[tuple[bool, bool]]] = {}
    for step, is_type, flag in zip(steps, types, correct, strict=True):
        groups.setdefault(step.action.verb, []).append((is_type, flag))
    return {
        verb: {
            **count_correct(flag for _, flag in group),
            "type": ratio(sum(is_type for is_type, _ in group), len(group)),
        }
        for verb, group in groups.items()
    }
