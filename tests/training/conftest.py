"""A browser for the tests that draw pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from actions import UsageError
from envs.chromium.executable import find_chrome
from envs.chromium.flags import BROWSER_FLAGS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Playwright's, with the flags of the browser surface."""
    try:
        chrome = str(find_chrome())
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        flags = ["--no-sandbox", *BROWSER_FLAGS]
        started = driver.chromium.launch(executable_path=chrome, args=flags, ignore_default_args=["--hide-scrollbars"])
        yield started
        started.close()
