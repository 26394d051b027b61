"""The result of an engine benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class BenchResult:
    """Median durations in milliseconds; one entry per step where there are steps."""

    what: str
    facts: dict[str, Any]
    engine_ms: list[float] = field(default_factory=list)
    baseline_ms: list[float] = field(default_factory=list)
    roofline_ms: list[float] = field(default_factory=list)
    same: bool | None = None  # whether both computed the same token ids, or the same numbers

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON data; single entries as numbers, a missing one as None."""
        ratios = [baseline / engine for engine, baseline in zip(self.engine_ms, self.baseline_ms, strict=False)]
        fractions = [roofline / engine for engine, roofline in zip(self.engine_ms, self.roofline_ms, strict=False)]
        values = {
            "engine_ms": _rounded(self.engine_ms),
            "baseline_ms": _rounded(self.baseline_ms),
            "ratio": _rounded(ratios),
            "roofline_ms": _rounded(self.roofline_ms),
            "roofline_fraction": _rounded(fractions),
        }
        names_of_0_1 = {
            "ours_ms": values["engine_ms"],
            "peer_ms": values["baseline_ms"],
            "floor_ms": values["roofline_ms"],
            "of_floor": values["roofline_fraction"],
        }
        return {"what": self.what, **self.facts, **values, **names_of_0_1, "same": self.same}

    def table(self) -> str:
        """Return a row per step below a row of headings."""
        rows = [f"{self.what:>10} {'engine ms':>11} {'baseline ms':>12} {'ratio':>7} {'roofline ms':>12}"]
        for n, engine in enumerate(self.engine_ms):
            baseline = self.baseline_ms[n] if n < len(self.baseline_ms) else None
            roofline = self.roofline_ms[n] if n < len(self.roofline_ms) else None
            rows.append(
                f"{n + 1:>10} {engine:>11.2f} {'' if baseline is None else f'{baseline:.2f}':>12} "
                f"{'' if baseline is None else f'{baseline / engine:.2f}':>7} "
                f"{'' if roofline is None else f'{roofline:.2f}':>12}"
            )
        return "\n".join(rows)


def _rounded(values: list[float]) -> list[float] | float | None:
    """Return values with five significant digits; a single one as a number."""
    rounded = [float(f"{value:.5g}") for value in values]
    if len(rounded) > 1:
        return rounded
    return rounded[0] if rounded else None
