"""Chromium through Playwright: finding and starting it, its tabs and dialogs, and input to a page."""
