"""Format results as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evals.stats import format_rate

MAX_IDS = 10  # ids printed of missing samples


def flatten_groups(groups: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (name, rate, count) of nested groups of {"correct" or "count", "total", "accuracy" or "share"}."""
    for name, group in groups.items():
        if not isinstance(group, Mapping):
            yield f"{prefix}{name}", str(group), ""
        elif "total" in group:
            part = group["correct"] if "correct" in group else group["count"]
            rate = group["accuracy"] if "accuracy" in group else group["share"]
            amount = f"{part:.6g}" if isinstance(part, float) else f"{part:,}"
            yield f"{prefix}{name}", format_rate(rate, group["total"]), f"{amount} of {group['total']:,}"
        else:
            yield from flatten_groups(group, f"{prefix}{name}, ")


def format_result(summary: Mapping[str, Any]) -> str:
    """Return a result's dict as text: counts, interval, averages, groups and baselines."""
    interval, total = summary["interval"], summary["total"]
    spread = f"{100 * interval['low']:.2f} to {100 * interval['high']:.2f} %" if total else "n/a"
    lines = [
        f"{summary['benchmark']} (revision {summary['revision']}), protocol {summary['protocol']}",
        *(f"{key:14} {value}" for key, value in summary["about"].items()),
        f"{summary['correct']:,} of {total:,} correct, {format_rate(summary['accuracy'], total)}; "
        f"wrong format {summary['wrong_format']:,}, missing {summary['missing']:,}",
        f"95 % interval {spread} ({interval['clusters']:,} clusters by {interval['clustered_by']})",
        *(f"{format_rate(value, total):>9}  {key}" for key, value in summary["averages"].items()),
        *_format_groups("", summary["cells"]),
        *_format_groups("baseline: ", summary["baselines"]),
    ]
    if summary["missing_ids"]:
        ids = summary["missing_ids"][:MAX_IDS]
        rest = len(summary["missing_ids"]) - len(ids)
        more = f" and {rest:,} more (--json lists all)" if rest else ""
        lines.append(f"missing, counted as wrong: {', '.join(ids)}{more}")
    lines += [f"note: {note}" for note in summary["notes"]]
    return "\n".join(lines)


def _format_groups(prefix: str, groups: Mapping[str, Any]) -> list[str]:
    return [
        f"{rate:>9}  {name} ({count})" if count else f"  {name}: {rate}"
        for name, rate, count in flatten_groups(groups, prefix)
    ]
