"""Format held requests, and what became of them, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from actions.held_writes import HeldWrite
from agent.ui.formatting import sanitize

if TYPE_CHECKING:
    from agent.safety.approval import WriteRequest

MAX_LINES, MAX_LINE_CHARS = 12, 160  # of a preview
SEND_KEYS = "y: send; a: send, and later ones to the same addresses in this run; n: drop; h: hold on; s: stop the run"
SEND_KEYS_AT_END = "y: send; n: drop"
REASON_LINE = "anything else: dropped, and the model reads what you write"
_OUTCOMES = {
    "sent": "sent, the server answered {detail}",
    "unanswered": "sent, but {detail}",
    "failed": "failed: {detail}",
    "withdrawn": "not sent: {detail}",
    "dropped": "dropped, not sent",
}


def format_write_request(request: WriteRequest) -> list[str]:
    """Return the lines of a question about held requests: the new ones whole, the others by their addresses."""
    count = len(request.writes)
    waits = "1 request waits" if count == 1 else f"{count} requests wait"
    over = "; the run is over" if request.is_final else ""
    lines = [f"{'held':8} {waits} to be sent{over}"]
    for write in request.writes:
        is_whole = write.number in request.new_numbers or request.is_final
        lines += (
            format_write(write)
            if is_whole
            else [f"{'request':8} {write.number} {describe_write_line(write)} (shown before)"]
        )
    lines.append(f"{'':8} {SEND_KEYS_AT_END if request.is_final else SEND_KEYS}")
    return lines if request.is_final else [*lines, f"{'':8} {REASON_LINE}"]


def format_write(write: HeldWrite) -> list[str]:
    """Return a held request as lines: what and where, from which page, and a preview of its body."""
    lines = [f"{'request':8} {write.number} {describe_write_line(write)}"]
    preview = write.preview.split("\n") if write.preview else []
    lines += [f"{'':8} | {sanitize(line, MAX_LINE_CHARS)}" for line in preview[:MAX_LINES]]  # the page's own words
    if len(preview) > MAX_LINES:
        lines.append(f"{'':8} … {len(preview) - MAX_LINES} more lines, in the trace")
    return lines


def describe_write_line(write: HeldWrite) -> str:
    """Return method, address, what sends it, and type and size of the body in one line."""
    size = "a body of unknown size" if write.size is None else f"{write.size:,} bytes" if write.size else "no body"
    origin = f" of {sanitize(write.origin, 100)}" if write.origin else ""
    body = f"{sanitize(write.content_type, 60)}, {size}" if write.content_type and write.size != 0 else size
    return f"{sanitize(write.method, 20)} {sanitize(write.url, 300)}  [{sanitize(write.kind, 30)}{origin}; {body}]"


def format_write_results(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each result of a `writes.result` event."""
    return [
        f"{'request':8} {result['number']} {sanitize(result['request'], 300)}: {format_write_outcome(result)}"
        for result in results
    ]


def format_write_outcome(result: Mapping[str, Any]) -> str:
    """Return how a request of a `writes.result` event ended."""
    return _OUTCOMES.get(str(result["status"]), "{detail}").format(detail=sanitize(result["detail"], 100))
