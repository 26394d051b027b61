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

    if MINIWOB_ID not in registration.registry:
        registration.register(MINIWOB_ID, entry_point=MINIWOB_ENTRY_POINT)
    if LIVE_ID not in registration.registry:
        # A live screen: timings differ from run to run.
        registration.register(LIVE_ID, entry_point=LIVE_ENTRY_POINT, nondeterministic=True)


if "gymnasium" in sys.modules:
    register()
