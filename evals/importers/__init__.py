"""Predictions of other harnesses: a file each; see evals.importing for what it exports."""
