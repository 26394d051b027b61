"""Runs that go in circles are ended; runs that make progress are not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from helpers.agent_fakes import ButtonSurface, FakeEnv

from actions import Action, Screen, make_action
from agent import turn_executor
from agent.loop import Episode, run
from agent.policies.scripted import ScriptPolicy
from agent.repetition import RepetitionCounter

VERBS = frozenset({"click", "type", "wait", "scroll", "press", "move", "long_press", "drag", "open"})
Effect = Callable[[np.ndarray, int], None]  # (pixels, number of actions so far), called after each action


class ScriptedSurface(ButtonSurface):
    """A screen whose pixels change with every capture (`moving`) and with every action (`effect`)."""

    def __init__(self, effect: Effect | None, moving: Effect | None) -> None:
        super().__init__()
        self.effect, self.moving = effect, moving
        self.captures = 0

    def verbs(self) -> frozenset[str]:
        return VERBS

    def perform(self, action: Action) -> str:
        self.performed.append(action)
        if self.effect is not None:
            self.effect(self.pixels, len(self.performed))
        return ""

    def capture(self) -> Screen:
        self.captures += 1
        if self.moving is not None:
            self.moving(self.pixels, self.captures)
        return Screen(self.pixels.copy())


class WorkingEnv(FakeEnv):
    """An environment in which something runs during the first steps."""

    def __init__(self, busy_steps: int) -> None:
        super().__init__(task=False)
        self.busy_steps = busy_steps

    def step(self, action: Action) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        *result, info = super().step(action)
        self.busy_steps -= 1
        return (*result, info | {"busy": self.busy_steps >= 0})


def clock(pixels: np.ndarray, count: int) -> None:
    pixels[340:352, 200:240] = count * 37 % 251


def spinner(pixels: np.ndarray, count: int) -> None:
    x, y = ((200, 330), (212, 330), (212, 342), (200, 342))[count % 4]
    pixels[328:356, 196:228] = 200
    pixels[y : y + 8, x : x + 8] = 0


def counter(pixels: np.ndarray, count: int) -> None:
    pixels[40:52, 40:50] = count * 41 % 251  # the digit beside a "+" button


def caret(pixels: np.ndarray, count: int) -> None:
    pixels[60:76, 10 + 9 * count : 18 + 9 * count] = 0  # one letter more


def page(pixels: np.ndarray, count: int) -> None:
    pixels[100:300] = (np.arange(200)[:, None, None] * (count + 1) % 199).astype(np.uint8)


def toggle(pixels: np.ndarray, count: int) -> None:
    pixels[20:80, 200:260] = 10 if count % 2 else 200


def video(pixels: np.ndarray, count: int) -> None:
    pixels[210:320] = count * 37 % 251  # 30 % of the screen, below the buttons


def focus_ring(pixels: np.ndarray, count: int) -> None:
    pixels[20:340, 20:24] = 200
    y = 20 + 24 * count % 320
    pixels[y : y + 20, 20:24] = 0


def growing_bar(pixels: np.ndarray, count: int) -> None:
    pixels[320:330, : 6 * count] = 30


def click(x: int, y: int, **fields: Any) -> dict[str, Any]:
    return {"verb": "click", "x": x, "y": y, **fields}


def press(*keys: str) -> dict[str, Any]:
    return {"verb": "press", "keys": list(keys)}


WAIT = {"verb": "wait", "seconds": 0}


@pytest.fixture(autouse=True)
def _short_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the second hand of a clock."""
    monkeypatch.setattr(turn_executor, "WATCH_S", 0.0)


def run_actions(
    actions: Sequence[dict[str, Any]],
    *,
    effect: Effect | None = None,
    moving: Effect | None = None,
    steps: int = 30,
    busy_steps: int = 0,
) -> tuple[Episode, ScriptedSurface]:
    env = WorkingEnv(busy_steps)
    surface = env.surface = ScriptedSurface(effect, moving)
    replies = [json.dumps(action) for action in itertools.islice(itertools.cycle(actions), steps)]
    return run("", env, ScriptPolicy(replies), max_steps=steps), surface


A, B, C, D = click(50, 90), click(50, 170), press("enter"), click(200, 90)


