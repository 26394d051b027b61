"""Find the program of an installed Chrome or Chromium.

Playwright's `channel="chrome"` finds it only for a browser that Playwright itself launches; the virtual desktop and the
doctor need the path.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from actions import UsageError

VARIABLE = "PIXELHAND_CHROME"
PROGRAMS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
EDGE_PROGRAMS = ("microsoft-edge", "microsoft-edge-stable", "msedge")  # after Playwright's Chromium
MACOS_APPS = (
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Chromium.app/Contents/MacOS/Chromium",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
WINDOWS_APPS = ("Google/Chrome/Application/chrome.exe", "Chromium/Application/chrome.exe")
WINDOWS_EDGE = "Microsoft/Edge/Application/msedge.exe"
LINUX_PATHS = ("opt/google/chrome/chrome", "usr/lib/chromium/chromium", "snap/bin/chromium")


def install_command() -> str:
    """Return the command that installs a browser."""
    return f"{sys.executable} -m playwright install chromium"


def find_chrome(
    executable: str | None = None,
    *,
    platform: str = sys.platform,
    environ: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
) -> Path:
    """Return the browser's program: `executable`, PIXELHAND_CHROME, an installed browser, or Playwright's own.

    Args:
        executable: Name or path of the program; None searches for one.
        platform: As `sys.platform`.
        environ: Environment variables.
        root: Root of the file system.

    Raises:
        UsageError: The named program is missing, or no browser is installed.
    """
    for name, source in ((executable, "the browser's executable"), (environ.get(VARIABLE), VARIABLE)):
        if name:
            path = Path(shutil.which(name, path=environ.get("PATH", "")) or name).expanduser()
            if not path.is_file():
                raise UsageError(f"{source} is {name}, which is no file; give the path of a Chrome or Chromium program")
            return path
    for path in _candidates(platform, environ, root):
        if path.is_file():
            return path
    apt = ", or as root: apt-get install chromium" if platform.startswith("linux") else ""
    raise UsageError(
        f"no Chrome or Chromium was found; install one with: {install_command()}{apt}; "
        f"or set {VARIABLE} to the path of yours"
    )


def _candidates(platform: str, environ: Mapping[str, str], root: Path) -> Iterator[Path]:
    """Yield the paths where a browser may be, best first."""
    yield from _on_path(PROGRAMS, environ)
    if platform == "darwin":
        for app in MACOS_APPS:
            yield root / "Applications" / app
            yield _home(environ) / "Applications" / app
    elif platform == "win32":
        for app in WINDOWS_APPS:
            yield from (folder / app for folder in _windows_folders(environ))
    else:
        yield from (root / path for path in LINUX_PATHS)
    yield from _playwright_browsers(platform, environ)
    yield from _on_path(EDGE_PROGRAMS, environ)
    if platform == "win32":
        yield from (folder / WINDOWS_EDGE for folder in _windows_folders(environ))


def _on_path(programs: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[Path]:
    for program in programs:
        path = shutil.which(program, path=environ.get("PATH", ""))
        if path:
            yield Path(path)


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())


def _windows_folders(environ: Mapping[str, str]) -> list[Path]:
    return [Path(environ[key]) for key in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA") if environ.get(key)]


def _playwright_browsers(platform: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the browsers that `playwright install` downloaded, newest first. Source: Playwright's docs on browsers."""
    folder = environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    if folder == "0":  # inside the package
        spec = find_spec("playwright")
        if spec is None or not spec.submodule_search_locations:
            return
        base = Path(next(iter(spec.submodule_search_locations))) / "driver" / "package" / ".local-browsers"
    elif folder:
        base = Path(folder)
    elif platform == "darwin":
        base = _home(environ) / "Library" / "Caches" / "ms-playwright"
    elif platform == "win32":
        base = Path(environ.get("LOCALAPPDATA") or _home(environ) / "AppData" / "Local") / "ms-playwright"
    else:
        base = Path(environ.get("XDG_CACHE_HOME") or _home(environ) / ".cache") / "ms-playwright"
    numbered = [path for path in base.glob("chromium-*") if path.name.partition("-")[2].isdigit()]
    for version in sorted(numbered, key=lambda path: int(path.name.partition("-")[2]), reverse=True):
        yield from version.glob("chrome-linux*/chrome")
        yield from version.glob("chrome-mac*/*.app/Contents/MacOS/*")
        yield from version.glob("chrome-win*/chrome.exe")
