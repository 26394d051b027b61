"""LiveEnv: a live surface as a gymnasium environment."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

import envs
from actions import CONTROL_ACTIONS, Action, InvalidActionError, Screen, Surface, UsageError, dispatch
from actions.dispatch import GuardFn
from actions.surface import SupportsBusy, SupportsNotices, SupportsRefusals, SupportsVirtualTime, SupportsWork
from envs.spaces import ActionSpace, screen_space
from envs.stability import SettleOptions, settle
from envs.task import Resumable, Task

Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # [height, width, 3], RGB
Info = dict[str, Any]
MAX_SEED = 2**31 - 1


class LiveEnv(gymnasium.Env[Pixels, Action]):
    """A surface, and optionally a task that sets it up and scores it.

    Observations are the pixels of a Screen; actions are Actions in its pixels. Answer and Done end the episode.

    `info` has "screen" (Screen), "goal" (str), "note" (str: notices of the surface), "seed" (int or None) and "verdict"
    (None without a task, else {"done": bool, "reward": float or None}); after a step also "timings_s"
    ({"act", "settle"}, seconds), "still" (bool: the screen became stable), "busy" (bool: something that was started
    still runs) and "refusals" (int: pages that the network rules of the surface refused).

    Args:
        surface: The surface; closed with the environment.
        goal: The goal where there is no task.
        task: Sets up the surface in `reset()` and gives the reward.
        guard: Called before each action; raises ActionDeniedError to refuse it.
        settle: When a screen counts as stable.
        render_mode: None or "rgb_array".
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - declared so by gymnasium

    def __init__(
        self,
        surface: Surface,
        goal: str = "",
        task: Task | None = None,
        guard: GuardFn | None = None,
        settle: SettleOptions | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"render_mode must be None or 'rgb_array', not {render_mode!r}")
        self.surface = surface
        self.task = task
        self.guard = guard
        self.options = settle or SettleOptions()
        self.render_mode = render_mode
        self.goal = goal
        self.screen: Screen = surface.capture()
        self.observation_space: gymnasium.Space[Any] = screen_space(self.screen.width, self.screen.height)
        self.action_space: gymnasium.Space[Action] = ActionSpace(self.screen.width, self.screen.height, surface.verbs())
        # `nondeterministic`, for gymnasium's checker: two runs of a seed differ in timings. make() replaces it.
        self.spec = EnvSpec(envs.LIVE_ID, entry_point=envs.LIVE_ENTRY_POINT, nondeterministic=True)

    def verbs(self) -> frozenset[str]:
        """Return the verbs a policy may use: the surface's and the control actions."""
        return self.surface.verbs() | CONTROL_ACTIONS

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[Pixels, Info]:
        """Set up the task with `seed`, or with a random one. Without a task the screen stays as it is."""
        super().reset(seed=seed)
        if self.task is not None:
            seed = int(self.np_random.integers(MAX_SEED)) if seed is None else seed
            self.goal = self.task.setup(self.surface, seed)
        self._settle()
        return self._observation(), self._info(self._pop_notices(), seed=seed)

    def step(self, action: Action) -> tuple[Pixels, float, bool, bool, Info]:
        """Perform one action on the screen that was returned last.

        Raises:
            InvalidActionError: The surface cannot do this, or the guard refused it (ActionDeniedError); nothing was
                done and the episode goes on.
            SurfaceError: The surface failed; the episode is void.
        """
        start = time.perf_counter()
        is_final, notice = action.verb in ("answer", "done"), ""
        if action.verb == "ask":
            raise InvalidActionError("nobody is here to answer a question; decide, or end with done")
        if not is_final:
            notice = dispatch(action, self.surface, self.screen, self.guard)
        if isinstance(self.task, Resumable):
            notice = _join(notice, self.task.resume(self.surface))
        acted = time.perf_counter()
        is_stable = self._settle() if self._is_frozen() or not self._is_over() else self._capture_once()
        info = self._info(_join(notice, self._pop_notices()))
        info["timings_s"] = {"act": acted - start, "settle": time.perf_counter() - acted}
        info["still"] = is_stable
        info["busy"] = self._is_working()
        info["refusals"] = self.surface.pop_refusals() if isinstance(self.surface, SupportsRefusals) else 0
        verdict = info["verdict"] or {"done": False, "reward": None}
        return self._observation(), float(verdict["reward"] or 0.0), is_final or verdict["done"], False, info

    def render(self) -> Pixels | None:
        """Return the pixels of the last screen, or None without a render mode."""
        return self._observation() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the surface."""
        self.surface.close()

    def _settle(self) -> bool:
        if self._is_frozen():
            self._capture_once()
            return True
        busy = self.surface.busy if isinstance(self.surface, SupportsBusy) else None
        result = settle(self.surface.capture, self.options, busy)
        self.screen = result.screen
        return result.still

    def _is_working(self) -> bool:
        return isinstance(self.surface, SupportsWork) and self.surface.is_working()

    def _is_frozen(self) -> bool:
        return isinstance(self.surface, SupportsVirtualTime) and self.surface.is_frozen()

    def _is_over(self) -> bool:
        return self.task is not None and self.task.verdict(self.surface).done

    def _capture_once(self) -> bool:
        """Capture the screen of a finished episode: nothing acts on it, so it need not be stable."""
        self.screen = self.surface.capture()
        return False

    def _pop_notices(self) -> str:
        return self.surface.pop_notices() if isinstance(self.surface, SupportsNotices) else ""

    def _observation(self) -> Pixels:
        return self.screen.pixels.copy()  # a Screen is read-only, and gymnasium users may write into observations

    def _info(self, notice: str, **fields: object) -> Info:
        status = self.task.verdict(self.surface) if self.task is not None else None
        verdict = None if status is None else {"done": status.done, "reward": status.reward}
        return {"screen": self.screen, "goal": self.goal, "note": notice, "verdict": verdict, **fields}


def _join(*notices: str) -> str:
    return "; ".join(notice for notice in notices if notice)


envs.register()
