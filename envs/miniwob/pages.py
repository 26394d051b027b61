"""Practice pages: MiniWoB++ tasks under `practice:<task>` addresses. Knows their page protocol; drives no browser.

What a browser must do is plain data: the file to open, the viewport, a script to run first, an expression that
starts an episode with a seed, and one that reads the verdict. The agent and the training renderer both follow it, so a
model is asked about the very pixels that it was trained on. Source: core/core.js of the `miniwob` wheel.
"""

from __future__ import annotations

import base64
import difflib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from actions import UsageError

PREFIX = "practice:"
EVAL_SEED_START = 900_000  # seeds from here on are for measuring: nothing is ever trained on them
BROWSER_FLAGS = (  # how Chromium is started; what is drawn depends on some of them
    "--disable-gpu",  # the same pixels on every machine
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--disable-smooth-scrolling",  # a notch is there at once: screens come to rest sooner
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FONTS = Path(__file__).parent.parent / "fonts"
MAX_EPISODE_MS = 2**31 - 1  # setTimeout's longest: a slow step must not run into the page's own ten seconds


@dataclass(frozen=True)
class Page:
    """One task's page. width and height are CSS px; times scale they are pixels of the Screen, multiples of 28."""

    task: str
    path: Path
    width: int = 160
    height: int = 208  # the page's last 2 of 210 rows are its empty lower margin
    scale: float = 1.75

    @property
    def url(self) -> str:
        return self.path.as_uri()

    @property
    def screen_size(self) -> tuple[int, int]:
        """(width, height) of the Screen in pixels."""
        return int(self.width * self.scale), int(self.height * self.scale)


@cache
def _folder() -> Path:
    spec = find_spec("miniwob")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("the practice pages need the package 'miniwob', which is not installed; pip install miniwob")
    return Path(next(iter(spec.submodule_search_locations))) / "html" / "miniwob"


def names() -> list[str]:
    """Every practice task, sorted."""
    return sorted(path.stem for path in _folder().glob("*.html"))


def page(task: str) -> Page:
    """The page of a task; UsageError with the nearest name when there is none."""
    path = _folder() / f"{task}.html"
    if task not in names():
        near = difflib.get_close_matches(task, names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else "`agent demo --list` names them"
        raise UsageError(f"no practice task '{task}'; {hint}")
    return Page(task, path)


@cache
def init_js() -> str:
    """A script to run before the page's own: the shipped font under the name Arial, and a page that stays in its frame.

    Glyphs differ from machine to machine and a small model feels it; with the font from the package they do not. The
    page's score board beside the task is not shown, and nothing that takes the focus can scroll the task away.
    """
    faces = []
    for file, weight in (("LiberationSans-Regular.ttf", "400"), ("LiberationSans-Bold.ttf", "700")):
        data = base64.b64encode((FONTS / file).read_bytes()).decode()
        faces.append(
            f"document.fonts.add(new FontFace('Arial', 'url(data:font/ttf;base64,{data})', {{weight: '{weight}'}}));"
        )
    return (
        "if (!window.__pixelhandFonts && location.protocol === 'file:') { window.__pixelhandFonts = true; "
        + "".join(faces)
        + "addEventListener('scroll', () => scrollTo(0, 0));"
        + "addEventListener('DOMContentLoaded', () => { const style = document.createElement('style');"
        + "style.textContent = 'html { overflow: hidden } #reward-display, #click-canvas { display: none !important }';"
        + "document.head.append(style); }); }"
    )


def start_js(seed: int) -> str:
    """An async expression: wait for fonts, seed the page as the miniwob package does, start, resolve to the goal."""
    return f"""(async () => {{
        await Promise.all([...document.fonts].map(face => face.load().catch(() => null)));
        core.EPISODE_MAX_TIME = {MAX_EPISODE_MS};
        Math.seedrandom({int(seed)});
        core.startEpisodeReal();
        scrollTo(0, 0);
        for (let n = 0; n < 200 && !WOB_TASK_READY; n++) await new Promise(done => setTimeout(done, 50));
        if (!WOB_TASK_READY) throw new Error('the practice page did not become ready');
        return core.getUtterance();
    }})()"""


VERDICT_JS = """(() => ({
    done: WOB_DONE_GLOBAL,
    reward: WOB_DONE_GLOBAL ? WOB_RAW_REWARD_GLOBAL : null,
}))()"""
