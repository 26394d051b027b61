"""Write runs as one HTML file: each action with its screenshots, its target, what the guard decided, and timings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actions import Action, Drag, Screen, Scroll, UsageError
from agent.report.images import (
    CropBox,
    EmbeddedImage,
    ImageBudget,
    ScreenCache,
    changed_box,
    crop_box,
    load_screen,
    to_base64,
)
from agent.report.page import render_page, write_private_file
from agent.report.records import ActionRecord, RunRecord, describe_recorded_action, read_run, shareable
from agent.trace import Trace, read_trace
from agent.ui.formatting import format_duration

SCREEN_CHARS, CROP_CHARS = 21_000_000, 5_000_000  # base64 characters of a page's screenshots and close-ups
CROP_SIZE = (560, 320)  # pixels of the screenshot around a target
MAX_TEXT_CHARS = 6000  # of a reply, a goal or a message
_MARK_SHARE, _MIN_MARK_PX = 60, 12  # the longer side of a screenshot by the radius of a mark; its least radius
_CROP_MARK_PX = 16.0

Values = dict[str, Any]  # variables of the template


@dataclass(frozen=True)
class OpenedRun:
    """A run to be shown.

    Args:
        record: What is shown of it; None for a trace that cannot be read.
        trace: Its trace; None likewise.
        name: The name of its folder.
        problem: Why it cannot be read, "" if it can.
    """

    record: RunRecord | None
    trace: Trace | None
    name: str
    problem: str = ""


def write_run_report(folders: Sequence[Path], output: Path) -> Path:
    """Write the report of runs as one HTML file, and return its path.

    Args:
        folders: The folders of the runs.
        output: The file to write.

    Raises:
        UsageError: No run can be read, or the file cannot be written.
    """
    runs = [_open(folder) for folder in folders]
    if all(run.record is None for run in runs):
        raise UsageError("; ".join(run.problem for run in runs))
    records = [run.record for run in runs if run.record is not None]
    album = _Album(sum(len(record.digests()) for record in records), sum(len(record.records) for record in records))
    contexts = [_run_values(number, run, album) for number, run in enumerate(runs, 1)]
    unsuccessful = [values["number"] for values, run in zip(contexts, runs, strict=True) if _has_failed(run)]
    values = {
        "title": _cut(records[0].goal or records[0].run_id, 90) if len(runs) == 1 else f"{len(runs)} runs",
        "runs": contexts,
        "images": album.images,
        "first_run": unsuccessful[0] if unsuccessful else 1,
    }
    page = render_page("run.html.jinja", values, styles=["run.css"], script="run.js")
    write_private_file(output, page.encode("utf-8"), "--output")
    return output


def _open(folder: Path) -> OpenedRun:
    try:
        trace = read_trace(folder)
        return OpenedRun(read_run(trace), trace, folder.resolve().name)
    except UsageError as error:
        return OpenedRun(None, None, folder.resolve().name, str(error))


def _has_failed(run: OpenedRun) -> bool:
    return run.record is not None and not run.record.is_success


class _Album:
    """The images of a page, each screenshot once."""

    def __init__(self, screen_count: int, crop_count: int) -> None:
        self.images: list[EmbeddedImage] = []
        self._screens = ImageBudget(SCREEN_CHARS, screen_count)
        self._crops = ImageBudget(CROP_CHARS, crop_count)

    def add_screen(self, screen: Screen) -> EmbeddedImage:
        from PIL import Image

        return self._add(self._screens.encode(Image.fromarray(screen.pixels)), screen.width, screen.height)

    def add_crop(self, screen: Screen, box: CropBox) -> EmbeddedImage:
        from PIL import Image

        pixels = screen.pixels[box.top : box.top + box.height, box.left : box.left + box.width]
        return self._add(self._crops.encode(Image.fromarray(pixels)), box.width, box.height)

    def _add(self, data: bytes, width: int, height: int) -> EmbeddedImage:
        image = EmbeddedImage(len(self.images) + 1, to_base64(data), width, height)
        self.images.append(image)
        return image


class _RunImages:
    """The images of one run, by the digests of its screenshots."""

    def __init__(self, trace: Trace, album: _Album) -> None:
        self._album = album
        self._screens = ScreenCache(partial(load_screen, trace))
        self._images: dict[str, EmbeddedImage] = {}
        self.problems: dict[str, str] = {}  # digest: why its screenshot is not shown

    def screen(self, digest: str) -> Screen | None:
        """Return a screenshot; None where there is none, or where it cannot be read."""
        if not digest or digest in self.problems:
            return None
        try:
            screen = self._screens.get(digest)
        except UsageError as error:
            self.problems[digest] = str(error)
            return None
        if digest not in self._images:
            self._images[digest] = self._album.add_screen(screen)
        return screen

    def image(self, digest: str) -> EmbeddedImage | None:
        return self._images.get(digest)

    def crop(self, screen: Screen, box: CropBox) -> EmbeddedImage:
        return self._album.add_crop(screen, box)


def _run_values(number: int, run: OpenedRun, album: _Album) -> Values:
    """Return the template's variables of one run."""
    if run.record is None or run.trace is None:
        return {"number": number, "id": run.name, "problem": run.problem}
    record, images = run.record, _RunImages(run.trace, album)
    items = [_item_values(f"{number}-{n}", action, images) for n, action in enumerate(record.records, 1)]
    images.screen(record.final_screen)
    final = _figure(images, record.final_screen, "last screen")
    longest = max((action.seconds for action in record.records), default=0.0)
    for item, action in zip(items, record.records, strict=True):
        item["share"] = f"{100 * action.seconds / longest:.1f}" if longest else "0"
    failed = [item["id"] for item in items if item["outcome"] != "done"]
    end_id = f"{number}-{len(items) + 1}"
    start = failed[0] if failed else f"{number}-1" if record.is_success or not items else end_id
    return {
        "number": number,
        "id": record.run_id,
        "problem": "",
        "goal": _cut(record.goal, MAX_TEXT_CHARS) or "no goal",
        "status": record.status,
        "is_success": record.is_success,
        "message": _cut(record.message, MAX_TEXT_CHARS),
        "cause": record.cause,
        "reward": "" if record.reward is None else f"{record.reward:g}",
        "proof": record.proof,
        "findings": [[_cut(text, MAX_TEXT_CHARS) for text in finding] for finding in record.findings],
        "steps": len({action.label.partition(".")[0] for action in record.records}),
        "failures": len(failed),
        "duration": format_duration(record.duration_s),
        "facts": [(name, _cut(value, 300)) for name, value in record.facts if value],
        "is_truncated": record.is_truncated,
        "items": items,
        "end_id": end_id,
        "final": final,
        "start": start,
        "timeline": list(_timeline(items, record.records)),
    }


