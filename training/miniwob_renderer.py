"""Render screens of MiniWoB++ pages in Chromium, with questions and answers.

Frames and input are those of the browser surface. Most steps of an episode follow the oracle; some are wrong, so that
recoveries are in the data too. Seeds that are stored already are not rendered again.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from actions import Action, Point, Screen, SurfaceError, UsageError
from envs.chromium import input
from envs.chromium.page_scripts import drawing_script
from envs.miniwob import pages
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import RESIZED_PIXELS, CoordinateMapper
from model.dialects.parts.qwen_tools import COMPUTER
from training import oracles
from training.dataset import DatasetWriter

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MAX_QUESTIONS = 12  # of a screen
ON_GOAL_RATE = 0.75  # fraction of steps that follow the page's own goal
RANDOM_CLICK_RATE = 0.1  # fraction of steps that are random clicks
TIMER_RATE = 0.5  # fraction of steps before which the page's timers run, since an agent takes time to think

# Waits until no animation runs, and then for the frame that shows it.
_SETTLE_JS = """(async () => {
    const frame = () => new Promise(done => requestAnimationFrame(done));
    const isRunning = () => document.getAnimations().some(animation => animation.playState === 'running');
    for (let n = 0; n < 120 && isRunning(); n++) await frame();
    await frame();
    await frame();
})()"""
# Returns the width of a scroll bar.
_SCROLL_BAR_JS = """(() => {
    const box = document.createElement('div');
    box.style.cssText = 'position: absolute; overflow: scroll';
    document.body.append(box);
    const wide = box.offsetWidth - box.clientWidth;
    box.remove();
    return wide;
})()"""
# Makes jQuery's effects jump to their end.
_NO_EFFECTS_JS = "addEventListener('DOMContentLoaded', () => { if (window.jQuery) jQuery.fx.off = true; });"
# Defers timers of 200 ms to 2 s (jQuery opens its lists 300 ms after the last key) until they are run explicitly, so
# that frames do not depend on the speed of the machine. ids() returns the ids of deferred timers, run(ids) runs them.
_TIMERS_JS = """(() => {
    const [set, clear, deferred] = [window.setTimeout, window.clearTimeout, new Map()];
    let last = 1e9;
    window.setTimeout = (callback, ms, ...args) => {
        if (!(ms >= 200 && ms < 2000)) return set.call(window, callback, ms, ...args);
        deferred.set(++last, () => callback(...args));
        return last;
    };
    window.clearTimeout = id => deferred.delete(id) || clear.call(window, id);
    window.__timers = {
        ids: () => [...deferred.keys()],
        run: ids => ids.forEach(id => { const callback = deferred.get(id); deferred.delete(id); callback?.(); }),
    };
})()"""
_DATE_PARTS = ("month", "day", "year")


def render_task(task: str, first: int, last: int, folder: Path, browser: Browser) -> int:
    """Render seeds of a task into a data folder; return the number of new screens.

    Args:
        task: Name of the task.
        first: First seed.
        last: Seed after the last.
        folder: The data folder.
        browser: A Playwright browser with the surface's flags, started without --hide-scrollbars.
    """
    if last > pages.EVAL_SEED_START:
        raise UsageError(f"seeds from {pages.EVAL_SEED_START} are held out for evaluation; use seeds below, not {last}")
    writer = DatasetWriter(folder, task)
    renderer = MiniWobRenderer(task, browser)
    new = 0
    try:
        for seed in range(first, last):
            if writer.has(seed):
                continue
            for number, state in enumerate(renderer.episode(seed)):
                writer.add(seed, number, state.goal, state.png, state.questions, state.characters)
                new += 1
            writer.finish(seed)
    finally:
        renderer.close()
        writer.close()
    return new


@dataclass(frozen=True)
class RenderedState:
    """One screen of an episode."""

    goal: str  # the page's own
    png: bytes
    questions: list[dict[str, Any]]
    characters: list[list[Any]]


class MiniWobRenderer:
    """A browser tab with the page of a task, and the input of the browser surface."""

    def __init__(self, task: str, browser: Browser) -> None:
        self.task = task
        self.page = page = pages.page(task)
        size = {"width": page.width, "height": page.height}
        self._context = browser.new_context(
            viewport={"width": page.width, "height": page.height}, device_scale_factor=page.scale
        )
        self._context.add_init_script(drawing_script())
        for script in (_TIMERS_JS, pages.init_js(), oracles.script(), _NO_EFFECTS_JS):
            self._context.add_init_script(script)
        self._tab = self._context.new_page()
        self._cdp = self._context.new_cdp_session(self._tab)
        self._tab.bring_to_front()
        self._clip = {"x": 0, "y": 0, **size, "scale": page.scale}  # without a scale, screenshots are in CSS px
        width, height = page.screen_size
        self._screen = Screen(
            np.zeros((height, width, 3), dtype=np.uint8)
        )  # for the dialect, which checks points against its size
        self._pointer: input.CssPoint = (0.0, 0.0)
        self._tab.goto(page.url)
        self._is_used = False
        if not self._tab.evaluate(_SCROLL_BAR_JS):
            self.close()
            raise UsageError(
                "this browser hides scroll bars, unlike the agent's; start it with "
                "ignore_default_args=['--hide-scrollbars']"
            )

    def close(self) -> None:
        """Close the tab."""
        self._context.close()

    def start(self, seed: int) -> str:
        """Start the episode of a seed on a fresh page; return its goal."""
        if self._is_used:
            self._tab.mouse.move(0, 0)  # the pointer stays when a page is loaded, and may hover an element
            self._tab.goto(self.page.url)
            self._is_used, self._pointer = False, (0.0, 0.0)
        goal = self._tab.evaluate(pages.start_js(seed))
        if self.task == "enter-date":
            self._share_date_parts()
        self.settle()
        return goal if isinstance(goal, str) else goal["utterance"]  # some pages return an object

    def episode(self, seed: int) -> Iterator[RenderedState]:
        """Yield the screens of an episode, which the seed determines."""
        rng = random.Random(f"{self.task}-{seed}")
        goal = self.start(seed)
        for number in range(oracles.ORACLES[self.task]):
            png = self.screenshot()
            questions = self.questions(rng.getrandbits(31))
            own = next((question for question in questions if question["goal"] == goal), None)
            if own is None:  # the target of the goal is covered
                return
            others = [question for question in questions if question is not own]
            chosen = [own, *rng.sample(others, min(len(others), MAX_QUESTIONS - 1))]
            yield RenderedState(goal, png, chosen, self.characters())
            if number + 1 == oracles.ORACLES[self.task]:
                return
            if rng.random() < TIMER_RATE:
                self.run_timers()
            self.perform(self._choose_answer(own, others, rng))
            if self.task_status()["done"]:
                return

    def screenshot(self) -> bytes:
        """Return the page as a PNG."""
        options = {"format": "png", "optimizeForSpeed": True, "clip": self._clip}
        return base64.b64decode(self._cdp.send("Page.captureScreenshot", options)["data"])

    def questions(self, seed: int) -> list[dict[str, Any]]:
        """Return the oracle's questions about the page as it is, the page's own first."""
        questions: list[dict[str, Any]] = self._tab.evaluate(oracles.questions_js(self.task, self.page.scale, seed))
        return questions

    def characters(self) -> list[list[Any]]:
        """Return [character, x, y, width] of each visible character, x and y of its center, in pixels."""
        characters: list[list[Any]] = self._tab.evaluate(oracles.characters_js(self.page.scale))
        return characters

    def random_click(self, seed: int) -> dict[str, Any] | None:
        """Return a click that no goal requires; None if there is nothing to click."""
        answer: dict[str, Any] | None = self._tab.evaluate(oracles.stray_js(self.page.scale, seed))
        return answer

    def task_status(self) -> dict[str, Any]:
        """Return {"done", "reward"} of the episode."""
        status: dict[str, Any] = self._tab.evaluate(pages.VERDICT_JS)
        return status

    def settle(self) -> None:
        """Wait until the page stands still."""
        self._tab.evaluate(_SETTLE_JS)

    def run_timers(self) -> None:
        """Run the deferred timers of the page."""
        self._tab.evaluate("__timers.run(__timers.ids())")
        self.settle()

    def action(self, answer: Mapping[str, Any]) -> Action:
        """Return the action of an answer, by the agent's dialect."""
        mapper = CoordinateMapper(RESIZED_PIXELS, self._screen, self.page.screen_size)
        spec = COMPUTER.rows[answer["action"]]
        return cast(Action, spec.to_actions(Arguments(spec.name, dict(answer), mapper)))

    def perform(self, answer: Mapping[str, Any]) -> None:
        """Carry out an answer with the input of the browser surface."""
        action = self.action(answer)
        timers = self._tab.evaluate("__timers.ids()")
        coroutine = input.act(_BlockingPage(self._tab), action, self._css, self._pointer)  # type: ignore[arg-type]
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        else:
            raise SurfaceError(f"'{answer['action']}' waits, which the renderer does not support")
        if points := action.points():
            self._pointer = self._css(points[-1])
        self._is_used = True
        self._tab.evaluate("ids => __timers.run(ids)", timers)
        self.settle()

    def _choose_answer(
        self, own: Mapping[str, Any], others: Sequence[Mapping[str, Any]], rng: random.Random
    ) -> Mapping[str, Any]:
        """Return the next answer: mostly that of the page's own goal, else one of another goal or a random click."""
        draw, seed = rng.random(), rng.getrandbits(31)
        answer: Mapping[str, Any] | None = own["answer"]
        if draw >= 1 - RANDOM_CLICK_RATE:
            answer = self.random_click(seed)
        elif draw >= ON_GOAL_RATE and others:
            answer = rng.choice(others)["answer"]
        return answer or own["answer"]

    def _css(self, point: Point) -> input.CssPoint:
        """Return the CSS px under the center of a pixel, as the surface does."""
        return float((point.x + 0.5) // self.page.scale), float((point.y + 0.5) // self.page.scale)

    def _share_date_parts(self) -> None:
        """Pass the parts of the date field, which only the DevTools protocol can reach, to the oracle of the page."""
        parts = []
        nodes = [self._cdp.send("DOM.getDocument", {"depth": -1, "pierce": True})["root"]]
        while nodes:
            node = nodes.pop()
            nodes += node.get("children", []) + node.get("shadowRoots", [])
            attributes = node.get("attributes", [])
            name = dict(zip(attributes[::2], attributes[1::2], strict=True)).get("pseudo", "")
            part = name.removesuffix("-field").rpartition("-")[2]
            if name.startswith("-webkit-datetime-edit-") and part in _DATE_PARTS:
                parts.append((part, node["backendNodeId"]))
        if len(parts) != len(_DATE_PARTS):
            raise SurfaceError(f"the date field has the parts {parts}, not {_DATE_PARTS}: unsupported Chromium version")
        ids = dict(parts)
        objects = [
            self._cdp.send("DOM.resolveNode", {"backendNodeId": ids[name]})["object"]["objectId"]
            for name in _DATE_PARTS
        ]
        self._cdp.send(
            "Runtime.callFunctionOn",
            {
                "objectId": objects[0],
                "functionDeclaration": "function(...parts) { window.__dateParts = parts; }",
                "arguments": [{"objectId": object_id} for object_id in objects],
            },
        )


class _BlockingPage:
    """Playwright's blocking mouse and keyboard behind awaitable methods, as the surface's input expects them."""

    def __init__(self, tab: Any) -> None:
        self.mouse, self.keyboard = _AwaitableDevice(tab.mouse), _AwaitableDevice(tab.keyboard)


class _AwaitableDevice:
    def __init__(self, device: Any) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._device, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            return method(*arguments, **options)

        return call
