"""MiniWobTask: a MiniWoB++ page as a task with a goal, episodes and a reward."""

from __future__ import annotations

from actions import Surface, SurfaceError, UsageError
from actions.surface import SupportsPages
from envs.miniwob import pages
from envs.task import TaskStatus

EPISODE_MARKER = "__pixelhandEpisode"  # set in the page when its episode starts; a reloaded page lacks it


def check_supports_pages(surface: object) -> SupportsPages:
    """Return the surface, typed as one that can set up a page and read its reward.

    Raises:
        UsageError: It cannot, as the user's own screen or a real phone cannot.
    """
    if not isinstance(surface, SupportsPages):
        raise UsageError(
            f"this {getattr(surface, 'name', 'kind of')} surface cannot set up a practice page and read its reward; "
            "use --surface browser, desktop:virtual, or android:SERIAL with a phone of `agent phone`"
        )
    return surface


class MiniWobTask:
    """One MiniWoB++ task on a surface that supports pages, such as the browser's."""

    def __init__(self, task: str) -> None:
        self.page = pages.page(task)
        self._seed = 0

    def setup(self, surface: Surface, seed: int) -> str:
        """Load the page, start the episode of the seed, and return the page's own instruction."""
        self._seed = seed
        page_surface = check_supports_pages(surface)
        page_surface.goto(pages.ADDRESS_PREFIX + self.page.task)
        return self._start(page_surface)

    def verdict(self, surface: Surface) -> TaskStatus:
        """Return the page's own verdict; not done while another page or a dialog is shown."""
        page_surface = check_supports_pages(surface)
        if not self._is_shown(page_surface):
            return TaskStatus()
        status = page_surface.evaluate(f"window.{EPISODE_MARKER} ? {pages.VERDICT_JS} : null")
        if not isinstance(status, dict):
            return TaskStatus()
        reward = status["reward"]
        return TaskStatus(bool(status["done"]), None if reward is None else float(reward))

    def resume(self, surface: Surface) -> str:
        """Restart the episode if the page was loaded again, after a crash or by Home."""
        page_surface = check_supports_pages(surface)
        if not self._is_shown(page_surface) or page_surface.evaluate(f"Boolean(window.{EPISODE_MARKER})"):
            return ""
        self._start(page_surface)
        return "the practice episode was restarted"

    def _is_shown(self, surface: SupportsPages) -> bool:
        address = surface.url.partition("#")[0].partition("?")[0]
        return address == self.page.url and not getattr(surface, "asking", False)

    def _start(self, surface: SupportsPages) -> str:
        # Home navigates without waiting: before the load event there is no episode to start.
        goal = surface.evaluate(f"""(async () => {{
            if (document.readyState !== 'complete') {{
                await new Promise(done => addEventListener('load', () => queueMicrotask(done), {{ once: true }}));
            }}
            const goal = await {pages.start_js(self._seed)};
            window.{EPISODE_MARKER} = true;
            return typeof goal === 'string' ? goal : goal.utterance; // some pages add their fields
        }})()""")
        if not isinstance(goal, str) or not goal:
            raise SurfaceError(f"the practice page '{self.page.task}' started without an instruction")
        return goal
