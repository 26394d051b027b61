"""Looking twice: where the part lies, how its points come back, and when it is looked at at all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.agent_fakes import CLICK, FakeEnv

from actions import Reply, Screen
from agent import trace
from agent.history_window import HistoryWindow
from agent.loop import run
from agent.policies.scripted import ScriptPolicy
from agent.policies.zoom import UNCERTAIN_PX, Crop, ZoomPolicy
from model.dialects.qwen25 import Dialect
from model.engine.point_uncertainty import PointUncertainty
from model.processing.image import ImageLimits

VERBS = frozenset({"click", "type"})


@dataclass(frozen=True)
class Settings:
    dialect: str = "qwen25"
    tool: str = "computer_use"
    history: str = "turns"
    max_new_tokens: int = 64
    grammar: bool = False


@dataclass(frozen=True)
class Work:
    spread: PointUncertainty | None


@dataclass
class Chat:
    """Says what it was given to say, with a spread, and keeps what it was shown."""

    words: list[str]
    spread_px: float | None
    name: str = "tiny"
    path: Path = Path("/somewhere")
    fingerprint: str = "f00d"
    settings: Settings = Settings()
    work: Work | None = None
    seen: list[Screen] = field(default_factory=list)

    def reply(self, messages: Any, tools: Any = (), **how: Any) -> Reply:
        shown = [part["image"] for one in messages for part in one["content"] if part["type"] == "image"]
        self.seen.append(shown[-1])
        self.work = Work(None if self.spread_px is None else PointUncertainty(1, 2, self.spread_px, 0.0, 0.5))
        looks = () if self.spread_px is None else ({"x": 1, "y": 2, "x_px": self.spread_px},)
        return Reply(self.words[len(self.seen) - 1], reply_tokens=5, timings_s={"decode": 0.5}, localizations=looks)


def said(x: int, y: int, action: str = "left_click") -> str:
    arguments = f'{{"action": "{action}", "coordinate": [{x}, {y}]}}'
    return f'I see.\n<tool_call>\n{{"name": "computer_use", "arguments": {arguments}}}\n</tool_call>'


def screen(width: int = 1288, height: int = 728) -> Screen:
    y, x = np.mgrid[:height, :width]
    return Screen(np.stack([x % 256, y % 256, (x // 256 * 16 + y // 256)], axis=-1).astype(np.uint8))


def ask(chat: Chat, zoom: str, shown: Screen) -> tuple[Reply, ZoomPolicy]:
    policy = ZoomPolicy(chat, Dialect(ImageLimits()), HistoryWindow(4, 1), zoom=zoom)
    return policy.decide("Go.", (), shown, VERBS), policy


def test_the_point_in_the_part_is_put_into_the_first_reply() -> None:
    chat = Chat([said(400, 300), said(644, 364)], UNCERTAIN_PX + 1)
    reply, policy = ask(chat, "auto", screen())
    meant = policy.to_action(policy.parse(reply), screen())
    assert abs(meant.x - 400) <= 1 and abs(meant.y - 300) <= 1  # the middle of the part is where it was looked
    assert reply.text == said(meant.x, meant.y)
    near = chat.seen[1]
    assert (near.width, near.height) == (1288, 728)
    part = Crop.centered_at(screen(), 400, 300)
    assert (part.left, part.top, part.width, part.height) == (400 - 322, 300 - 182, 644, 364)
    middle = near.pixels[364, 644].astype(int) - screen().pixels[300, 400]
    assert int(abs(middle).max()) <= 2
    assert reply.reply_tokens == 10 and reply.timings_s["zoom"] == 0.5
    assert [one.get("part") for one in reply.localizations] == [
        None,
        {"left": 78, "top": 118, "width": 644, "height": 364},
    ]
    assert reply.localizations[1]["text"] == said(644, 364) and reply.image_digests[-1] == near.digest
    assert policy.metadata["zoom"] == "auto"


def test_every_pixel_of_the_part_comes_back_inside_it() -> None:
    shown = screen(101, 57)
    for x, y in ((0, 0), (100, 56), (50, 28)):
        part = Crop.centered_at(shown, x, y)
        assert part.left >= 0 and part.left + part.width <= 101 and part.top >= 0 and part.top + part.height <= 57
        for corner in ((0, 0), (100, 56)):
            back = part.to_screen(shown, *corner)
            assert part.left <= back[0] < part.left + part.width and part.top <= back[1] < part.top + part.height
        assert part.to_screen(shown, 0, 0) == (part.left, part.top)
    assert Crop.centered_at(Screen(np.zeros((1, 1, 3), np.uint8)), 0, 0) == Crop(0, 0, 1, 1)


@pytest.mark.parametrize(
    ("zoom", "spread_px", "words", "times"),
    [
        ("auto", UNCERTAIN_PX, said(400, 300), 1),  # sure enough
        ("on", 0.0, said(400, 300), 2),
        ("on", None, said(400, 300), 1),  # not known
        ("on", 50.0, said(1, 2) + said(3, 4), 1),  # two points
        ("on", 50.0, "no call at all", 1),
        ("on", 50.0, said(400, 300, "left_click_drag"), 1),  # not a mere point
    ],
)
def test_it_looks_again_only_at_a_point_that_is_unsure(
    zoom: str, spread_px: float | None, words: str, times: int
) -> None:
    chat = Chat([words, said(10, 10)], spread_px)
    reply, _ = ask(chat, zoom, screen())
    assert len(chat.seen) == times
    assert (reply.text == words) == (times == 1)


@pytest.mark.parametrize("second", ["no call", said(9999, 1), said(5, 5, "mouse_move")])
def test_a_second_look_that_finds_nothing_leaves_the_first(second: str) -> None:
    reply, _ = ask(Chat([said(400, 300), second], 50.0), "on", screen())
    assert reply.text == said(400, 300)
    assert reply.localizations[1]["text"] == second


@pytest.mark.parametrize(
    ("zoom", "spread_px", "second", "doubt"),
    [
        ("auto", 40.0, said(644, 364), "a second look was unsure by 20 pixels too"),  # half as wide a part
        ("auto", 40.0, "no call", "a second look did not find it again"),
        ("on", UNCERTAIN_PX, said(644, 364), ""),
        ("on", UNCERTAIN_PX, "no call", ""),
    ],
)
def test_a_reply_that_stays_unsure_says_so(zoom: str, spread_px: float, second: str, doubt: str) -> None:
    assert ask(Chat([said(400, 300), second], spread_px), zoom, screen())[0].uncertainty == doubt


class Doubting(ScriptPolicy):
    def decide(self, *given: Any) -> Reply:
        return replace(super().decide(*given), uncertainty="it is dark")


def test_a_person_who_is_there_decides_where_the_model_is_unsure() -> None:
    asked: list[str] = []
    answers = iter(["the green one", "n", "y"])

    def person(question: str) -> str:
        asked.append(question)
        return next(answers)

    env = FakeEnv()
    episode = run("", env, Doubting([CLICK] * 3), max_steps=3, ask=person)
    assert "not sure of the place: it is dark. y: do it" in asked[0] and "click" in asked[0]
    assert episode.steps[0].error == "you were unsure of the place, and the person said no: the green one"
    assert episode.steps[1].error == "you were unsure of the place, and the person said no"
    assert episode.status == "success"
    assert [one.verb for one in env.surface.performed if one.verb != "wait"] == ["click"]


def test_nobody_there_leaves_an_unsure_action_to_the_model() -> None:
    def nobody(_question: str) -> str:
        raise EOFError

    assert run("", FakeEnv(), Doubting([CLICK]), max_steps=1, ask=nobody).status == "success"
    assert run("", FakeEnv(), Doubting([CLICK]), max_steps=1).status == "success"


def test_a_place_that_changed_while_the_person_was_asked_is_left_alone() -> None:
    env = FakeEnv()

    def slow(_question: str) -> str:
        env.surface.pixels[:] = 0
        return "yes"

    episode = run("", env, Doubting([CLICK]), max_steps=1, ask=slow)
    assert "place changed" in episode.steps[0].error
    assert [one.verb for one in env.surface.performed] == ["wait"]  # another look, and no click


def test_the_trace_carries_both_looks(tmp_path: Path) -> None:
    looks = ({"x": 1, "y": 2, "x_px": 50.0}, {"x": 3, "y": 4, "x_px": 2.0, "part": {"left": 5}, "text": "again"})

    class Looked(ScriptPolicy):
        def decide(self, *given: Any) -> Reply:
            return replace(super().decide(*given), localizations=looks)

    folder = trace.new_folder(tmp_path / "runs")
    writer = trace.TraceWriter(folder, {"goal": "", "seed": 3, "policy": {"model": "script"}})
    run("", FakeEnv(), Looked([CLICK]), max_steps=1, trace=writer, seed=3)
    writer.close()
    assert trace.read_trace(folder).steps()[0].reply.localizations == looks
