"""A practice page as a task: its goal, its episode, its verdict. Knows the page's protocol through envs.practice."""

from __future__ import annotations

from typing import Any

from actions import SurfaceError, UsageError
from envs.live import TaskStatus
from envs.miniwob import pages

MARK = "__pixelhandEpisode"  # set in the page when its episode starts: a page that was loaded again lacks it


def require_pages(surface: Any) -> None:
    """UsageError when the surface cannot set up and judge a practice page: a person's own screen cannot."""
    if not all(hasattr(surface, name) for name in ("goto", "evaluate", "url")):
        raise UsageError(
            f"this {surface.name} surface cannot set up a practice page and read its verdict; "
            "use --on browser, --on desktop:virtual, or --on android:SERIAL with a phone of `agent phone`"
        )


class MiniWobTask:
    """One MiniWoB++ task on a surface with goto(), evaluate() and url, such as the browser's."""

    def __init__(self, task: str) -> None:
        self.page = pages.page(task)
        self._seed = 0

    def setup(self, surface: Any, seed: int) -> str:
        """Load the page afresh and start the episode of the seed; returns the page's own instruction."""
        self._seed = seed
        surface.goto(pages.PREFIX + self.page.task)
        return self._start(surface)

    def verdict(self, surface: Any) -> TaskStatus:
        """The page's own word. An agent that left the page has no verdict yet."""
        if not self._is_here(surface):
            return TaskStatus()
        said = surface.evaluate(f"window.{MARK} ? {pages.VERDICT_JS} : null")
        return (
            TaskStatus()
            if said is None
            else TaskStatus(bool(said["done"]), None if said["reward"] is None else float(said["reward"]))
        )

    def resume(self, surface: Any) -> str:
        """The same episode from its start when the page was loaded again: after a crash, or by way of Home."""
        if not self._is_here(surface) or surface.evaluate(f"Boolean(window.{MARK})"):
            return ""
        self._start(surface)
        return "the practice episode began anew"

    def _is_here(self, surface: Any) -> bool:
        here = surface.url.partition("#")[0].partition("?")[0]
        return here == self.page.url and not getattr(surface, "asking", False)

    def _start(self, surface: Any) -> str:
        # Home asks for the page and does not wait for it; before its load event it has no episode to start.
        goal = surface.evaluate(f"""(async () => {{
            while (document.readyState !== 'complete') await new Promise(done => setTimeout(done, 20));
            const goal = await {pages.start_js(self._seed)};
            window.{MARK} = true;
            return typeof goal === 'string' ? goal : goal.utterance; // some pages add their fields
        }})()""")
        if not isinstance(goal, str) or not goal:
            raise SurfaceError(f"the practice page '{self.page.task}' started without an instruction")
        return goal
