"""Our ids are known to gymnasium however the two are imported, and nothing heavy comes with them."""

from __future__ import annotations

import subprocess
import sys

import pytest

FIRST = "import envs, sys; assert 'gymnasium' not in sys.modules; import gymnasium"
WAYS = {
    "before": FIRST,
    "after": "import gymnasium, envs",
    "looked for first": "import envs, importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium",
    "a part of it": "import envs, gymnasium.spaces, gymnasium",
    "twice": f"{FIRST}; import importlib; importlib.reload(envs)",
}
CHECK = """
import envs, sys
assert {envs.MINIWOB_ID, envs.LIVE_ID, *envs.RECORDED} <= set(gymnasium.registry)
assert not {'torch', 'playwright', 'evals', 'evals.recorded'} & set(sys.modules)
assert all(isinstance(gymnasium.spec(one).entry_point, str) for one in envs.RECORDED)
"""


@pytest.mark.parametrize("way", WAYS)
def test_importing_envs_and_gymnasium_in_any_order_makes_the_ids_known(way: str) -> None:
    subprocess.run([sys.executable, "-c", f"{WAYS[way]}\n{CHECK}"], check=True, timeout=120)


def test_the_long_form_of_an_id_needs_no_import() -> None:
    """gymnasium.make finds the benchmark's sentence behind the id: where its data is to be had."""
    script = (
        "import gymnasium\n"
        "try:\n    gymnasium.make('envs:pixelhand/ScreenSpotPro-v0', data='nowhere')\n"
        "except Exception as error:\n    assert 'get them from github.com' in str(error), error\n"
        "else:\n    raise AssertionError('no data, and no error')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
