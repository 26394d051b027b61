"""Frames of a video of a run: an opening with the goal, a scene for each action, and an ending with the outcome.

A scene shows the screen before its action, moves in on the target, marks it, shows the screen afterwards and moves out.
Frames are made one at a time, so memory does not grow with the length of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from actions import Drag, Screen, UsageError
from agent.report.drawing import BACKGROUND, OUTCOME_COLORS, draw_caption, draw_card, draw_ring
from agent.report.images import ScreenCache, changed_box
from agent.report.records import ActionRecord, RunRecord
from agent.ui.formatting import format_duration

if TYPE_CHECKING:
    from PIL.Image import Image

FrameRun = tuple["Image", int]  # an image, and the number of frames that show it

ZOOM, MIN_ZOOM = 1.9, 1.25  # enlargement of a target
MAX_SCALE = 2.4  # video pixels per pixel of the screen, where a target is enlarged
MAX_UPSCALE = 2.0  # of small screens
MIN_WIDTH = 640  # pixels of a video, for its captions
MAX_SECONDS = 150.0  # of the scenes of a run; those of longer runs are quicker
MIN_PACE = 0.4  # share of a scene's usual time
OPENING_S, ENDING_S = 2.2, 2.8
MOVE_S, MARK_S, FADE_S, RESULT_S, LOOK_S = 0.45, 0.65, 0.2, 0.6, 0.5
RING_PX, RING_SHARE = 22.0, 42  # radius of a ring; the width of the video by it, where that is more


@dataclass(frozen=True)
class VideoLayout:
    """Sizes of a video in pixels.

    Args:
        width: Of the video; even.
        height: Of the video; even.
        stage: Width and height of the part that shows the screen.
        caption: Height of the caption bar below.
    """

    width: int
    height: int
    stage: tuple[int, int]
    caption: int


class VideoView(NamedTuple):
    """What of the screen is shown: the center, from 0 to 1 in each direction, and the enlargement."""

    x: float
    y: float
    zoom: float


WHOLE = VideoView(0.5, 0.5, 1.0)


def make_layout(screen: Screen, longest: int) -> VideoLayout:
    """Return the layout for screens like this one; no side of the stage is longer than `longest` pixels."""
    scale = min(
        MAX_UPSCALE, longest / screen.width, longest * (0.5625 if screen.width > screen.height else 1.0) / screen.height
    )
    stage_width, stage_height = _even(screen.width * scale), _even(screen.height * scale)
    width = max(stage_width, min(MIN_WIDTH, longest))
    caption = _even(max(84, min(124, longest * 0.09)))
    return VideoLayout(width, stage_height + caption, (width, stage_height), caption)


def _even(value: float) -> int:
    return max(2, round(value / 2) * 2)


class SceneWriter:
    """Makes the frames of a run.

    Args:
        run: The run.
        screens: Its screenshots.
        layout: The sizes.
        fps: Frames per second.

    Attributes:
        pace: The share of their usual time that scenes take.
    """

    def __init__(self, run: RunRecord, screens: ScreenCache, layout: VideoLayout, fps: int) -> None:
        self._run, self._screens, self._layout, self._fps = run, screens, layout, fps
        usual_s = sum(_usual_seconds(record) for record in run.records)
        self.pace = max(MIN_PACE, min(1.0, MAX_SECONDS / usual_s)) if usual_s else 1.0
        self._last: Screen | None = None  # shown where a screenshot is missing

    def frames(self) -> Iterator[FrameRun]:
        """Yield each image with the number of frames that show it."""
        yield from self._opening()
        for record in self._run.records:
            yield from self._scene(record)
        yield from self._ending()

    def _opening(self) -> Iterator[FrameRun]:
        digests = self._run.digests()
        screen = next(filter(None, map(self._screen, digests)), None)
        if screen is None:
            raise UsageError(
                f"the run {self._run.run_id} has no screenshot that can be read, so there is nothing to show"
            )
        self._last = screen
        model = dict(self._run.facts).get("model", "")
        image = draw_card(
            self._compose(screen, WHOLE, None), title="Goal", lines=self._run.goal or "no goal", detail=model
        )
        yield image, self._count(OPENING_S)

    def _ending(self) -> Iterator[FrameRun]:
        run = self._run
        screen = self._screen(run.final_screen) or self._last
        steps = len({record.label.partition(".")[0] for record in run.records})
        title = f"{steps} step{'' if steps == 1 else 's'} in {format_duration(run.duration_s)}"
        color = OUTCOME_COLORS["done" if run.is_success else "failed"]
        image = draw_card(
            self._compose(screen, WHOLE, None), title=title, lines=run.status, detail=run.message, color=color
        )
        yield image, self._count(ENDING_S)

    def _scene(self, record: ActionRecord) -> Iterator[FrameRun]:
        """Yield the frames of one action."""
        before = self._screen(record.before) or self._last
        after = self._screen(record.after) or before
        caption = self._caption(record)
        target = self._target(record, before, after)
        if target is None:
            yield self._compose(before, WHOLE, caption), self._paced(LOOK_S)
        else:
            yield self._compose(before, WHOLE, caption), self._paced(LOOK_S / 2)
            yield from self._move(before, WHOLE, target, caption)
        view = target or WHOLE
        yield from self._mark(record, before, view, caption)
        if after is not before:
            yield from self._fade(before, after, view, caption)
        yield self._compose(after, view, caption), self._paced(RESULT_S)
        if target is not None:
            yield from self._move(after, target, WHOLE, caption)
        self._last = after

    def _target(self, record: ActionRecord, before: Screen | None, after: Screen | None) -> VideoView | None:
        """Return where to look closely; None for nowhere."""
        if before is None:
            return None
        return _close_up(record, before, after, max(MIN_ZOOM, min(ZOOM, MAX_SCALE / self._scale(before))))

    def _move(self, screen: Screen | None, start: VideoView, end: VideoView, caption: Image) -> Iterator[FrameRun]:
        count = self._paced(MOVE_S)
        for number in range(1, count + 1):
            share = number / count
            share = share * share * (3 - 2 * share)  # slow at both ends
            view = VideoView(*(a + (b - a) * share for a, b in zip(start, end, strict=True)))
            yield self._compose(screen, view, caption), 1

    def _mark(self, record: ActionRecord, screen: Screen | None, view: VideoView, caption: Image) -> Iterator[FrameRun]:
        """Mark the points of the action; along the path of a drag the mark moves."""
        points = [(point.x, point.y) for point in record.action.points()] if record.action is not None else []
        if not points or screen is None:
            return
        count = self._paced(MARK_S)
        still = self._compose(screen, view, caption)
        for number in range(count):
            share = (number + 1) / count
            x, y = _along(points, share) if isinstance(record.action, Drag) else points[0]
            stage_x, stage_y = self._project(screen, view, x, y)
            image = still.copy()
            draw_ring(
                image,
                stage_x,
                stage_y,
                max(RING_PX, self._layout.width / RING_SHARE) * (1.0 + 0.7 * max(0.0, 1 - 2.5 * share)),
            )
            yield image, 1

    def _fade(self, before: Screen | None, after: Screen | None, view: VideoView, caption: Image) -> Iterator[FrameRun]:
        from PIL import Image as PilImage

        first, second = self._compose(before, view, caption), self._compose(after, view, caption)
        count = self._paced(FADE_S)
        for number in range(1, count + 1):
            yield PilImage.blend(first, second, number / (count + 1)), 1

    def _caption(self, record: ActionRecord) -> Image:
        detail = record.error or record.notice or record.thought
        outcome = record.outcome
        heading = f"{record.label}  {record.action_text}"
        if outcome != "done":
            detail = f"{record.outcome_text}: {record.error}" if record.error else record.outcome_text
        return draw_caption(
            self._layout.width,
            self._layout.caption,
            title=self._run.goal,
            heading=heading,
            detail=detail,
            outcome=outcome,
        )

    def _compose(self, screen: Screen | None, view: VideoView, caption: Image | None) -> Image:
        """Return a frame: the part of the screen that the view contains, and the caption below."""
        from PIL import Image as PilImage

        layout = self._layout
        frame = PilImage.new("RGB", (layout.width, layout.height), BACKGROUND)
        if screen is not None:
            source = PilImage.fromarray(screen.pixels)
            left, top, width, height = _view(screen, view)
            scale = self._scale(screen) * view.zoom
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            visible = source.resize(size, PilImage.Resampling.BILINEAR, box=(left, top, left + width, top + height))
            frame.paste(visible, self._offset(size))
        if caption is not None:
            frame.paste(caption, (0, layout.stage[1]))
        return frame

    def _project(self, screen: Screen, view: VideoView, x: float, y: float) -> tuple[float, float]:
        """Return where a pixel of the screen is shown in the frame."""
        left, top, width, height = _view(screen, view)
        scale = self._scale(screen) * view.zoom
        offset = self._offset((round(width * scale), round(height * scale)))
        return offset[0] + (x - left) * scale, offset[1] + (y - top) * scale

    def _scale(self, screen: Screen) -> float:
        stage_width, stage_height = self._layout.stage
        return min(stage_width / screen.width, stage_height / screen.height)

    def _offset(self, size: tuple[int, int]) -> tuple[int, int]:
        stage_width, stage_height = self._layout.stage
        return (stage_width - size[0]) // 2, (stage_height - size[1]) // 2

    def _screen(self, digest: str) -> Screen | None:
        try:
            return self._screens.get(digest) if digest else None
        except UsageError:
            return None  # the caption says nothing of it: the report does

    def _count(self, seconds: float) -> int:
        return max(1, round(seconds * self._fps))

    def _paced(self, seconds: float) -> int:
        return self._count(seconds * self.pace)


def _usual_seconds(record: ActionRecord) -> float:
    has_points = record.action is not None and bool(record.action.points())
    return LOOK_S + FADE_S + RESULT_S + (2 * MOVE_S + MARK_S if has_points else 0.0)


def _close_up(record: ActionRecord, before: Screen, after: Screen | None, max_zoom: float) -> VideoView | None:
    """Return a view at the points of the action, or else at what it changed; None for neither."""
    points = list(record.action.points()) if record.action is not None else []
    if points:
        left, right = min(point.x for point in points), max(point.x for point in points)
        top, bottom = min(point.y for point in points), max(point.y for point in points)
    elif (box := changed_box(before, after)) is not None:
        left, right, top, bottom = box.left, box.left + box.width, box.top, box.top + box.height
    else:
        return None
    share = max((right - left) / before.width, (bottom - top) / before.height, 0.01)
    zoom = min(max_zoom, 0.7 / share)
    if zoom <= 1.05:
        return None
    return VideoView((left + right) / 2 / before.width, (top + bottom) / 2 / before.height, zoom)


def _view(screen: Screen, view: VideoView) -> tuple[float, float, float, float]:
    """Return (left, top, width, height) of the shown part in pixels of the screen; it stays within the screen."""
    width, height = screen.width / view.zoom, screen.height / view.zoom
    left = min(max(0.0, view.x * screen.width - width / 2), screen.width - width)
    top = min(max(0.0, view.y * screen.height - height / 2), screen.height - height)
    return left, top, width, height


def _along(points: list[tuple[int, int]], share: float) -> tuple[float, float]:
    """Return the point at a share of a path's segments."""
    if len(points) == 1:
        return points[0]
    position = min(share, 1.0) * (len(points) - 1)
    index = min(int(position), len(points) - 2)
    (x0, y0), (x1, y1) = points[index], points[index + 1]
    rest = position - index
    return x0 + (x1 - x0) * rest, y0 + (y1 - y0) * rest
