"""Evaluate policies on recorded and live benchmarks.

`evaluate` runs a policy in this process, `score` scores a file of predictions. Importing this package registers the
ids of recorded benchmarks where gymnasium is already imported; otherwise call `register`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.api import evaluate, score
    from evals.envs import make_env
    from evals.registration import register
    from evals.types import EvaluationResult

__all__ = ["EvaluationResult", "evaluate", "make_env", "register", "score"]
_MODULES = {
    "EvaluationResult": "evals.types",
    "evaluate": "evals.api",
    "make_env": "evals.envs",
    "register": "evals.registration",
    "score": "evals.api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'evals' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


if "gymnasium" in sys.modules:
    import_module("evals.registration").register()
