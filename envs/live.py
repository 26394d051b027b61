"""A live surface as a gymnasium environment: dispatch, settle, capture, and a task's verdict. Knows no model.

`import envs.live` makes gymnasium know pixelhand/MiniWoB-v0 and pixelhand/Live-v0.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

import envs
from actions import CONTROL_ACTIONS, InvalidActionError, Screen, Surface, UsageError, dispatch
from actions.dispatch import GuardFn
from envs.spaces import ActionSpace, screen_space
from envs.stability import SettleOptions, settle

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class TaskStatus:
    """What a task says of its episode. reward: None as long as it is not done."""

    done: bool = False
    reward: float | None = None


class Task(Protocol):
    """A goal on a surface, and who judges it. Knows its kind of surface; sees no action."""

    def setup(self, surface: Any, seed: int) -> str:
        """Bring the surface to the start of the episode that the seed names; returns the goal."""
        ...

    def verdict(self, surface: Any) -> TaskStatus:
        """How it stands. Changes nothing on the surface."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A task whose machine may lose the episode (a page that crashed and was opened again)."""

    def resume(self, surface: Any) -> str:
        """Start the same episode again if it was lost; returns a note of it, "" if there was nothing to do."""
        ...


class LiveEnv(gymnasium.Env[Pixels, Any]):
    """Observations are the pixels of a Screen, actions are Actions in its pixels.

    goal is used where there is no task. step() lets BadCall and Denied pass (nothing was done, the episode goes on)
    and SurfaceError (the machine failed, the episode is void). Answer and Done end the episode; Ask is the loop's.

    info: "screen" Screen; "goal" str; "note" str, what the machine said beyond its pixels; "verdict" None or
    {"done", "reward"}; "seed" int or None; after a step also "timings_s" {"act", "settle"} and "still" bool.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - gymnasium's own shape

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
            raise UsageError(f"render_mode is None or 'rgb_array', not {render_mode!r}")
        self.surface = surface
        self.task = task
        self.guard = guard
        self.options = settle or SettleOptions()
        self.render_mode = render_mode
        self.goal = goal
        self.screen: Screen = surface.capture()
        self.observation_space: gymnasium.Space[Any] = screen_space(self.screen.width, self.screen.height)
        self.action_space = ActionSpace(self.screen.width, self.screen.height, surface.verbs())
        # Gymnasium then knows that two runs of one seed differ in their timings and screens. make() puts its own here.
        self.spec = EnvSpec(envs.LIVE_ID, entry_point=envs.LIVE_ENTRY, nondeterministic=True)

    def verbs(self) -> frozenset[str]:
        """What a policy may say here: the surface's verbs and those for the person."""
        return self.surface.verbs() | CONTROL_ACTIONS

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Pixels, dict[str, Any]]:
        """Set up the task anew with the seed, one drawn where none is given. Without a task the screen stays."""
        super().reset(seed=seed)
        if self.task is not None:
            seed = int(self.np_random.integers(MAX_SEED)) if seed is None else seed
            self.goal = self.task.setup(self.surface, seed)
        self._settle()
        return self._observation(), self._info(self._news(), seed=seed)

    def step(self, action: Any) -> tuple[Pixels, float, bool, bool, dict[str, Any]]:
        """One action, carried out on the screen that was last returned."""
        began = time.perf_counter()
        ended, note = action.verb in ("answer", "done"), ""
        if action.verb == "ask":
            raise InvalidActionError(
                "a question is for the person, and nobody is here to answer it; decide, or end with done"
            )
        if not ended:
            note = dispatch(action, self.surface, self.screen, self.guard)
        if isinstance(self.task, Resumable):
            note = _join(note, self.task.resume(self.surface))
        acted = time.perf_counter()
        still = self._settle() if not self._over() else self._capture_once()
        info = self._info(_join(note, self._news()))
        info["timings_s"] = {"act": acted - began, "settle": time.perf_counter() - acted}
        info["still"] = still
        verdict = info["verdict"] or {"done": False, "reward": None}
        return self._observation(), float(verdict["reward"] or 0.0), ended or verdict["done"], False, info

    def render(self) -> Any:
        """The last screen's pixels."""
        return self._observation() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self.surface.close()

    def _settle(self) -> bool:
        settled = settle(self.surface.capture, self.options, getattr(self.surface, "busy", None))
        self.screen = settled.screen
        return settled.still

    def _over(self) -> bool:
        return self.task is not None and self.task.verdict(self.surface).done

    def _capture_once(self) -> bool:
        """One picture, at rest or not: of a finished episode, whose screen nobody acts on."""
        self.screen = self.surface.capture()
        return False

    def _news(self) -> str:
        """What the machine said while the screen came to rest; a surface need not have such a thing."""
        news = getattr(self.surface, "pop_notices", None)
        return news() if news else ""

    def _observation(self) -> Pixels:
        return self.screen.pixels.copy()  # a Screen is read-only, and learners write into their batches

    def _info(self, note: str, **more: Any) -> dict[str, Any]:
        verdict = self.task.verdict(self.surface) if self.task is not None else None
        plain = None if verdict is None else {"done": verdict.done, "reward": verdict.reward}
        return {"screen": self.screen, "goal": self.goal, "note": note, "verdict": plain, **more}


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def practice_env(
    task: str,
    headed: bool = False,
    guard: GuardFn | None = None,
    settle: SettleOptions | None = None,
    render_mode: str | None = None,
    surface: Any = None,
) -> LiveEnv:
    """A practice page with its own goal and raw reward: in its own browser, 280 x 364 pixels, or on the surface given.

    A surface shows one when it offers goto(address), evaluate(js) and url; the environment then closes it. UsageError
    when it does not; it is then left open.
    """
    from envs.miniwob import pages
    from envs.miniwob.task import MiniWobTask, require_pages

    if surface is not None:
        require_pages(surface)
        return LiveEnv(surface, task=MiniWobTask(task), guard=guard, settle=settle, render_mode=render_mode)
    from envs.surfaces.browser import Surface as Browser

    browser = Browser(pages.PREFIX + task, headed=headed)
    try:
        env = LiveEnv(browser, task=MiniWobTask(task), guard=guard, settle=settle, render_mode=render_mode)
        env.spec = EnvSpec(
            envs.MINIWOB_ID,
            entry_point=envs.MINIWOB_ENTRY,
            nondeterministic=True,
            kwargs={"task": task, "headed": headed},
        )
        return env
    except BaseException:
        browser.close()
        raise


envs.register()
