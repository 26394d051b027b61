"""LivePage: a fresh page on which the statements of a run are performed while they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.export.locators import TargetLocator, confirmed_locator
from agent.export.playwright_steps import CodeStep
from agent.export.run import ExportedAction, ExportedRun, ExportError
from agent.export.source import error_reason
from agent.export.start_page import open_start
from agent.export.statements import perform_statement
from envs.chromium.executable import find_chrome

if TYPE_CHECKING:
    from playwright.sync_api import Page

TIMEOUT_MS = 10_000
CONFIRM_TRIES, CONFIRM_WAIT_MS = 12, 250


class LivePage:
    """Performs statements on a page, and confirms locators there.

    Args:
        page: The page.
        run: The run.
    """

    def __init__(self, page: Page, run: ExportedRun) -> None:
        self._page, self._run = page, run
        self._execute(self._open_start, "the start page")

    def perform(self, step: CodeStep) -> None:
        """Perform the statements of a step.

        Raises:
            ExportError: One of them failed.
        """
        self._execute(lambda: self._perform(step.lines), f"step {step.label}")

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

    def _open_start(self) -> None:
        open_start(self._page, self._run)

    def _perform(self, lines: Sequence[str]) -> None:
        for line in lines:
            perform_statement(line, self._page, self._open_start)

    def _execute(self, operation: Callable[[], None], name: str) -> None:
        from playwright.sync_api import Error

        try:
            operation()
        except Error as error:
            raise ExportError(f"{name} cannot be repeated in a plain browser: {error_reason(str(error))}") from None


@contextmanager
def open_live_page(run: ExportedRun) -> Iterator[LivePage]:
    """Return a live page in a browser of its own, at the start of a run, within the block.

    Args:
        run: The run.

    Raises:
        ExportError: The start page cannot be opened.
    """
    from playwright.sync_api import sync_playwright

    width, height = run.page_size
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chrome())
        page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=run.scale)
        page.set_default_timeout(TIMEOUT_MS)
        yield LivePage(page, run)
        browser.close()
