"""Traces of runs: reading and writing of runs/<id>/.

    manifest.json   goal, policy, settings and versions; written once, before the first event
    steps.jsonl     one event per line, appended by one write and fsynced before the next action
    frames/         every screenshot once, as PNG, named by Screen.digest (a hash of its pixels, not of its file)

The events, in order: `start`; for each step `reply` (the prompt, the digests of its images, the reply), `act.intent`
before an action and `act.result` after it, both of them for each action where a reply contains several (`part` of
`parts`); then `end`. Where the user's approval is asked, `approval` is between the two. An intent without a result
means that the process died in between, so the action may or may not have happened. `writes.held`, `writes.answer`,
`writes.result` and `writes.note` after a step are about requests that were held; `steer`, `paused`, `continued`,
`person.begin`, `person.act` and `person.end` are what a person did between two steps. Every line contains the SHA-256
of the line before it (the first: of manifest.json), so changed, lost or added lines are detected. An incomplete last
line, which a power failure leaves, is not an error.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from actions import Action, BaseAction, Call, Reply, Screen, Step, SurfaceError, UsageError, parse_action
from actions.atomic_file import replace_file, sync_folder
from actions.history import merge_parts
from actions.screen import Pixels

JsonObject = Mapping[str, Any]  # an object as json.loads returns it
_ID_TIME = "%Y%m%d-%H%M%S-%f"
_LAST_TIME = datetime(9000, 1, 1, tzinfo=UTC)  # ids after it are no times of a clock
NOTE_EVENTS = ("writes.note", "steer", "person.end")  # their `note` is read by the model after the step
MANIFEST, EVENTS, FRAMES, CRASH = "manifest.json", "steps.jsonl", "frames", "error.txt"


def default_root() -> Path:
    """Return the default folder of all runs: the user's data folder on this platform."""
    import platformdirs

    return platformdirs.user_data_path("pixelhand", appauthor=False) / "runs"


def new_folder(root: Path) -> Path:
    """Create root/<id>/; ids sort by their creation time (UTC), also after the clock was set back.

    Raises:
        UsageError: The folder cannot be created.
    """
    while True:
        run_id = f"{_next_time(root):{_ID_TIME}}-{secrets.token_hex(2)}"
        folder = root / run_id
        try:
            folder.mkdir(parents=True, mode=0o700)  # screens and typed text are private
        except FileExistsError:
            if folder.is_dir():
                continue
            raise UsageError(f"{root} is a file, not a folder; choose another folder with --runs DIR") from None
        except OSError as error:
            raise UsageError(
                f"the run's folder cannot be created in {root} ({error.strerror}); choose another with --runs DIR"
            ) from None
        return folder


def _next_time(root: Path) -> datetime:
    """Return the present time or, if the latest run is from the future, the moment after that run's."""
    now = datetime.now(UTC)
    for run_id in reversed(list_runs(root)):
        try:
            latest = datetime.strptime(run_id.rpartition("-")[0], _ID_TIME).replace(tzinfo=UTC)
        except ValueError:  # not one of our names
            continue
        return max(now, latest + timedelta(microseconds=1)) if latest < _LAST_TIME else now
    return now