@pytest.mark.parametrize("moving", [None, clock, spinner], ids=["still", "clock", "spinner"])
@pytest.mark.parametrize(
    ("cycle", "period"),
    [
        ([A], 1),
        ([A, B], 2),
        ([A, C], 2),
        ([A, B, C], 3),
        ([A, A, B], 3),
        ([A, B, C, D], 4),
        ([A, B, C, D, click(200, 170)], 5),
        ([A, B, C, D, click(200, 170), press("escape")], 6),
        ([{"verb": "open", "target": "https://example.org"}], 1),
        ([{"verb": "scroll", "down": 3}, {"verb": "scroll", "down": -3}], 2),
        ([{"verb": "type", "text": "hello"}], 1),
        ([A, click(51, 90)], 1),
        ([A, click(55, 94), click(52, 90)], 1),
        ([{"verb": "scroll", "down": 3}, {"verb": "scroll", "down": 5}], 1),
        ([{"verb": "drag", "path": [[5, 5], [50, 50]]}, {"verb": "drag", "path": [[6, 5], [52, 50]]}], 1),
        ([A, WAIT], 1),
        ([A, WAIT, WAIT, A, WAIT], 1),
    ],
)
def test_cycle_gets_notice_then_ends(cycle: list[dict[str, Any]], period: int, moving: Effect | None) -> None:
    episode, _ = run_actions(cycle, moving=moving, steps=40)
    notices = [step.notice for step in episode.steps if step.notice]
    assert episode.cause == "no progress"
    assert episode.message.endswith("5 times without a change")
    assert "3 times" in notices[0]
    if WAIT not in cycle:
        assert len(episode.steps) == 5 * period
        assert [bool(step.notice) for step in episode.steps] == [False] * (3 * period - 1) + [True] * (2 * period + 1)


def test_reopened_page_with_its_time_is_no_progress() -> None:
    """The page shows when it was loaded, which changes with each action and not by itself."""
    episode, _ = run_actions([{"verb": "open", "target": "https://example.org"}], effect=counter)
    assert (episode.cause, len(episode.steps)) == ("no progress", 5)


def test_cycle_beside_large_video_ends() -> None:
    episode, _ = run_actions([A, B], moving=video)
    assert episode.cause == "no progress"


def test_text_typed_again_gets_notice() -> None:
    """The field grows, so the screen changes; the model does not see that it has typed the text before."""
    for actions in ([{"verb": "type", "text": "hello"}], [click(60, 66), {"verb": "type", "text": "hello"}]):
        episode, _ = run_actions(actions, effect=caret, steps=8)
        assert episode.cause == "budget"
        assert "The same text was typed 3 times" in episode.steps[3 * len(actions) - 1].notice
        assert not any(step.notice for step in episode.steps[: 3 * len(actions) - 1])


def test_same_text_in_many_cells_is_progress() -> None:
    """A line break or a tab leads to the next cell."""
    for text in ("n/a\n", "n/a\t", "0"):
        episode, _ = run_actions([{"verb": "type", "text": text}], effect=caret, steps=12)
        assert not any(step.notice for step in episode.steps)


def test_moving_focus_ring_is_progress() -> None:
    episode, _ = run_actions([press("tab")], effect=focus_ring, steps=12)
    assert episode.cause == "budget"
    assert not any(step.notice for step in episode.steps)


@pytest.mark.parametrize("cycle", [[A], [A, B], [WAIT], [A, WAIT]])
def test_nothing_is_said_while_something_runs(cycle: list[dict[str, Any]]) -> None:
    """A request is open for long: an unchanged screen is no lack of progress."""
    episode, _ = run_actions(cycle, steps=20, busy_steps=20)
    assert episode.cause == "budget"
    assert not any(step.notice for step in episode.steps)


def test_rule_speaks_after_work_has_ended() -> None:
    episode, _ = run_actions([A], steps=20, busy_steps=6)
    assert (episode.cause, len(episode.steps)) == ("no progress", 11)
    assert not any(step.notice for step in episode.steps[:8])


