"""Exceptions: the model's mistakes, the machine's failures, and wrong usage."""

from __future__ import annotations

from collections.abc import Callable


class Error(Exception):
    """Base of the errors that pixelhand raises; the message is one sentence for a person."""


class InvalidActionError(Error):
    """The reply does not parse, or asks for what cannot be done; the model reads the message in the next turn."""


class ActionDeniedError(InvalidActionError):
    """The guard denied the action; a run is stopped after several denials."""


class ActionRejectedError(ActionDeniedError):
    """The user rejected the action or used the machine meanwhile; it does not count as the model's mistake."""


class RunStoppedError(ActionDeniedError):
    """The guard ended the run before the action: the user stopped it, or there is no terminal for an approval.

    Attributes:
        by_person: whether the user stopped the run.
    """

    def __init__(self, message: str, *, by_person: bool = False) -> None:
        super().__init__(message)
        self.by_person = by_person


class SurfaceError(Error):
    """The machine failed; the episode ends and is not scored as a failure of the model."""


class SurfaceTimeout(SurfaceError):  # noqa: N818 - as TimeoutError is named in asyncio and requests
    """The surface did not answer in time; the action may still have happened."""


class UsageError(Error):
    """Wrong usage or a missing requirement; the command line prints the message and exits with code 2."""


def usage_problems(*checks: Callable[[], object]) -> list[str]:
    """Run checks; return the messages of those that raise UsageError."""
    problems: list[str] = []
    for check in checks:
        try:
            check()
        except UsageError as error:
            problems.append(str(error))
    return problems
