"""Draws screens of the practice pages, with questions and answers, by Chromium. Knows pages; knows no tensors.

An episode is drawn as the agent would see it: the frames are those of the browser surface, and what leads from one to
the next are its own hands. Most steps follow the oracle; some go wrong, so that ways back are in the data too.
Rendering resumes: seeds that are there are not drawn again.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actions import Screen, SurfaceError, UsageError
from envs.chromium import input
from envs.miniwob import pages
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import RESIZED_PIXELS, CoordinateMapper
from model.dialects.parts.qwen_tools import COMPUTER
from training import oracles
from training.dataset import Writer

PAGE_JS = Path(input.__file__).parent / "page.js"  # what the browser surface runs in every page
QUESTIONS = 12  # of one screen, at most
RIGHT, STRAY = 0.75, 0.1  # shares of steps that follow the page's own goal, and of clicks that follow none
PATIENCE = 0.5  # share of steps that come after what a page does on its own account: an agent thinks for a while

# Until nothing moves, and then until the frame that shows it.
_REST_JS = """(async () => {
    const frame = () => new Promise(done => requestAnimationFrame(done));
    for (let n = 0; n < 120 && document.getAnimations().some(one => one.playState === 'running'); n++) await frame();
    await frame();
    await frame();
})()"""
# How wide a scroll bar is.
_SCROLL_BAR_JS = """(() => {
    const box = document.createElement('div');
    box.style.cssText = 'position: absolute; overflow: scroll';
    document.body.append(box);
    const wide = box.offsetWidth - box.clientWidth;
    box.remove();
    return wide;
})()"""
# jQuery's effects end where they would have ended, at once.
_NO_EFFECTS_JS = "addEventListener('DOMContentLoaded', () => { if (window.jQuery) jQuery.fx.off = true; });"
# What a page wants to do a moment later (jQuery's lists open 300 ms after the last key) is held back until it is asked
# for: a slow machine draws the same frames as a quick one. held() names what is held, late(names) does it.
_CLOCK_JS = """(() => {
    const [set, clear, held] = [window.setTimeout, window.clearTimeout, new Map()];
    let last = 1e9;
    window.setTimeout = (work, ms, ...given) => {
        if (!(ms >= 200 && ms < 2000)) return set.call(window, work, ms, ...given);
        held.set(++last, () => work(...given));
        return last;
    };
    window.clearTimeout = id => held.delete(id) || clear.call(window, id);
    window.__clock = {
        held: () => [...held.keys()],
        late: ids => ids.forEach(id => { const work = held.get(id); held.delete(id); work?.(); }),
    };
})()"""
_DATE_PARTS = ("month", "day", "year")


def render(task: str, first: int, last: int, folder: Path, browser: Any) -> int:
    """Draw seeds first to last - 1 of a task into the folder; returns how many screens are new.

    browser: Playwright's, started with the surface's flags and without --hide-scrollbars.
    """
    if last > pages.EVAL_SEED_START:
        raise ValueError(
            f"seeds from {pages.EVAL_SEED_START} are held out for measuring; draw below it, not up to {last}"
        )
    store = Writer(folder, task)
    studio = MiniWobRenderer(task, browser)
    new = 0
    try:
        for seed in range(first, last):
            if store.has(seed):
                continue
            for state, shot in enumerate(studio.episode(seed)):
                store.add(seed, state, shot.goal, shot.png, shot.questions, shot.characters)
                new += 1
            store.finish(seed)
    finally:
        studio.close()
        store.close()
    return new


@dataclass(frozen=True)
class RenderedState:
    """One screen of an episode: the page's goal, the frame, what is asked of it, and its characters."""

    goal: str
    png: bytes
    questions: list[dict[str, Any]]
    characters: list[list[Any]]


