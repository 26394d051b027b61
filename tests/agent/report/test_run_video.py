"""Videos of runs: their files, pace, captions, and what is said where one cannot be written."""

from __future__ import annotations

import builtins
import gc
from pathlib import Path
from typing import Any

import pytest
from helpers.command import Agent
from helpers.made_runs import CLICK, MadeStep, make_run, make_screen
from PIL import Image

from actions import Screen, UsageError
from agent.report import video
from agent.report.drawing import OUTCOME_COLORS, draw_caption, fit_text, font, wrap_text
from agent.report.images import ScreenCache, load_screen
from agent.report.records import read_run
from agent.report.scenes import SceneWriter, VideoLayout, make_layout
from agent.trace import FRAMES, read_trace

DRAG = {"verb": "drag", "path": [[10, 20], [200, 20], [200, 300]]}
STEPS = [
    MadeStep(CLICK, thought="the button is blue"),
    MadeStep({"verb": "type", "text": "shoes"}),
    MadeStep(DRAG, error="the pointer left the page"),
]


def scenes(folder: Path, fps: int = 25) -> tuple[SceneWriter, VideoLayout]:
    trace = read_trace(folder)
    layout = make_layout(make_screen(0), 1280)
    cache = ScreenCache(lambda digest: load_screen(trace, digest))
    return SceneWriter(read_run(trace), cache, layout, fps), layout


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".webm", "vp9"), (".gif", "gif"), (".MP4", "h264")])
def test_video_file_can_be_decoded(tmp_path: Path, suffix: str, codec: str) -> None:
    av = pytest.importorskip("av")
    path = video.write_run_video(make_run(tmp_path / "runs", STEPS), tmp_path / f"run{suffix}")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == codec
        assert (stream.width % 2, stream.height % 2) == (0, 0)
        frames = [(frame.pts * frame.time_base, frame) for frame in container.decode(video=0)]
    times = [time for time, _ in frames]
    assert times == sorted(set(times))
    assert 9 < times[-1] < 14
    first = frames[0][1].to_ndarray(format="rgb24")
    last = frames[-1][1].to_ndarray(format="rgb24")
    assert first.mean() > 10
    assert abs(last.astype(int) - OUTCOME_COLORS["done"]).sum(axis=2).min() < 60  # the word "success"


def test_frames_follow_the_layout(tmp_path: Path) -> None:
    writer, layout = scenes(make_run(tmp_path, STEPS))
    images = list(writer.frames())
    assert {image.size for image, _ in images} == {(layout.width, layout.height)}
    assert all(count >= 1 for _, count in images)
    red = (230, 0, 60)
    marked = [image for image, _ in images if red in {color for _, color in image.getcolors(1 << 20) or ()}]
    assert len(marked) > 10


def test_long_runs_are_shown_faster(tmp_path: Path) -> None:
    paces = [scenes(make_run(tmp_path / str(n), [MadeStep(CLICK, is_changed=False)] * n))[0].pace for n in (2, 100)]
    assert paces[0] == 1.0
    assert 0.4 < paces[1] < 0.7


def test_images_in_memory_do_not_grow(tmp_path: Path) -> None:
    peaks = []
    for steps in (3, 12):
        writer, _ = scenes(make_run(tmp_path / str(steps), [MadeStep(CLICK)] * steps), fps=5)
        counts = [
            sum(issubclass(type(item), Image.Image | Screen) for item in gc.get_objects())
            for index, _ in enumerate(writer.frames())
            if index % 10 == 0
        ]
        peaks.append(max(counts))
    assert peaks[1] <= peaks[0] + 2


def test_layout_suits_phones_and_small_pages() -> None:
    phone = make_layout(make_screen(0, 1080, 2400), 1280)
    assert (phone.stage[1], phone.width) == (1280, 640)
    wide = make_layout(make_screen(0, 1920, 1080), 1280)
    assert wide.stage == (1280, 720)
    small = make_layout(make_screen(0, 280, 364), 1280)
    assert small.stage == (640, 728)


def test_missing_screenshots_do_not_stop_the_video(tmp_path: Path) -> None:
    folder = make_run(tmp_path, STEPS)
    (folder / FRAMES / f"{make_screen(1).digest}.png").unlink()
    writer, _ = scenes(folder)
    assert sum(count for _, count in writer.frames()) > 100


def test_run_without_screenshots_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("av")
    folder = make_run(tmp_path, STEPS)
    for path in (folder / FRAMES).iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no screenshot"):
        video.write_run_video(folder, tmp_path / "run.mp4")
    assert not list(tmp_path.glob("*run.mp4*"))


def test_unknown_suffix_names_the_known_ones(agent: Agent, tmp_path: Path) -> None:
    make_run(tmp_path / "runs", STEPS)
    code, _, error = agent("runs", "video", "--output", str(tmp_path / "run.avi"))
    assert code == 2
    for word in ("--output", ".avi", ".mp4, .webm, .gif"):
        assert word in error


def test_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_module = builtins.__import__

    def refuse_av(name: str, *args: Any) -> Any:
        if name == "av":
            raise ImportError("no module named av")
        return import_module(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse_av)
    with pytest.raises(UsageError, match=r"pixelhand\[video\]"):
        video.find_format(tmp_path / "run.mp4")


def test_missing_encoder_names_other_suffixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    monkeypatch.setattr(av, "codecs_available", {"gif", "libvpx-vp9"})
    with pytest.raises(UsageError, match=r"H\.264.*use \.webm or \.gif"):
        video.find_format(tmp_path / "run.mp4")


def test_unwritable_video_names_the_flag(tmp_path: Path) -> None:
    pytest.importorskip("av")
    with pytest.raises(UsageError, match="--output"):
        video.write_run_video(make_run(tmp_path, STEPS), tmp_path / "no" / "run.mp4")


def test_command_writes_into_the_run(agent: Agent, tmp_path: Path) -> None:
    pytest.importorskip("av")
    folder = make_run(tmp_path / "runs", STEPS[:1])
    code, out, _ = agent("runs", "video")
    assert (code, out.strip()) == (0, str(folder / "video.mp4"))
    assert (folder / "video.mp4").stat().st_size > 1000


@pytest.mark.parametrize("text", ["word " * 80, "x" * 900, "\u202e\x1b[2J\ud800 żółw 😀", ""])
def test_texts_fit_their_width(text: str) -> None:
    typeface = font(20)
    assert typeface.getlength(fit_text(text, typeface, 300)) <= 300
    lines = wrap_text(text, typeface, 300, 3)
    assert len(lines) <= 3
    assert all(typeface.getlength(line) <= 300 for line in lines)
    assert draw_caption(640, 100, title=text, heading=text, detail=text).size == (640, 100)
