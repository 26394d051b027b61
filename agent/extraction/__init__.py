"""Extraction: the answer of a run as JSON that fits a schema, each value with the box that it was read from."""
