"""The command `agent bench surfaces`: durations of captures and actions beside other libraries' plain calls.

The baselines are called as in their own first examples: pyautogui with its default PAUSE, adb by a subprocess per
command, Playwright's page. Both sides show the same kind of page and are called in alternation; every figure is a
median. This project's calls end with checked pixels in memory and go through dispatch, as in a run; a baseline's end
with what the call returns (pyautogui an image, the others a PNG). All run on screens of their own.
"""

from __future__ import annotations

import json as json_
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perf.bench_screens import open_bench_env, open_bench_phone
from perf.surface_baselines import (
    PyAutoGuiProcess,
    TimedCall,
    open_playwright_page,
    serve_page,
    time_call,
    with_x_cookie,
)

if TYPE_CHECKING:
    from actions import Screen, Surface

DESKTOP_SIZE = (1920, 1080)  # pixels
PAGE_SIZE = (1288, 728)  # CSS pixels, the size of a browser in a run
TEXT = "the quick brown fox 0123456789"
CLICK_POINTS = ((400, 300), (430, 340))  # on the page, outside the text field
PHONE_POINTS = ((60, 60), (80, 90))
WARMUP_ROUNDS = 2
STABLE_S = 0.2
GUARD_ATTEMPTS = 10
MAX_CAPTURES = 50  # for the screen to become stable


@dataclass(frozen=True)
class SurfaceTiming:
    """The durations of one operation on one surface, medians in milliseconds."""

    surface: str
    what: str  # guard (of a click; the baseline is the click without it), look (capture), act (click), step or type
    ours_ms: float | None  # None where it could not be measured
    peer: str  # the baseline
    peer_ms: float | None
    rounds: int
    problem: str = ""  # why something could not be measured

    @property
    def ratio(self) -> float | None:
        """The baseline's duration divided by this project's."""
        return None if not self.ours_ms or self.peer_ms is None else self.peer_ms / self.ours_ms

    def as_dict(self) -> dict[str, Any]:
        """Return the timing as JSON data."""
        values = {key: round(value, 2) if isinstance(value, float) else value for key, value in asdict(self).items()}
        return {
            **values,
            "ratio": None if self.ratio is None else round(self.ratio, 2),
            "baseline": self.peer,
            "baseline_ms": values["peer_ms"],
        }


@dataclass(frozen=True)
class SurfaceComparison:
    """The operations of this project and of a baseline on one kind of screen, by name."""

    ours: Mapping[str, TimedCall]
    baseline: Mapping[str, TimedCall]
    name: str  # of the baseline
    problem: str = ""  # why there is no baseline


