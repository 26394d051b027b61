"""Network rules of the Chromium programs that the surfaces start, and the proxy that enforces them."""
