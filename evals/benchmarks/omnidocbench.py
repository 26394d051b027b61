"""OmniDocBench 1.0: 981 pages of documents to convert to Markdown, scored by text, formulas, tables and reading order.

The annotations are OmniDocBench.json. Both protocols are end-to-end definitions of opendatalab/OmniDocBench 1.0, as
open-compass/VLMEvalKit (vlmeval/dataset/OmniDocBench, e8e78f0) computes them: `quick-match`, by which published scores
are computed, merges paragraphs that a reply or the annotations split; `simple-match` does not. Deviations: a page
without a prediction counts as an empty one, and is not left out; tables in LaTeX count as missing; `CDM` and BLEU are
not computed; there is no limit of time, after which the script falls back to `simple-match`. OmniDocBench 1.5 and
lmms-eval (lmms_eval/tasks/omnidocbench, 75571cf) match in other ways, which are not computed here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals.benchmarks._question_answering import convert_questions, mean_score
from evals.files import annotation_files, revision
from evals.metrics import questions
from evals.metrics.document_scores import (
    ELEMENTS,
    MATCHERS,
    TEXT_CATEGORIES,
    Comparison,
    Element,
    compare_page,
    page_distance,
    page_elements,
)
from evals.metrics.questions import QuestionTask
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Prediction, SampleScore

NAME = "omnidocbench"
SOURCE = "github.com/opendatalab/OmniDocBench, the data set's OmniDocBench.json of version 1.0 (981 samples)"
IMAGE_SOURCE = "the same data set, images/"
SCORED_CATEGORIES = (*TEXT_CATEGORIES, "equation_isolated", "table")
LANGUAGES = {"EN": "english", "CH": "simplified_chinese"}
PAGE_LABELS = ("language", "data_source", "layout")
TABLE_SCORES = ("TEDS", "TEDS_structure_only")
REPLY_TOKENS = 8192
PROMPT = (
    "Convert the page in the image to Markdown. Copy all text in reading order, with a blank line between paragraphs. "
    "Write formulas in LaTeX, those in a line of their own as $$...$$, and tables as HTML from <table> to </table>. "
    "Leave pictures out. Reply with the Markdown alone."
)


@dataclass(frozen=True)
class DocumentPageTask(QuestionTask):
    """A page with its annotations."""

    page: Mapping[str, Any] = field(default_factory=dict)


def read_annotations(folder: Path) -> Dataset:
    """Read the annotations; pages without text, formulas and tables are left out."""
    files = annotation_files(folder, ("OmniDocBench*.json",), SOURCE)[:1]
    tasks = convert_questions(files, "", _convert)
    scored = [task for task in tasks if task.answers[0]]
    left_out = len(tasks) - len(scored)
    note = f"{left_out:,} pages without text, formulas and tables are left out"
    return Dataset(folder, revision(files), scored, (note,) if left_out else ())


def _convert(record: Any, place: int, path: Path) -> DocumentPageTask:
    info = record["page_info"]
    image = Path(str(info["image_path"])).name
    attributes = info.get("page_attribute") or {}
    labels = {name: str(attributes[name]) for name in PAGE_LABELS if name in attributes}
    size = (int(info["width"]), int(info["height"])) if "width" in info and "height" in info else None
    return DocumentPageTask(Path(image).stem, image, PROMPT, (to_markdown(record),), labels, size=size, page=record)


def to_markdown(page: Mapping[str, Any]) -> str:
    """Return the annotations of a page as Markdown."""
    elements = page_elements(page)
    items = [item for name in SCORED_CATEGORIES for item in elements.get(name, ())]
    items.sort(key=lambda item: item.get("order") or 0)
    texts = []
    for item in items:
        key = {"table": "html", "equation_isolated": "latex"}.get(item["category_type"], "text")
        texts.append(str(item[key]).strip())
    return "\n\n".join(text for text in texts if text)


def score_sample(task: DocumentPageTask, prediction: Prediction, protocol: str) -> SampleScore:
    """Return 1 - the mean of the edit distances of a page's elements; the official scores are its parts."""
    reply = prediction.get("reply")
    comparisons = compare_page(task.page, reply if isinstance(reply, str) else "", protocol)
    value = mean(1 - page_distance(group) for group in comparisons.values()) if comparisons else 1.0
    parts = page_parts(comparisons)
    return questions.question_score(task, value if isinstance(reply, str) else None, parts)


