"""HeldWrite: a request that would change something and waits for a person to let it be sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

WriteStatus = Literal["sent", "unanswered", "failed", "withdrawn", "dropped"]


@dataclass(frozen=True)
class HeldWrite:
    """A request as it would be sent, with the values of fields for secrets masked.

    Args:
        number: Its number among the held requests of a surface, from 1.
        method: Its HTTP method.
        url: Its address, without credentials.
        host: Host and port of the address.
        kind: What sends it: "form" (or another navigation), "script", "beacon", "report", or Chromium's type.
        content_type: The media type of the body, "" without one.
        size: Bytes of the body; None where it holds a file or is otherwise unknown.
        preview: The body as text.
        origin: Scheme, host and port of the page that sends it; "" where unknown.
        is_awaited: Whether the page waits for the answer; it does not for beacons and reports.
    """

    number: int
    method: str
    url: str
    host: str
    kind: str
    content_type: str = ""
    size: int | None = 0
    preview: str = ""
    origin: str = ""
    is_awaited: bool = True


@dataclass(frozen=True)
class WriteOutcome:
    """What became of a held request.

    Args:
        write: The request.
        status: sent (the server answered), unanswered (sent, no answer in time), failed (no connection, or it broke),
            withdrawn (the page gave it up before), or dropped.
        detail: The answer's HTTP status, or why it failed; "" without.
    """

    write: HeldWrite
    status: WriteStatus
    detail: str = ""


@runtime_checkable
class SupportsHeldWrites(Protocol):
    """A surface that can hold requests that would change something."""

    holds_writes: bool

    def held_writes(self) -> tuple[HeldWrite, ...]:
        """Return the requests that wait, the oldest first."""
        ...

    def send_writes(self, numbers: Sequence[int], *, alike: bool = False) -> tuple[WriteOutcome, ...]:
        """Send held requests unchanged, in their order, and wait for the answers.

        Args:
            numbers: Their numbers; those that wait no more are skipped.
            alike: Whether later requests with the method, host and path of one of these are sent at once.
        """
        ...

    def drop_writes(self, numbers: Sequence[int]) -> tuple[WriteOutcome, ...]:
        """Let held requests fail; nothing of them is sent."""
        ...

    def pop_write_outcomes(self) -> tuple[WriteOutcome, ...]:
        """Return what became of requests without a further question since the last call, and forget it."""
        ...
