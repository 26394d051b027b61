"""Command-line flags with which every Chromium is started, so that equal pages give equal pixels."""

from __future__ import annotations

BROWSER_FLAGS = (
    "--disable-gpu",  # software rendering: the same pixels on every machine
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--disable-smooth-scrolling",  # a wheel notch scrolls at once, so screens become stable sooner
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
