"""Pools of worker processes, on this machine or on a Ray cluster, each with a model of its own."""
