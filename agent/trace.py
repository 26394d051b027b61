"""runs/<id>/: what a run saw, was told, said, did and got. Knows files; knows no machine and no model.

    manifest.json   what was asked, of which model, with which settings; written once, before the first event
    steps.jsonl     one event a line, appended by one write and fsynced before the next thing happens
    frames/         every picture once, as PNG, named by Screen.digest (its pixels, not its file)

The events, in order: `start`; then for each step `reply` (the prompt, the digests of its pictures, the model's words),
`act.intent` before an action meets the machine, `act.result` after, both of them for each action where a reply means
several (`part` of `parts`); then `end`. Where a person is asked first, `approval` stands between the two. An intent
without a result says that the process died in between, so the action may or may not have happened. Every line holds
the SHA-256 of the line before it (the first: of manifest.json), so a changed, lost or added line is seen. A torn last
line, which is what a power cut leaves, is not an error.
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
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from actions import Call, Reply, Screen, Step, SurfaceError, UsageError, parse_action
from actions.history import merge_parts

MANIFEST, EVENTS, FRAMES, CRASH = "manifest.json", "steps.jsonl", "frames", "error.txt"


def default_root() -> Path:
    """The folder of all runs when nobody names one: the user's data folder of this platform."""
    import platformdirs

    return platformdirs.user_data_path("pixelhand", appauthor=False) / "runs"


def new_folder(root: Path) -> Path:
    """Make root/<id>/; ids sort by the time of their making (UTC). UsageError when the folder cannot be made."""
    while True:
        run_id = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f") + "-" + secrets.token_hex(2)
        folder = root / run_id
        try:
            folder.mkdir(parents=True, mode=0o700)  # screens and typed text are private
        except FileExistsError:
            if folder.is_dir():
                continue
            raise UsageError(f"{root} is a file, not a folder for runs; choose another with --runs DIR") from None
        except OSError as error:
            raise UsageError(
                f"cannot make the run's folder in {root} ({error.strerror}); choose another with --runs DIR"
            ) from None
        return folder


