"""Command lines that run modules of this package as processes of their own.

`python -m` searches the current directory first, so a user's project with a folder named `envs` would shadow this one.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]  # the folder that holds the packages
RUN = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), None, '__main__', True)"


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs `module` with `arguments`, whatever the current directory holds."""
    return [sys.executable, "-P", "-c", RUN, str(ROOT), module, *arguments]