def surfaces(
    names: Annotated[
        list[str] | None,
        typer.Option("--surface", "--on", help="browser, desktop:virtual or phone; repeatable. Default: all."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Number of timed rounds, of which the median is reported.")] = 15,
    json: Annotated[bool, typer.Option("--json", help="Print no table, only one JSON object per line.")] = False,
) -> None:
    """Time captures and actions on each surface beside pyautogui, adb and Playwright."""
    timings: list[SurfaceTiming] = []
    for name in select_surfaces(names or list(SURFACES)):
        rows = measure(name, rounds)
        timings += rows
        if not json:
            print(format_timings(rows), file=sys.stderr)
        for row in rows:
            print(json_.dumps(row.as_dict()), flush=True)
    if not any(row.ours_ms is not None for row in timings):
        from actions import UsageError

        raise UsageError(f"no surface could be measured: {timings[0].problem}")


def select_surfaces(names: Sequence[str]) -> list[str]:
    """Return the names without duplicates.

    Raises:
        UsageError: A name is no surface that can be measured.
    """
    for name in names:
        if name not in SURFACES:
            from actions import UsageError

            raise UsageError(f"--surface is one of {', '.join(SURFACES)}, not '{name}'")
    return list(dict.fromkeys(names))


def measure(name: str, rounds: int) -> list[SurfaceTiming]:
    """Return the timings of one surface, or a single one with the reason where it is not available."""
    from actions import Error

    try:
        with SURFACES[name]() as comparison:
            guard = _guard_comparison(comparison)
            return [
                _measure_operation(name, what, guard if what == "guard" else comparison, rounds)
                for what in comparison.ours
            ]
    except Error as error:
        return [SurfaceTiming(name, "look", None, "", None, rounds, str(error))]


def _guard_comparison(comparison: SurfaceComparison) -> SurfaceComparison:
    """Return what the guard adds to a click (facts, decision and the check for freshness) beside the bare click."""
    baseline = {"guard": comparison.ours["act"]} if "act" in comparison.ours else {}
    return SurfaceComparison(comparison.ours, baseline, "the same click without the guard")


def _measure_operation(name: str, what: str, comparison: SurfaceComparison, rounds: int) -> SurfaceTiming:
    """Call both sides in alternation, so that other load on the machine affects both."""
    from actions import Error

    times: dict[str, list[float]] = {"ours": [], "baseline": []}
    problem = comparison.problem
    for number in range(WARMUP_ROUNDS + rounds):
        for side, calls in (("ours", comparison.ours), ("baseline", comparison.baseline)):
            if what not in calls or (side == "baseline" and problem):
                continue
            try:
                elapsed_ms = calls[what](number)
            except Error as error:
                if side == "ours":
                    raise
                problem = str(error)
                continue
            if number >= WARMUP_ROUNDS and elapsed_ms is not None:
                times[side].append(elapsed_ms)
    medians = {side: statistics.median(samples) if samples else None for side, samples in times.items()}
    baseline_ms = None if problem else medians["baseline"]
    return SurfaceTiming(name, what, medians["ours"], comparison.name, baseline_ms, rounds, problem)


def format_timings(timings: Sequence[SurfaceTiming]) -> str:
    """Return the timings as a table."""

    def number(value: float | None, digits: int = 1) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    lines = [f"{'surface':16} {'what':6} {'ours ms':>9} {'base ms':>9} {'ratio':>6}  baseline"]
    for row in timings:
        figures = f"{number(row.ours_ms):>9} {number(row.peer_ms):>9} {number(row.ratio, 2):>6}"
        lines.append(f"{row.surface:16} {row.what:6} {figures}  {row.problem or row.peer}")
    return "\n".join(lines)


def pixelhand_calls(
    surface: Surface, points: Sequence[tuple[int, int]], *, supports_typing: bool
) -> dict[str, TimedCall]:
    """Return this project's operations, through dispatch as in a run."""
    from actions import Click, TypeText
    from actions.dispatch import dispatch

    screen = surface.capture()

    def click(number: int) -> None:
        x, y = points[number % len(points)]
        dispatch(Click(x=x, y=y), surface, screen)

    def step(number: int) -> None:
        click(number)
        surface.capture()

    calls = {
        "guard": _time_guard(surface, points[0]),
        "look": time_call(lambda number: surface.capture()),
        "act": time_call(click),
        "step": time_call(step),
    }
    if supports_typing:
        calls["type"] = time_call(lambda number: dispatch(TypeText(text=TEXT), surface, screen))
    return calls


def _capture_stable(surface: Surface) -> Screen:
    """Return the screen once it is as it was STABLE_S earlier: what the last click draws may come late."""
    screen = surface.capture()
    for _ in range(MAX_CAPTURES):
        time.sleep(STABLE_S)
        previous, screen = screen, surface.capture()
        if previous.digest == screen.digest:
            break
    return screen


def _time_guard(surface: Surface, point: tuple[int, int]) -> TimedCall:
    """Return a call that times facts and decision of a click under the preset `cautious`, without the click."""
    import tempfile
    from pathlib import Path

    from actions import ActionRejectedError, Click
    from agent.safety.guard import ActionGuard
    from agent.safety.policy import PolicyLayer, SafetyPolicy, load_preset

    policy = SafetyPolicy((PolicyLayer("preset", "preset cautious", load_preset("cautious")),))
    guard = ActionGuard(policy, surface, Path(tempfile.gettempdir()), lambda event, **facts: None)
    guard.limits.limits = guard.limits.limits.model_copy(update={"repeats": None})
    action = Click(x=point[0], y=point[1])

    def call(number: int) -> float:
        for attempts_left in reversed(range(GUARD_ATTEMPTS)):
            screen = _capture_stable(surface)
            start = time.perf_counter()
            try:
                guard(action, screen)
                break
            except ActionRejectedError:  # the effect of the last click was drawn between capture and check
                if not attempts_left:
                    raise
        return 1000 * (time.perf_counter() - start)

    return call


@contextmanager
def _compare_browser() -> Iterator[SurfaceComparison]:
    from agent.config import Settings
    from envs.chromium.executable import find_chrome

    with ExitStack() as stack:
        url = stack.enter_context(serve_page())
        chrome = str(find_chrome())
        settings = Settings(url=url, width=PAGE_SIZE[0], height=PAGE_SIZE[1])
        _, surface = stack.enter_context(open_bench_env(settings))
        page, version = stack.enter_context(open_playwright_page(url, chrome, PAGE_SIZE))

        def click(number: int) -> None:
            page.mouse.click(*CLICK_POINTS[number % len(CLICK_POINTS)])

        def step(number: int) -> None:
            click(number)
            page.screenshot()

        page.focus("#t")
        surface.evaluate("document.getElementById('t').focus()")
        baseline = {
            "look": time_call(lambda number: page.screenshot()),
            "act": time_call(click),
            "step": time_call(step),
            "type": time_call(lambda number: page.keyboard.type(TEXT)),
        }
        ours = pixelhand_calls(surface, CLICK_POINTS, supports_typing=True)
        yield SurfaceComparison(ours, baseline, f"playwright {version}: screenshot, mouse.click")


@contextmanager
def _compare_desktop() -> Iterator[SurfaceComparison]:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from agent.config import Settings
    from envs.surfaces.desktop import Surface

    with ExitStack() as stack:
        url = stack.enter_context(serve_page())
        settings = Settings(surface="desktop:virtual", url=url, width=DESKTOP_SIZE[0], height=DESKTOP_SIZE[1])
        _, surface = stack.enter_context(open_bench_env(settings))
        assert isinstance(surface, Surface)
        ours = pixelhand_calls(surface, CLICK_POINTS, supports_typing=True)
        ours["act"](0)  # moves the pointer out of the corner, where pyautogui's fail-safe raises
        folder = Path(stack.enter_context(TemporaryDirectory()))
        environ = with_x_cookie(surface.environ, folder / "cookie")
        process = stack.enter_context(PyAutoGuiProcess(environ))

        def click(number: int) -> float:
            return process.call("click", *CLICK_POINTS[number % len(CLICK_POINTS)])

        def step(number: int) -> float:
            return click(number) + process.call("screenshot")

        baseline: dict[str, TimedCall] = {
            "look": lambda number: process.call("screenshot"),
            "act": click,
            "step": step,
            "type": lambda number: process.call("write", TEXT),
        }
        surface.evaluate("document.getElementById('t').focus()")
        yield SurfaceComparison(ours, {} if process.problem else baseline, process.name, process.problem)


@contextmanager
def _compare_phone() -> Iterator[SurfaceComparison]:
    with open_bench_phone() as (phone, surface, server):

        def capture(number: int) -> None:
            server.run("-s", phone.address, "exec-out", "screencap", "-p")

        def tap(number: int) -> None:
            x, y = PHONE_POINTS[number % len(PHONE_POINTS)]
            server.run("-s", phone.address, "shell", "input", "tap", str(x), str(y))

        def step(number: int) -> None:
            tap(number)
            capture(number)

        baseline = {"look": time_call(capture), "act": time_call(tap), "step": time_call(step)}
        ours = pixelhand_calls(surface, PHONE_POINTS, supports_typing=False)
        yield SurfaceComparison(ours, baseline, "adb exec-out screencap -p, shell input tap")


SURFACES: dict[str, Callable[[], AbstractContextManager[SurfaceComparison]]] = {
    "browser": _compare_browser,
    "desktop:virtual": _compare_desktop,
    "phone": _compare_phone,
}
