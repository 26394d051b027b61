"""A benchmark's annotations checked before anybody trusts a number. Knows no scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals import scoring

SHOWN = 5  # ids named for each finding


@dataclass(frozen=True)
class DatasetReport:
    """What was looked at and what was found: {"what", "count", "ids"} each; no finding means sound annotations."""

    benchmark: str
    revision: str
    samples: int
    pictures: int  # how many the annotations name
    pictures_missing: tuple[str, ...]
    source: str  # of the pictures
    findings: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "revision": self.revision,
            "samples": self.samples,
            "pictures": self.pictures,
            "pictures_missing": len(self.pictures_missing),
            "findings": [{"what": what, "count": len(ids), "ids": list(ids)} for what, ids in self.findings],
            "notes": list(self.notes),
        }

    def story(self) -> str:
        lines = [f"{self.benchmark} (revision {self.revision}): {self.samples:,} samples, {self.pictures:,} pictures"]
        if self.pictures_missing:
            some = ", ".join(self.pictures_missing[:SHOWN])
            lines.append(
                f"{len(self.pictures_missing):,} of {self.pictures:,} pictures are missing in images/ ({some}, ...); "
                f"get them from {self.source}"
            )
        for what, ids in self.findings:
            more = ", ..." if len(ids) > SHOWN else ""
            lines.append(f"{len(ids):5,}  {what}: {', '.join(ids[:SHOWN])}{more}")
        lines += [f"note: {one}" for one in self.notes]
        return "\n".join([*lines, "" if self.findings else "nothing wrong found"]).rstrip()


def check_dataset(name: str, data: Path) -> DatasetReport:
    """Check one benchmark's folder. UsageError, with the place to get it, when there are no annotations."""
    bench = scoring.benchmark(name)
    dataset = scoring.load(bench, data)
    pictures = sorted({task.picture for task in dataset.tasks if task.picture})
    images = data / "images"
    missing = tuple(one for one in pictures if not (images / one).is_file())
    found = bench.doctor(dataset)
    return DatasetReport(
        name,
        dataset.revision,
        len(dataset.tasks),
        len(pictures),
        missing,
        bench.pictures,
        tuple((what, tuple(ids)) for what, ids in found),
        dataset.notes,
    )
