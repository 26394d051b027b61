"""Verification: whether a run did what its user expects, by evidence that is not the model's."""
