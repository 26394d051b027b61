"""Metrics shared by several benchmarks: geometry, grounding, trajectories and mobile actions."""
