"""A run with the viewer in a thread of this process, and the viewer's page in a Chromium of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent.interaction import Interaction, open_interaction
from agent.loop import Episode
from agent.ui.display import TextDisplay
from envs.chromium.executable import find_chrome


class MessageDisplay(TextDisplay):
    """A display that keeps its messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.max_steps, self.run, self.uncertainty, self.approval, self.has_task = 0, "", "", "", False

    def message(self, text: str) -> None:
        self.lines.append(text)

    @property
    def viewer_url(self) -> str:
        """The address of the viewer."""
        (line,) = [line for line in self.lines if line.startswith("view ")]
        return line.split()[1]


class ViewedRun:
    """A run in a thread, whose viewer is open meanwhile."""

    def __init__(self, settings: Any, start: Callable[[Interaction], Episode]) -> None:
        self.display = MessageDisplay()
        self.events: list[Mapping[str, Any]] = []
        self.episode: Episode | None = None
        self.error: BaseException | None = None
        self._ready, self._settings, self._start = threading.Event(), settings, start
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    def _run(self) -> None:
        try:
            with open_interaction(self.display, self._settings, view=True) as user:
                self.user = user
                self._ready.set()
                self.episode = self._start(user)
        except BaseException as error:
            self.error = error
            self._ready.set()

    def wait(self) -> Episode:
        """Return the episode once the run has ended."""
        self._thread.join(120)
        if self.error is not None:
            raise self.error
        assert self.episode is not None
        return self.episode


@contextmanager
def open_page(url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> Iterator[Any]:
    """Open the viewer's page in a Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(find_chrome()), args=["--no-sandbox"])
        try:
            scheme = "dark" if dark else "light"
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.goto(url)
            yield page
        finally:
            browser.close()


def violations(page: Any) -> int:
    """Return how often the page's content security policy was violated."""
    return int(page.evaluate("document.documentElement.dataset.violations"))
