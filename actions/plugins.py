"""Plug-in packages: each module of the package is a plug-in, imported when it is loaded.

Third parties add plug-ins through an entry-point group named after the package, such as `pixelhand.envs.surfaces`.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType

from actions.errors import UsageError
from actions.suggest import suggest

GROUP = "pixelhand."


def _external(package: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP + package)}


def list_plugins(package: str) -> list[str]:
    """Return the sorted names of a package's plug-ins without importing it, such as of "envs.surfaces"."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    own = {
        module.name
        for module in pkgutil.iter_modules(folders)
        if not module.ispkg and not module.name.startswith("_") and module.name != "base"
    }
    return sorted(own | set(_external(package)))


def load_plugin(package: str, name: str) -> ModuleType:
    """Import and return a plug-in.

    Raises:
        UsageError: there is no plug-in of that name; the message lists the names and suggests the nearest.
    """
    known = list_plugins(package)
    if name not in known:
        kind = package.rpartition(".")[2].removesuffix("s")
        raise UsageError(f"unknown {kind} '{name}'; available: {', '.join(known)}.{suggest(name, known)}")
    return importlib.import_module(_external(package).get(name, f"{package}.{name}"))
