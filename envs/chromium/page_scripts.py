"""Scripts that run in every page before its own."""

from __future__ import annotations

import json
from pathlib import Path

from envs.chromium.native_requests import BINDING
from envs.miniwob import pages

_FOLDER = Path(__file__).parent


def drawing_script() -> str:
    """Return the script that draws lists and pickers in the page and stops its caret."""
    return _read("page") + _read("pickers")


def browser_script() -> str:
    """Return the script of the browser surface's pages, which also reports what a page has not ended.

    The clock of practice pages comes first: it must be in place before any other script takes a timer.
    """
    practice_pages = json.dumps(pages.folder_url())
    scripts = _read("clock") + drawing_script() + _read("native_requests") + _read("activity")
    return scripts.replace("PRACTICE_PAGES", practice_pages).replace("NATIVE_REQUEST_BINDING", BINDING)


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.js").read_text()
