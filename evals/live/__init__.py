"""Plug-in folder of live benchmarks: each module exports BENCHMARK, a `LiveBenchmark`."""
