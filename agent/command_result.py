"""What the commands that run a model have in common: exit codes, and standard output for JSON lines alone."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from agent.loop import Episode

EXIT_CODES = {"success": 0, "failure": 1, "budget": 4, "error": 5}
CLAIMED_EXIT_CODE = 6  # the user's expectations are neither met nor refuted, or the output is unconfirmed
STOPPED_EXIT_CODES = {"denied": 3, "interrupted": 130, "signal": 143}


def exit_code(episode: Episode) -> int:
    """Return the process's exit code for a finished run: 128 and the number of the signal that stopped it."""
    if episode.status == "stopped":
        return episode.exit_code or STOPPED_EXIT_CODES[episode.cause]
    is_unconfirmed = episode.extraction is not None and not episode.extraction.is_confirmed
    is_claimed = episode.proof is not None and episode.proof.has_unproven_expectation
    if episode.status == "success" and (is_claimed or is_unconfirmed):
        return CLAIMED_EXIT_CODE
    return EXIT_CODES[episode.status]


def capture_stdout() -> TextIO:
    """Return a stream to standard output, and redirect all other output of this process to standard error."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return stream
