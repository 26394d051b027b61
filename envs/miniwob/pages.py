"""MiniWoB++ pages: addresses, viewports, and the scripts that start an episode and read its reward.

The agent's surfaces and the training renderer share these definitions, so a model sees the pixels it was trained on.
Source: `core/core.js` of the `miniwob` package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from actions import UsageError
from actions.suggest import suggest
from envs.miniwob.fonts import arial_js

ADDRESS_PREFIX = "miniwob:"
ADDRESS_PREFIXES = (ADDRESS_PREFIX, "practice:")  # the second one is an alias
EVAL_SEED_START = 900_000  # seeds from here on are reserved for evaluation and never used in training
MAX_EPISODE_MS = 2**31 - 1  # the largest delay of setTimeout; the pages' default limit is 10 s


@dataclass(frozen=True)
class Page:
    """The page of one task. width and height: CSS pixels; times `scale`, pixels of the Screen, multiples of 28."""

    task: str
    path: Path
    width: int = 160
    height: int = 208  # the last 2 of the page's 210 rows are an empty margin
    scale: float = 1.75

    @property
    def url(self) -> str:
        """The page's file: URL."""
        return self.path.as_uri()

    @property
    def screen_size(self) -> tuple[int, int]:
        """Width and height of the Screen in pixels."""
        return int(self.width * self.scale), int(self.height * self.scale)


@cache
def _pages_folder() -> Path:
    spec = find_spec("miniwob")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("MiniWoB++ pages are unavailable: the package 'miniwob' is not installed; pip install miniwob")
    return Path(next(iter(spec.submodule_search_locations))) / "html" / "miniwob"


def is_miniwob_address(address: str) -> bool:
    """Return whether `address` is `miniwob:TASK`, or `practice:TASK`, its alias."""
    return address.startswith(ADDRESS_PREFIXES)


def task_name(address: str) -> str:
    """Return the task of a `miniwob:TASK` address; any other text is returned unchanged."""
    for prefix in ADDRESS_PREFIXES:
        if address.startswith(prefix):
            return address.removeprefix(prefix)
    return address


def names() -> list[str]:
    """Return the names of all tasks, sorted."""
    return sorted(path.stem for path in _pages_folder().glob("*.html"))


def page(task: str) -> Page:
    """Return the page of a task.

    Raises:
        UsageError: There is no such task; the message suggests the nearest name.
    """
    tasks = names()
    if task not in tasks:
        raise UsageError(
            f"no practice task '{task}'.{suggest(task, tasks) or ' `agent demo --list` prints all of them.'}"
        )
    return Page(task, _pages_folder() / f"{task}.html")


def folder_url() -> str:
    """Return the address that those of all practice pages begin with, "" if they are not installed."""
    try:
        return _pages_folder().as_uri() + "/"
    except UsageError:
        return ""


@cache
def init_js() -> str:
    """Return the script to run before the page's own: registers the fonts, hides the scoreboard, prevents scrolling."""
    return (
        "if (!window.__pixelhandFonts && location.protocol === 'file:') { window.__pixelhandFonts = true; "
        + arial_js()
        + "addEventListener('scroll', () => scrollTo(0, 0));"
        + "addEventListener('DOMContentLoaded', () => { const style = document.createElement('style');"
        + "style.textContent = 'html { overflow: hidden } #reward-display, #click-canvas { display: none !important }';"
        + "document.head.append(style); }); }"
    )


def start_js(seed: int) -> str:
    """Return an async expression that seeds the page, starts an episode and resolves to the goal.

    Seeding follows the `miniwob` package.
    """
    return f"""(async () => {{
        await Promise.all([...document.fonts].map(face => face.load().catch(() => null)));
        const clock = window[Symbol.for('pixelhand.clock')]; // where time is virtual
        await clock?.begin();
        core.EPISODE_MAX_TIME = {MAX_EPISODE_MS};
        Math.seedrandom({int(seed)});
        core.startEpisodeReal();
        scrollTo(0, 0);
        const pause = ms => clock ? clock.wait(ms) : new Promise(done => setTimeout(done, ms));
        for (let n = 0; n < 200 && !WOB_TASK_READY; n++) await pause(50);
        if (!WOB_TASK_READY) throw new Error('the practice page did not become ready');
        const goal = core.getUtterance();
        await clock?.settle();
        return goal;
    }})()"""


VERDICT_JS = """(() => ({
    done: WOB_DONE_GLOBAL,
    reward: WOB_DONE_GLOBAL ? WOB_RAW_REWARD_GLOBAL : null,
}))()"""