class TraceWriter:
    """The writer of one run. Every method returns after its bytes are on the disk, and raises SurfaceError if not."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.broken: SurfaceError | None = None  # why nothing is written any more
        self._frames: set[str] = set()
        text = _line({"format": 1, "run": folder.name, "made": _now(), **manifest}, indent=2)
        with disk_errors(folder):
            (folder / FRAMES).mkdir(exist_ok=True)
            _replace(folder / MANIFEST, text)
            self._file = os.open(folder / EVENTS, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY, 0o600)
            _sync_folder(folder)
        self._previous = hashlib.sha256(text).hexdigest()

    def write(self, event: str, **facts: Any) -> None:
        """Append one event. Screens among the facts are stored as frames, and stand in the line as their digests."""
        if self.broken is not None:
            raise self.broken
        try:
            with disk_errors(self.folder):
                plain = {name: self._plain(value) for name, value in facts.items()}
                line = _line({"event": event, "at": _now(), "prev": self._previous, **plain})
                if os.write(self._file, line + b"\n") != len(line) + 1:
                    raise OSError(errno.ENOSPC, "the disk took only a part of a line")
                self._previous = hashlib.sha256(line).hexdigest()  # before anything else can interrupt
                os.fsync(self._file)
        except SurfaceError as error:
            self.broken = error  # nothing may follow half a line: as the last one it is only torn
            raise

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Screen):
            return self._frame(value)
        if isinstance(value, Reply):
            return {
                "text": value.text,
                "prompt": value.prompt,
                "pictures": list(value.image_digests),
                "prompt_tokens": value.prompt_tokens,
                "reply_tokens": value.reply_tokens,
                "timings_s": dict(value.timings_s),
                "looks": [self._plain(one) for one in value.localizations],
                "doubt": value.uncertainty,
            }
        if isinstance(value, Call):
            return {"name": value.name, "arguments": _arguments(value), "thought": value.thought}
        if hasattr(value, "model_dump"):
            return value.model_dump(mode="json")
        if isinstance(value, Mapping):
            return {str(key): self._plain(item) for key, item in value.items()}
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has no word for it
        return value

    def _frame(self, screen: Screen) -> str:
        if screen.digest not in self._frames:
            path = self.folder / FRAMES / f"{screen.digest}.png"
            _replace(path, _png(screen))
            self._frames.add(screen.digest)
        return screen.digest


@dataclass(frozen=True)
class RunRecord:
    """A run as read back. torn: the last line was cut off by a crash and is not among the events."""

    folder: Path
    manifest: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...]
    truncated: bool = False

    def first(self, event: str) -> Mapping[str, Any]:
        """The first event of that name, {} if there is none."""
        return next((e for e in self.events if e["event"] == event), {})

    @property
    def status(self) -> str:
        """How it ended, or "broken off" when the process died before it could say."""
        return str(self.first("end").get("status", "broken off"))

    @property
    def goal(self) -> str:
        return str(self.first("start").get("goal") or self.manifest.get("goal") or "")

    @property
    def pending_action(self) -> Mapping[str, Any] | None:
        """The action that was begun and of which nobody knows whether it happened, None if there is none."""
        open_intent: Mapping[str, Any] | None = None
        for event in self.events:
            if event["event"] == "act.intent":
                open_intent = event
            elif event["event"] == "act.result":
                open_intent = None
        return open_intent

    @property
    def finished(self) -> list[Mapping[str, Any]]:
        """The results of the finished actions; a step has several where its reply meant several."""
        return [event for event in self.events if event["event"] == "act.result"]

    def reply(self, step: int) -> Mapping[str, Any]:
        """The `reply` event of a step: what was seen, shown and said."""
        return next(event for event in self.events if event["event"] == "reply" and event["step"] == step)

    def action(self, event: Mapping[str, Any]) -> Any:
        """The Action of an intent or a result, None where the reply meant none."""
        return parse_action(event["action"]) if event["action"] else None

    def check_frames(self) -> int:
        """How many pictures the events name; UsageError for the first that is missing or changed."""
        named = {event["screen"] for event in self.events if "screen" in event}
        for digest in sorted(named):
            self.screen(digest)
        return len(named)

    def screen(self, digest: str) -> Screen:
        """A frame as it was seen; UsageError when its file is missing or holds other pixels."""
        from PIL import Image

        path = self.folder / FRAMES / f"{digest}.png"
        try:
            with Image.open(path) as image:
                screen = Screen(np.asarray(image.convert("RGB")))
        except OSError as error:
            raise UsageError(f"the frame {path} cannot be read ({error}); the run's folder is incomplete") from None
        if screen.digest != digest:
            raise UsageError(f"the frame {path} does not hold the pixels that its name says; it was changed")
        return screen

    def steps(self) -> list[Step]:
        """The finished steps, pictures and all, as the loop had them."""
        return [merge_parts([self._part(result) for result in part]) for part in self._by_step()]

    @property
    def count(self) -> int:
        """How many steps have a result."""
        return len(self._by_step())

    def _by_step(self) -> list[list[Mapping[str, Any]]]:
        return [list(results) for _, results in groupby(self.finished, key=lambda result: result["step"])]

    def _part(self, result: Mapping[str, Any]) -> Step:
        said = self.reply(result["step"])
        reply = dict(said["reply"])
        reply["image_digests"] = tuple(reply.pop("pictures"))
        reply["localizations"] = tuple(reply.pop("looks", ()))  # older traces have none
        reply["uncertainty"] = reply.pop("doubt", "")
        return Step(
            index=result["step"],
            screen=self.screen(said["screen"]),
            reply=Reply(**reply),
            call=Call(**result["call"]) if result["call"] else None,
            action=self.action(result),
            error=result["error"],
            notice=result["note"],
            reward=result["reward"],
            seconds=result["seconds"],
        )


def read_trace(folder: Path) -> RunRecord:
    """Read a run and check its chain. UsageError names the first line that does not follow the one before."""
    path = folder / EVENTS
    try:
        manifest_bytes = (folder / MANIFEST).read_bytes()
        lines = path.read_bytes().split(b"\n")
        manifest = json.loads(manifest_bytes)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} is not the folder of a run ({error}); `agent runs list` names them") from None
    torn = lines.pop() != b""  # a whole file ends with a line break
    previous = hashlib.sha256(manifest_bytes).hexdigest()
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            linked = event["prev"] == previous
        except (ValueError, TypeError, KeyError):
            linked = False
        if not linked:
            raise UsageError(
                f"line {number} of {path} does not follow from what stands before it; the file was changed"
            )
        events.append(event)
        previous = hashlib.sha256(line).hexdigest()
    return RunRecord(folder, manifest, tuple(events), torn)


def find_run(root: Path, name: str) -> Path:
    """The folder of a run named by its id, the beginning of its id, "last", or a path."""
    if name and (Path(name) / MANIFEST).is_file():
        return Path(name)
    ids = list_runs(root)
    if name == "last" and ids:
        return root / ids[-1]
    matches = [run_id for run_id in ids if run_id.startswith(name)]
    if name and len(matches) == 1:
        return root / matches[0]
    if not matches:
        raise UsageError(f"no run '{name}' in {root}; `agent runs list` names them")
    raise UsageError(f"'{name}' begins {len(matches)} runs; write more of it: {', '.join(matches[:3])}")


def list_runs(root: Path) -> list[str]:
    """The ids of the runs in a folder, oldest first; none when there is no such folder."""
    return sorted(path.parent.name for path in root.glob(f"*/{MANIFEST}"))


_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write \r\n


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """A disk that fails is the machine's trouble: OSError becomes a SurfaceError that names the folder."""
    try:
        yield
    except OSError as error:
        raise SurfaceError(
            f"the trace cannot be written to {folder} ({error.strerror or error}); "
            "free some space or choose another folder with --runs DIR"
        ) from error


def _arguments(call: Call) -> dict[str, Any]:
    """What a model wrote may be NaN or nested without end; the reply's text holds it in any case."""
    arguments = dict(call.arguments)
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return {"not plain JSON": "read the reply's text"}
    return arguments


def _now() -> float:
    return round(time.time(), 4)  # seconds since the epoch


def _line(data: Mapping[str, Any], indent: int | None = None) -> bytes:
    return json.dumps(data, allow_nan=False, indent=indent).encode()  # ASCII: lone surrogates survive


def _png(screen: Screen) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(screen.pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _replace(path: Path, data: bytes) -> None:
    """Write a whole file or none: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder, and needs no such call
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
