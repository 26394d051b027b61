"""Screens, live and recorded. Knows no model; importing it loads neither a browser driver nor gymnasium."""

from __future__ import annotations

import sys

MINIWOB_ID = "pixelhand/MiniWoB-v0"
MINIWOB_ENTRY = "envs.live:practice_env"
LIVE_ID = "pixelhand/Live-v0"
LIVE_ENTRY = "envs.live:LiveEnv"


def register() -> None:
    """Make gymnasium know our ids; safe to call twice.

    Done at once when gymnasium was imported first; else importing `envs.live`, this call, or the long form
    `gymnasium.make("envs.live:pixelhand/MiniWoB-v0", task="click-test")` does it.
    """
    from gymnasium.envs.registration import register as add
    from gymnasium.envs.registration import registry

    for name, entry_point in ((MINIWOB_ID, MINIWOB_ENTRY), (LIVE_ID, LIVE_ENTRY)):
        if name not in registry:
            add(name, entry_point=entry_point, nondeterministic=True)  # a live screen: timings differ from run to run


if "gymnasium" in sys.modules:
    register()
