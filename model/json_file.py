"""Read the JSON files of a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

from actions import UsageError

JsonObject: TypeAlias = dict[str, Any]  # decoded JSON; values are checked where they are read


def read_json_object(path: Path) -> JsonObject:
    """Return the object in a JSON file, or {} when the file does not exist.

    Raises:
        UsageError: The file cannot be read, or is not a JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} must be a JSON object; download the checkpoint again")
    return data
