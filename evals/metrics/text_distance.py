"""Edit distances between texts."""

from __future__ import annotations


def levenshtein(a: str, b: str) -> int:
    """Return the number of insertions, deletions and substitutions that turn a into b."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


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
