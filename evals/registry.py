"""Find benchmarks by name and load their datasets.

A benchmark is a module of `evals/benchmarks` that exports BENCHMARKS, {name: Benchmark}.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from actions import UsageError, plugins
from actions.suggest import suggest
from evals.types import Benchmark, Dataset

FOLDER = "evals.benchmarks"


def list_benchmarks() -> list[str]:
    """Return the names of all recorded benchmarks, sorted."""
    modules = (plugins.load_plugin(FOLDER, module) for module in plugins.list_plugins(FOLDER))
    return sorted(name for module in modules for name in getattr(module, "BENCHMARKS", {}))


def load_benchmark(name: str) -> Benchmark:
    """Return a benchmark by name, importing only its own module.

    Raises:
        UsageError: There is no such benchmark; the message lists all.
    """
    stem = name.replace("-", "_")
    modules = [module for module in plugins.list_plugins(FOLDER) if stem == module or stem.startswith(module + "_")]
    if modules:
        bench: Benchmark | None = getattr(plugins.load_plugin(FOLDER, max(modules, key=len)), "BENCHMARKS", {}).get(
            name
        )
        if bench is not None:
            return bench
    options = list_benchmarks()
    raise UsageError(f"no recorded benchmark '{name}'; have {', '.join(options)}.{suggest(name, options)}")


def load_dataset(bench: Benchmark, data: Path) -> Dataset:
    """Return a benchmark's dataset; a note is added if its size differs from the published one.

    Raises:
        UsageError: The folder has no annotations, or they do not fit the benchmark's format.
    """
    dataset = bench.read(data)
    total = len(dataset.tasks)
    if bench.samples is not None and total != bench.samples:
        note = (
            f"the folder holds {total:,} samples and the published benchmark {bench.samples:,}: "
            "the score is not comparable with published ones"
        )
        return replace(dataset, notes=(*dataset.notes, note))
    return dataset


def resolve_protocol(bench: Benchmark, dataset: Dataset, protocol: str | None = None) -> str:
    """Return the given protocol, or the default for these annotations.

    Raises:
        UsageError: The benchmark has no such protocol.
    """
    if protocol is not None and protocol not in bench.protocols:
        raise UsageError(
            f"{bench.name} has no protocol '{protocol}'; have {', '.join(bench.protocols)}."
            f"{suggest(protocol, bench.protocols)}"
        )
    return protocol or dataset.protocol or bench.protocols[0]