class TraceWriter:
    """Writer of one run's trace. Methods return once their bytes are on disk.

    Args:
        folder: The run's folder, which exists.
        manifest: The content of manifest.json.

    Attributes:
        broken: The error after which nothing is written any more.

    Raises:
        SurfaceError: The disk failed.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, object]) -> None:
        self.folder = folder
        self.broken: SurfaceError | None = None
        self._frames: set[str] = set()
        text = _to_line({"format": 1, "run": folder.name, "made": _now(), **manifest}, indent=2)
        with disk_errors(folder):
            (folder / FRAMES).mkdir(exist_ok=True)
            replace_file(folder / MANIFEST, text)
            self._file = os.open(folder / EVENTS, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY, 0o600)
            sync_folder(folder)
        self._previous = hashlib.sha256(text).hexdigest()

    def write(self, event: str, **facts: object) -> None:
        """Append one event. Screens among the facts are stored as frames; the line has their digests."""
        if self.broken is not None:
            raise self.broken
        try:
            with disk_errors(self.folder):
                data = {name: self._to_json(value) for name, value in facts.items()}
                line = _to_line({"event": event, "at": _now(), "prev": self._previous, **data})
                if os.write(self._file, line + b"\n") != len(line) + 1:
                    raise OSError(errno.ENOSPC, "the disk is full")
                self._previous = hashlib.sha256(line).hexdigest()  # before anything else can interrupt
                os.fsync(self._file)
        except SurfaceError as error:
            self.broken = error  # no line may follow an incomplete one
            raise

    def frame_path(self, screen: Screen) -> Path | None:
        """Return the file of a screenshot, None before an event with it was written."""
        return self.folder / FRAMES / f"{screen.digest}.png" if screen.digest in self._frames else None

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _to_json(self, value: object) -> object:
        if isinstance(value, Screen):
            return self._store_frame(value)
        if isinstance(value, Reply):
            return {
                "text": value.text,
                "prompt": value.prompt,
                "pictures": list(value.image_digests),
                "prompt_tokens": value.prompt_tokens,
                "reply_tokens": value.reply_tokens,
                "timings_s": dict(value.timings_s),
                "looks": [self._to_json(localization) for localization in value.localizations],
                "doubt": value.uncertainty,
            }
        if isinstance(value, Call):
            return {"name": value.name, "arguments": _json_arguments(value), "thought": value.thought}
        if isinstance(value, BaseAction):
            return value.model_dump(mode="json")
        if isinstance(value, Mapping):
            return {str(key): self._to_json(item) for key, item in value.items()}
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has no infinity and no NaN
        return value

    def _store_frame(self, screen: Screen) -> str:
        if screen.digest not in self._frames:
            path = self.folder / FRAMES / f"{screen.digest}.png"
            replace_file(path, encode_png(screen))
            self._frames.add(screen.digest)
        return screen.digest


@dataclass(frozen=True)
class Trace:
    """A run read from its trace."""

    folder: Path
    manifest: JsonObject
    events: tuple[JsonObject, ...]
    truncated: bool = False  # the last line was incomplete and is not among the events

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Trace:
        """Read the trace in a run's folder; see `read_trace`."""
        return read_trace(Path(folder))

    def first(self, event: str) -> JsonObject:
        """Return the first event of that name, {} if there is none."""
        return next((data for data in self.events if data["event"] == event), {})

    @property
    def status(self) -> str:
        """How the run ended; "broken off" when the process died before its end."""
        return str(self.first("end").get("status", "broken off"))

    @property
    def goal(self) -> str:
        """The run's goal."""
        goal = str(self.first("start").get("goal") or self.manifest.get("goal") or "")
        return "\n".join([goal, *self._notes(0)])  # a person's notes from before the first step

    @property
    def pending_action(self) -> JsonObject | None:
        """The intent of an action whose result is missing, so that it may or may not have happened; None without."""
        pending: JsonObject | None = None
        for event in self.events:
            if event["event"] == "act.intent":
                pending = event
            elif event["event"] == "act.result":
                pending = None
        return pending

    @property
    def finished(self) -> list[JsonObject]:
        """The `act.result` events; a step has several where its reply contained several actions."""
        return [event for event in self.events if event["event"] == "act.result"]

    @property
    def count(self) -> int:
        """The number of steps with a result."""
        return len(self._results_by_step())

    def reply(self, step: int) -> JsonObject:
        """Return the `reply` event of a step."""
        return next(event for event in self.events if event["event"] == "reply" and event["step"] == step)

    def action(self, event: JsonObject) -> Action | None:
        """Return the action of an intent or a result, None for an invalid reply."""
        return parse_action(event["action"]) if event["action"] else None

    def check_frames(self) -> int:
        """Return the number of screenshots that the events name.

        Raises:
            UsageError: One of them is missing or was changed.
        """
        digests = {event[key] for event in self.events for key in ("screen", "before") if key in event}
        for digest in sorted(digests):
            self.screen(digest)
        return len(digests)

    def screen(self, digest: str) -> Screen:
        """Return a screenshot of the run.

        Raises:
            UsageError: Its file is missing or has other pixels.
        """
        from PIL import Image

        path = self.folder / FRAMES / f"{digest}.png"
        try:
            with Image.open(path) as image:
                screen = Screen(np.asarray(image.convert("RGB")))
        except OSError as error:
            raise UsageError(f"the screenshot {path} cannot be read ({error}); the trace is incomplete") from None
        if screen.digest != digest:
            raise UsageError(f"the pixels of {path} do not match its name; the file was changed")
        return screen

    def _load_pixels(self, digest: str) -> Pixels:
        return self.screen(digest).pixels

    def steps(self) -> list[Step]:
        """Return the finished steps, as the loop had them; the pixels of a screenshot are read when accessed."""
        steps = [merge_parts([self.to_step(result) for result in results]) for results in self._results_by_step()]
        return [
            replace(step, notice="\n".join(filter(None, (step.notice, *self._notes(step.index))))) for step in steps
        ]

    def _notes(self, index: int) -> list[str]:
        """Return what the model read after a step about held requests and from the person."""
        return [event["note"] for event in self.events if event["event"] in NOTE_EVENTS and event["step"] == index]

    def _results_by_step(self) -> list[list[JsonObject]]:
        return [list(results) for _, results in groupby(self.finished, key=lambda result: result["step"])]

    def to_step(self, result: JsonObject) -> Step:
        """Return one result as the loop had it; a step has several where its reply contained several actions."""
        event = self.reply(result["step"])
        screen = self.screen(event["screen"])
        screen.offload(partial(self._load_pixels, event["screen"]))  # a long run has more pixels than memory
        reply = dict(event["reply"])
        reply["image_digests"] = tuple(reply.pop("pictures"))
        reply["localizations"] = tuple(reply.pop("looks", ()))  # absent in old traces
        reply["uncertainty"] = reply.pop("doubt", "")
        return Step(
            index=result["step"],
            screen=screen,
            reply=Reply(**reply),
            call=Call(**result["call"]) if result["call"] else None,
            action=self.action(result),
            error=result["error"],
            notice=result["note"],
            reward=result["reward"],
            seconds=result["seconds"],
        )


