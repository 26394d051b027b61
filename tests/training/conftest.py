"""Fixtures of the training tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.training_data import write_practice, write_screens

from actions import UsageError
from envs.chromium.executable import find_chrome
from envs.chromium.flags import BROWSER_FLAGS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a Playwright browser with the flags of the browser surface."""
    try:
        chrome = str(find_chrome())
    except UsageError as error:
        pytest.skip(f"Chrome or Chromium is missing: {error}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        flags = ["--no-sandbox", *BROWSER_FLAGS]
        browser = driver.chromium.launch(executable_path=chrome, args=flags, ignore_default_args=["--hide-scrollbars"])
        yield browser
        browser.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Synthetic screens and practice pages of noise, as the renderers write them."""
    folder = tmp_path / "data"
    write_practice(folder)
    write_screens(folder)
    return folder
