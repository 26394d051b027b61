"""One X server, spoken to directly: connection, pointer and keys by XTEST, exact text, windows."""