def test_toggled_screen_is_no_progress() -> None:
    """A menu is opened and closed again and again."""
    episode, _ = run_actions([A, B], effect=toggle)
    assert (episode.cause, len(episode.steps)) == ("no progress", 10)
    assert "The last 2 actions were done 3 times in turn" in episode.steps[5].notice


def test_cycle_with_invalid_replies_ends_run() -> None:
    episode, _ = run_actions([A, click(900, 3)])
    assert (episode.cause, len(episode.steps)) == ("no progress", 10)


def test_waits_get_notice_then_end_run() -> None:
    episode, _ = run_actions([WAIT])
    assert (episode.cause, len(episode.steps), episode.message) == ("no progress", 10, "10 waits without a change")
    assert [bool(step.notice) for step in episode.steps] == [False] * 5 + [True] * 5


@pytest.mark.parametrize("moving", [clock, spinner])
def test_waits_beside_clock_get_notice(moving: Effect) -> None:
    episode, _ = run_actions([WAIT], moving=moving, steps=20)
    assert episode.cause == "budget"
    assert any("waits and almost nothing changed" in step.notice for step in episode.steps[:16])


@pytest.mark.parametrize(
    ("cycle", "effect"),
    [
        ([{"verb": "scroll", "down": 5}], page),
        ([A], page),  # the same "next" button
        ([A], counter),  # a "+" button
        ([press("backspace")], caret),
        ([{"verb": "type", "text": "a"}], caret),
        ([press("tab"), press("space")], counter),
        ([A, B], page),
        ([WAIT], page),
        ([WAIT], growing_bar),
    ],
)
@pytest.mark.parametrize("moving", [None, clock], ids=["still", "clock"])
def test_progress_is_no_repetition(cycle: list[dict[str, Any]], effect: Effect, moving: Effect | None) -> None:
    episode, _ = run_actions(cycle, effect=effect, moving=moving, steps=24)
    assert episode.cause == "budget"
    assert not any(step.notice for step in episode.steps)


def test_different_texts_and_distant_clicks_are_progress() -> None:
    actions = [{"verb": "type", "text": str(number)} for number in range(12)]
    actions += [click(10 + 20 * number, 300) for number in range(12)]
    episode, _ = run_actions(actions, steps=24)
    assert not any(step.notice for step in episode.steps)


@pytest.mark.parametrize(
    "other", [click(50, 90, button="right"), click(50, 90, count=2), click(56, 90), {"verb": "move", "x": 50, "y": 90}]
)
def test_other_action_at_same_place_joins_cycle(other: dict[str, Any]) -> None:
    episode, _ = run_actions([A, other])
    assert (episode.cause, len(episode.steps)) == ("no progress", 10)


def test_late_effect_of_action_is_progress() -> None:
    """A number that changes once, after the screenshot, is no clock."""
    surfaces: list[int] = []

    def late_counter(pixels: np.ndarray, count: int) -> None:
        surfaces.append(count)
        pixels[40:52, 40:50] = len(surfaces) // 2 * 41 % 251  # every second capture

    episode, _ = run_actions([A], moving=late_counter, effect=counter, steps=8)
    assert not any(step.notice for step in episode.steps)


def test_still_screen_needs_no_extra_capture() -> None:
    episode, surface = run_actions([A, B], steps=12)
    assert surface.captures == len(episode.steps) + 1


def test_repeated_effect_is_watched_rarely() -> None:
    episode, surface = run_actions([A], effect=counter, steps=30)
    assert len(episode.steps) == 30
    assert surface.captures - 31 <= 4


def test_count_is_bounded_in_endless_session() -> None:
    counted = RepetitionCounter(notice_count=3, max_count=20)
    screen = Screen(np.zeros((64, 64, 3), np.uint8))
    for _ in range(200):
        counted.add((make_action("click", x=1, y=1),), screen, screen)
    assert counted.count == 21


def test_change_of_screen_size_is_progress() -> None:
    counted = RepetitionCounter(notice_count=3, max_count=20)
    for number in range(9):
        screen = Screen(np.full((64 + number, 64, 3), number, np.uint8))
        counted.add((make_action("click", x=1, y=1),), screen, Screen(screen.pixels[:-1]))
        assert counted.count == 0
