"""Scores of a page that was converted to Markdown, by OmniDocBench's end-to-end definitions.

Source: opendatalab/OmniDocBench 1.0, as open-compass/VLMEvalKit, vlmeval/dataset/OmniDocBench/omnidocbench.py and
metrics.py (e8e78f0), compute them. `Edit_dist` of a page is the sum of the edits of its matches / the sum of their
longer lengths; `TEDS` is that of each table of the annotations, 0 for a missing one. `CDM` of formulas needs LaTeX and
is not computed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evals.metrics.document_markdown import MarkdownPart, split_markdown
from evals.metrics.document_text import normalize_formula, normalize_table, normalize_text
from evals.metrics.paragraph_matching import TextMatch, quick_match, simple_match
from evals.metrics.table_similarity import teds
from evals.metrics.text_distance import levenshtein

Element = Literal["text_block", "display_formula", "table", "reading_order"]
ELEMENTS: tuple[Element, ...] = ("text_block", "display_formula", "table", "reading_order")
IGNORED = [
    "figure_caption",
    "figure_footnote",
    "table_caption",
    "table_footnote",
    "code_algorithm",
    "code_algorithm_caption",
    "header",
    "footer",
    "page_footnote",
    "page_number",
    "equation_caption",
]  # matched with the rest of the text, but not scored
TEXT_CATEGORIES = [
    "text_block",
    "title",
    "code_txt",
    "code_txt_caption",
    "reference",
    "equation_caption",
    "figure_caption",
    "figure_footnote",
    "table_caption",
    "table_footnote",
    "code_algorithm",
    "code_algorithm_caption",
    "header",
    "footer",
    "page_footnote",
    "page_number",
]
MATCHERS = {"quick-match": quick_match, "simple-match": simple_match}
Layout = Mapping[str, Any]  # an item of `layout_dets`


@dataclass
class Comparison:
    """A match of a page with its scores.

    Args:
        edits: Edit distance of the two texts.
        length: The longer length.
        labels: The attributes of its annotations, as "name: value".
        scores: Further scores by name.
    """

    edits: int
    length: int
    labels: frozenset[str] = frozenset()
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def distance(self) -> float:
        """The normalized edit distance."""
        return self.edits / self.length if self.length else 0.0


def compare_page(page: Mapping[str, Any], reply: str, protocol: str) -> dict[Element, list[Comparison]]:
    """Return the matches of a reply with a page's annotations; elements that the page does not have are left out.

    Args:
        page: An entry of OmniDocBench.json.
        reply: The page in Markdown.
        protocol: How paragraphs and formulas are matched, a key of MATCHERS.

    Raises:
        UsageError: A package is not installed.
    """
    elements = page_elements(page)
    parts = split_markdown(reply)
    results: dict[Element, list[Comparison]] = {}
    text_layouts = _in_order(item for name in TEXT_CATEGORIES for item in elements.get(name, ()))
    if text_layouts:
        results["text_block"], order = _compare_text(text_layouts, _of_kind(parts, "text"), protocol)
        if order is not None:
            results["reading_order"] = [order]
    if formulas := _in_order(elements.get("equation_isolated", ())):
        references = _Texts([str(item["latex"]) for item in formulas], normalize_formula)
        predictions = _Texts([part.text for part in _of_kind(parts, "formula")], normalize_formula)
        matches = MATCHERS[protocol](references.normalized, predictions.normalized)
        results["display_formula"] = [
            _compare(references, predictions, match, formulas) for match in matches if match.references
        ]
    if tables := _in_order(elements.get("table", ())):
        results["table"] = _compare_tables(tables, _of_kind(parts, "table"))
    return {name: comparisons for name, comparisons in results.items() if comparisons}


def page_distance(comparisons: Sequence[Comparison]) -> float:
    """Return the edit distance of a page: all edits / all longer lengths."""
    length = sum(comparison.length for comparison in comparisons)
    return sum(comparison.edits for comparison in comparisons) / length if length else 0.0


def page_elements(page: Mapping[str, Any]) -> dict[str, list[Layout]]:
    """Return the annotations of a page by category, texts that go on in another block joined."""
    groups: list[list[object]] = []
    for relation in page.get("extra", {}).get("relation", ()):
        if relation["relation_type"] != "truncated":
            continue
        ends = [relation["source_anno_id"], relation["target_anno_id"]]
        joined = [group for group in groups if set(ends) & set(group)]
        for group in joined:
            group += ends  # a block in two relations is there twice, as in the scorer
        if not joined:
            groups.append(ends)
    grouped = {anno_id for group in groups for anno_id in group}
    elements: dict[str, list[Layout]] = defaultdict(list)
    by_id: dict[object, Layout] = {}
    for item in page["layout_dets"]:
        if item["anno_id"] in grouped:
            by_id[item["anno_id"]] = item
        else:
            elements[item["category_type"]].append(item)
    for group in groups:
        items = sorted((by_id[anno_id] for anno_id in group if anno_id in by_id), key=_order)
        if items:
            text = "".join(str(item.get("text", "")) for item in items)
            merged = {"category_type": items[0]["category_type"], "order": items[0].get("order"), "text": text}
            elements[items[0]["category_type"]].append(merged)
    return elements


def _compare_text(
    layouts: Sequence[Layout], parts: Sequence[MarkdownPart], protocol: str
) -> tuple[list[Comparison], Comparison | None]:
    """Return the matches of the text that is scored, and the one of its reading order."""
    references = _Texts([str(item["text"]) for item in layouts], normalize_text)
    predictions = _Texts([part.text for part in parts], normalize_text)
    categories = [layouts[place]["category_type"] for place in references.places]
    comparisons, reference_order, read = [], list[int](), list[tuple[int, list[int]]]()
    for match in MATCHERS[protocol](references.normalized, predictions.normalized):
        if _category([categories[i] for i in match.references]) in IGNORED:
            continue
        comparisons.append(_compare(references, predictions, match, layouts))
        # Indices of the texts that are not empty are applied to all items, as in the scorer.
        orders = [layouts[i].get("order") or 0 for i in match.references]
        reference_order += orders
        # The scorer's simple_match takes the first paragraph of the reply for none.
        is_placed = match.predictions and not (protocol == "simple-match" and match.predictions[0] == 0)
        if orders and is_placed:
            read.append((parts[match.predictions[0]].place, orders))
    gt = sorted(order for order in reference_order if order)
    pred = [order for _, orders in sorted(read, key=lambda item: item[0]) for order in orders if order]
    longest = max(len(gt), len(pred))
    return comparisons, Comparison(levenshtein(gt, pred), longest) if longest else None


def _compare_tables(layouts: Sequence[Layout], parts: Sequence[MarkdownPart]) -> list[Comparison]:
    references = _Texts([str(item["html"]) for item in layouts], str)
    predictions = _Texts([part.text for part in parts], str)
    results = []
    for match in simple_match(references.normalized, predictions.normalized):
        if not match.references:
            continue
        raw = references.normalized[match.references[0]]
        reference = normalize_table(raw) or raw
        prediction = "".join(predictions.normalized[j] for j in match.predictions)
        prediction = normalize_table(prediction) or prediction
        comparison = _comparison(reference, prediction, match, layouts)
        comparison.scores["TEDS"], comparison.scores["TEDS_structure_only"] = teds(prediction, reference)
        results.append(comparison)
    return results


class _Texts:
    """Texts that are not empty when they are normalized, and their places among all."""

    def __init__(self, texts: Sequence[str], normalize: Callable[[str], str]) -> None:
        pairs = [(place, normalize(text)) for place, text in enumerate(texts) if text]
        self.places = [place for place, text in pairs if text]
        self.normalized = [text for _, text in pairs if text]


def _compare(references: _Texts, predictions: _Texts, match: TextMatch, layouts: Sequence[Layout]) -> Comparison:
    reference = "".join(references.normalized[i] for i in match.references)
    prediction = "".join(predictions.normalized[j] for j in match.predictions)
    return _comparison(reference, prediction, match, layouts)


def _comparison(reference: str, prediction: str, match: TextMatch, layouts: Sequence[Layout]) -> Comparison:
    attributes = [layouts[i].get("attribute") or {} for i in match.references]
    labels = frozenset(f"{name}: {value}" for attribute in attributes for name, value in attribute.items())
    return Comparison(levenshtein(reference, prediction), max(len(reference), len(prediction)), labels)


def _category(categories: Sequence[str]) -> str:
    """Return the commonest category, of those that are scored if there are any; "" without an annotation."""
    scored = [name for name in categories if name not in IGNORED]
    counts = Counter(scored or categories).most_common(1)
    return counts[0][0] if counts else ""


def _in_order(items: Any) -> list[Layout]:
    return sorted(items, key=_order)


def _order(item: Layout) -> float:
    return item.get("order") or 0


def _of_kind(parts: Sequence[MarkdownPart], kind: str) -> list[MarkdownPart]:
    return [part for part in parts if part.kind == kind]
