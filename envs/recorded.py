"""EpisodeEnv: recorded steps, teacher-forced: whatever is said, the next recorded screen comes. Knows no benchmark.

What is right, a judge says, which comes with the recording; here are only its pictures and its order. Observations have
one size for all recordings, as gymnasium wants it: a smaller picture lies in the canvas's top left corner, so a pixel
keeps its place. info["screen"] is the picture alone, and that is what a policy sees.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np

import envs
from actions import ACTION_TYPES, CONTROL_ACTIONS, InvalidActionError, Screen, SurfaceError, UsageError
from envs.spaces import ActionSpace, screen_space
from envs.surfaces.image import load_screenshot

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Level = Literal["high", "low"]
LEVELS: tuple[Level, ...] = ("high", "low")
MACHINE_VERBS = frozenset(ACTION_TYPES) - CONTROL_ACTIONS
KEPT = 4  # pictures held in memory, the latest used
LOW = "{goal}\nThe step to do now: {instruction}"


@dataclass(frozen=True)
class RecordedStep:
    """One recorded screen. instruction: of this step alone, "" where there is none; facts: what its judge knows."""

    id: str
    picture: Path
    instruction: str = ""
    facts: Any = None


@dataclass(frozen=True)
class RecordedEpisode:
    """An episode as it was recorded: its goal, and its screens in order."""

    id: str
    goal: str
    frames: tuple[RecordedStep, ...]

    def task(self, place: int, level: Level) -> str:
        """What is asked on a frame: the goal, and at the low level the frame's own instruction with it."""
        own = self.frames[place].instruction
        return LOW.format(goal=self.goal, instruction=own) if level == "low" and own else self.goal


RewardFn = Callable[[RecordedStep, Any], float]  # (what was shown, the Action) -> 0 to 1


class RecordedEpisodeEnv(gymnasium.Env[Pixels, Any]):
    """Recorded episodes. The seed of reset() names one: seed modulo their number; one is drawn where none is given.

    canvas: (width, height) of the observations, by default the largest picture's. judge(frame, action) gives a step's
    reward. step() raises BadCall for a verb that is not asked for here; nothing was judged then. A point beside the
    picture is a miss and no error. Nobody is there to ask.

    info: "screen" Screen; "goal" str, of the step that comes; "note" ""; "seed" int or None; "id" of the frame shown;
    "verdict" {"done", "reward"}, the reward being the mean over the steps once it is done; after a step also
    "judged" {"id", "reward"} and "still" True.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - gymnasium's own shape

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
            raise UsageError(f"render_mode is None or 'rgb_array', not {render_mode!r}")
        if level not in LEVELS:
            raise UsageError(f"level is one of {', '.join(LEVELS)}, not {level!r}")
        if not recordings or not all(one.frames for one in recordings):
            raise UsageError("an environment over recordings needs at least one, and each at least one screen")
        self.recordings, self.judge, self.level = tuple(recordings), judge, level
        self.render_mode = render_mode
        self._verbs, self._read = verbs, read
        self._pictures: OrderedDict[Path, Screen] = OrderedDict()
        self.canvas = canvas or _largest(frame.picture for one in recordings for frame in one.frames)
        self.observation_space: gymnasium.Space[Any] = screen_space(*self.canvas)
        self.action_space = ActionSpace(*self.canvas, verbs)
        self._recording, self._place, self._rewards = self.recordings[0], 0, [0.0]
        self._over = True

    def verbs(self) -> frozenset[str]:
        """What a policy may say here; the verbs for the person end nothing, they are judged like the others."""
        return self._verbs | CONTROL_ACTIONS

    @property
    def goal(self) -> str:
        """What is asked on the screen that was last returned."""
        return self._recording.task(self._place, self.level)

    @property
    def frame(self) -> RecordedStep:
        """The frame that was last returned."""
        return self._recording.frames[self._place]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Pixels, dict[str, Any]]:
        """The first screen of a recording. SurfaceError when its picture cannot be read."""
        super().reset(seed=seed)
        which = int(self.np_random.integers(len(self.recordings))) if seed is None else seed % len(self.recordings)
        self._recording, self._place, self._rewards, self._over = self.recordings[which], 0, [], False
        return self._observation(), self._info(seed=seed)

    def step(self, action: Any) -> tuple[Pixels, float, bool, bool, dict[str, Any]]:
        """Judge one action on the screen that was last returned, and show the next one that was recorded."""
        if self._over:
            raise UsageError("the recording is over; call reset() first")
        self._require(action)
        frame, reward = self.frame, float(self.judge(self.frame, action))
        self._rewards.append(reward)
        self._over = self._place + 1 == len(self._recording.frames)
        self._place += not self._over
        info = self._info(judged={"id": frame.id, "reward": reward}, still=True)
        return self._observation(), reward, self._over, False, info

    def render(self) -> Any:
        """The last picture's pixels."""
        return self._screen().pixels.copy() if self.render_mode == "rgb_array" else None

    def _require(self, action: Any) -> None:
        if action.verb == "ask":
            raise InvalidActionError(
                "a question is for the person, and nobody is here to answer it; decide, or end with done"
            )
        if action.verb not in self.verbs():
            raise InvalidActionError(
                f"'{action.verb}' is not asked for here; do one of {', '.join(sorted(self._verbs))}"
            )

    def _screen(self) -> Screen:
        path = self.frame.picture
        if path not in self._pictures:
            self._pictures[path] = self._read(path)
            if len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(path)
        return self._pictures[path]

    def _observation(self) -> Pixels:
        screen, (width, height) = self._screen(), self.canvas
        if screen.width > width or screen.height > height:
            raise SurfaceError(
                f"the picture {self.frame.picture} is {screen.width}x{screen.height}, larger than the canvas of "
                f"{width}x{height}; give canvas=({max(width, screen.width)}, {max(height, screen.height)})"
            )
        whole = np.zeros((height, width, 3), np.uint8)
        whole[: screen.height, : screen.width] = screen.pixels
        return whole

    def _info(self, **more: Any) -> dict[str, Any]:
        reward = sum(self._rewards) / len(self._rewards) if self._over else None
        verdict = {"done": self._over, "reward": reward}
        shown = {"screen": self._screen(), "goal": self.goal, "note": "", "verdict": verdict, "id": self.frame.id}
        return {**shown, **more}


def _largest(pictures: Any) -> tuple[int, int]:
    """(width, height) that holds every picture; their heads are read. SurfaceError where one cannot be."""
    from PIL import Image, UnidentifiedImageError

    width = height = 1
    for path in dict.fromkeys(pictures):
        try:
            with Image.open(path) as picture:
                width, height = max(width, picture.width), max(height, picture.height)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise SurfaceError(f"the picture {path} cannot be read ({error})") from None
    return width, height


envs.register()