def _item_values(name: str, record: ActionRecord, images: _RunImages) -> Values:
    """Return the template's variables of one action."""
    before, after = images.screen(record.before), images.screen(record.after)
    changed = changed_box(before, after)
    figures = [_figure(images, record.before, "before", record.action)]
    if record.after:
        is_same = record.after == record.before
        figures.append(_figure(images, record.after, "after, unchanged" if is_same else "after", outline=changed))
    return {
        "id": name,
        "label": record.label,
        "outcome": record.outcome,
        "outcome_text": record.outcome_text,
        "action": _cut(record.action_text, MAX_TEXT_CHARS),
        "figures": figures,
        "close_up": _crop_figure(images, record.action, before, after, changed),
        "thought": _cut(record.thought, MAX_TEXT_CHARS),
        "reply": _cut(record.reply, MAX_TEXT_CHARS),
        "error": _cut(record.error, MAX_TEXT_CHARS),
        "notice": _cut(record.notice, MAX_TEXT_CHARS),
        "remarks": [_cut(text, MAX_TEXT_CHARS) for text in record.remarks],
        "uncertainty": _cut(record.uncertainty, MAX_TEXT_CHARS),
        "probability": "" if record.probability is None else f"{100 * record.probability:.1f} %",
        "guard": list(_guard_rows(record)),
        "duration": format_duration(record.seconds),
        "phases": list(_phases(record)),
    }


def _figure(
    images: _RunImages, digest: str, caption: str, action: Action | None = None, outline: CropBox | None = None
) -> Values:
    """Return the variables of a screenshot with its marks."""
    image = images.image(digest)
    if image is None:
        problem = images.problems.get(digest, "no screenshot was recorded")
        return {"caption": caption, "image": 0, "problem": problem}
    radius = max(_MIN_MARK_PX, max(image.width, image.height) / _MARK_SHARE)
    return {
        "caption": caption,
        "image": image.number,
        "width": image.width,
        "height": image.height,
        "view": f"0 0 {image.width} {image.height}",
        "outline": outline,
        **_marks(action, radius),
    }


