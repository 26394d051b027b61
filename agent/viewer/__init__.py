"""The viewer: a run in a browser tab, with what a person can decide about it."""
