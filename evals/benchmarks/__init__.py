"""Plug-in folder: a benchmark is a file."""
