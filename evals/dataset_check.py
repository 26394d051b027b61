"""Check a benchmark's annotations and images before a score is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.registry import load_benchmark, load_dataset

MAX_IDS = 5  # ids printed per finding


@dataclass(frozen=True)
class DatasetReport:
    """What was checked and what is wrong."""

    benchmark: str
    revision: str
    samples: int
    images: int  # that the annotations name
    missing_images: tuple[str, ...]
    image_source: str
    findings: tuple[tuple[str, tuple[str, ...]], ...]  # (what is wrong, ids of the samples)
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is wrong and no image is missing."""
        return not self.findings and not self.missing_images

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "benchmark": self.benchmark,
            "revision": self.revision,
            "samples": self.samples,
            "pictures": self.images,
            "pictures_missing": len(self.missing_images),
            "findings": [{"what": what, "count": len(ids), "ids": list(ids)} for what, ids in self.findings],
            "notes": list(self.notes),
        }

    def format(self) -> str:
        """Return the report as text."""
        lines = [f"{self.benchmark} (revision {self.revision}): {self.samples:,} samples, {self.images:,} images"]
        if self.missing_images:
            examples = ", ".join(self.missing_images[:MAX_IDS])
            lines.append(
                f"{len(self.missing_images):,} of {self.images:,} images are missing in images/ ({examples}, ...); "
                f"get them from {self.image_source}"
            )
        for what, ids in self.findings:
            ellipsis = ", ..." if len(ids) > MAX_IDS else ""
            lines.append(f"{len(ids):5,}  {what}: {', '.join(ids[:MAX_IDS])}{ellipsis}")
        lines += [f"note: {note}" for note in self.notes]
        if self.is_complete:
            lines.append("no problems found")
        elif not self.findings:
            lines.append("no problems found in the annotations; samples without their image cannot be run")
        return "\n".join(lines)


def check_dataset(name: str, data: Path) -> DatasetReport:
    """Check one benchmark's folder.

    Raises:
        UsageError: The folder has no annotations; the message names where to get them.
    """
    bench = load_benchmark(name)
    dataset = load_dataset(bench, data)
    images = sorted({task.image for task in dataset.tasks if task.image})
    folder = data / "images"
    missing = tuple(image for image in images if not (folder / image).is_file())
    findings = bench.check_annotations(dataset)
    return DatasetReport(
        name,
        dataset.revision,
        len(dataset.tasks),
        len(images),
        missing,
        bench.image_source,
        tuple((what, tuple(ids)) for what, ids in findings),
        dataset.notes,
    )
