"""LivePage: a fresh page on which the statements of a run are performed while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.export.locators import TargetLocator, confirmed_locator
from agent.export.playwright_steps import CodeStep
from agent.export.run import ExportedAction, ExportedRun, ExportError
from agent.export.source import error_reason
from envs.chromium.executable import find_chrome

if TYPE_CHECKING:
    from playwright.sync_api import Page

TIMEOUT_MS = 10_000
CONFIRM_TRIES, CONFIRM_WAIT_MS = 12, 250
START_IMPORTS = (
    "from __future__ import annotations",
    "from importlib.util import find_spec",
    "from pathlib import Path",
)


class LivePage:
    """Performs statements on a page, and confirms locators there.

    Args:
        page: The page.
        run: The run.
        start_lines: The definition of the function `open_start`, as it is exported.
    """

    def __init__(self, page: Page, run: ExportedRun, start_lines: Sequence[str]) -> None:
        self._page, self._run = page, run
        self._names: dict[str, object] = {"page": page, "os": os}
        self._execute((*START_IMPORTS, *start_lines, "open_start(page)"), "the start page")

    def perform(self, step: CodeStep) -> None:
        """Perform the statements of a step.

        Raises:
            ExportError: One of them failed.
        """
        self._execute(step.lines, f"step {step.label}")

    def find(self, item: ExportedAction, point: int) -> TargetLocator | None:
        """Return the locator of a point of an action, None if it has only a position."""
        place, target, scale = item.action.points()[point], item.targets[point], self._run.scale
        x, y = (place.x + 0.5) / scale, (place.y + 0.5) / scale
        for _ in range(CONFIRM_TRIES):
            locator = confirmed_locator(self._page, target, x, y, scale)
            if locator is not None or target is None:
                return locator
            self._page.wait_for_timeout(CONFIRM_WAIT_MS)
        return None

    def visible_texts(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return those of the texts that the page shows."""
        locators = (self._page.get_by_text(text, exact=True).first for text in texts)
        return tuple(text for text, locator in zip(texts, locators, strict=True) if locator.is_visible())

    def _execute(self, lines: Sequence[str], what: str) -> None:
        from playwright.sync_api import Error

        try:
            exec(compile("\n".join(lines), "<step>", "exec"), self._names)  # the exported lines themselves
        except Error as error:
            raise ExportError(f"{what} cannot be repeated in a plain browser: {error_reason(str(error))}") from None


@contextmanager
def open_live_page(run: ExportedRun, start_lines: Sequence[str]) -> Iterator[LivePage]:
    """Return a live page in a browser of its own, at the start of a run, within the block.

    Args:
        run: The run.
        start_lines: The definition of the function `open_start`, as it is exported.

    Raises:
        ExportError: The start page cannot be opened.
    """
    from playwright.sync_api import sync_playwright

    width, height = run.page_size
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chrome())
        page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=run.scale)
        page.set_default_timeout(TIMEOUT_MS)
        yield LivePage(page, run, start_lines)
        browser.close()
