"""Settings and fingerprint of a checkpoint folder, read from its files without loading weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from actions import UsageError
from model.checkpoints.files import shard_files
from model.checkpoints.gguf_settings import indexed_files
from model.json_file import JsonObject, read_json_object
from model.processing.image import DEFAULT_LIMITS, MERGE, ImageLimits

SETTINGS = "pixelhand.json"
PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # written by transformers 5, with the image processor nested in it
WHOLE_FILE_BYTES = 64 << 20  # weight files up to this size are hashed whole
DTYPES = ("auto", "fast", "float32", "bfloat16", "float16", "int8", "int4")
SAMPLES, SAMPLE_BYTES = 16, 64 << 10  # of larger files

Channels = tuple[float, float, float]  # of red, green and blue

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChatSettings:
    """How a checkpoint is used; the keys of pixelhand.json beside its config.json."""

    dialect: str = ""  # "" detects it; see model.checkpoints.detect_dialect
    tool: str = ""  # name of the tool in the prompt; "" for the dialect's default
    history: str = ""  # layout of past turns; "" for the dialect's default
    history_steps: int = 30  # past steps in the prompt
    pictures: int = -1  # past screenshots in the prompt; -1 for the dialect's number
    max_new_tokens: int = 512  # longest reply
    grammar: bool = True  # constrain replies to valid calls where a grammar is known
    budget_tokens: int = 0  # longest context, and with it the cache; 0 for all positions of the model
    graphs: bool = False  # decode and encode with CUDA graphs; see model.engine.cuda_graphs
    answers_questions: bool = True  # False for a model that was trained on actions alone
    reads_strips: bool = False  # True for a model that was trained to read strips of text, see agent.see.text_lines


def image_processor_config(folder: Path) -> tuple[str, JsonObject]:
    """Return the name of the file with the image processor's settings, and the settings.

    As in transformers 5, the image processor nested in processor_config.json has priority over
    preprocessor_config.json.
    """
    nested = read_json_object(folder / PROCESSOR).get("image_processor")
    if isinstance(nested, dict):
        return PROCESSOR, nested
    return PREPROCESSOR, read_json_object(folder / PREPROCESSOR)


def read_limits(folder: Path) -> ImageLimits:
    """Return the pixel budget, patch size and normalization of a checkpoint's images, in any form of transformers.

    What the files do not state gets the official default of the model_type in config.json, a missing bound with a
    warning in the log.

    Raises:
        UsageError: A value is invalid, or min_pixels exceeds max_pixels.
    """
    file_name, data = image_processor_config(folder)
    path = folder / file_name
    size = data.get("size") or {}
    if not isinstance(size, dict):
        raise _config_error(path, "size", "an object", size)
    model_type = read_json_object(folder / "config.json").get("model_type")
    default = DEFAULT_LIMITS.get(str(model_type), ImageLimits())
    bounds = stated_bounds(data)
    if None in bounds.values():
        missing = " and ".join(key for key, value in bounds.items() if value is None)
        logger.warning(
            "%s: no %s in %s or %s; using the official default, %d to %d pixels. Coordinates are wrong if the "
            "checkpoint was trained with another budget.",
            next(iter(indexed_files(folder)), folder),
            missing,
            PREPROCESSOR,
            PROCESSOR,
            default.min_pixels,
            default.max_pixels,
        )
    pixels = {"min_pixels": default.min_pixels, "max_pixels": default.max_pixels}
    for key, value in bounds.items():
        if value is not None:
            pixels[key] = _positive(path, key, value)
    if pixels["min_pixels"] > pixels["max_pixels"]:
        raise _config_error(path, "max_pixels", f"at least min_pixels, {pixels['min_pixels']}", pixels["max_pixels"])
    factor = default.factor
    if data.get("patch_size") is not None:
        factor = _positive(path, "patch_size", data["patch_size"]) * MERGE
    if data.get("merge_size") not in (None, MERGE):
        raise _config_error(path, "merge_size", str(MERGE), data["merge_size"])
    mean, std = _channels(path, data, "image_mean", default.mean), _channels(path, data, "image_std", default.std)
    return ImageLimits(**pixels, factor=factor, mean=mean, std=std)


def _positive(path: Path, key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _config_error(path, key, "a whole number above 0", value)
    return value


def _channels(path: Path, data: JsonObject, key: str, default: Channels) -> Channels:
    """Return three numbers; those of image_std are divisors and must be positive."""
    value = data.get(key)
    if value is None:
        return default
    is_valid = isinstance(value, list) and len(value) == 3 and all(type(item) in (int, float) for item in value)
    if not is_valid or not all(abs(item) < 1e3 and (item > 0 or key == "image_mean") for item in value):
        raise _config_error(path, key, "three numbers" if key == "image_mean" else "three positive numbers", value)
    red, green, blue = map(float, value)
    return red, green, blue


def stated_bounds(image_processor: Mapping[str, object]) -> dict[str, object]:
    """Return min_pixels and max_pixels as an image processor's settings state them, None where they do not."""
    size = image_processor.get("size")
    size = size if isinstance(size, Mapping) else {}
    keys = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}
    return {key: image_processor.get(key) or size.get(edge) or size.get(key) or None for key, edge in keys.items()}


def read_settings(folder: Path) -> ChatSettings:
    """Return the settings in pixelhand.json; the defaults where it does not exist.

    Raises:
        UsageError: A key is unknown, or a value has the wrong type.
    """
    path = folder / SETTINGS
    data = read_json_object(path)
    defaults = {field.name: field.default for field in fields(ChatSettings)}
    unknown = sorted(set(data) - set(defaults))
    if unknown:
        raise UsageError(f"{path}: unknown key '{unknown[0]}'; known are {', '.join(sorted(defaults))}")
    for key, value in data.items():
        if type(value) is not type(defaults[key]):
            expected = {str: "a string", bool: "true or false", int: "a whole number"}
            raise _config_error(path, key, expected[type(defaults[key])], value)
        if isinstance(value, int) and value < (key == "max_new_tokens"):
            raise _config_error(path, key, f"{int(key == 'max_new_tokens')} or more", value)
    return ChatSettings(**data)


def _config_error(path: Path, key: str, expected: str, value: object) -> UsageError:
    return UsageError(f"{path}: {key} must be {expected}, not {value!r:.60}; download the checkpoint again")


def fingerprint(folder: Path) -> str:
    """Return 16 hex digits that identify the weight files of a checkpoint.

    Files up to 64 MB are hashed whole, larger ones by their size and 16 samples of 64 KB: this distinguishes
    checkpoints, but does not detect every change.
    """
    hasher = hashlib.blake2b(digest_size=8)
    for file in shard_files(folder):
        size = file.stat().st_size
        hasher.update(f"{file.name}:{size}:".encode())
        with file.open("rb") as handle:
            if size <= WHOLE_FILE_BYTES:
                hasher.update(handle.read())
                continue
            for index in range(SAMPLES):
                handle.seek(size * index // SAMPLES)
                hasher.update(handle.read(SAMPLE_BYTES))
    return hasher.hexdigest()
