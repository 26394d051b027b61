"""Assign the rows of a cost matrix to its columns at the least total cost."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

Costs = Sequence[Sequence[float]]


def assign(costs: Costs) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of the cheapest assignment, by row; as many as the shorter side has.

    Shortest augmenting paths (Crouse 2016, "On implementing 2D rectangular assignment algorithms"). Among assignments
    of equal cost it is the one that `scipy.optimize.linear_sum_assignment` returns, which official scorers use.
    """
    rows, columns = len(costs), len(costs[0]) if costs else 0
    if columns < rows:
        return sorted((row, column) for column, row in assign(list(zip(*costs, strict=True))))
    row_prices, column_prices = [0.0] * rows, [0.0] * columns
    column_of, row_of = [-1] * rows, [-1] * columns
    for start in range(rows):
        distances, previous = [inf] * columns, [-1] * columns
        remaining = list(range(columns))[::-1]  # so that equal costs give the diagonal
        reached_rows, reached_columns = [start], list[int]()
        row, lowest = start, 0.0
        while True:
            nearest, place = inf, -1
            for index, column in enumerate(remaining):
                distance = lowest + costs[row][column] - row_prices[row] - column_prices[column]
                if distance < distances[column]:
                    distances[column], previous[column] = distance, row
                if distances[column] < nearest or (distances[column] == nearest and row_of[column] < 0):
                    nearest, place = distances[column], index
            lowest, column = nearest, remaining[place]
            reached_columns.append(column)
            remaining[place] = remaining[-1]
            remaining.pop()
            if row_of[column] < 0:
                break
            row = row_of[column]
            reached_rows.append(row)
        row_prices[start] += lowest
        for row in reached_rows[1:]:
            row_prices[row] += lowest - distances[column_of[row]]
        for reached in reached_columns:
            column_prices[reached] -= lowest - distances[reached]
        while True:
            row = previous[column]
            row_of[column], column_of[row], column = row, column, column_of[row]
            if row == start:
                break
    return list(enumerate(column_of))
