"""Edit distances between texts, and between sequences of tokens."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence


def levenshtein(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Return the number of insertions, deletions and substitutions that turn a into b."""
    pattern, text = (a, b) if len(a) >= len(b) else (b, a)
    if not text:
        return len(pattern)
    *_, edits = _bit_columns(pattern, text, is_anchored=True)
    return edits


def normalized_levenshtein(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Return levenshtein / the longer length; 0 for two empty sequences."""
    longest = max(len(a), len(b))
    return levenshtein(a, b) / longest if longest else 0.0


def has_near_window(text: str, pattern: str, max_edits: int) -> bool:
    """Return whether a part of a text with the pattern's length is at most `max_edits` edits from the pattern.

    A longer text than the pattern is needed, and a pattern that is not empty.
    """
    if not pattern or len(text) < len(pattern):
        return False
    # No part that ends at a place is nearer than the nearest one of any length.
    bounds = enumerate(_bit_columns(pattern, text, is_anchored=False), 1)
    ends = [(bound, end) for end, bound in bounds if end >= len(pattern) and bound <= max_edits]
    return any(levenshtein(text[end - len(pattern) : end], pattern) <= max_edits for _, end in sorted(ends))


def _bit_columns(pattern: Sequence[Hashable], text: Sequence[Hashable], *, is_anchored: bool) -> Iterator[int]:
    """Yield for each place in a text the edits from the pattern to the text that ends there.

    The rows of a column of the matrix of distances are the bits of two integers (Myers 1999, Hyyrö 2003).

    Args:
        pattern: A sequence that is not empty.
        text: A sequence.
        is_anchored: The text begins at its first item; otherwise anywhere.
    """
    length = len(pattern)
    masks: dict[Hashable, int] = {}
    for place, item in enumerate(pattern):
        masks[item] = masks.get(item, 0) | 1 << place
    full, last = (1 << length) - 1, 1 << (length - 1)
    plus, minus, edits = full, 0, length  # where a row is one more, and one less, than the row above
    for item in text:
        equal = masks.get(item, 0)
        vertical = equal | minus
        horizontal = (((equal & plus) + plus) ^ plus) | equal
        more, less = minus | (full & ~(horizontal | plus)), plus & horizontal
        edits += bool(more & last) - bool(less & last)
        more, less = more << 1 | is_anchored, less << 1
        plus, minus = (less | ~(vertical | more)) & full, more & vertical & full
        yield edits


def indel(a: str, b: str) -> int:
    """Return the number of insertions and deletions that turn a into b; a substitution costs two."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal if left == right else 1 + min(row[j], row[j - 1])
    return row[-1]


def indel_ratio(a: str, b: str) -> float:
    """Return Levenshtein.ratio: 1 - indel / (len(a) + len(b))."""
    total = len(a) + len(b)
    return 1.0 if not total else (total - indel(a, b)) / total


def contains_either(a: str, b: str) -> bool:
    """Return whether either text contains the other, ignoring case and surrounding whitespace."""
    a, b = a.lower().strip(), b.lower().strip()
    return a in b or b in a
