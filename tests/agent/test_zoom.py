"""Tests of ZoomPolicy: the crop, the mapping of its points, and when a second prediction is made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.agent_fakes import CLICK, FakeEnv

from actions import Reply, Screen, plugins
from agent import trace
from agent.history_window import HistoryWindow
from agent.loop import run
from agent.policies.scripted import JsonDialect, ScriptPolicy
from agent.policies.zoom import UNCERTAIN_PX, Crop, ZoomPolicy, supports_zoom
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
class Stats:
    uncertainty: PointUncertainty | None


@dataclass
class Chat:
    """A chat model that replays replies with an uncertainty, and keeps the screens of its prompts."""

    replies: list[str]
    spread_px: float | None
    name: str = "tiny"
    path: Path = Path("/somewhere")
    fingerprint: str = "f00d"
    settings: Settings = Settings()
    stats: Stats | None = None
    screens: list[Screen] = field(default_factory=list)

    def reply(self, messages: Any, tools: Any = (), **options: Any) -> Reply:
        screen_now = [crop["image"] for item in messages for crop in item["content"] if crop["type"] == "image"]
        self.screens.append(screen_now[-1])
        self.stats = Stats(None if self.spread_px is None else PointUncertainty(1, 2, self.spread_px, 0.0, 0.5))
        localizations = () if self.spread_px is None else ({"x": 1, "y": 2, "x_px": self.spread_px},)
        return Reply(
            self.replies[len(self.screens) - 1], reply_tokens=5, timings_s={"decode": 0.5}, localizations=localizations
        )


def reply_text(x: int, y: int, action: str = "left_click") -> str:
    arguments = f'{{"action": "{action}", "coordinate": [{x}, {y}]}}'
    return f'I see.\n<tool_call>\n{{"name": "computer_use", "arguments": {arguments}}}\n</tool_call>'


def screen(width: int = 1288, height: int = 728) -> Screen:
    y, x = np.mgrid[:height, :width]
    return Screen(np.stack([x % 256, y % 256, (x // 256 * 16 + y // 256)], axis=-1).astype(np.uint8))


def decide(chat: Chat, zoom: str, screen_now: Screen) -> tuple[Reply, ZoomPolicy]:
    policy = ZoomPolicy(chat, Dialect(ImageLimits()), HistoryWindow(4, 1), zoom=zoom)
    return policy.decide("Go.", (), screen_now, VERBS), policy


def test_crop_point_replaces_point_of_first_reply() -> None:
    chat = Chat([reply_text(400, 300), reply_text(644, 364)], UNCERTAIN_PX + 1)
    reply, policy = decide(chat, "auto", screen())
    action = policy.to_action(policy.parse(reply), screen())
    assert abs(action.x - 400) <= 1
    assert abs(action.y - 300) <= 1
    assert reply.text == reply_text(action.x, action.y)
    crop_screen = chat.screens[1]
    assert (crop_screen.width, crop_screen.height) == (1288, 728)
    crop = Crop.centered_at(screen(), 400, 300)
    assert (crop.left, crop.top, crop.width, crop.height) == (400 - 322, 300 - 182, 644, 364)
    middle = crop_screen.pixels[364, 644].astype(int) - screen().pixels[300, 400]
    assert int(abs(middle).max()) <= 2
    assert reply.reply_tokens == 10
    assert reply.timings_s["zoom"] == 0.5
    assert [item.get("part") for item in reply.localizations] == [
        None,
        {"left": 78, "top": 118, "width": 644, "height": 364},
    ]
    assert reply.localizations[1]["text"] == reply_text(644, 364)
    assert reply.image_digests[-1] == crop_screen.digest
    assert policy.metadata["zoom"] == "auto"


def test_crop_pixels_map_back_into_crop() -> None:
    screen_now = screen(101, 57)
    for x, y in ((0, 0), (100, 56), (50, 28)):
        crop = Crop.centered_at(screen_now, x, y)
        assert crop.left >= 0
        assert crop.left + crop.width <= 101
        assert crop.top >= 0
        assert crop.top + crop.height <= 57
        for corner in ((0, 0), (100, 56)):
            mapped = crop.to_screen(screen_now, *corner)
            assert crop.left <= mapped[0] < crop.left + crop.width
            assert crop.top <= mapped[1] < crop.top + crop.height
        assert crop.to_screen(screen_now, 0, 0) == (crop.left, crop.top)
    assert Crop.centered_at(Screen(np.zeros((1, 1, 3), np.uint8)), 0, 0) == Crop(0, 0, 1, 1)


@pytest.mark.parametrize(
    ("zoom", "spread_px", "replies", "request_count"),
    [
        ("auto", UNCERTAIN_PX, reply_text(400, 300), 1),  # certain enough
        ("on", 0.0, reply_text(400, 300), 2),
        ("on", None, reply_text(400, 300), 1),  # unknown uncertainty
        ("on", 50.0, reply_text(1, 2) + reply_text(3, 4), 1),  # two points
        ("on", 50.0, "no call at all", 1),
        ("on", 50.0, reply_text(400, 300, "left_click_drag"), 1),  # not a pointing action
    ],
)
def test_second_prediction_only_for_uncertain_point(
    zoom: str, spread_px: float | None, replies: str, request_count: int
) -> None:
    chat = Chat([replies, reply_text(10, 10)], spread_px)
    reply, _ = decide(chat, zoom, screen())
    assert len(chat.screens) == request_count
    assert (reply.text == replies) == (request_count == 1)


@pytest.mark.parametrize("second", ["no call", reply_text(9999, 1), reply_text(5, 5, "mouse_move")])
def test_invalid_second_prediction_keeps_first(second: str) -> None:
    reply, _ = decide(Chat([reply_text(400, 300), second], 50.0), "on", screen())
    assert reply.text == reply_text(400, 300)
    assert reply.localizations[1]["text"] == second


@pytest.mark.parametrize(
    ("zoom", "spread_px", "second", "uncertainty"),
    [
        ("auto", 40.0, reply_text(644, 364), "a second prediction on an enlarged crop is uncertain by 20 pixels too"),
        ("auto", 40.0, "no call", "a second prediction on an enlarged crop did not find the target"),
        ("on", UNCERTAIN_PX, reply_text(644, 364), ""),
        ("on", UNCERTAIN_PX, "no call", ""),
    ],
)
def test_uncertain_second_prediction_sets_uncertainty(
    zoom: str, spread_px: float, second: str, uncertainty: str
) -> None:
    assert decide(Chat([reply_text(400, 300), second], spread_px), zoom, screen())[0].uncertainty == uncertainty


class UncertainScript(ScriptPolicy):
    def decide(self, *arguments: Any) -> Reply:
        return replace(super().decide(*arguments), uncertainty="it is dark")


def test_user_decides_about_uncertain_action() -> None:
    questions: list[str] = []
    answers = iter(["the green one", "n", "y"])

    def answer(question: str) -> str:
        questions.append(question)
        return next(answers)

    env = FakeEnv()
    episode = run("", env, UncertainScript([CLICK] * 3), max_steps=3, ask=answer)
    assert "position is uncertain: it is dark. y: do it" in questions[0]
    assert "click" in questions[0]
    assert episode.steps[0].error == "you were unsure of the place, and the person said no: the green one"
    assert episode.steps[1].error == "you were unsure of the place, and the person said no"
    assert episode.status == "success"
    assert [item.verb for item in env.surface.performed if item.verb != "wait"] == ["click"]


def test_uncertain_action_without_user_is_performed() -> None:
    def nobody(_question: str) -> str:
        raise EOFError

    assert run("", FakeEnv(), UncertainScript([CLICK]), max_steps=1, ask=nobody).status == "success"
    assert run("", FakeEnv(), UncertainScript([CLICK]), max_steps=1).status == "success"


def test_changed_target_is_not_clicked() -> None:
    env = FakeEnv()

    def answer_slowly(_question: str) -> str:
        env.surface.pixels[:] = 0
        return "yes"

    episode = run("", env, UncertainScript([CLICK]), max_steps=1, ask=answer_slowly)
    assert "place changed" in episode.steps[0].error
    assert [item.verb for item in env.surface.performed] == ["wait"]  # a new screenshot, and no click


def test_trace_keeps_all_localizations(tmp_path: Path) -> None:
    localizations = (
        {"x": 1, "y": 2, "x_px": 50.0},
        {"x": 3, "y": 4, "x_px": 2.0, "part": {"left": 5}, "text": "again"},
    )

    class LocalizingScript(ScriptPolicy):
        def decide(self, *arguments: Any) -> Reply:
            return replace(super().decide(*arguments), localizations=localizations)

    folder = trace.new_folder(tmp_path / "runs")
    writer = trace.TraceWriter(folder, {"goal": "", "seed": 3, "policy": {"model": "script"}})
    run("", FakeEnv(), LocalizingScript([CLICK]), max_steps=1, trace=writer, seed=3)
    writer.close()
    assert trace.read_trace(folder).steps()[0].reply.localizations == localizations


@pytest.mark.parametrize("name", plugins.list_plugins("model.dialects"))
def test_every_dialect_supports_zoom(name: str) -> None:
    dialect = plugins.load_plugin("model.dialects", name).Dialect(ImageLimits())
    assert supports_zoom(dialect)


def test_dialect_without_located_points_cannot_zoom() -> None:
    assert not supports_zoom(JsonDialect())
