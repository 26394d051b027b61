"""Reading annotations, JSON and JSON lines; writing files atomically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from actions import UsageError
from actions.atomic_file import SHARED, replace_file

JsonValue = Any  # a parsed JSON value; readers check the structure that they need


def annotation_files(folder: Path, patterns: Sequence[str], source: str) -> list[Path]:
    """Return the annotation files in folder/annotations or folder, sorted.

    Raises:
        UsageError: No file matches; the message names the source to download from.
    """
    for place in (folder / "annotations", folder):
        paths = sorted({path for pattern in patterns for path in place.glob(pattern) if path.is_file()})
        if paths:
            return paths
    names = " or ".join(patterns)
    raise UsageError(f"no annotations ({names}) in {folder} or {folder / 'annotations'}; get them from {source}")


def revision(files: Iterable[Path]) -> str:
    """Return a 16-digit SHA-256 prefix over the files' names and bytes."""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Return a 16-digit SHA-256 prefix of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read_text(path: Path) -> str:
    """Return a file's text without a byte order mark.

    Raises:
        UsageError: The file cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def read_json(path: Path) -> JsonValue:
    """Return the value of a JSON file, or the list of values of a .jsonl file.

    Raises:
        UsageError: The file cannot be read or parsed; the message names the line.
    """
    text = read_text(path)
    if path.suffix != ".jsonl":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path} is not valid JSON (line {error.lineno}: {error.msg})") from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, or too deep a nesting
            raise UsageError(f"{path} cannot be parsed as JSON ({str(error)[:80]})") from None
    return [value for _, value in parse_json_lines(text, path)]


def parse_json_lines(text: str, path: Path) -> list[tuple[int, JsonValue]]:
    """Return (line number, value) of every line that is not blank.

    Raises:
        UsageError: A line is not JSON; the message names it.
    """
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                lines.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                raise UsageError(
                    f"{path}, line {number}: not valid JSON ({error.msg}); write one prediction per line"
                ) from None
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}, line {number}: cannot be parsed as JSON ({str(error)[:80]})") from None
    return lines


def write_text(path: Path, text: str) -> None:
    """Write a file that a person asked for.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another file") from None


def replace_text(path: Path, text: str) -> None:
    """Write a file atomically: readers see the old content or the new, never a part."""
    replace_file(path, text.encode(), SHARED)


def replace_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    replace_text(path, json.dumps(value, indent=1) + "\n")


def image_size(path: Path) -> tuple[int, int]:
    """Return an image's (width, height) in pixels from its header.

    Raises:
        UsageError: The file does not exist or is not an image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.size
    except FileNotFoundError:
        raise UsageError(f"image {path} is missing; its size is needed to score clicks in pixels") from None
    except (OSError, UnidentifiedImageError) as error:
        raise UsageError(f"{path} is not an image: {error}") from None


def format_error(error: Exception) -> str:
    """Return why a record does not fit its format; the message of a KeyError is a bare key."""
    return f"missing key {error}" if isinstance(error, KeyError) else str(error)
