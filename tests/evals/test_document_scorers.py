"""Scores of documents against the official script's figures and against their formulas, written down here once more."""

from __future__ import annotations

import json
import random
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from helpers.document_pages import CELLS, html_table, made_page, markdown_table

from evals.metrics.assignment import assign
from evals.metrics.document_markdown import split_markdown
from evals.metrics.document_scores import compare_page, page_distance
from evals.metrics.document_text import normalize_formula, normalize_table, normalize_text
from evals.metrics.paragraph_matching import TextMatch, quick_match, simple_match
from evals.metrics.table_similarity import teds
from evals.metrics.text_distance import has_near_window, levenshtein

CASES = 300
FIGURES = Path(__file__).parents[1] / "data" / "omnidocbench_scores.json"


# ---- the official script's figures of made-up pages


@pytest.mark.parametrize("protocol", ["quick-match", "simple-match"])
def test_pages_have_scores_of_official_script(protocol: str) -> None:
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert len(figures) >= 200
    for seed, expected in figures.items():
        page, reply = made_page(int(seed))
        comparisons = compare_page(page, reply, protocol)
        scores: dict[str, object] = {name: page_distance(group) for name, group in comparisons.items()}
        for name in ("TEDS", "TEDS_structure_only"):
            if "table" in comparisons:
                scores[name] = [comparison.scores[name] for comparison in comparisons["table"]]
        assert scores.keys() == expected[protocol].keys(), seed
        for name, value in expected[protocol].items():
            assert scores[name] == pytest.approx(value, abs=1e-8), (seed, name)


# ---- TEDS


def tree_of(tag: Tag) -> tuple[object, ...]:
    """Return (tag, colspan, rowspan, contents, children)."""
    children = [child for child in tag.children if isinstance(child, Tag)]
    if tag.name != "td":
        return (tag.name, 0, 0, (), tuple(tree_of(child) for child in children))
    spans = int(str(tag.get("colspan", 1))), int(str(tag.get("rowspan", 1)))
    return ("td", *spans, tuple(tokens_of(tag))[1:-1], ())


def tokens_of(tag: Tag) -> list[str]:
    inner = [list(str(child)) if not isinstance(child, Tag) else tokens_of(child) for child in tag.children]
    return [f"<{tag.name}>", *(token for tokens in inner for token in tokens), f"</{tag.name}>"]


def edits(a: tuple[str, ...] | str, b: tuple[str, ...] | str) -> int:
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (left != right))
    return row[-1]


def teds_formula(prediction: str, reference: str, *, has_contents: bool) -> float:
    tables = [BeautifulSoup(text, "html.parser").table for text in (prediction, reference)]
    if None in tables:
        return 0.0
    largest = max(len(table.find_all(True)) for table in tables if table)

    def cost(a: tuple, b: tuple) -> float:
        if a[:3] != b[:3]:
            return 1.0
        longest = max(len(a[3]), len(b[3]))
        return edits(a[3], b[3]) / longest if has_contents and longest else 0.0

    @cache
    def distance(first: tuple, second: tuple) -> float:
        """Return the edit distance of two forests, by their last trees."""
        if not first or not second:
            return float(sum(size(tree) for tree in first or second))
        a, b = first[-1], second[-1]
        return min(
            distance(first[:-1] + a[4], second) + 1,
            distance(first, second[:-1] + b[4]) + 1,
            distance(first[:-1], second[:-1]) + distance(a[4], b[4]) + cost(a, b),
        )

    trees = [tree_of(table) for table in tables if table]
    return 1 - distance((trees[0],), (trees[1],)) / largest


def size(tree: tuple) -> int:
    return 1 + sum(size(child) for child in tree[4])


def random_grid(rng: random.Random) -> list[list[str]]:
    columns = rng.randint(1, 3)
    return [[rng.choice(CELLS) for _ in range(columns)] for _ in range(rng.randint(1, 3))]


def test_teds_equals_the_formula() -> None:
    rng = random.Random(1)
    scores = set()
    for _ in range(CASES):
        grid = random_grid(rng)
        reference = html_table(grid, rng).replace("th>", "td>").replace("<th", "<td")
        others = [
            html_table(random_grid(rng)),
            reference.replace("Total", "<b>Totel</b>"),
            html_table(grid),
            "none",
            "",
        ]
        others.append(f"<table><tbody>{html_table(grid)[18:-8]}</tbody></table>")
        prediction = rng.choice(others)
        expected = [teds_formula(prediction, reference, has_contents=flag) for flag in (True, False)]
        assert teds(prediction, reference) == pytest.approx(expected, abs=1e-9), (prediction, reference)
        scores.add(expected[0])
    assert {0.0, 1.0} < scores


def test_teds_of_known_tables() -> None:
    table = "<table><tr><td>ab</td><td>cd</td></tr></table>"
    assert teds(table, table) == (1.0, 1.0)
    assert teds("", table) == (0.0, 0.0)
    assert teds("no table", table) == (0.0, 0.0)
    assert teds(table.replace("cd", "ce"), table) == pytest.approx((1 - 0.5 / 3, 1.0))
    assert teds(table.replace("<td>cd", '<td colspan="2">cd'), table) == pytest.approx((1 - 1 / 3, 1 - 1 / 3))
    assert teds("<table><tr><td>ab</td></tr></table>", table) == pytest.approx((1 - 1 / 3, 1 - 1 / 3))
    assert teds("<table></table>", "<table></table>") == (1.0, 1.0)


