"""replace_file: write a file so that readers, and a crash, leave its old content or the new, never a part."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

PRIVATE, SHARED = 0o600, 0o644  # permissions


def replace_file(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Replace the content of a file at once, or create it.

    Args:
        path: The file; its folder exists.
        data: The new content.
        mode: Its permissions.

    Raises:
        OSError: It cannot be written; the old content is kept.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode != PRIVATE:  # what mkstemp makes
            os.chmod(temporary, mode)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files survive a power cut."""
    if os.name == "posix":  # Windows cannot open a folder, and needs no such call
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
