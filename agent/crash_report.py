"""Crash reports: unexpected exceptions become one sentence for the user and a traceback in the run's folder."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actions import Error
from agent import trace


class InternalError(Error):
    """A bug in pixelhand; the message names the file with the traceback."""


@contextmanager
def report_crashes(folder: Path) -> Iterator[None]:
    """Turn unexpected exceptions into an InternalError with a crash report in `folder`."""
    try:
        yield
    except (Error, BrokenPipeError):
        raise
    except Exception as error:
        raise write_crash_report(error, folder) from error


def write_crash_report(error: Exception, folder: Path) -> InternalError:
    """Write the traceback of an exception into a run's folder and return the error to raise instead."""
    path = folder / trace.CRASH
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    first_line = (str(error).strip() or "no message").splitlines()[0][:200]
    return InternalError(
        f"internal error ({type(error).__name__}: {first_line}); the traceback is in {path}, "
        "please report it (PIXELHAND_DEBUG=1 prints it here)"
    )
