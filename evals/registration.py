"""Register the recorded benchmarks with gymnasium."""

from __future__ import annotations

from actions import plugins
from evals.registry import FOLDER


def register() -> None:
    """Register the ids of all recorded benchmarks with gymnasium, such as "pixelhand/ScreenSpotPro-v0".

    Calling it twice is safe. `import evals` calls it where gymnasium is already imported;
    `gymnasium.make("evals:pixelhand/ScreenSpotPro-v0", data=...)` imports evals itself.
    """
    from gymnasium.envs.registration import register as register_id
    from gymnasium.envs.registration import registry

    for module in plugins.list_plugins(FOLDER):
        for name, bench in getattr(plugins.load_plugin(FOLDER, module), "BENCHMARKS", {}).items():
            if bench.env_id and bench.env_id not in registry:
                register_id(bench.env_id, entry_point="evals.envs:make_env", kwargs={"name": name})
