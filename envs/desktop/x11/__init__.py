"""X11 without helper programs: connection, pointer and keys by XTEST, exact text, windows."""
