"""The command `agent bench repeat`: whether the same seeds and actions give the same screens on practice pages."""

from __future__ import annotations

import contextlib
import json as json_
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

if TYPE_CHECKING:
    from actions import Action, Screen, Surface
    from envs.live import LiveEnv

SEED_START = 900_000
TIMEOUT_S = 60.0  # a page without an answer may only be short of processor time
# Motion, timers, animations, lists, drags, scrolling, native fields, and plain pages.
TASKS = (
    "book-flight", "button-delay", "chase-circle", "choose-date", "choose-list", "click-button", "click-checkboxes",
    "click-collapsible", "click-dialog", "click-menu", "click-pie", "drag-cube", "email-inbox", "enter-date",
    "hover-shape", "login-user", "moving-items", "simon-says", "stock-market", "use-autocomplete",
)  # fmt: skip
NO_ORACLE_TASKS = ("enter-date",)  # its oracle needs parts of the page that only the DevTools protocol reaches
WORD_LETTERS = "abcdefghijklmnopqrstuvwxyz"
Kind = Literal["scripted", "oracle"]


@dataclass(frozen=True)
class EpisodeRecord:
    """What one episode showed: the goal, and [digest of the screen, reward, done] for the start and each step."""

    goal: str
    steps: list[tuple[str, float, bool]]


@dataclass(frozen=True)
class RepeatResult:
    """Screens of one task that were compared with those of the first run."""

    task: str
    screens: int
    different: int


