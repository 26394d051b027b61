"""Facts about the checkpoints of a family: sizes, licenses, published scores with their sources, and uses.

A dialect's file exports them as `MODELS`. They are as the authors publish them; none were measured here. A license or
score that could not be found is left out. Scores from different sources or benchmarks are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from model.processing.image import ImageLimits

UseCase = Literal["desktop", "browser", "phone", "grounding"]

SEE_MODEL_CARD = "see its model card"
# sources of scores of several families
OPENCUA_README = "OpenCUA README f9f965b (OSWorld-Verified: 100 steps)"
FARA_README = "Fara README 061717c"
VENUS_README = "UI-Venus README 01ca24a"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on the Hub."""

    hub_id: str
    size: str  # key of model.nn.config.OFFICIAL with its shape, "" for another shape
    license: str
    billions: float = 0.0  # parameters, where size is ""
    use: tuple[UseCase, ...] = ()  # where it differs from the family's


@dataclass(frozen=True)
class PublishedScore:
    """A published score of a checkpoint on a benchmark."""

    checkpoint: str  # end of its Hub id
    benchmark: str
    value: float  # percent
    source: str


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class ModelFamily:
    """A family of checkpoints that share a dialect."""

    name: str
    checkpoints: tuple[Checkpoint, ...] = ()
    good_at: str = ""
    use: tuple[UseCase, ...] = ()  # the most suitable first
    runs: Literal["here", "server"] = "here"  # "server": only behind a server
    scores: tuple[PublishedScore, ...] = ()
    vllm: tuple[VllmExample, ...] = (VllmExample(),)
    dialect: str = ""  # set by model.checkpoints.model_zoo.families


def published(source: str, scores: Mapping[str, Mapping[str, float]]) -> tuple[PublishedScore, ...]:
    """Return the scores of one source: the percent for each end of a Hub id and each benchmark."""
    return tuple(
        PublishedScore(checkpoint, benchmark, value, source)
        for checkpoint, values in scores.items()
        for benchmark, value in values.items()
    )
