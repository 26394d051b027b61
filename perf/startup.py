"""The command `agent bench startup`: durations of the first import and of the command line's help.

Each is measured in fresh interpreters, in alternation; every figure is a median. The interpreter itself is a row of its
own, as it is a part of each command.
"""

from __future__ import annotations

import json as json_
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

HELP = "import sys; sys.argv = ['agent', '--help']; from agent.cli import main; main()"
IMPORT = "import time; start = time.perf_counter(); import pixelhand; print(1000 * (time.perf_counter() - start))"
MEASUREMENTS: Mapping[str, tuple[str, bool, float | None]] = {  # name: code, whether it prints its own figure, limit
    "python": ("pass", False, None),
    "import pixelhand": (IMPORT, True, 60.0),
    "agent --help": (HELP, False, 150.0),
}


@dataclass(frozen=True)
class StartupTiming:
    """The duration of one command in milliseconds, with its limit where there is one."""

    what: str
    median_ms: float
    best_ms: float
    limit_ms: float | None
    rounds: int


def startup(
    rounds: Annotated[int, typer.Option(min=1, help="Number of interpreters started for each row.")] = 15,
    json: Annotated[bool, typer.Option("--json", help="Print no table, only one JSON object per line.")] = False,
) -> None:
    """Time `import pixelhand` and `agent --help` in fresh interpreters."""
    timings = measure_startup(rounds)
    if not json:
        print(format_startup(timings), file=sys.stderr)
    for timing in timings:
        print(json_.dumps(asdict(timing)))


def run_interpreter(code: str, prints_figure: bool) -> float:
    """Run code in a fresh interpreter; return its duration in milliseconds, or the figure that it prints.

    Raises:
        Error: The interpreter failed.
    """
    start = time.perf_counter()
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    elapsed_ms = 1000 * (time.perf_counter() - start)
    if process.returncode:
        from actions import Error

        last = (process.stderr.strip().splitlines() or ["no output"])[-1]
        raise Error(f"`{sys.executable} -c ...` ended with {process.returncode}: {last}. Install pixelhand there")
    return float(process.stdout) if prints_figure else elapsed_ms


def measure_startup(rounds: int, run: Callable[[str, bool], float] = run_interpreter) -> list[StartupTiming]:
    """Return a timing of each of `MEASUREMENTS`.

    Args:
        rounds: Number of timed rounds; one more fills the file cache.
        run: Runs code in an interpreter and returns milliseconds.
    """
    samples: dict[str, list[float]] = {name: [] for name in MEASUREMENTS}
    for number in range(rounds + 1):
        for name, (code, prints_figure, _) in MEASUREMENTS.items():
            elapsed_ms = run(code, prints_figure)
            if number:
                samples[name].append(elapsed_ms)
    return [
        StartupTiming(name, round(statistics.median(times), 1), round(min(times), 1), MEASUREMENTS[name][2], rounds)
        for name, times in samples.items()
    ]


def format_startup(timings: Sequence[StartupTiming]) -> str:
    """Return the timings as a table."""
    lines = [f"{'what':18} {'median ms':>10} {'best ms':>9} {'limit ms':>9}"]
    for timing in timings:
        limit = "-" if timing.limit_ms is None else f"{timing.limit_ms:.0f}"
        lines.append(f"{timing.what:18} {timing.median_ms:10.1f} {timing.best_ms:9.1f} {limit:>9}")
    return "\n".join(lines)
