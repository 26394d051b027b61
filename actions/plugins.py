"""Plug-in folders: a package's folder is its registry. Nothing is imported until it is asked for.

Third parties add to a folder through an entry-point group of its dotted name, "pixelhand." in front
(`pixelhand.envs.surfaces`, say).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType

from actions.errors import UsageError

GROUP = "pixelhand."


def _external(package: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP + package)}


def list_plugins(package: str) -> list[str]:
    """What the plug-in folder holds, sorted; the package is named, not imported ("envs.surfaces")."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    own = {
        module.name
        for module in pkgutil.iter_modules(folders)
        if not module.ispkg and not module.name.startswith("_") and module.name != "base"
    }
    return sorted(own | set(_external(package)))


def load_plugin(package: str, name: str) -> ModuleType:
    """Import one plug-in. UsageError names what there is, and the nearest, when there is no such one."""
    known = list_plugins(package)
    if name not in known:
        kind = package.rpartition(".")[2].removesuffix("s")
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UsageError(f"no {kind} '{name}'; have {', '.join(known)}.{hint}")
    return importlib.import_module(_external(package).get(name, f"{package}.{name}"))
