"""Screens that the benchmarks open: a browser, a virtual desktop, and a simulated phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from envs.network.rules import PUBLIC_HOSTS, NetworkRules

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.env import BaseEnv, Env
    from envs.simulators.android.phone import SimulatedPhone
    from envs.surfaces.android import Surface as AndroidSurface
    from envs.surfaces.browser import Surface as BrowserSurface
    from envs.surfaces.desktop import Surface as DesktopSurface
    from perf.surface_baselines import AdbServerProcess


@contextmanager
def open_bench_env(settings: Settings) -> Iterator[tuple[Env, BrowserSurface | DesktopSurface]]:
    """Open a browser or a virtual desktop as `agent run` does; yield the environment and its surface.

    Raises:
        UsageError: The surface cannot be opened with these settings.
        SurfaceError: The surface failed.
    """
    from agent.session import make_env, make_guard

    env = make_env(settings, make_guard(settings))
    try:
        yield env, cast("BrowserSurface | DesktopSurface", cast("BaseEnv", env.unwrapped).surface)
    finally:
        env.close()


@contextmanager
def open_bench_phone(
    url: str = "", network: NetworkRules = PUBLIC_HOSTS, *, reads_elements: bool = False
) -> Iterator[tuple[SimulatedPhone, AndroidSurface, AdbServerProcess]]:
    """Start a simulated phone; yield it, the surface that is connected to it, and its adb server.

    Args:
        url: Where the surface starts; "" for the home screen.
        network: What the phone's browser may connect to.
        reads_elements: Whether the surface reads the elements of the screen.

    Raises:
        UsageError: adb is not installed, or the phone cannot start.
        SurfaceError: The phone failed.
    """
    from envs.simulators.android.phone import SimulatedPhone
    from envs.surfaces.android import Surface
    from perf.surface_baselines import AdbServerProcess

    with AdbServerProcess() as server, SimulatedPhone(network=network) as phone:
        server.run("connect", phone.address)
        with Surface(phone.address, url, port=server.port, reads_elements=reads_elements) as surface:
            yield phone, surface, server
