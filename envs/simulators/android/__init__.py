"""A simulated Android phone that the real adb accepts."""