def repeat(
    tasks: Annotated[list[str] | None, typer.Argument(help="Tasks. Default: twenty.", show_default=False)] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each task.")] = 5,
    runs: Annotated[int, typer.Option(min=2, help="Runs of each seed.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Steps of an episode, at most.")] = 8,
    busy: Annotated[int, typer.Option(min=0, help="Processes that keep processor cores busy meanwhile.")] = 2,
    surface: Annotated[
        str, typer.Option("--surface", "--on", help="browser, desktop:virtual or android:SERIAL of a simulated phone.")
    ] = "browser",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Run episodes of practice pages several times, and compare every screen and reward.

    The actions depend on the task and the seed only: clicks, drags, keys and waits at random, and the solutions of the
    pages that have an oracle. The exit code is 1 if anything differs.
    """
    from envs.miniwob import pages

    names = tasks or list(TASKS)
    for name in names:
        pages.page(name)
    with busy_processes(busy):
        results = compare_runs(names, range(SEED_START, SEED_START + seeds), runs, steps, surface)
    total, different = sum(result.screens for result in results), sum(result.different for result in results)
    if json:
        print(
            json_.dumps(
                {
                    "surface": surface,
                    "seeds": seeds,
                    "runs": runs,
                    "busy": busy,
                    "found": [asdict(result) for result in results],
                }
            )
        )
    else:
        for result in results:
            print(f"{result.task:24} {result.screens:5} screens  {result.different:5} different")
        print(f"{surface}: {len(names)} tasks x {seeds} seeds x {runs} runs: {total} screens, {different} different")
    if different:
        raise typer.Exit(1)


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep `count` processor cores busy in the block."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def compare_runs(
    tasks: Sequence[str], seeds: Sequence[int], runs: int, steps: int, surface_name: str = "browser"
) -> list[RepeatResult]:
    """Run each task and seed `runs` times, each run on a new surface, and count what differs from the first run."""
    expected: dict[tuple[str, int, Kind], EpisodeRecord] = {}
    screens: Counter[str] = Counter()
    different: Counter[str] = Counter()
    for _ in range(runs):
        for key, record in record_run(tasks, seeds, steps, surface_name):
            first = expected.setdefault(key, record)
            task = key[0]
            screens[task] += len(record.steps)
            is_comparable = record.goal == first.goal and len(record.steps) == len(first.steps)
            pairs = zip(record.steps, first.steps, strict=False)
            different[task] += sum(a != b for a, b in pairs) if is_comparable else len(record.steps)
    return [RepeatResult(task, screens[task], different[task]) for task in tasks]


def record_run(
    tasks: Sequence[str], seeds: Sequence[int], steps: int, surface_name: str = "browser"
) -> Iterator[tuple[tuple[str, int, Kind], EpisodeRecord]]:
    """Yield the records of all episodes on one surface, each with its task, seed and the kind of its actions."""
    from envs.miniwob.env import miniwob_env
    from training.oracles import ORACLES

    with contextlib.closing(open_practice_surface(surface_name, tasks[0])) as surface:
        for task in tasks:
            env = miniwob_env(task, surface=surface)
            has_oracle = task in ORACLES and task not in NO_ORACLE_TASKS
            kinds: list[Kind] = ["scripted", "oracle"] if has_oracle else ["scripted"]
            for seed, kind in product(seeds, kinds):
                yield (task, seed, kind), record_episode(env, task, seed, kind, steps)


def open_practice_surface(name: str, task: str) -> Surface:
    """Open a surface that shows a practice page.

    Raises:
        UsageError: for a surface without practice pages.
    """
    from envs.factory import open_surface
    from envs.miniwob import pages
    from envs.options import SurfaceOptions
    from envs.surfaces.browser import Surface

    address = pages.ADDRESS_PREFIX + task
    if name == "browser":
        return Surface(address, timeout_s=TIMEOUT_S)
    return open_surface(name, SurfaceOptions(url=address))


def record_episode(env: LiveEnv, task: str, seed: int, kind: Kind, steps: int) -> EpisodeRecord:
    """Run one episode and return its record."""
    _, info = env.reset(seed=seed)
    record = EpisodeRecord(info["goal"], [(info["screen"].digest, 0.0, False)])
    actions = (
        scripted_actions(task, seed, info["screen"], env.surface.verbs())
        if kind == "scripted"
        else oracle_actions(env, task, info["goal"])
    )
    for _, action in zip(range(steps), actions, strict=False):
        _, reward, done, _, info = env.step(action)
        record.steps.append((info["screen"].digest, reward, done))
        if done:
            break
    return record


def scripted_actions(task: str, seed: int, screen: Screen, verbs: frozenset[str]) -> Iterator[Action]:
    """Yield random actions that depend on the task and the seed only; a click for one that the surface lacks."""
    from actions import Click, Drag, Move, Point, PressKeys, Scroll, TypeText, Wait

    rng = random.Random(f"{task}-{seed}")

    def point() -> Point:
        return Point(x=rng.randrange(screen.width), y=rng.randrange(screen.height))

    while True:
        target = point()
        x, y = target.x, target.y
        match rng.randrange(10):
            case 0 if "move" in verbs:
                yield Move(x=x, y=y)
            case 1:
                yield Drag(path=(target, point()))
            case 2:
                yield Scroll(x=x, y=y, down=rng.choice((-3, 3)))
            case 3:
                yield TypeText(text="".join(rng.choices(WORD_LETTERS, k=4)))
            case 4:
                yield PressKeys(keys=(rng.choice(("tab", "enter", "down", "backspace")),))
            case 5:
                yield Wait(seconds=rng.choice((0.1, 0.5, 2.0)))
            case 6:
                yield Click(x=x, y=y, count=2)
            case _:
                yield Click(x=x, y=y)


def oracle_actions(env: LiveEnv, task: str, goal: str) -> Iterator[Action]:
    """Yield the solution of the page, until it has none for what is shown."""
    from actions.surface import SupportsPages
    from envs.miniwob import pages
    from model.dialects.parts.arguments import Arguments
    from model.dialects.parts.coordinates import RESIZED_PIXELS, CoordinateMapper
    from model.dialects.parts.qwen_tools import COMPUTER
    from training import oracles

    surface = env.surface
    assert isinstance(surface, SupportsPages)
    page = pages.page(task)
    surface.evaluate(f"(() => {{ {oracles.script()} }})()")
    while True:
        questions = cast(list[Mapping[str, Any]], surface.evaluate(oracles.questions_js(task, page.scale, 0)))
        answer = next((question["answer"] for question in questions if question["goal"] == goal), None)
        if answer is None:
            return
        spec = COMPUTER.rows[answer["action"]]
        mapper = CoordinateMapper(RESIZED_PIXELS, env.screen, page.screen_size)
        yield cast("Action", spec.to_actions(Arguments(spec.name, dict(answer), mapper)))