def _crop_figure(
    images: _RunImages, action: Action | None, before: Screen | None, after: Screen | None, changed: CropBox | None
) -> Values | None:
    """Return the variables of a close-up: the target of an action, or else what it changed; None without either."""
    points = action.points() if action is not None else ()
    if points and before is not None:
        box, screen, caption = crop_box(before, points[0].x, points[0].y, CROP_SIZE), before, "target"
    elif changed is not None and after is not None:
        x, y = changed.left + changed.width // 2, changed.top + changed.height // 2
        box, screen, caption = crop_box(after, x, y, CROP_SIZE), after, "changed"
    else:
        return None
    if 4 * box.width * box.height > 3 * screen.width * screen.height:
        return None  # the screenshot itself is hardly larger
    image = images.crop(screen, box)
    return {
        "caption": caption,
        "image": image.number,
        "width": box.width,
        "height": box.height,
        "view": f"{box.left} {box.top} {box.width} {box.height}",
        "outline": changed if caption == "changed" else None,
        **_marks(action, _CROP_MARK_PX),
    }


def _marks(action: Action | None, radius: float) -> Values:
    """Return rings at the points of an action, and the path of a drag or a scroll, in pixels of the screenshot."""
    points = list(action.points()) if action is not None else []
    path = [(point.x, point.y) for point in points] if isinstance(action, Drag) else []
    if isinstance(action, Scroll) and action.x is not None and action.y is not None:
        length = radius * 4
        to_x = action.x + length * np.sign(action.right)
        path = [(action.x, action.y), (round(to_x), round(action.y + length * np.sign(action.down)))]
    ends = points[:1] + points[1:][-1:]
    return {
        "rings": [{"x": point.x, "y": point.y, "radius": f"{radius:.1f}"} for point in ends],
        "path": " ".join(f"{x},{y}" for x, y in path),
    }


def _guard_rows(record: ActionRecord) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of what the guard decided, of what the action would touch, and of the user's answer."""
    decision, approval = record.decision, record.approval
    facts = decision.get("facts")
    values: Mapping[str, Any] = facts if isinstance(facts, Mapping) else {}
    elements = values.get("elements")
    changes = values.get("changes")
    rows = [
        ("decision", decision.get("effect")),
        ("rule", decision.get("rule")),
        ("of", decision.get("source")),
        ("because", decision.get("reason")),
        *[("touches", _element_text(element)) for element in (elements if isinstance(elements, list) else [])],
        ("keyboard", _element_text(values.get("focus"))),
        ("page", values.get("url")),
        ("app", values.get("app")),
        ("window", values.get("window")),
        *[("changed", change) for change in (changes if isinstance(changes, list) else [])],
        ("answer", approval.get("answer")),
        ("answer's reason", approval.get("reason")),
        ("edited to", _edited_text(approval)),
    ]
    yield from (
        (name, _cut(shareable(str(value)), MAX_TEXT_CHARS)) for name, value in rows if value not in (None, "", [])
    )


def _element_text(element: object) -> str:
    if not isinstance(element, Mapping):
        return ""
    label = f'"{element["label"]}"' if element.get("label") else ""
    field = f"{element['field']} field" if element.get("field") else ""
    target = f"leads to {element['target']}" if element.get("target") else ""
    return " ".join(str(part) for part in (element.get("role"), label, field, target) if part)


def _edited_text(approval: Mapping[str, Any]) -> str:
    return describe_recorded_action(approval["edited"]) if approval.get("edited") else ""


def _phases(record: ActionRecord) -> Iterator[Values]:
    """Yield the bars of the phases, in hundredths of the action's time."""
    total = max(record.seconds, sum(record.phases_s.values()))
    start = 0.0
    for name, seconds in record.phases_s.items():
        if seconds >= 0.0005:
            share = 100 * seconds / total
            yield {"name": name, "x": f"{start:.2f}", "width": f"{share:.2f}", "text": format_duration(seconds)}
            start += share


def _timeline(items: Sequence[Values], records: Sequence[ActionRecord]) -> Iterator[Values]:
    """Yield the bars of the whole run, in thousandths of its time; a quick action stays visible."""
    least = 0.3 * sum(record.seconds for record in records) / max(1, len(records)) or 1.0
    lengths = [max(least, record.seconds) for record in records]
    start, total = 0.0, sum(lengths)
    for item, length in zip(items, lengths, strict=True):
        width = 1000 * length / total
        yield {"id": item["id"], "outcome": item["outcome"], "x": f"{start:.2f}", "width": f"{max(0.3, width - 1):.2f}"}
        start += width


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
