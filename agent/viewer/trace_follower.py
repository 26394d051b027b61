"""TraceFollower: feeds the events of a trace to the viewer, also while the run still writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import Call, Reply, UsageError, parse_action
from agent.control import HAS_UNIX_SOCKETS, running_runs
from agent.trace import EVENTS, read_trace
from agent.viewer.state import ViewerState

POLL_S = 0.5


class TraceFollower:
    """Reads a run's trace into the state of a viewer.

    Args:
        folder: The run's folder.
        state: What the viewer shows.

    Raises:
        UsageError: The folder is not the trace of a run, or was changed.
    """

    def __init__(self, folder: Path, state: ViewerState) -> None:
        self._folder, self._state = folder, state
        self._count, self._size, self._is_over = 0, -1, False
        trace = read_trace(folder)
        manifest = trace.manifest
        where = manifest.get("url") or manifest.get("surface", "")
        model = manifest.get("policy", {}).get("model", "")
        state({"event": "begin", "run": str(folder), "model": model, "where": where})
        self.read()

    def read(self) -> bool:
        """Feed the events that are new; return whether the run is over.

        Raises:
            UsageError: The trace was changed.
        """
        if self._is_over:
            return True
        size = (self._folder / EVENTS).stat().st_size
        is_running = HAS_UNIX_SOCKETS and self._folder.name in running_runs()
        if size != self._size:
            events = read_trace(self._folder).events
            for event in events[self._count :]:
                self._feed(event)
            self._count, self._size = len(events), size
            self._is_over = bool(events) and events[-1]["event"] == "end"
        if not is_running and not self._is_over:
            self._is_over = True
            facts = {"status": "broken off", "message": "the process ended before the run", "reward": None, "steps": 0}
            self._state({"event": "end", **facts})
        return self._is_over

    def follow(self) -> None:
        """Feed events until the run is over, then wait until the process is asked to end."""
        while not self.read():
            time.sleep(POLL_S)
        while True:
            time.sleep(POLL_S)

    def _feed(self, event: Mapping[str, Any]) -> None:
        try:
            self._state(as_display_event(event))
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{self._folder} has an event that lacks what it should hold ({type(error).__name__}: {error})"
            ) from None


def as_display_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of a trace with the objects that displays are given; screens stay digests.

    Raises:
        InvalidActionError: It has an invalid action.
    """
    facts = dict(event)
    for name in ("action", "edited"):
        if isinstance(facts.get(name), Mapping):
            facts[name] = parse_action(facts[name])
    if isinstance(facts.get("call"), Mapping):
        facts["call"] = Call(**facts["call"])
    if isinstance(facts.get("reply"), Mapping):
        reply = facts["reply"]
        facts["reply"] = Reply(
            reply["text"],
            localizations=tuple(reply.get("looks", ())),
            uncertainty=reply.get("doubt", ""),
            timings_s=reply.get("timings_s", {}),
        )
    return facts
