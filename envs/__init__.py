"""Live and recorded screens as gymnasium environments.

Importing this package loads neither gymnasium nor a browser driver.
"""

from __future__ import annotations

import sys

MINIWOB_ID = "pixelhand/MiniWoB-v0"
MINIWOB_ENTRY_POINT = "envs.miniwob.env:miniwob_env"
LIVE_ID = "pixelhand/Live-v0"
LIVE_ENTRY_POINT = "envs.live:LiveEnv"


def register() -> None:
    """Register the environment ids with gymnasium; safe to call twice.

    `import envs` calls it when gymnasium is imported already, so `gymnasium.register_envs(envs)` and
    `gymnasium.make("envs:pixelhand/MiniWoB-v0", task="click-test")` need nothing else. When envs is imported before
    gymnasium, call it yourself.
    """
    from gymnasium.envs import registration

    for env_id, entry_point in ((MINIWOB_ID, MINIWOB_ENTRY_POINT), (LIVE_ID, LIVE_ENTRY_POINT)):
        if env_id not in registration.registry:
            # Timings in `info` differ from run to run, on practice pages too, where the screens do not.
            registration.register(env_id, entry_point=entry_point, nondeterministic=True)


if "gymnasium" in sys.modules:
    register()
