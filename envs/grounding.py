"""GroundingEnv: one screenshot, one instruction, one click. Knows pictures; what is right, its judge knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from actions import Screen
from envs.recorded import RecordedEpisode, RecordedEpisodeEnv, RecordedStep, RewardFn
from envs.surfaces.image import load_screenshot

VERBS = frozenset({"click"})


class GroundingEnv(RecordedEpisodeEnv):
    """Pictures, each an episode of one step: an EpisodeEnv whose only verb is a click.

    The seed of reset() names the picture: seed modulo their number. Done and answer say that there is nothing to click.
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
        recordings = [RecordedEpisode(frame.id, frame.instruction, (frame,)) for frame in frames]
        super().__init__(recordings, judge, canvas=canvas, verbs=VERBS, render_mode=render_mode, read=read)
