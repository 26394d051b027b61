"""Replays of `agent bench replay` on a desktop and a phone: one recorded order, repeated on a page that has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import quote

from actions import Action, Click, Done, Reply, Screen, Step, SurfaceError, TypeText, UsageError
from actions.surface import SupportsPages, Surface
from agent.policies.base import DialectPolicyMixin
from agent.policies.scripted import JsonDialect
from envs.task import TaskStatus
from perf.replay import ReplayScore, count_end, replay_program, run_guarded
from perf.surface_baselines import serve_page

if TYPE_CHECKING:
    from agent.replay.program import Program
    from envs.live import LiveEnv

SurfaceName = Literal["desktop:virtual", "phone"]
MAX_STEPS = 10
GOAL = 'order the blue lamp for "{name}"'
RECORDED_NAME = "vina"
NAMES = ("Ada", "Bo Lind", "Chiara", "Dmitri K.", "Eva", "Farid", "Gwen", "Hideo", "Ines", "Jun", "Kofi", "Lea M.")
DARK = "body{background:#15171c;color:#e8e8ea}input,li{background:#23262e;color:#fff}"
DARKEN_JS = f"document.head.insertAdjacentHTML('beforeend', '<style>{DARK}</style>');"
CHANGES = {  # style sheet or script of the page that is replayed on
    "same": "",
    "dark theme": f"style:{DARK}",
    "other accent": "style:button{background:#8a3d12}",
    "rounder buttons": "style:button{border-radius:18px}",
    "scale 0.8": "style:main{zoom:.8}",
    "scale 0.9": "style:main{zoom:.9}",
    "scale 1.1": "style:main{zoom:1.1}",
    "scale 1.25": "style:main{zoom:1.25}",
    "banner above": "script:main.insertAdjacentHTML('afterbegin', '<p>Free delivery this week</p>')",
    "moved to the side": "style:main{margin-left:24px}",
    "wider rows": "style:main{width:350px}",
    "products in another order": "script:list.prepend(...Array.from(list.children).reverse())",
    "field below products": "script:list.after(document.querySelector('.field'))",
}
RISKS = {  # changes after which the recorded target is not there, or there twice
    "second order button": "script:main.append(order.cloneNode(true))",
    "order button renamed": "script:order.textContent = 'Delete'",
    "order button almost the same": "script:order.textContent = 'Orders'",
    "product almost the same": "script:list.children[1].firstChild.data = 'Blue lamb'",
    "product gone": "script:list.children[1].remove()",
    "product there twice": "script:list.append(list.children[1].cloneNode(true))",
    "dark, product gone": f"script:{DARKEN_JS}list.children[1].remove()",
    "dark, product renamed": f"script:{DARKEN_JS}list.children[1].firstChild.data = 'Blue lamb'",
    "dark, product there twice": f"script:{DARKEN_JS}list.append(list.children[1].cloneNode(true))",
    "dark, order button renamed": f"script:{DARKEN_JS}order.textContent = 'Orders'",
}
PAGE = """<!doctype html><meta charset=utf-8><title>Shop</title><style>
* { box-sizing: border-box; font: 16px Arial, 'Liberation Sans', sans-serif } body { margin: 0; background: #fff }
main { width: 320px; padding: 10px } h1 { font-size: 20px; margin: 4px 0 8px } p { margin: 0 0 10px; color: #a33 }
input[type=text] { display: block; width: 100%; height: 34px; border: 1px solid #888; caret-color: transparent }
ul { padding: 0; margin: 8px 0 } label { display: block; margin: 6px 0 }
li { display: flex; justify-content: space-between; align-items: center; border: 1px solid #ccc; padding: 4px 8px }
button { height: 32px; min-width: 72px; border: 0; background: #23509b; color: #fff }
</style><main id=main><h1>Lamps</h1>
<div class=field><label for=guest>Name of the guest</label><input type=text id=guest></div>
<label><input type=checkbox id=gift> Gift wrap</label>
<ul id=list><li>Green lamp<button>Add</button></li><li>Blue lamp<button>Add</button></li>
<li>Tall red lamp<button>Add</button></li><li>Desk lamp<button>Add</button></li></ul>
<button id=order>Order</button> <button id=empty>Empty</button></main>
<script>
let isWrong = false;
const added = [];
list.onclick = event => {
  if (event.target.tagName !== 'BUTTON') return;
  added.push(event.target.parentElement.firstChild.data);
  event.target.textContent = 'Added';
};
empty.onclick = () => { isWrong = true; };
main.onclick = event => {
  if (event.target.id !== 'order') return;
  isWrong ||= event.target.textContent !== 'Order';
  window.result = { name: guest.value, gift: gift.checked, added, isWrong };
};
const [kind, ...source] = decodeURIComponent(location.hash.slice(1)).split(':');
if (kind === 'style') document.head.insertAdjacentHTML('beforeend', `<style>${source.join(':')}</style>`);
if (kind === 'script') new Function(source.join(':'))();
</script>"""
POINT_JS = """(() => {
  const box = (%s).getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2, screenX, screenY + outerHeight - innerHeight, innerWidth];
})()"""


MISTAKE_JS = "isWrong || added.some(name => name !== 'Blue lamp')"  # of a replay that halted later


class OrderTask:
    """An order on the page, for the name of the seed.

    Args:
        url: Address of the page.

    Attributes:
        change: What is changed on the page: an entry of CHANGES or RISKS.
    """

    def __init__(self, url: str) -> None:
        self._url, self.change = url, ""
        self._name = RECORDED_NAME
        self._count = 0

    def setup(self, surface: Surface, seed: int) -> str:
        """Load the page, and return the goal; the seed 0 stands for the recorded name."""
        self._name = NAMES[(seed - 1) % len(NAMES)] if seed else RECORDED_NAME
        self._count += 1  # another address: a change of the hash alone does not load the page again
        page = cast(SupportsPages, surface)
        page.goto(f"{self._url}?{self._count}#{quote(self.change)}")
        return GOAL.format(name=self._name)

    def verdict(self, surface: Surface) -> TaskStatus:
        """Return the reward of the order: 1 if it is the right one, -1 for another, none before it was sent."""
        result = cast(SupportsPages, surface).evaluate("window.result ?? null")
        if not isinstance(result, dict):
            return TaskStatus()
        expected = {"name": self._name, "gift": True, "added": ["Blue lamp"], "isWrong": False}
        return TaskStatus(True, 1.0 if result == expected else -1.0)


class OrderPolicy(DialectPolicyMixin):
    """Order on the unchanged page by the places of its elements, to record an episode without a model.

    Args:
        surface: The screen that shows the page.
        is_desktop: Whether the page is in a window of a browser.
    """

    def __init__(self, surface: Surface, *, is_desktop: bool) -> None:
        self._page, self._is_desktop = cast(SupportsPages, surface), is_desktop
        self._actions, self._screen_width = self._solution(), 0
        self.dialect = JsonDialect()

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces."""
        return {"model": "oracle", "fingerprint": "order", "prompt_hash": "plain"}

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the next action of the order."""
        self._screen_width = screen.width
        action = next(self._actions, None) or Done(status="failure")
        return Reply(json.dumps(action.model_dump(mode="json")), prompt=goal, image_digests=(screen.digest,))

    def close(self) -> None:
        """Do nothing."""

    def _solution(self) -> Iterator[Action]:
        yield self._click("guest")
        yield TypeText(text=RECORDED_NAME)
        yield self._click("gift")
        yield self._click("list.children[1].lastChild")
        yield self._click("order")

    def _click(self, element: str) -> Click:
        x, y, page_left, page_top, page_width = cast(list[float], self._page.evaluate(POINT_JS % element))
        if self._is_desktop:
            return Click(x=round(page_left + x), y=round(page_top + y))
        scale = self._screen_width / page_width
        return Click(x=round(x * scale), y=round(y * scale))


def score_changes(
    surface_name: SurfaceName, changes: Sequence[str], seeds: int, folder: Path, fallback: str = ""
) -> list[ReplayScore]:
    """Record an order on a surface, replay it on changed pages, and return the score of each change.

    Args:
        surface_name: "desktop:virtual", or "phone" for a simulated one.
        changes: Names of CHANGES and RISKS; all if empty.
        seeds: Replays of each change, each for another name.
        folder: Where traces are written.
        fallback: A model that is asked for missing places; "" for none.

    Raises:
        UsageError: There is no such change, or the surface is not available.
        SurfaceError: The surface failed.
    """
    from agent.policies.factory import load_policy
    from envs.live import LiveEnv

    sources = CHANGES | RISKS
    if unknown := sorted(set(changes) - set(sources)):
        raise UsageError(f"there is no change '{unknown[0]}' of the page; changes: {', '.join(sources)}")
    policy = load_policy(fallback) if fallback else None
    with _open_page(surface_name) as (surface, url):
        task = OrderTask(url)
        env = LiveEnv(surface, task=task)
        program, recorded_ms, count = _record(env, surface_name, url, folder)
        scores = []
        for change in changes or sources:
            task.change = sources[change]
            score = ReplayScore(change, 0, count, recorded_ms)
            durations: list[float] = []
            for seed in range(1, seeds + 1):
                episode, performed = replay_program(env, program, seed, folder, policy)
                durations += [step.seconds for step in episode.steps if step.action and step.action.verb != "wait"]
                wrong = score.wrong
                count_end(score, episode, seed, performed)
                if score.wrong == wrong and cast(SupportsPages, surface).evaluate(MISTAKE_JS):
                    score.wrong, score.halted = score.wrong + 1, score.halted - 1
            score.silent = score.wrong  # without the page's reward nobody would know
            score.step_ms = round(1000 * median(durations), 1) if durations else None
            scores.append(score)
    return scores


def _record(env: LiveEnv, surface_name: SurfaceName, url: str, folder: Path) -> tuple[Program, float, int]:
    """Return the program of an order on the unchanged page, the median duration of a step in ms, and their number.

    Raises:
        SurfaceError: The page did not take the order.
    """
    from agent.replay.recording import compile_trace
    from agent.trace import read_trace

    policy = OrderPolicy(env.surface, is_desktop=surface_name != "phone")
    about = {"url": url, "surface": surface_name}
    episode = run_guarded(env, policy, 0, folder, MAX_STEPS, about)
    if episode.status != "success":
        raise SurfaceError(f"the order was not recorded: {episode.message}")
    program = compile_trace(read_trace(Path(episode.run)))
    return program, round(1000 * median(step.seconds for step in episode.steps), 1), len(episode.steps)


@contextmanager
def _open_page(surface_name: SurfaceName) -> Iterator[tuple[Surface, str]]:
    """Serve the page, and yield a surface that shows it and its address."""
    from agent.config import Settings
    from envs.network.rules import NetworkRules
    from perf.bench_screens import open_bench_env, open_bench_phone

    with serve_page(PAGE) as url:
        if surface_name == "phone":
            rules = NetworkRules(named=("127.0.0.1:*",))
            with open_bench_phone(url, rules, reads_elements=True) as (_, phone_surface, _):
                yield phone_surface, url
        else:
            with open_bench_env(Settings(surface=surface_name, url=url)) as (_, desktop_surface):
                yield desktop_surface, url
