"""Screens, live and recorded. Knows no model; importing it loads neither a browser driver nor gymnasium."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MINIWOB_ID = "pixelhand/MiniWoB-v0"
MINIWOB_ENTRY = "envs.live:practice_env"
LIVE_ID = "pixelhand/Live-v0"
LIVE_ENTRY = "envs.live:LiveEnv"


def register() -> None:
    """Make gymnasium know our ids; safe to call twice.

    `import envs` does it, before or after `import gymnasium`; so does the id's long form without any import,
    `gymnasium.make("envs:pixelhand/MiniWoB-v0", task="click-test")`. Gymnasium 1.0 and later read no entry points.
    """
    from gymnasium.envs.registration import register as add
    from gymnasium.envs.registration import registry

    for name, entry_point in ((MINIWOB_ID, MINIWOB_ENTRY), (LIVE_ID, LIVE_ENTRY)):
        if name not in registry:
            add(name, entry_point=entry_point, nondeterministic=True)  # a live screen: timings differ from run to run


class _WhenGymnasiumComes(MetaPathFinder):
    """Registers as soon as gymnasium has been imported, so that our import need not load it. Finds nothing itself."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "gymnasium":
            return None
        others = (finder.find_spec for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((found for find in others if (found := find(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


if "gymnasium" in sys.modules:
    register()
elif not any(type(finder).__name__ == _WhenGymnasiumComes.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _WhenGymnasiumComes())
