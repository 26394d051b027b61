"""The page that a run started from: as exported code, and opened on a page here. Both do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.export.run import ExportedRun
from agent.export.source import literal
from envs.miniwob import pages

if TYPE_CHECKING:
    from playwright.sync_api import Page

START_EPISODE = (
    "core.EPISODE_MAX_TIME = 2 ** 31 - 1; Math.seedrandom({seed}); core.startEpisodeReal();"  # of the miniwob package
)
PRACTICE_STYLE = "html { overflow: hidden } #reward-display, #click-canvas { display: none !important }"
IS_READY = "WOB_TASK_READY"


def start_lines(run: ExportedRun) -> list[str]:
    """Return the definition of `open_start`, as it is exported."""
    if not run.task:
        return [
            "def open_start(page: Page) -> None:",
            '    """Open the page that the run started from."""',
            f"    page.goto({literal(run.url)})",
        ]
    return [
        "def open_start(page: Page) -> None:",
        f'    """Start the episode of the seed {run.seed} on the practice page."""',
        '    pages = Path(find_spec("miniwob").submodule_search_locations[0]) / "html" / "miniwob"',
        f"    page.goto((pages / {literal(f'{run.task}.html')}).as_uri())",
        f"    page.add_style_tag(content={literal(PRACTICE_STYLE)})",
        f"    page.evaluate({literal(START_EPISODE.format(seed=run.seed))})",
        '    page.wait_for_function("' + IS_READY + '")',
    ]


def open_start(page: Page, run: ExportedRun) -> None:
    """Open the page that a run started from.

    Raises:
        playwright.sync_api.Error: The page does not load.
    """
    if not run.task:
        page.goto(run.url)
        return
    page.goto(pages.page(run.task).url)
    page.add_style_tag(content=PRACTICE_STYLE)
    page.evaluate(START_EPISODE.format(seed=run.seed))
    page.wait_for_function(IS_READY)
