"""GroundingEnv: one screenshot, one instruction, one click."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from actions import Screen
from envs.recorded import RecordedEpisode, RecordedEpisodeEnv, RecordedStep, RewardFn
from envs.surfaces.image import load_screenshot

VERBS = frozenset({"click"})


class GroundingEnv(RecordedEpisodeEnv):
    """Screenshots as episodes of one step, with click as the only verb.

    The seed of `reset()` chooses the screenshot: the seed modulo their number. Done and Answer mean that there is
    nothing to click.

    Args:
        frames: The screenshots and their instructions.
        judge: The reward function.
        canvas: Width and height of the observations; None means those of the largest image.
        render_mode: None or "rgb_array".
        read: Loads an image file.
    """

    def __init__(
        self,
        frames: Sequence[RecordedStep],
        judge: RewardFn,
        *,
        canvas: tuple[int, int] | None = None,
        render_mode: str | None = None,
        read: Callable[[Path], Screen] = load_screenshot,
    ) -> None:
        episodes = [RecordedEpisode(step.id, step.instruction, (step,)) for step in frames]
        super().__init__(episodes, judge, canvas=canvas, verbs=VERBS, render_mode=render_mode, read=read)
