"""Tests measure no wall time: durations belong to perf/, and waiting to helpers.eventually."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
CLOCKS = {"time.perf_counter", "time.perf_counter_ns", "time.monotonic", "time.monotonic_ns", "timeit.timeit"}
MAY_READ_A_CLOCK = {"helpers/eventually.py"}


def clock_reads(source: str) -> list[int]:
    """Return the lines that read a clock."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if {ast.unparse(call.func), names.get(ast.unparse(call.func))} & CLOCKS]


def test_no_test_reads_a_clock() -> None:
    reads = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sorted(ROOT.rglob("*.py"))
        if (lines := clock_reads(path.read_text(encoding="utf-8")))
    }
    assert set(reads) <= MAY_READ_A_CLOCK, reads


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import time\nstart = time.perf_counter()", [2]),
        ("from time import monotonic as now\n\nnow()", [3]),
        ("import time\ntime.sleep(1)\ntime.time()", []),
    ],
)
def test_clock_reads_are_recognized(source: str, lines: list[int]) -> None:
    assert clock_reads(source) == lines
