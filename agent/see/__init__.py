"""Perception: what models find, count, list and read in an image, in pixels of the original image."""
