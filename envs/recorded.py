"""RecordedEpisodeEnv: recorded screens as an environment with teacher forcing.

Whatever the action, the next recorded screen follows. The reward function that comes with the recording scores each
action. Observations of all recordings have one size, as gymnasium requires: a smaller image lies in the top left corner
of the canvas, so a pixel keeps its place. `info["screen"]` is the image alone, and that is what a policy sees.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np

from actions import ACTION_TYPES, CONTROL_ACTIONS, Action, InvalidActionError, Screen, SurfaceError, UsageError
from envs.spaces import ActionSpace, screen_space
from envs.surfaces.image import load_screenshot

Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # [height, width, 3], RGB
Info = dict[str, Any]
Level = Literal["high", "low"]
LEVELS: tuple[Level, ...] = ("high", "low")
MACHINE_VERBS = frozenset(ACTION_TYPES) - CONTROL_ACTIONS
IMAGE_CACHE_SIZE = 4
LOW_LEVEL_GOAL = "{goal}\nThe step to do now: {instruction}"


@dataclass(frozen=True)
class RecordedStep:
    """One recorded screen.

    Args:
        id: Unique within the data set.
        picture: The image file.
        instruction: Of this step alone, "" where there is none.
        facts: Whatever the reward function needs.
    """

    id: str
    picture: Path
    instruction: str = ""
    facts: object = None


@dataclass(frozen=True)
class RecordedEpisode:
    """A recorded episode: its goal, and its screens in order."""

    id: str
    goal: str
    frames: tuple[RecordedStep, ...]

    def task(self, place: int, level: Level) -> str:
        """Return the goal at step `place`; at level "low", with the step's own instruction appended."""
        instruction = self.frames[place].instruction
        if level == "low" and instruction:
            return LOW_LEVEL_GOAL.format(goal=self.goal, instruction=instruction)
        return self.goal


RewardFn = Callable[[RecordedStep, Action], float]  # a reward of 0 to 1 for an action on the step's screen


class RecordedEpisodeEnv(gymnasium.Env[Pixels, Action]):
    """Recorded episodes, chosen by seed: the seed of `reset()` modulo their number, or a random one.

    A point outside the image is a miss, not an error.

    `info` has "screen" (Screen), "goal" (str, of the step to do), "note" (""), "seed" (int or None), "id" (of the
    recorded step) and "verdict" ({"done": bool, "reward": the mean over the steps once done, else None}); after a step
    also "judged" ({"id", "reward"}) and "still" (True).

    Args:
        recordings: The episodes, each with at least one step.
        judge: The reward function.
        level: "low" appends a step's own instruction to the goal.
        canvas: Width and height of the observations; None means those of the largest image.
        verbs: The verbs that a policy may use.
        render_mode: None or "rgb_array".
        read: Loads an image file.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - declared so by gymnasium

    def __init__(
        self,
        recordings: Sequence[RecordedEpisode],
        judge: RewardFn,
        *,
        level: Level = "high",
        canvas: tuple[int, int] | None = None,
        verbs: frozenset[str] = MACHINE_VERBS,
        render_mode: str | None = None,
        read: Callable[[Path], Screen] = load_screenshot,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"render_mode must be None or 'rgb_array', not {render_mode!r}")
        if level not in LEVELS:
            raise UsageError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
        if not recordings or not all(episode.frames for episode in recordings):
            raise UsageError("recordings must have at least one episode, and each episode at least one step")
        self.recordings, self.judge, self.level = tuple(recordings), judge, level
        self.render_mode = render_mode
        self._verbs, self._load_screen = verbs, read
        self._screens: OrderedDict[Path, Screen] = OrderedDict()  # the least recently used first
        self.canvas = canvas or _largest_size(step.picture for episode in recordings for step in episode.frames)
        self.observation_space: gymnasium.Space[Any] = screen_space(*self.canvas)
        self.action_space: gymnasium.Space[Action] = ActionSpace(*self.canvas, verbs)
        self._episode, self._index, self._rewards = self.recordings[0], 0, [0.0]
        self._is_over = True

    def verbs(self) -> frozenset[str]:
        """Return the verbs a policy may use; the control actions are scored like the others and end nothing."""
        return self._verbs | CONTROL_ACTIONS

    @property
    def goal(self) -> str:
        """The goal at the screen that was returned last."""
        return self._episode.task(self._index, self.level)

    @property
    def frame(self) -> RecordedStep:
        """The recorded step whose screen was returned last."""
        return self._episode.frames[self._index]

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[Pixels, Info]:
        """Return the first screen of an episode.

        Raises:
            SurfaceError: Its image cannot be read.
        """
        super().reset(seed=seed)
        count = len(self.recordings)
        index = int(self.np_random.integers(count)) if seed is None else seed % count
        self._episode, self._index, self._rewards, self._is_over = self.recordings[index], 0, [], False
        return self._observation(), self._info(seed=seed)

    def step(self, action: Action) -> tuple[Pixels, float, bool, bool, Info]:
        """Score an action on the screen that was returned last, and return the next recorded screen.

        Raises:
            InvalidActionError: The verb is not one of `verbs()`; nothing was scored.
        """
        if self._is_over:
            raise UsageError("the recorded episode is over; call reset() first")
        self._check_verb(action.verb)
        step, reward = self.frame, float(self.judge(self.frame, action))
        self._rewards.append(reward)
        self._is_over = self._index + 1 == len(self._episode.frames)
        self._index += not self._is_over
        info = self._info(judged={"id": step.id, "reward": reward}, still=True)
        return self._observation(), reward, self._is_over, False, info

    def render(self) -> Pixels | None:
        """Return the pixels of the last image, or None without a render mode."""
        return self._screen().pixels.copy() if self.render_mode == "rgb_array" else None

    def _check_verb(self, verb: str) -> None:
        if verb == "ask":
            raise InvalidActionError("nobody is here to answer a question; decide, or end with done")
        if verb not in self.verbs():
            raise InvalidActionError(f"'{verb}' is not available here; use one of {', '.join(sorted(self._verbs))}")

    def _screen(self) -> Screen:
        path = self.frame.picture
        if path not in self._screens:
            self._screens[path] = self._load_screen(path)
            if len(self._screens) > IMAGE_CACHE_SIZE:
                self._screens.popitem(last=False)
        self._screens.move_to_end(path)
        return self._screens[path]

    def _observation(self) -> Pixels:
        screen, (width, height) = self._screen(), self.canvas
        if screen.width > width or screen.height > height:
            raise SurfaceError(
                f"image {self.frame.picture} is {screen.width}x{screen.height}, larger than the canvas of "
                f"{width}x{height}; pass canvas=({max(width, screen.width)}, {max(height, screen.height)})"
            )
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[: screen.height, : screen.width] = screen.pixels
        return pixels

    def _info(self, **fields: object) -> Info:
        reward = sum(self._rewards) / len(self._rewards) if self._is_over else None
        verdict = {"done": self._is_over, "reward": reward}
        base = {"screen": self._screen(), "goal": self.goal, "note": "", "verdict": verdict, "id": self.frame.id}
        return {**base, **fields}


def _largest_size(paths: Iterable[Path]) -> tuple[int, int]:
    """Return the width and height that hold every image, from the file headers alone."""
    from PIL import Image, UnidentifiedImageError

    width = height = 1
    for path in dict.fromkeys(paths):
        try:
            with Image.open(path) as image:
                width, height = max(width, image.width), max(height, image.height)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise SurfaceError(f"image {path} cannot be read: {error}") from None
    return width, height
