"""Open a surface by its name, alone or as an environment."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, cast

from actions import Surface, UsageError, plugins
from envs.chromium.address import hide_userinfo, split_credentials
from envs.miniwob import pages
from envs.options import SurfaceOptions

if TYPE_CHECKING:
    from actions.dispatch import GuardFn
    from envs.live import LiveEnv

PACKAGE = "envs.surfaces"
ALIASES = {"still": "image"}  # former name: present name


def open_surface(name: str, options: SurfaceOptions | None = None) -> Surface:
    """Open a surface.

    Args:
        name: Name of the surface plugin, for instance "browser", "desktop", "android" or "image"; "NAME:WHERE" sets
            `where` of the options.
        options: Its options; each surface rejects those that do not apply to it.

    Raises:
        UsageError: There is no such surface, or an option does not apply to it.
        SurfaceError: The surface does not start.
    """
    options = options or SurfaceOptions()
    name, colon, where = name.partition(":")
    if colon:
        options = replace(options, where=where)
    module = _load_surface(name)
    if problem := _credentials_problem(name, options) or _holding_problem(name, module, options):
        raise UsageError(problem)
    return cast(Surface, module.open_surface(options))


def open_env(name: str, options: SurfaceOptions, *, goal: str = "", guard: GuardFn | None = None) -> LiveEnv:
    """Open a surface as an environment, with a practice task where the address names one.

    Args:
        name: "NAME" or "NAME:WHERE", see open_surface.
        options: The surface's options.
        goal: The goal; "" for a practice page, which has its own.
        guard: Called before each action; raises ActionDeniedError to refuse it.

    Raises:
        UsageError: The surface cannot be opened with these options, or a practice page is given a goal.
        SurfaceError: The surface does not start.
    """
    from envs.live import LiveEnv
    from envs.miniwob.env import miniwob_env

    task = pages.task_name(options.url) if pages.is_miniwob_address(options.url) else None
    if task is not None and goal:
        raise UsageError(f"goal cannot be set for {options.url}: a practice page has its own goal")
    surface = open_surface(name, options)
    try:
        if task is None:
            return LiveEnv(surface, goal=goal, guard=guard)
        return miniwob_env(task, guard=guard, surface=surface)
    except BaseException:
        surface.close()
        raise


def check_options(name: str, options: SurfaceOptions) -> list[str]:
    """Return every reason for which a surface could not be opened now, one sentence each, without opening it.

    Raises:
        SurfaceError: The machine failed.
    """
    name, colon, where = name.partition(":")
    if colon:
        options = replace(options, where=where)
    try:
        module = _load_surface(name)
    except UsageError as error:
        return [str(error)]
    check = getattr(module, "check_options", None)
    problem = _credentials_problem(name, options) or _holding_problem(name, module, options)
    return ([problem] if problem else []) + (list(check(options)) if check is not None and not problem else [])


def _credentials_problem(name: str, options: SurfaceOptions) -> str:
    """Return why a user name and password in the address cannot be used, "" if they can or there are none."""
    if ALIASES.get(name, name) == "browser" or split_credentials(options.url)[1] is None:
        return ""
    return (
        f"--url {hide_userinfo(options.url)[:200]} cannot be opened with a user name and password: the {name} surface "
        "would show them to other programs: leave them out of --url, or use --surface browser"
    )


def _holding_problem(name: str, module: ModuleType, options: SurfaceOptions) -> str:
    """Return why writes cannot be held on a surface, "" if they can or need not be."""
    if not options.hold_writes or getattr(module, "HOLDS_WRITES", False):
        return ""
    return (
        f"--hold-writes cannot be used with the {name} surface, whose requests are not seen here: "
        "leave --hold-writes out, or use --surface browser"
    )


def _load_surface(name: str) -> ModuleType:
    module = plugins.load_plugin(PACKAGE, ALIASES.get(name, name))
    if not hasattr(module, "open_surface"):
        raise UsageError(f"surface '{name}' cannot be opened by name: its module has no open_surface")
    return module
