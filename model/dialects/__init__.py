"""Plug-ins: one file for each family of checkpoints, exporting `Dialect` and `EXAMPLES` (see model/dialect.py)."""
