"""Similarity of tables in HTML by the edit distance of their trees (TEDS).

Source: the definition of Zhong et al. 2020, "Image-based table recognition" (PubTabNet), as OmniDocBench and
open-compass/VLMEvalKit, vlmeval/dataset/OmniDocBench/metrics.py (e8e78f0), compute it. The trees are those of `table`
with a leaf for each `td`; inserting or deleting a node costs 1, replacing it 1 where the tag or a span differs, and
otherwise the normalized edit distance of the contents of two cells. TEDS = 1 - distance / the larger number of
elements, of which the elements inside cells are a part. TEDS-S ignores the contents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from evals.metrics.text_distance import normalized_levenshtein

CELL = "td"
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
CELLS, ROWS, SECTIONS = {"td", "th"}, {"tr", "td", "th"}, {"thead", "tbody", "tfoot", "tr", "td", "th"}
CLOSED_BY = {  # a start tag: the innermost open elements that it closes, as libxml2 does
    **dict.fromkeys(("td", "th"), CELLS),
    "tr": ROWS,
    **dict.fromkeys(("thead", "tbody", "tfoot"), SECTIONS),
    "p": {"p"},
    "li": {"li"},
}


@dataclass
class TableNode:
    """An element of a table.

    Args:
        tag: Its name.
        colspan: Columns of a cell; 0 for another element.
        rowspan: Rows of a cell; 0 for another element.
        tokens: The contents of a cell: characters, and tags as whole.
        children: The elements in it; none for a cell.
        inner_elements: Number of elements inside a cell.
    """

    tag: str
    colspan: int = 0
    rowspan: int = 0
    tokens: list[str] = field(default_factory=list)
    children: list[TableNode] = field(default_factory=list)
    inner_elements: int = 0

    @property
    def elements(self) -> int:
        """Number of elements below this one."""
        return self.inner_elements + sum(1 + child.elements for child in self.children)


def teds(prediction: str, reference: str) -> tuple[float, float]:
    """Return (TEDS, TEDS-S) of two tables in HTML; 0 where one is no table."""
    if not prediction or not reference:
        return 0.0, 0.0
    first, second = parse_table(prediction), parse_table(reference)
    if first is None or second is None:
        return 0.0, 0.0
    largest = max(first.elements, second.elements)
    if not largest:
        return 1.0, 1.0
    structure = tree_distance(first, second, lambda a, b: replacement_cost(a, b, has_contents=False))
    return 1 - tree_distance(first, second, replacement_cost) / largest, 1 - structure / largest


def replacement_cost(a: TableNode, b: TableNode, *, has_contents: bool = True) -> float:
    """Return the cost of replacing one element by another."""
    if (a.tag, a.colspan, a.rowspan) != (b.tag, b.colspan, b.rowspan):
        return 1.0
    return normalized_levenshtein(a.tokens, b.tokens) if has_contents and a.tag == CELL else 0.0


def tree_distance(a: TableNode, b: TableNode, cost: Callable[[TableNode, TableNode], float]) -> float:
    """Return the edit distance of two ordered trees; inserting and deleting cost 1 (Zhang and Shasha 1989)."""
    first, second = _Postorder(a), _Postorder(b)
    distances = [[0.0] * len(second.nodes) for _ in first.nodes]
    for i in first.key_roots:
        for j in second.key_roots:
            _fill(first, second, i, j, cost, distances)
    return distances[-1][-1]


def _fill(
    first: _Postorder,
    second: _Postorder,
    i: int,
    j: int,
    cost: Callable[[TableNode, TableNode], float],
    distances: list[list[float]],
) -> None:
    """Set the distances of the subtrees on the leftmost paths below two nodes."""
    start, other_start = first.leftmost[i], second.leftmost[j]
    width = j - other_start + 2
    rows = [[float(column) for column in range(width)]]
    for x in range(start, i + 1):
        above, row = rows[-1], [float(x - start + 1)]
        is_tree = first.leftmost[x] == start
        for y in range(other_start, j + 1):
            column = y - other_start + 1
            best = min(above[column], row[-1]) + 1
            if is_tree and second.leftmost[y] == other_start:
                best = min(best, above[column - 1] + cost(first.nodes[x], second.nodes[y]))
                distances[x][y] = best
            else:
                forest = rows[first.leftmost[x] - start][second.leftmost[y] - other_start]
                best = min(best, forest + distances[x][y])
            row.append(best)
        rows.append(row)


class _Postorder:
    """The nodes of a tree, children before their parents.

    Args:
        root: The tree.
    """

    def __init__(self, root: TableNode) -> None:
        self.nodes: list[TableNode] = []
        self.leftmost: list[int] = []  # of each node, the place of the leftmost leaf below it
        self._add(root)
        self.key_roots = sorted({leaf: place for place, leaf in enumerate(self.leftmost)}.values())

    def _add(self, node: TableNode) -> int:
        leaves = [self._add(child) for child in node.children]
        self.leftmost.append(leaves[0] if leaves else len(self.nodes))
        self.nodes.append(node)
        return self.leftmost[-1]


def parse_table(html: str) -> TableNode | None:
    """Return the first table of a text in HTML, None where there is none."""
    parser = _TableParser()
    parser.feed(html)
    parser.close()
    return parser.table()


@dataclass
class _Element:
    tag: str
    attributes: dict[str, str]
    contents: list[_Element | str] = field(default_factory=list)


class _TableParser(HTMLParser):
    """Builds elements, and closes cells and rows that are left open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [_Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        while self.open[-1].tag in CLOSED_BY.get(tag, ()):
            self.open.pop()
        element = _Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].contents.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        for place in range(len(self.open) - 1, 0, -1):
            if self.open[place].tag == tag:
                del self.open[place:]
                return
            if self.open[place].tag == "table":
                return

    def handle_data(self, data: str) -> None:
        self.open[-1].contents.append(data)

    def table(self) -> TableNode | None:
        """Return the first table."""
        queue = [self.open[0]]
        while queue:
            element = queue.pop(0)
            if element.tag == "table":
                return _convert(element)
            queue = [part for part in element.contents if isinstance(part, _Element)] + queue
        return None


def _convert(element: _Element) -> TableNode:
    children = [part for part in element.contents if isinstance(part, _Element)]
    if element.tag != CELL:
        return TableNode(element.tag, children=[_convert(child) for child in children])
    tokens = [token for part in element.contents for token in _tokens(part)]
    colspan, rowspan = (_span(element.attributes.get(name, "1")) for name in ("colspan", "rowspan"))
    return TableNode(CELL, colspan, rowspan, tokens, inner_elements=sum(_count(child) for child in children))


def _tokens(part: _Element | str) -> Sequence[str]:
    if isinstance(part, str):
        return list(part)
    return [f"<{part.tag}>", *(token for inner in part.contents for token in _tokens(inner)), f"</{part.tag}>"]


def _count(element: _Element) -> int:
    return 1 + sum(_count(part) for part in element.contents if isinstance(part, _Element))


def _span(text: str) -> int:
    """Return a span; 1 where it is no number."""
    try:
        return int(text)
    except ValueError:
        return 1
