"""Score a file of predictions under a benchmark's official metric, without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evals.files import file_hash, revision
from evals.predictions import format_warnings, prediction_files, read_predictions
from evals.registry import load_benchmark, load_dataset, resolve_protocol
from evals.types import Dataset, EvaluationResult, Finding


def score_file(
    name: str, data: Path, predictions: Path, protocol: str | None = None, form: str = "auto"
) -> EvaluationResult:
    """Return the score of a file of predictions.

    A missing prediction counts as wrong; an unreadable one is `wrong_format`, which is wrong too. The notes of the
    result include what the dataset check finds in the annotations.

    Args:
        name: Name of the benchmark, such as "screenspot-pro".
        data: The benchmark's folder.
        predictions: The predictions file.
        protocol: One of the benchmark's protocols; None for the default of these annotations.
        form: "auto", "lines", or IMPORTER[:SPACE].

    Raises:
        UsageError: The file, an id, the protocol or the annotations do not fit.
    """
    bench = load_benchmark(name)
    dataset = load_dataset(bench, data)
    chosen = resolve_protocol(bench, dataset, protocol)
    by_id, about = read_predictions(predictions, dataset, form, name)
    result = bench.score(dataset, by_id, chosen)
    notes = (
        *result.notes,
        *format_warnings(by_id, bench.prediction_key),
        *annotation_warnings(bench.check_annotations(dataset), dataset),
    )
    facts = {**about, "predictions": predictions.name, "predictions_hash": predictions_hash(predictions)}
    return replace(result, notes=notes, about=facts)


def predictions_hash(path: Path) -> str:
    """Return a 16-digit SHA-256 prefix of a predictions file, or of the files of a folder."""
    return revision(prediction_files(path)) if path.is_dir() else file_hash(path)


def annotation_warnings(findings: list[Finding], dataset: Dataset) -> tuple[str, ...]:
    """Return the dataset check's findings as notes, one sentence each."""
    total = len(dataset.tasks)
    return tuple(
        f"annotations: {what}: {len(ids):,} of {total:,} samples, such as '{ids[0]}' (see `agent eval doctor`)"
        for what, ids in findings
        if ids
    )
