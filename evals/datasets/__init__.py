"""Readers of data files and converters of published shards."""