class MiniWobRenderer:
    """A tab with one task's page, and the surface's hands on it."""

    def __init__(self, task: str, browser: Any) -> None:
        self.task = task
        self.page = page = pages.page(task)
        size = {"width": page.width, "height": page.height}
        self._context = browser.new_context(viewport=size, device_scale_factor=page.scale)
        self._context.add_init_script(path=PAGE_JS)
        for script in (_CLOCK_JS, pages.init_js(), oracles.script(), _NO_EFFECTS_JS):
            self._context.add_init_script(script)
        self._tab = self._context.new_page()
        self._wire = self._context.new_cdp_session(self._tab)
        self._tab.bring_to_front()
        self._clip = {"x": 0, "y": 0, **size, "scale": page.scale}  # without a scale it is in CSS px
        width, height = page.screen_size
        self._screen = Screen(np.zeros((height, width, 3), dtype=np.uint8))  # of the right size, for the dialect
        self._pointer: input.CssPoint = (0.0, 0.0)
        self._tab.goto(page.url)
        self._touched = False
        if not self._tab.evaluate(_SCROLL_BAR_JS):
            self.close()
            raise UsageError(
                "this browser draws no scroll bars, which the agent's does; "
                "start it with ignore_default_args=['--hide-scrollbars']"
            )

    def close(self) -> None:
        self._context.close()

    def start(self, seed: int) -> str:
        """Begin the episode of the seed, on a page that nobody has touched; returns its goal."""
        if self._touched:
            self._tab.mouse.move(0, 0)  # the pointer outlives a page, and what it is over may look different
            self._tab.goto(self.page.url)
            self._touched, self._pointer = False, (0.0, 0.0)
        goal = self._tab.evaluate(pages.start_js(seed))
        if self.task == "enter-date":
            self._share_date_parts()
        self.rest()
        return goal if isinstance(goal, str) else goal["utterance"]  # some pages add their fields

    def episode(self, seed: int) -> Iterator[RenderedState]:
        """The screens on a way through a page. One seed's episode is always the same."""
        chance = random.Random(f"{self.task}-{seed}")
        goal = self.start(seed)
        for state in range(oracles.ORACLES[self.task]):
            png = self.picture()
            questions = self.questions(chance.getrandbits(31))
            own = next((one for one in questions if one["goal"] == goal), None)
            if own is None:  # what the goal asks for lies under something else
                return
            others = [one for one in questions if one is not own]
            kept = [own, *chance.sample(others, min(len(others), QUESTIONS - 1))]
            yield RenderedState(goal, png, kept, self.characters())
            if state + 1 == oracles.ORACLES[self.task]:
                return
            if chance.random() < PATIENCE:
                self.late()
            self.do(self._choice(own, others, chance))
            if self.verdict()["done"]:
                return

    def picture(self) -> bytes:
        """PNG of the page as it is now."""
        shot = self._wire.send(
            "Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True, "clip": self._clip}
        )
        return base64.b64decode(shot["data"])

    def questions(self, seed: int) -> list[dict[str, Any]]:
        """Every question that the oracle asks of the page as it is now, the page's own first."""
        found: list[dict[str, Any]] = self._tab.evaluate(oracles.questions_js(self.task, self.page.scale, seed))
        return found

    def characters(self) -> list[list[Any]]:
        """[character, x, y, width] of each that can be seen, x and y of its middle, in pixels."""
        found: list[list[Any]] = self._tab.evaluate(oracles.characters_js(self.page.scale))
        return found

    def stray(self, seed: int) -> dict[str, Any] | None:
        """A click that no goal asks for."""
        found: dict[str, Any] | None = self._tab.evaluate(oracles.stray_js(self.page.scale, seed))
        return found

    def verdict(self) -> dict[str, Any]:
        """Whether the episode is over, and its reward."""
        said: dict[str, Any] = self._tab.evaluate(pages.VERDICT_JS)
        return said

    def rest(self) -> None:
        self._tab.evaluate(_REST_JS)

    def late(self) -> None:
        """Let the page do what it does a moment after an action."""
        self._tab.evaluate("__clock.late(__clock.held())")
        self.rest()

    def action(self, answer: dict[str, Any]) -> Any:
        """The Action that an answer means, by way of the agent's dialect."""
        mapper = CoordinateMapper(RESIZED_PIXELS, self._screen, self.page.screen_size)
        row = COMPUTER.rows[answer["action"]]
        return row.to_actions(Arguments(row.name, answer, mapper))

    def do(self, answer: dict[str, Any]) -> None:
        """Carry out an answer with the surface's hands."""
        action = self.action(answer)
        before = self._tab.evaluate("__clock.held()")
        work = input.act(_Now(self._tab), action, self._css, self._pointer)  # type: ignore[arg-type]
        try:
            work.send(None)
        except StopIteration:
            pass
        else:
            raise SurfaceError(
                f"'{answer['action']}' waited for something; the renderer can only do what is done at once"
            )
        if points := action.points():
            self._pointer = self._css(points[-1])
        self._touched = True
        self._tab.evaluate("ids => __clock.late(ids)", before)
        self.rest()

    def _choice(self, own: dict[str, Any], others: list[dict[str, Any]], chance: random.Random) -> dict[str, Any]:
        """What is done next: mostly what is right."""
        luck, seed = chance.random(), chance.getrandbits(31)
        chosen: dict[str, Any] | None = own["answer"]
        if luck >= 1 - STRAY:
            chosen = self.stray(seed)
        elif luck >= RIGHT and others:
            chosen = chance.choice(others)["answer"]
        return chosen or own["answer"]

    def _css(self, point: Any) -> input.CssPoint:
        """As the surface has it: the CSS px under the middle of a pixel."""
        return float((point.x + 0.5) // self.page.scale), float((point.y + 0.5) // self.page.scale)

    def _share_date_parts(self) -> None:
        """Give the page's oracle the parts of its date field, which only the browser's own protocol can reach."""
        parts = []
        todo = [self._wire.send("DOM.getDocument", {"depth": -1, "pierce": True})["root"]]
        while todo:
            node = todo.pop()
            todo += node.get("children", []) + node.get("shadowRoots", [])
            given = node.get("attributes", [])
            name = dict(zip(given[::2], given[1::2], strict=True)).get("pseudo", "")
            if (
                name.startswith("-webkit-datetime-edit-")
                and name.removesuffix("-field").rpartition("-")[2] in _DATE_PARTS
            ):
                parts.append((name.removesuffix("-field").rpartition("-")[2], node["backendNodeId"]))
        if len(parts) != len(_DATE_PARTS):
            raise SurfaceError(
                f"the date field has the parts {parts}, not {_DATE_PARTS}; this Chromium draws it otherwise"
            )
        ids = dict(parts)
        objects = [
            self._wire.send("DOM.resolveNode", {"backendNodeId": ids[name]})["object"]["objectId"]
            for name in _DATE_PARTS
        ]
        self._wire.send(
            "Runtime.callFunctionOn",
            {
                "objectId": objects[0],
                "functionDeclaration": "function(...parts) { window.__dateParts = parts; }",
                "arguments": [{"objectId": one} for one in objects],
            },
        )


class _Now:
    """Playwright's blocking mouse and keyboard with the face of its awaitable ones, for the surface's hands."""

    def __init__(self, tab: Any) -> None:
        self.mouse, self.keyboard = _Device(tab.mouse), _Device(tab.keyboard)


class _Device:
    def __init__(self, device: Any) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._device, name)

        async def call(*given: Any, **named: Any) -> Any:
            return method(*given, **named)

        return call
