"""Where a Chrome or Chromium lies on this machine. Knows file systems and PATH; starts nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from actions import UsageError

VARIABLE = "PIXELHAND_CHROME"
ON_PATH = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
LAST_ON_PATH = ("microsoft-edge", "microsoft-edge-stable", "msedge")


def install_command() -> str:
    """The command that gives this machine a browser."""
    return f"{sys.executable} -m playwright install chromium"


def find_chrome(
    executable: str | None = None,
    *,
    platform: str = sys.platform,
    environ: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
) -> Path:
    """The browser's program: the one named, PIXELHAND_CHROME, an installed Chrome or Chromium, or Playwright's own.

    UsageError when the one named is no file, or when there is none at all. root is the file system's, for tests.
    """
    for named, by in ((executable, "the browser asked for"), (environ.get(VARIABLE), VARIABLE)):
        if named:
            path = Path(shutil.which(named, path=environ.get("PATH", "")) or named).expanduser()
            if not path.is_file():
                raise UsageError(f"{by} is {named}, which is no file; give the path of a Chrome or Chromium program")
            return path
    for path in _places(platform, environ, root):
        if path.is_file():
            return path
    also = ", or as root: apt-get install chromium" if platform.startswith("linux") else ""
    raise UsageError(
        f"no Chrome or Chromium was found; install one with: {install_command()}{also}; "
        f"or set {VARIABLE} to the path of yours"
    )


def _places(platform: str, environ: Mapping[str, str], root: Path) -> Iterator[Path]:
    """Every path worth a look, best first."""
    yield from _on_path(ON_PATH, environ)
    if platform == "darwin":
        apps = (
            "Google Chrome.app/Contents/MacOS/Google Chrome",
            "Chromium.app/Contents/MacOS/Chromium",
            "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
        )
        for app in apps:
            yield root / "Applications" / app
            yield _home(environ) / "Applications" / app
    elif platform == "win32":
        for app in (r"Google/Chrome/Application/chrome.exe", r"Chromium/Application/chrome.exe"):
            for folder in _windows_folders(environ):
                yield folder / app
    else:
        for app in ("opt/google/chrome/chrome", "usr/lib/chromium/chromium", "snap/bin/chromium"):
            yield root / app
    yield from _playwrights_own(platform, environ)
    yield from _on_path(LAST_ON_PATH, environ)
    if platform == "win32":
        for folder in _windows_folders(environ):
            yield folder / "Microsoft/Edge/Application/msedge.exe"


def _on_path(programs: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[Path]:
    for program in programs:
        found = shutil.which(program, path=environ.get("PATH", ""))
        if found:
            yield Path(found)


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())


def _windows_folders(environ: Mapping[str, str]) -> list[Path]:
    return [Path(environ[key]) for key in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA") if environ.get(key)]


def _playwrights_own(platform: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Browsers that `playwright install` fetched, newest first. Source: Playwright's page on browsers."""
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
