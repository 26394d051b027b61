"""Choose the dialect of a checkpoint from its own files and its Hub id, never from the name of a folder.

In this order: pixelhand.json, the architecture in config.json, the Hub id under which the Hub's cache holds it, what a
dialect declares of its chat templates and model cards, and whether the files are those of an unchanged base model. A
fine-tune with unchanged files, no model card and no known Hub id cannot be distinguished from its base; the match is
then not certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from actions import UsageError, plugins
from model.checkpoints.model_zoo import families
from model.checkpoints.settings import image_processor_config, stated_bounds
from model.dialects.base import Detection
from model.dialects.parts.dialect import BaseDialect
from model.json_file import read_json_object
from model.processing.image import ImageLimits

SETTINGS = "pixelhand.json"
TEXTS = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json", "README.md")
MAX_TEXT = 2**20  # characters of one file; a tokenizer_config.json has some tens of thousands
DEFAULT_DIALECT = "qwen25"


@dataclass(frozen=True)
class DialectMatch:
    """The dialect of a checkpoint.

    Attributes:
        dialect: its name, "" if unknown.
        reason: a sentence.
        nearest: the most likely dialect if it is unknown.
        certain: false if another checkpoint with the same files could have another dialect.
    """

    dialect: str
    reason: str
    nearest: str = ""
    certain: bool = True

    def require(self) -> str:
        """Return the dialect.

        Raises:
            UsageError: if it is unknown.
        """
        if self.dialect:
            return self.dialect
        raise UsageError(
            f"unknown dialect: {self.reason}; the nearest is '{self.nearest}'. "
            f'If it is that one, write {{"dialect": "{self.nearest}"}} into {SETTINGS} beside its config.json'
        )


def detect_dialect(folder: Path) -> DialectMatch:
    """Return the dialect of the checkpoint in a folder.

    Raises:
        UsageError: if one of its files cannot be read.
    """
    setting = read_json_object(folder / SETTINGS).get("dialect")
    if setting:
        return DialectMatch(str(setting), f"it is set in {SETTINGS}")
    config = read_json_object(folder / "config.json")
    model_type = str(config.get("model_type", ""))
    known = detections()
    for architecture in config.get("architectures") or ():
        for name, detection in known.items():
            if architecture in detection.architectures:
                return DialectMatch(name, f"its architecture is {architecture}")
    hub_id = cached_hub_id(folder)
    if dialect_of(hub_id):
        return DialectMatch(dialect_of(hub_id), f"its Hub id is {hub_id}")
    files = _marked_files(folder, model_type)
    if len(files) == 1:
        ((name, file),) = files.items()
        return DialectMatch(name, f"{file} has markers of it")
    if files:
        markers = ", ".join(f"{name} in {file}" for name, file in files.items())
        return DialectMatch("", f"its files have markers of several dialects ({markers})", nearest=next(iter(files)))
    base = next((name for name, detection in known.items() if model_type in detection.base_of), "")
    nearest = next((name for name, detection in known.items() if model_type in detection.nearest_of), "")
    nearest = base or nearest or DEFAULT_DIALECT
    if not base:
        return DialectMatch(
            "", f"its model_type is {model_type!r:.60}, and nothing in its files names a dialect", nearest=nearest
        )
    max_pixels = _max_pixels(folder)
    if model_type == "qwen2_5_vl" and max_pixels != ImageLimits().max_pixels:
        hints = (name for name, detection in known.items() if max_pixels and max_pixels == detection.max_pixels)
        reason = f"its image budget of {max_pixels} pixels is not the base model's"
        return DialectMatch("", reason, nearest=next(hints, nearest))
    return DialectMatch(
        base,
        f"its files are those of the base model ({model_type}); a fine-tune with unchanged files looks the same, and "
        f"must be named in {SETTINGS}",
        certain=False,
    )


def cached_hub_id(folder: Path) -> str:
    """Return the Hub id of a snapshot in the Hub's cache, models--OWNER--NAME/snapshots/REVISION; "" elsewhere."""
    kind, _, hub_id = folder.absolute().parent.parent.name.partition("--")
    is_snapshot = kind == "models" and folder.absolute().parent.name == "snapshots"
    return hub_id.replace("--", "/", 1) if is_snapshot else ""


def dialect_of(hub_id: str) -> str:
    """Return the dialect of a checkpoint that is listed in a dialect's table, "" for others."""
    families_with = (
        family for family in families() if any(checkpoint.hub_id == hub_id for checkpoint in family.checkpoints)
    )
    return next((family.dialect for family in families_with), "")


def default_pictures(dialect: str) -> int:
    """Return how many earlier screenshots a dialect's prompts hold, where a checkpoint's settings state no number."""
    module = plugins.load_plugin("model.dialects", dialect) if dialect else None
    return int(getattr(getattr(module, "Dialect", None), "PICTURES", BaseDialect.PICTURES))


def detections() -> dict[str, Detection]:
    """Return what each dialect, built-in or of a third party, declares of its checkpoints."""
    return {name: _detection(name) for name in plugins.list_plugins("model.dialects")}


@cache
def _detection(name: str) -> Detection:
    dialect = plugins.load_plugin("model.dialects", name).Dialect
    detection: Detection = getattr(dialect, "DETECTION", Detection())
    return detection


def _marked_files(folder: Path, model_type: str) -> dict[str, str]:
    """Return the dialects whose markers are in the checkpoint's texts, each with the first such file."""
    files: dict[str, str] = {}
    for file in TEXTS:
        text = _load_text(folder / file)
        for name, detection in detections().items():
            if text and detection.matches(text, model_type):
                files.setdefault(name, file)
    return files


def _max_pixels(folder: Path) -> int:
    value = stated_bounds(image_processor_config(folder)[1])["max_pixels"]
    if value is None:
        return ImageLimits().max_pixels
    return value if isinstance(value, int) else 0


def _load_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as handle:
            text = handle.read(MAX_TEXT)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
    return text.replace('\\"', '"')  # quotes are escaped inside JSON
