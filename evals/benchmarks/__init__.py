"""Plug-in folder of recorded benchmarks: each module exports BENCHMARKS, {name: Benchmark}."""
