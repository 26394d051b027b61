"""Facts about the checkpoints of a family: sizes, licenses, published scores with their sources, and uses.

They are in a table beside the dialect's file, `NAME.toml`, as the authors publish them; none were measured here. A
license or score that could not be found is left out. Scores from different sources or benchmarks are not comparable.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from actions import UsageError
from model.processing.image import ImageLimits

UseCase = Literal["desktop", "browser", "phone", "grounding"]
CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=CONFIG)
class Checkpoint:
    """A checkpoint on the Hub."""

    hub_id: str
    size: str  # key of model.nn.official_sizes.OFFICIAL with its shape, "" for another shape
    license: str
    billions: float = 0.0  # parameters, where size is ""
    use: tuple[UseCase, ...] = ()  # where it differs from the family's


@dataclass(frozen=True, config=CONFIG)
class PublishedScores:
    """The scores of one source: the percent for each end of a Hub id and each benchmark."""

    source: str
    percent: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, config=CONFIG)
class VllmExample:
    """How a checkpoint is served by vLLM, where it differs from the defaults.

    Attributes:
        hub_id: The checkpoint; "" for the family's first one of 7B, or its first.
        tool: The dialect's tool, "" for its first.
        limits: The image budget; None for the dialect's.
        arguments: Arguments in place of --mm-processor-kwargs with the image budget; None keeps it.
    """

    hub_id: str = ""
    tool: str = ""
    limits: ImageLimits | None = None
    arguments: str | None = None


@dataclass(frozen=True, config=CONFIG)
class ModelFamily:
    """A family of checkpoints that share a dialect."""

    name: str
    checkpoints: tuple[Checkpoint, ...] = ()
    good_at: str = ""
    use: tuple[UseCase, ...] = ()  # the most suitable first
    runs: Literal["here", "server"] = "here"  # "server": only behind a server
    scores: tuple[PublishedScores, ...] = ()
    vllm: tuple[VllmExample, ...] = (VllmExample(),)
    dialect: str = ""  # set by model.checkpoints.model_zoo.families


def read_family(path: Path) -> ModelFamily:
    """Return the family in a table of checkpoints.

    Raises:
        UsageError: The file is no such table.
    """
    try:
        return ModelFamily(**tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (UsageError, ValueError) as error:
        reason = str(error)
    raise UsageError(f"the checkpoints in {path} cannot be read: {reason}")
