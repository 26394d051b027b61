"""Open a surface by its name."""

from __future__ import annotations

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
    module = plugins.load_plugin(PACKAGE, ALIASES.get(name, name))
    if not hasattr(module, "open_surface"):
        raise UsageError(f"surface '{name}' cannot be opened by name: its module has no open_surface")
    return cast(Surface, module.open_surface(options or SurfaceOptions()))
