"""Match the paragraphs of a reply to those of the annotations, by edit distance, as OmniDocBench's scorer does.

Source: `quick_match` and `simple_match` of opendatalab/OmniDocBench 1.0, as open-compass/VLMEvalKit,
vlmeval/dataset/OmniDocBench/utils.py (e8e78f0), computes them; its matches are reproduced with their peculiarities:
`quick_match` counts a paragraph that nothing is left for twice, and drops paragraphs of the reply that nothing is left
for if a paragraph of the annotations is unmatched, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.metrics.assignment import assign
from evals.metrics.text_distance import has_near_window, levenshtein, normalized_levenshtein

CERTAIN_COST = 0.25  # of a pair whose parts are not merged with others
MAX_COST = 0.7  # of a pair that is kept
MERGED_PART_COST = 0.6  # of a part of the reply inside a longer paragraph of the annotations
INNER_COST = 0.4  # of a paragraph of the annotations inside a longer one of the reply
Indices = tuple[int, ...]


@dataclass(frozen=True)
class TextMatch:
    """Paragraphs of the annotations and of the reply that are compared with each other; either may be none."""

    references: Indices
    predictions: Indices


def simple_match(references: Sequence[str], predictions: Sequence[str]) -> list[TextMatch]:
    """Match each paragraph to at most one other; the rest of the reply is one match without a reference."""
    if not references:
        return [TextMatch((), tuple(range(len(predictions))))] if predictions else []
    pairs = dict(assign(_costs(references, predictions))) if predictions else {}
    matches = [TextMatch((i,), (pairs[i],) if i in pairs else ()) for i in range(len(references))]
    rest = tuple(j for j in range(len(predictions)) if j not in pairs.values())
    return [*matches, TextMatch((), rest)] if rest else matches


def quick_match(references: Sequence[str], predictions: Sequence[str]) -> list[TextMatch]:
    """Match paragraphs; parts of the reply are merged, and so are parts of the annotations, where that fits better."""
    if not references:
        return [TextMatch((), (j,)) for j in range(len(predictions))]
    if not predictions:
        return [TextMatch((i,), ()) for i in range(len(references))]
    if len(references) == len(predictions) == 1:
        return [TextMatch((0,), (0,))]
    groups = _merged_predictions(references, predictions)
    costs = _costs(references, [" ".join(predictions[j] for j in group) for group in groups])
    matches: dict[Indices, list[int]] = {}  # references by predictions
    for i, column in assign(costs):
        if costs[i][column] <= MAX_COST:
            matches.setdefault(groups[column], []).append(i)
    is_matched = {i for indices in matches.values() for i in indices}
    unmatched = [i for i in range(len(references)) if i not in is_matched]
    _add_inner(references, predictions, unmatched, matches)
    return _with_rest(references, predictions, matches)


def _add_inner(
    references: Sequence[str], predictions: Sequence[str], unmatched: Sequence[int], matches: dict[Indices, list[int]]
) -> None:
    """Add the unmatched references that are a part of a longer paragraph of the reply."""
    is_placed: set[int] = set()
    for j, text in enumerate(predictions):
        inner = [
            i
            for i in unmatched
            if has_near_window(text, references[i], _most_edits(len(references[i]), INNER_COST, is_inclusive=False))
        ]
        if inner:
            matches.setdefault((j,), []).extend(i for i in inner if i not in is_placed)
            is_placed.update(inner)


def _with_rest(
    references: Sequence[str], predictions: Sequence[str], matches: dict[Indices, list[int]]
) -> list[TextMatch]:
    """Return the matches, and what is left over on both sides."""
    is_used = {j for group in matches for j in group}
    is_matched = {i for indices in matches.values() for i in indices}
    # In the order of sets, as in the scorer: it decides between assignments of equal cost.
    rest = list(set(range(len(predictions))) - is_used)
    unmatched = list(set(range(len(references))) - is_matched)
    results = [TextMatch(tuple(sorted(indices)), group) for group, indices in matches.items() if indices]
    if not rest:
        return results + [TextMatch((i,), ()) for i in unmatched] * 2
    if not unmatched:
        return [*results, TextMatch((), tuple(rest))]
    distances = [[float(levenshtein(references[i], predictions[j])) for j in rest] for i in unmatched]
    pairs = {unmatched[row]: rest[column] for row, column in assign(distances)}
    results += [TextMatch((i,), (j,)) for i, j in pairs.items()]
    return results + [TextMatch((i,), ()) for i in unmatched if i not in pairs]


# ---- merging parts of the reply


def _merged_predictions(references: Sequence[str], predictions: Sequence[str]) -> list[Indices]:
    """Return the paragraphs of the reply, neighbors joined where they are parts of one in the annotations."""
    costs = _costs(references, predictions)
    certain = {(i, j) for i, row in enumerate(costs) for j, cost in enumerate(row) if cost < CERTAIN_COST}
    certain_references, certain_predictions = {i for i, _ in certain}, {j for _, j in certain}
    open_predictions = [j for j in range(len(predictions)) if j not in certain_predictions]
    candidates: list[tuple[Indices, float]] = []
    for i, reference in enumerate(references):
        if i in certain_references or not open_predictions:
            continue
        runs = [_run(reference, predictions, j, certain_predictions) for j in open_predictions]
        distances = [normalized_levenshtein(reference, " ".join(predictions[j] for j in run)) for run in runs]
        best = min(range(len(runs)), key=distances.__getitem__)
        candidates.append((runs[best], distances[best]))
    group_at = {group[0]: group for group in _disjoint(candidates)}
    result: list[Indices] = []
    j = 0
    while j < len(predictions):
        result.append(group_at.get(j, (j,)))
        j += len(result[-1])
    return result


def _run(reference: str, predictions: Sequence[str], start: int, certain: set[int]) -> Indices:
    """Return a paragraph of the reply and those after it that belong to the same paragraph of the annotations."""
    run = [start]
    while run[-1] + 1 < len(predictions) and run[-1] + 1 not in certain:
        texts = [predictions[j] for j in (*run, run[-1] + 1)]
        merged = " ".join(texts)
        if normalized_levenshtein(reference, merged) > normalized_levenshtein(reference, " ".join(texts[:-1])):
            break
        limits = [_most_edits(len(text), MERGED_PART_COST, is_inclusive=True) for text in texts[:-1]]
        limits.append(_most_edits(len(texts[-1]), MERGED_PART_COST, is_inclusive=False))
        if not all(has_near_window(reference, text, limit) for text, limit in zip(texts, limits, strict=True)):
            break
        run.append(run[-1] + 1)
        if len(merged) > len(reference):
            break
    return tuple(run)


def _disjoint(candidates: Sequence[tuple[Indices, float]]) -> list[Indices]:
    """Return groups without a common member: of each chain of overlapping ones, the set of the least mean cost."""
    chains: list[list[tuple[Indices, float]]] = []
    for candidate in sorted(candidates, key=lambda item: item[0][0]):
        if chains and any(set(candidate[0]) & set(group) for group, _ in chains[-1]):
            chains[-1].append(candidate)
        else:
            chains.append([candidate])
    return [group for chain in chains for group in _cheapest_set(chain)]


def _cheapest_set(chain: Sequence[tuple[Indices, float]]) -> list[Indices]:
    options: list[dict[Indices, float]] = [dict(chain[:1])]
    for group, cost in chain[1:]:
        is_new = True
        for option in options:
            if group in option:
                option[group] = min(cost, option[group])
                is_new = False
            elif not any(set(group) & set(other) for other in option):
                option[group] = cost
                is_new = False
        if is_new:
            options.append({group: cost})
    means = [sum(option.values()) / len(option) for option in options]
    return list(options[means.index(min(means))])


def _costs(references: Sequence[str], predictions: Sequence[str]) -> list[list[float]]:
    return [[normalized_levenshtein(reference, text) for text in predictions] for reference in references]


def _most_edits(length: int, share: float, *, is_inclusive: bool) -> int:
    """Return the most edits whose share of a length is below a limit, or at it; -1 for none."""
    edits = int(length * share) + 1
    while edits >= 0 and length and (edits / length > share or (edits / length == share and not is_inclusive)):
        edits -= 1
    return edits
