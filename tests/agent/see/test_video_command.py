"""`agent see video`: in process with real video input, on a server with images, over runs, and its exports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.answering_model import answering_policy
from helpers.command import Agent
from helpers.made_runs import CLICK, MadeStep, make_run
from helpers.server_fakes import FakeServer, serve_fake
from helpers.video_files import scene_of, write_scenes
from PIL import Image

from actions import UsageError
from agent.see.video import MAX_IMAGES, find_events
from agent.see.video_events import EVENTS_SCHEMA, InvalidEventsError, VideoEvent
from agent.see.video_export import write_clips, write_contact_sheet
from model.processing.video_file import read_video

EVENTS = [
    {"start_time": "00:10.00", "end_time": "00:20.00", "description": "it turns \u001b[31mred"},
    {"start_time": "00:30.00", "end_time": "00:35.50", "description": "it turns blue"},
]


@dataclass
class EventServer(FakeServer):
    """A server that answers questions about videos, after a number of unreadable replies."""

    unreadable: int = 0
    end: str = "00:35.50"

    def reply(self, body: dict[str, Any]) -> str:
        if "mm:ss.ff" not in json.dumps(body):
            return super().reply(body)
        if self.unreadable:
            self.unreadable -= 1
            return "I cannot tell."
        return f"```json\n{json.dumps([EVENTS[0], {**EVENTS[1], 'end_time': self.end}])}\n```"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    write_scenes(path, 40, fps=10, size=(320, 180))
    return path


def last_content(server: FakeServer) -> list[Mapping[str, Any]]:
    return server.requests[-1]["messages"][-1]["content"]


def test_server_is_shown_timed_images(agent: Agent, clip: Path, tmp_path: Path) -> None:
    sheet, clips = tmp_path / "sheet.png", tmp_path / "clips"
    with serve_fake(EventServer()) as server:
        code, out, error = agent(
            *("see", "video", str(clip), "the color changes", "--model", f"{server.base}?dialect=qwen25#tiny"),
            *("--sheet", str(sheet), "--clips", str(clips)),
        )
        content = last_content(server)
    assert code == 0, error
    answer = json.loads(out)
    assert answer["events"] == EVENTS
    assert (answer["duration"], answer["frames"], answer["input"]) == ("00:40.00", MAX_IMAGES, "images")
    assert "\x1b" not in out
    assert sum(part["type"] == "image_url" for part in content) == MAX_IMAGES
    text = next(part["text"] for part in content if part["type"] == "text")
    assert "00:00.00, 00:02." in text
    assert "the color changes" in text
    assert Image.open(sheet).width > 800
    assert sorted(path.name for path in clips.iterdir()) == ["01-00m10s00.mp4", "02-00m30s00.mp4"]


def test_unreadable_reply_is_asked_again(agent: Agent, clip: Path) -> None:
    with serve_fake(EventServer(unreadable=1)) as server:
        code, out, _ = agent(
            "see", "video", str(clip), "--model", f"{server.base}?dialect=qwen25#tiny", "--frames", "4"
        )
        text = json.dumps(last_content(server))
    assert (code, json.loads(out)["events"]) == (0, EVENTS)
    assert "no JSON list" in text


@pytest.mark.parametrize("change", [{"unreadable": 2}, {"end": "09:00.00"}])
def test_second_invalid_reply_fails(agent: Agent, clip: Path, change: dict[str, Any]) -> None:
    with serve_fake(EventServer(**change)) as server:
        code, out, error = agent(
            "see", "video", str(clip), "--model", f"{server.base}?dialect=qwen25#tiny", "--frames", "4"
        )
    assert (code, out) == (1, "")
    assert "2 attempts" in error


def test_run_is_shown_as_its_recording(agent: Agent, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", [MadeStep(CLICK), MadeStep({"verb": "type", "text": "shoes"})])
    with serve_fake(EventServer(end="00:35.50")) as server:
        code, _, error = agent(
            "see", "video", str(run), "--model", f"{server.base}?dialect=qwen25#tiny", "--frames", "4"
        )
        content = last_content(server)
    assert sum(part["type"] == "image_url" for part in content) == 4
    assert code == 1  # the events of the fake are later than a recording of two steps
    assert "not within the video" in error


def test_unknown_source_is_refused(agent: Agent) -> None:
    code, _, error = agent("see", "video", "nothing.mp4", "--model", "embedded")
    assert code == 2
    assert "nothing.mp4 is no file, and no run" in error


@pytest.mark.model
def test_embedded_model_is_refused(agent: Agent, clip: Path) -> None:
    code, _, error = agent("see", "video", str(clip), "--model", "embedded")
    assert code == 2
    assert error.strip().endswith("embedded cannot answer questions: it was trained on actions alone")


@pytest.mark.model
def test_model_in_process_is_shown_a_video(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = {**EVENTS_SCHEMA["items"]}
    item["properties"] = {**item["properties"], "description": {"type": "string", "maxLength": 4}}
    monkeypatch.setattr("agent.see.video.EVENTS_SCHEMA", {"type": "array", "maxItems": 1, "items": item})
    monkeypatch.setattr("agent.see.video.MAX_ATTEMPTS", 1)
    policy = answering_policy()
    tokenizer = policy.chat.tokenizer
    placeholder = "<|vision_start|><|video_pad|><|vision_end|>"
    condition = "{% if part.type == 'image' %}"
    tokenizer.template_source = tokenizer.template_source.replace(
        condition, "{% if part.type == 'video' %}" + placeholder + "{% endif %}" + condition
    )
    vars(tokenizer).pop("_template", None)  # compiled from the template before
    prompts: list[str] = []
    reply_to = policy.answer_video

    def record(*arguments: Any) -> Any:
        reply = reply_to(*arguments)
        prompts.append(reply.prompt)
        json.loads(reply.text)  # a grammar holds it to the schema, whatever the weights
        assert reply.prompt_tokens > 100
        return reply

    policy.answer_video = record  # type: ignore[method-assign]
    try:
        answer = find_events(clip, "a change", policy, 8)
    except InvalidEventsError as error:  # of a model that was not trained on videos
        assert "1 attempts" in str(error)
    else:
        assert answer.form == "video"
    assert prompts[0].count("<|video_pad|>") == 1


def test_contact_sheet_shows_middle_frames(clip: Path, tmp_path: Path) -> None:
    video = read_video(clip)
    write_contact_sheet(video, [VideoEvent(10, 19, "second"), VideoEvent(30, 39, "fourth")], tmp_path / "sheet.png")
    pixels = Image.open(tmp_path / "sheet.png").convert("RGB")
    tiles = [pixels.crop((left + 50, 50, left + 350, 200)) for left in (16, 432)]
    import numpy as np

    assert [scene_of(np.asarray(tile)) for tile in tiles] == [1, 3]


def test_sheet_without_events_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no event to show"):
        write_contact_sheet(read_video(clip), [], tmp_path / "sheet.png")


def test_clips_cover_their_events(clip: Path, tmp_path: Path) -> None:
    events = [VideoEvent(12.0, 14.0, "a"), VideoEvent(18.0, 22.0, "b"), VideoEvent(39.95, 40.0, "c")]
    paths = write_clips(clip, events, tmp_path)
    durations = [read_video(path).duration for path in paths[:2]]
    assert durations == pytest.approx([2.1, 4.1], abs=0.11)
    assert {scene_of(frame) for frame in read_video(paths[0]).frames} == {1}
    assert {scene_of(frame) for frame in read_video(paths[1]).frames} == {1, 2}
    assert paths[2].stat().st_size > 500


def test_unwritable_clips_name_the_flag(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--clips"):
        write_clips(clip, [VideoEvent(0, 1, "a")], tmp_path / "file" / "clips")
