"""Start one Chromium for one surface."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from playwright.async_api import Browser, BrowserContext, Error, Playwright, async_playwright

from actions import SurfaceError, UsageError
from envs.chromium.executable import find_chrome
from envs.chromium.flags import BROWSER_FLAGS, proxy_flags
from envs.chromium.native_requests import report_requests
from envs.chromium.page_scripts import browser_script
from envs.display_filter import DisplayFilter, open_display_filter
from envs.network.proxy import NetworkProxy

SANDBOX_VARIABLE = "PIXELHAND_CHROME_SANDBOX"  # "off" where the system forbids user namespaces
START_S = 60.0
X11_FLAGS = ("--ozone-platform=x11",)


def use_sandbox() -> bool:
    """Return whether Chromium uses its sandbox: not as root on Linux, nor when PIXELHAND_CHROME_SANDBOX is "off"."""
    setting = os.environ.get(SANDBOX_VARIABLE, "on")
    if setting not in ("on", "off"):
        raise UsageError(f"{SANDBOX_VARIABLE} must be on or off, not {setting!r}")
    is_root = sys.platform.startswith("linux") and os.geteuid() == 0
    return setting == "on" and not is_root


def require_display(headed: bool) -> None:
    """Raise UsageError for a browser window on Linux without a display to show it on."""
    has_display = not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if headed and not has_display:
        raise UsageError("--headed needs a display: DISPLAY is not set; leave --headed out, or set DISPLAY")


async def launch(executable: str | None, headed: bool, proxy: NetworkProxy) -> tuple[Playwright, Browser]:
    """Start a browser with a temporary profile.

    Args:
        executable: Name or path of its program; None searches for one.
        headed: Show its window.
        proxy: Its only way to the network.

    Raises:
        UsageError: No browser is installed.
        SurfaceError: It does not start.
    """
    path = find_chrome(executable)
    sandbox = use_sandbox()
    display = open_display_filter() if headed else None  # a visible window must not share the user's clipboard
    playwright = await async_playwright().start()
    try:
        browser = await playwright.chromium.launch(
            executable_path=path,
            headless=not headed,
            args=[*BROWSER_FLAGS, *proxy_flags(proxy.port, proxy.socket_port), *(X11_FLAGS if display else ())],
            env={**_without_wayland(os.environ), **display.environ} if display else None,
            ignore_default_args=["--hide-scrollbars"],  # a scroll bar shows the model that there is more
            chromium_sandbox=sandbox,
            handle_sigint=False,  # the loop handles signals and closes its surfaces
            handle_sigterm=False,
            handle_sighup=False,
            timeout=START_S * 1000,
        )
    except Error as error:
        _close(display)
        await playwright.stop()
        raise SurfaceError(_explain(str(path), error.message, headed)) from None
    except BaseException:  # cancelled
        _close(display)
        await playwright.stop()
        raise
    browser.on("disconnected", lambda _: _close(display))
    return playwright, browser


async def open_context(
    browser: Browser, size: tuple[int, int], scale: float, add_notice: Callable[[str], None]
) -> BrowserContext:
    """Open a context whose pages have a viewport of `size` CSS pixels, with `scale` device pixels each.

    `add_notice` is called with what the model should know about refused requests of the pages.
    """
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=scale,
        accept_downloads=False,
        service_workers="block",  # their requests belong to no page
    )
    await report_requests(context, add_notice)
    await context.add_init_script(browser_script())
    return context


def _without_wayland(environ: Mapping[str, str]) -> dict[str, str | float | bool]:
    return {name: value for name, value in environ.items() if not name.startswith("WAYLAND_")}


def _close(display: DisplayFilter | None) -> None:
    if display is not None:
        display.close()


def _explain(path: str, message: str, headed: bool) -> str:
    """Return why the browser did not start, and what to do, from Playwright's message."""
    if "No usable sandbox" in message or "SUID sandbox" in message:
        return (
            f"{path} cannot use its sandbox on this system; allow unprivileged user namespaces, "
            f"or accept the risk with {SANDBOX_VARIABLE}=off"
        )
    if headed and ("ozone" in message.lower() or "DISPLAY" in message or "X server" in message):
        return f"{path} found no display for a visible window; run it headless, or set DISPLAY"
    return f"{path} did not start: {message.strip().splitlines()[0]}"
