"""Dialects: one module for each family of checkpoints, with a class `Dialect` (see base.py)."""
