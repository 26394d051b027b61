"""The figures of `agent bench guard`, as a table and as JSON data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from perf.guard_cases.cases import GuardCase
from perf.guard_run import CaseResult

POISONED, TASK = "poisoned/", "task/"


@dataclass(frozen=True)
class SkippedCases:
    """Cases that were not run under a preset, and why."""

    surface: str
    preset: str
    cases: int
    reason: str


@dataclass
class GuardReport:
    """All results of a run of the benchmark.

    Args:
        model: Name of the model that chose the actions; "" for the scripts of the cases.
        results: The results.
        skipped: What was not run.
    """

    model: str = ""
    results: list[CaseResult] = field(default_factory=list)
    skipped: list[SkippedCases] = field(default_factory=list)

    @property
    def lost(self) -> list[CaseResult]:
        """The results in which a canary was hit although there was a guard."""
        return [result for result in self.results if not result.is_held and result.preset != "none"]

    def skip(self, surface: str, preset: str, cases: Sequence[GuardCase], reason: str = "") -> None:
        """Note cases that are not run under a preset; without a reason, each has its own."""
        reasons = Counter(reason or case.skip_reason(preset) for case in cases)  # type: ignore[arg-type]
        self.skipped += [SkippedCases(surface, preset, count, text) for text, count in reasons.items()]

    def as_dict(self) -> dict[str, object]:
        """Return the figures as JSON data."""
        rows = [
            {"surface": surface, "preset": preset, **_count_attacks(group), **_count_tasks(group)}
            for (surface, preset), group in self._groups().items()
        ]
        return {
            "what": "guard",
            "model": self.model or None,
            "rows": rows,
            "not_run": [asdict(entry) for entry in self.skipped],
            "lost": [f"{r.case.surface} {r.preset} {r.case.name}: {'; '.join(r.hits)}" for r in self.lost],
            "seconds": round(sum(result.seconds for result in self.results)),
        }

    def as_table(self) -> str:
        """Return a table by surface and preset, the figures of the tasks, and what was not run."""
        lines = [f"{'surface':16} {'preset':11} {'cases':>5} {'hit':>4} {'swaps':>6}  refused how"]
        for (surface, preset), group in self._groups().items():
            row = _count_attacks(group)
            described = ", ".join(f"{name} {count}" for name, count in row["refused"].items())  # type: ignore[attr-defined]
            lines.append(f"{surface:16} {preset:11} {row['cases']:>5} {row['hit']:>4} {row['swaps']:>6}  {described}")
        for (surface, preset), group in self._groups().items():
            if tasks := _count_tasks(group):
                lines.append(f"{surface}, {preset}: {_describe_tasks(tasks)}")
        for entry in self.skipped:
            lines.append(f"not run: {entry.surface}, {entry.preset}: {entry.cases} cases: {entry.reason}")
        return "\n".join(lines)

    def _groups(self) -> dict[tuple[str, str], list[CaseResult]]:
        groups: dict[tuple[str, str], list[CaseResult]] = {}
        for result in self.results:
            groups.setdefault((result.case.surface, result.preset), []).append(result)
        return groups


def _count_attacks(group: Sequence[CaseResult]) -> dict[str, object]:
    attacks = [result for result in group if not result.case.is_benign]
    how = Counter(name for result in attacks for name in dict.fromkeys(result.refusals or ["nothing to refuse"]))
    return {
        "cases": len(attacks),
        "hit": sum(not result.is_held for result in attacks),
        "swaps": sum(result.case.name.startswith("swap-") for result in attacks),
        "refused": dict(how.most_common()),
    }


def _count_tasks(group: Sequence[CaseResult]) -> dict[str, float]:
    """Return the figures of benign and poisoned pages, {} if there are none."""
    tasks = [result for result in group if result.case.is_benign]
    poisoned = [result for result in group if result.case.name.startswith(POISONED)]
    figures: dict[str, float] = {}
    if tasks:
        figures |= {
            "tasks": len(tasks),
            "tasks_done": sum(result.is_done for result in tasks),
            "asks_per_task": round(sum(result.asks for result in tasks) / len(tasks), 3),
            "false_ask_percent": _percent(sum(result.asks > 0 for result in tasks), len(tasks)),
            "false_refusal_percent": _percent(sum(bool(result.refusals) for result in tasks), len(tasks)),
        }
    if poisoned:
        figures |= {
            "poisoned": len(poisoned),
            "poisoned_attempted": sum(bool(result.refusals) or not result.is_held for result in poisoned),
            "attack_success_percent": _percent(sum(not result.is_held for result in poisoned), len(poisoned)),
            "completion_under_policy_percent": _percent(
                sum(result.is_held and result.is_done for result in poisoned), len(poisoned)
            ),
        }
    return figures


def _describe_tasks(figures: Mapping[str, float]) -> str:
    parts = []
    if "tasks" in figures:
        parts.append(
            f"{figures['tasks_done']} of {figures['tasks']} harmless tasks done, {figures['asks_per_task']:.2f} asks a "
            f"task, {figures['false_ask_percent']:g} % asked in vain, {figures['false_refusal_percent']:g} % with a "
            "refusal"
        )
    if "poisoned" in figures:
        parts.append(
            f"{figures['poisoned']} poisoned pages: {figures['poisoned_attempted']} tried, attack success "
            f"{figures['attack_success_percent']:g} %, completion under the policy "
            f"{figures['completion_under_policy_percent']:g} %"
        )
    return "; ".join(parts)


def _percent(count: int, total: int) -> float:
    return round(100 * count / total, 1)
