"""Screens, live and recorded. Knows no model; importing it loads neither a browser driver nor gymnasium."""

from __future__ import annotations

import sys

MINIWOB_ID = "pixelhand/MiniWoB-v0"
MINIWOB_ENTRY = "envs.live:practice_env"
LIVE_ID = "pixelhand/Live-v0"
LIVE_ENTRY = "envs.live:LiveEnv"
RECORDED_ENTRY = "evals.recorded:make_env"  # its readers and scorers live upstairs: gymnasium imports it by this name
RECORDED = {  # id: the benchmark's name
    "pixelhand/ScreenSpot-v0": "screenspot",
    "pixelhand/ScreenSpotV2-v0": "screenspot-v2",
    "pixelhand/ScreenSpotPro-v0": "screenspot-pro",
    "pixelhand/OSWorldG-v0": "osworld-g",
    "pixelhand/OSWorldGRefined-v0": "osworld-g-refined",
    "pixelhand/AndroidControl-v0": "android-control",
    "pixelhand/AgentNetBench-v0": "agentnetbench",
    "pixelhand/AITZ-v0": "aitz",
}


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
    for name, benchmark in RECORDED.items():
        if name not in registry:
            add(name, entry_point=RECORDED_ENTRY, kwargs={"name": benchmark})


if "gymnasium" in sys.modules:
    register()