def test_open_cells_are_closed_by_next() -> None:
    closed = "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"
    assert teds("<table><tr><td>a<td>b<tr><td>c</table>", closed) == (1.0, 1.0)


# ---- tables of a page


def test_markdown_table_equals_html() -> None:
    grid = [["Month", "Guests"], ["April", "812"], ["", "9"]]
    parts = {}
    for form in (markdown_table(grid), html_table(grid)):
        (part,) = split_markdown(f"Before.\n\n{form}\n\nAfter.")[1:-1]
        assert part.kind == "table"
        parts[form] = normalize_table(part.text)
    assert teds(*parts.values()) == (1.0, 1.0)


def test_headers_and_styles_do_not_count() -> None:
    plain = normalize_table("<table><tr><td>a</td></tr></table>")
    styled = '<table class="x"><thead><tr><th style="w">a</th></tr></thead></table>'
    assert normalize_table(styled) == plain
    assert normalize_table("no table") == ""


def test_missing_table_scores_zero() -> None:
    page = {"layout_dets": [{"category_type": "table", "order": 1, "anno_id": 0, "html": html_table([["a"]])}]}
    (comparison,) = compare_page(page, "a", "quick-match")["table"]
    assert comparison.scores == {"TEDS": 0.0, "TEDS_structure_only": 0.0}
    assert comparison.distance == 1.0


def test_colon_drops_cell_of_markdown_table() -> None:
    (part,) = split_markdown("| a | b: c |\n| --- | --- |\n| d | e |\n")
    assert "b: c" not in part.text
    assert part.text.count("<td") == 3


# ---- texts


def test_levenshtein_equals_the_formula() -> None:
    rng = random.Random(2)
    for _ in range(CASES):
        a, b = ("".join(rng.choice("abcé ") for _ in range(rng.randint(0, 80))) for _ in range(2))
        assert levenshtein(a, b) == edits(a, b)
        assert levenshtein(list(a), list(b)) == edits(a, b)


def test_near_windows_equal_the_formula() -> None:
    rng = random.Random(3)
    results = []
    for _ in range(CASES):
        text, pattern = ("".join(rng.choice("abc") for _ in range(rng.randint(0, size))) for size in (12, 6))
        limit = rng.randint(-1, 3)
        windows = [text[start : start + len(pattern)] for start in range(len(text) - len(pattern) + 1)]
        expected = bool(pattern) and any(edits(window, pattern) <= limit for window in windows)
        assert has_near_window(text, pattern, limit) == expected, (text, pattern, limit)
        results.append(expected)
    assert set(results) == {True, False}


def test_assignment_is_the_cheapest() -> None:
    rng = random.Random(4)
    for _ in range(CASES):
        rows, columns = rng.randint(1, 4), rng.randint(1, 4)
        costs = [[rng.choice([0.0, 0.5, rng.random()]) for _ in range(columns)] for _ in range(rows)]
        wide = costs if rows <= columns else [list(column) for column in zip(*costs, strict=True)]
        places = range(len(wide[0]))
        best = min(sum(wide[i][j] for i, j in enumerate(order)) for order in permutations(places, len(wide)))
        pairs = assign(costs)
        assert len(pairs) == min(rows, columns)
        assert sum(costs[i][j] for i, j in pairs) == pytest.approx(best)


def test_equal_costs_give_the_diagonal() -> None:
    assert assign([[1.0] * 3] * 3) == [(0, 0), (1, 1), (2, 2)]
    assert assign([]) == []


def test_text_is_compared_by_letters_and_digits() -> None:
    assert normalize_text("# A - b_1,\n表 /t格!") == "Ab_1表格"
    assert normalize_formula("\\[ \\mathbf{X} \\tag{1} \\]") == "{x}"


def test_formula_in_text_becomes_unicode() -> None:
    pytest.importorskip("pylatexenc", reason="pylatexenc is not installed")
    assert normalize_text("an $\\alpha_1$ b") == "anα_1b"


# ---- matching


def test_split_paragraph_is_joined() -> None:
    reference = ["the quick brown fox jumps over a lazy dog", "another paragraph stands here"]
    predictions = ["the quick brown fox", "jumps over a lazy dog", "another paragraph stands here"]
    assert quick_match(reference, predictions) == [TextMatch((0,), (0, 1)), TextMatch((1,), (2,))]
    assert TextMatch((), (0,)) in simple_match(reference, predictions)


def test_joined_paragraphs_are_matched_together() -> None:
    reference = ["a short first line", "and a long second paragraph of text"]
    assert quick_match(reference, ["".join(reference)]) == [TextMatch((0, 1), (0,))]


@pytest.mark.parametrize("match", [quick_match, simple_match])
def test_nothing_is_matched_with_nothing(match: type[object]) -> None:
    assert match([], []) == []
    assert match(["a", "b"], []) == [TextMatch((0,), ()), TextMatch((1,), ())]
    assert [pair.references for pair in match([], ["a"])] == [()]