def read_trace(folder: Path) -> Trace:
    """Read a run and check its hash chain.

    Raises:
        UsageError: The folder is not a trace, or a line does not follow from the one before it.
    """
    path = folder / EVENTS
    try:
        manifest_bytes = (folder / MANIFEST).read_bytes()
        lines = path.read_bytes().split(b"\n")
        manifest = json.loads(manifest_bytes)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{folder} is not the folder of a run ({error}); `agent runs list` lists them") from None
    is_truncated = lines.pop() != b""  # a complete file ends with a line break
    previous = hashlib.sha256(manifest_bytes).hexdigest()
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            is_linked = event["prev"] == previous
        except (ValueError, TypeError, KeyError, RecursionError):
            is_linked = False
        if not is_linked:
            raise UsageError(f"line {number} of {path} does not follow from the line before it; the file was changed")
        events.append(event)
        previous = hashlib.sha256(line).hexdigest()
    return Trace(folder, manifest, tuple(events), is_truncated)


def find_run(root: Path, name: str) -> Path:
    """Return the folder of a run named by its id, the beginning of its id, "last", or a path.

    Raises:
        UsageError: No run, or several, have this name.
    """
    if name and (Path(name) / MANIFEST).is_file():
        return Path(name)
    ids = list_runs(root)
    if name == "last" and ids:
        return root / ids[-1]
    matches = [run_id for run_id in ids if run_id.startswith(name)]
    if name and len(matches) == 1:
        return root / matches[0]
    if not matches:
        raise UsageError(f"no run '{name}' in {root}; `agent runs list` lists them")
    raise UsageError(f"{len(matches)} runs begin with '{name}': {', '.join(matches[:3])}; write more of the id")


def list_runs(root: Path) -> list[str]:
    """Return the ids of the runs in a folder, oldest first; empty when the folder does not exist."""
    return sorted(path.parent.name for path in root.glob(f"*/{MANIFEST}"))


_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write \r\n


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError into a SurfaceError that names the folder."""
    try:
        yield
    except OSError as error:
        raise SurfaceError(
            f"the trace cannot be written to {folder} ({error.strerror or error}); "
            "free some space, or choose another folder with --runs DIR"
        ) from error


def _json_arguments(call: Call) -> dict[str, Any]:
    """Return a call's arguments, or a placeholder where they are not JSON (NaN, deep nesting)."""
    arguments = dict(call.arguments)
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return {"not plain JSON": "read the reply's text"}
    return arguments


def _now() -> float:
    return round(time.time(), 4)  # seconds since the epoch


def _to_line(data: JsonObject, indent: int | None = None) -> bytes:
    return json.dumps(data, allow_nan=False, indent=indent).encode()  # ASCII keeps lone surrogates


def encode_png(screen: Screen) -> bytes:
    """Return a screenshot as the bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(screen.pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