def page_parts(comparisons: Mapping[Element, Sequence[Comparison]]) -> dict[str, float]:
    """Return the scores of a page by name, and the sums and numbers that averages over matches are made of."""
    parts: dict[str, float] = defaultdict(float)
    for element, group in comparisons.items():
        parts[f"{element} Edit_dist"] = page_distance(group)
        for comparison in group:
            for label in sorted(comparison.labels):
                parts[f"sum: {element} Edit_dist, {label}"] += comparison.distance
                parts[f"number: {element}, {label}"] += 1
            for name, score in comparison.scores.items():
                parts[f"sum: {element} {name}"] += score
                for label in sorted(comparison.labels):
                    parts[f"sum: {element} {name}, {label}"] += score
        parts[f"number: {element}"] = len(group)
    return dict(parts)


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return the official averages over pages and tables, by language and by attribute of the annotations."""
    tasks: Sequence[DocumentPageTask] = dataset.tasks
    scores = questions.score_questions(tasks, predictions, lambda task, line: score_sample(task, line, protocol), known)
    parts = [
        page_parts(compare_page(task.page, "", protocol)) if sample.outcome == "missing" else sample.parts
        for task, sample in zip(tasks, scores, strict=True)
    ]
    metrics = official_metrics(tasks, parts)
    averages = {"mean of pages (1 - mean Edit_dist of their elements)": mean_score(scores)}
    for element in ELEMENTS:
        if f"{element}_Edit_dist_ALL" in metrics:
            averages[f"{element}, 1 - Edit_dist (mean over pages)"] = 1 - metrics[f"{element}_Edit_dist_ALL"]
    for name in TABLE_SCORES:
        if f"table_{name}_ALL" in metrics:
            averages[f"{name} (mean over tables)"] = metrics[f"table_{name}_ALL"] / 100
    return EvaluationResult(
        NAME,
        protocol,
        dataset.revision,
        scores,
        metrics,
        averages,
        "picture",
        groups=_groups(tasks, scores, parts),
        notes=dataset.notes,
    )


def official_metrics(tasks: Sequence[DocumentPageTask], parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the figures of the official table: edit distances, 0 to 1, and TEDS in percent.

    `ALL` is over all pages, and for TEDS over all tables; the languages' figures are means of the means of pages.
    `overall` is the mean of the four edit distances of a language that has all of them.
    """
    metrics: dict[str, float] = {}
    for element in ELEMENTS:
        key = f"{element} Edit_dist"
        if any(key in page for page in parts):
            metrics[f"{element}_Edit_dist_ALL"] = mean(page[key] for page in parts if key in page)
    for name in TABLE_SCORES:
        if any("number: table" in page for page in parts):
            metrics[f"table_{name}_ALL"] = 100 * _matches_mean(parts, f"table {name}", "table")
    for suffix, language in LANGUAGES.items():
        pages = [page for task, page in zip(tasks, parts, strict=True) if task.labels.get("language") == language]
        distances = {
            element: mean(page[key] for page in pages if key in page)
            for element in ELEMENTS
            if any((key := f"{element} Edit_dist") in page for page in pages)
        }
        metrics |= {f"{element}_Edit_dist_{suffix}": value for element, value in distances.items()}
        tables = [page for page in pages if "number: table" in page]
        for name in TABLE_SCORES if tables else ():
            shares = [page[f"sum: table {name}"] / page["number: table"] for page in tables]
            metrics[f"table_{name}_{suffix}"] = 100 * mean(shares)
        if len(distances) == len(ELEMENTS):
            metrics[f"overall_{suffix}"] = mean(distances.values())
    return metrics


def _matches_mean(parts: Iterable[Mapping[str, float]], name: str, element: str, label: str = "") -> float:
    """Return the mean of a score over all matches of an element, or those with a label."""
    ending = f", {label}" if label else ""
    pages = [page for page in parts if f"number: {element}{ending}" in page]
    total = sum(page[f"number: {element}{ending}"] for page in pages)
    return sum(page[f"sum: {name}{ending}"] for page in pages) / total if total else 0.0


def _groups(
    tasks: Sequence[DocumentPageTask], scores: Sequence[SampleScore], parts: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Return the mean score of pages by their attributes, and of texts and tables by those of the annotations."""
    groups: dict[str, Any] = {
        f"pages, {label}": cells for label in PAGE_LABELS if (cells := questions.group_scores(tasks, scores, label))
    }
    for element, name, is_distance in (("text_block", "Edit_dist", True), ("table", "TEDS", False)):
        prefix = f"number: {element}, "
        labels = sorted({key.removeprefix(prefix) for page in parts for key in page if key.startswith(prefix)})
        for label in labels:
            total = int(sum(page.get(prefix + label, 0) for page in parts))
            value = _matches_mean(parts, f"{element} {name}", element, label)
            share = 1 - value if is_distance else value
            title = f"{element}, {'1 - ' if is_distance else ''}{name}"
            cell = {"correct": share * total, "total": total, "accuracy": share}
            groups.setdefault(title, {})[label] = cell
    return groups


BENCHMARKS = {
    NAME: Benchmark(
        NAME,
        SOURCE,
        IMAGE_SOURCE,
        tuple(MATCHERS),
        read_annotations,
        score,
        score_sample,
        questions.answer_oracle,
        lambda dataset: questions.check_questions(dataset.tasks),
        samples=981,
        reference=questions.answers_reference,
        question=lambda task, times: PROMPT,
        reply_tokens=REPLY_TOKENS,
    )
}
