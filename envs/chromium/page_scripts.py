"""Scripts that run in every page before its own."""

from __future__ import annotations

from pathlib import Path

from envs.chromium.clock import INPUT_MS, clock_script, name_practice_pages
from envs.chromium.native_requests import BINDING

_FOLDER = Path(__file__).parent


def drawing_script() -> str:
    """Return the script that draws lists and pickers in the page and stops its caret."""
    return _read("caret") + _read("page") + _read("pickers")


def steady_script() -> str:
    """Return the script of practice pages with native lists and pickers: virtual time and a still caret."""
    return clock_script() + _read("caret")


def browser_script() -> str:
    """Return the script of the browser surface's pages, which also reports what a page has not ended.

    The clock of practice pages comes first: it must be in place before any other script takes a timer.
    """
    native_requests = _read("native_requests").replace("NATIVE_REQUEST_BINDING", BINDING)
    return clock_script(INPUT_MS) + drawing_script() + native_requests + name_practice_pages(_read("activity"))


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.js").read_text()
