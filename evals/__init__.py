"""Scores that can be believed."""
