"""Registration of the environment ids with gymnasium."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTS = {
    "gymnasium first": "import gymnasium, envs",
    "register_envs": "import envs, gymnasium; gymnasium.register_envs(envs); envs.register()",
    "register": "import envs; assert 'gymnasium' not in sys.modules; import gymnasium; envs.register()",
    "twice": "import gymnasium, envs; envs.register(); import importlib; importlib.reload(envs)",
}
CHECK = """
assert {envs.MINIWOB_ID, envs.LIVE_ID} <= set(gymnasium.registry)
assert all(isinstance(gymnasium.spec(env_id).entry_point, str) for env_id in (envs.MINIWOB_ID, envs.LIVE_ID))
assert not {'torch', 'playwright', 'evals'} & set(sys.modules)
"""


@pytest.mark.parametrize("order", IMPORTS)
def test_ids_are_registered(order: str) -> None:
    subprocess.run([sys.executable, "-c", f"import sys; {IMPORTS[order]}\n{CHECK}"], check=True, timeout=120)


def test_long_id_needs_no_import() -> None:
    """gymnasium imports the module before the colon, and then finds the id."""
    code = (
        "import gymnasium\n"
        "try:\n    gymnasium.make('envs:pixelhand/MiniWoB-v0', task='click-tset')\n"
        "except Exception as error:\n    assert 'click-test' in str(error), error\n"
        "else:\n    raise AssertionError('no error for an unknown task')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
