"""Open a surface by its name."""

from __future__ import annotations

from types import ModuleType
from typing import cast

from actions import Surface, UsageError, plugins
from envs.options import SurfaceOptions

PACKAGE = "envs.surfaces"
ALIASES = {"still": "image"}  # former name: present name


def surface_names() -> list[str]:
    """Return the names of all surfaces: the modules of `envs.surfaces` and the entry points of that group, sorted."""
    return plugins.list_plugins(PACKAGE)


def open_surface(name: str, options: SurfaceOptions | None = None) -> Surface:
    """Open a surface.

    Args:
        name: Name of the surface plugin, for instance "browser", "desktop", "android" or "image".
        options: Its options; each surface rejects those that do not apply to it.

    Raises:
        UsageError: There is no such surface, or an option does not apply to it.
        SurfaceError: The surface does not start.
    """
    return cast(Surface, _load_surface(name).open_surface(options or SurfaceOptions()))


def check_options(name: str, options: SurfaceOptions) -> list[str]:
    """Return every reason for which a surface could not be opened now, one sentence each, without opening it.

    Raises:
        SurfaceError: The machine failed.
    """
    try:
        check = getattr(_load_surface(name), "check_options", None)
    except UsageError as error:
        return [str(error)]
    return list(check(options)) if check is not None else []


def _load_surface(name: str) -> ModuleType:
    module = plugins.load_plugin(PACKAGE, ALIASES.get(name, name))
    if not hasattr(module, "open_surface"):
        raise UsageError(f"surface '{name}' cannot be opened by name: its module has no open_surface")
    return module
