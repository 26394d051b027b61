"""Performance benchmarks of the engine and the surfaces; part of the source checkout, not of the wheel."""
