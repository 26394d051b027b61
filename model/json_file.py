"""Read the JSON files of a checkpoint folder."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

from actions import UsageError

JsonObject: TypeAlias = dict[str, Any]  # decoded JSON; values are checked where they are read


MAX_TEXT_BYTES = 256 * 2**20  # tokenizer.json of the largest vocabularies has some 35 MB


def read_text(path: Path) -> str:
    """Return the text of a file of a checkpoint.

    Raises:
        OSError: It cannot be read.
        ValueError: It is a device or a pipe, too large, or not UTF-8.
    """
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        data = file.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise ValueError(f"more than {MAX_TEXT_BYTES} bytes")
    return data.decode("utf-8")


def read_json_object(path: Path) -> JsonObject:
    """Return the object in a JSON file, or {} when the file does not exist.

    Raises:
        UsageError: The file cannot be read, or is not a JSON object.
    """
    try:
        data = json.loads(read_text(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} must be a JSON object; download the checkpoint again")
    return data
