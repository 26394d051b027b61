"""Our own modules as programs of their own. Knows how Python is started; starts nothing.

`python -m` looks into the folder that one is in before anywhere else: a person's project with a folder `envs` in it
would be run instead of ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]  # the folder of our packages
RUN = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), None, '__main__', True)"


def command(module: str, *words: str) -> list[str]:
    """The command line that runs a module of ours with these words, whatever lies in the present folder."""
    return [sys.executable, "-P", "-c", RUN, str(ROOT), module, *words]
