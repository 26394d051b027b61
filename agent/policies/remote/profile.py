"""ModelProfile: how a served checkpoint is prompted, and where these facts come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actions import UsageError, plugins
from model.processing.image import ImageLimits


@dataclass(frozen=True)
class ModelProfile:
    """How a checkpoint is prompted, wherever it runs."""

    dialect: str
    tool: str = ""
    history: str = ""
    history_steps: int = 30
    images: int = -1  # earlier screenshots in the prompt, at most; -1 for the dialect's number
    max_new_tokens: int = 512
    limits: ImageLimits = ImageLimits()  # noqa: RUF009 - frozen
    tools: str = "system"  # who renders function schemas: the "server"'s chat template, or the "system" message
    structured: str = "off"  # how the server constrains replies; see structured_output.BACKENDS
    fingerprint: str = ""  # of the weights; "" when unknown
    source: str = ""  # where these facts come from, for traces


def resolve_profile(name: str, description: object, options: Mapping[str, str | int]) -> ModelProfile:
    """Collect how a model is prompted.

    The options of the address take precedence, then the description that `agent serve` gives, then the checkpoint's
    files on this machine.

    Args:
        name: The model's name on the server.
        description: The `pixelhand` entry in the server's list of models, if any.
        options: The options of the address.

    Raises:
        UsageError: None of these names the dialect.
    """
    files = str(options.get("files", ""))
    if isinstance(description, Mapping) and description.get("dialect") and not files:
        profile = _from_server(description)
    else:
        folder = _find_folder(files or name, required=bool(files))
        profile = ModelProfile("") if folder is None else _from_files(folder, str(options.get("dialect", "")))
    from model.checkpoints.detect_dialect import default_pictures, dialect_of

    dialect = str(options.get("dialect") or profile.dialect or dialect_of(name))
    if not dialect:
        available = ", ".join(plugins.list_plugins("model.dialects"))
        raise UsageError(
            f"the dialect of '{name}' is unknown; add ?dialect=NAME before the # of the address ({available}), "
            "or ?files=FOLDER with the checkpoint's config files"
        )
    default_limits = getattr(plugins.load_plugin("model.dialects", dialect), "LIMITS", None)
    limits = default_limits if default_limits is not None and not profile.source else profile.limits
    min_pixels = options.get("min_pixels", limits.min_pixels)
    max_pixels = options.get("max_pixels", limits.max_pixels)
    changes: dict[str, Any] = {
        key: options[key] for key in ("tool", "history", "history_steps", "max_new_tokens", "tools") if key in options
    }
    images = options.get("pictures", profile.images)
    changes["images"] = images if int(images) >= 0 else default_pictures(dialect)
    changes["limits"] = replace(limits, min_pixels=int(min_pixels), max_pixels=int(max_pixels))
    return replace(profile, dialect=dialect, source=profile.source or "the address", **changes)


def _from_server(description: Mapping[str, Any]) -> ModelProfile:
    try:
        return ModelProfile(
            dialect=str(description["dialect"]),
            tool=str(description["tool"]),
            history=str(description["history"]),
            history_steps=int(description["history_steps"]),
            images=int(description["pictures"]),
            max_new_tokens=int(description["max_new_tokens"]),
            limits=ImageLimits(**description["limits"]),
            tools="server" if description["template_renders_tools"] else "system",
            fingerprint=str(description["fingerprint"]),
            source="the server's word",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the server's description of its model is not understood ({error!r:.80}); "
            "run the same version of pixelhand on both sides"
        ) from None


def _find_folder(name: str, *, required: bool) -> Path | None:
    """Return the checkpoint's folder: "embedded", a path, or a Hub id in the local cache. Nothing is downloaded."""
    import model
    from model.checkpoints.hub import cached

    if name == "embedded":
        return Path(model.__file__).parent / "embedded"
    folder = Path(name).expanduser()
    if folder.is_dir() and (folder / "config.json").is_file():
        return folder
    for checkpoint in cached():
        if checkpoint.hub_id == name:
            return checkpoint.path
    if required:
        raise UsageError(
            f"no checkpoint files in {name!r:.100}; files= must be a folder with config.json or a downloaded Hub id"
        )
    return None


def _from_files(folder: Path, dialect: str) -> ModelProfile:
    from model.checkpoints.detect_dialect import detect_dialect
    from model.checkpoints.settings import fingerprint, read_limits, read_settings
    from model.processing.tokenizer import Tokenizer

    settings = read_settings(folder)
    try:
        weights = fingerprint(folder)
    except UsageError:
        weights = ""  # the config files suffice for the prompt
    return ModelProfile(
        dialect=dialect or detect_dialect(folder).require(),
        tool=settings.tool,
        history=settings.history,
        history_steps=settings.history_steps,
        images=settings.pictures,
        max_new_tokens=settings.max_new_tokens,
        limits=read_limits(folder),
        tools="server" if "tools" in Tokenizer(folder).template_source else "system",
        fingerprint=weights,
        source=f"the files in {folder}",
    )
