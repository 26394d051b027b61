"""Where a browser is searched for on each platform; needs no browser."""

from __future__ import annotations

import os
import sys

import pytest

from actions import UsageError
from envs.chromium.executable import VARIABLE, find_chrome, install_command


@pytest.fixture
def program(tmp_path):
    def make(*parts):
        path = tmp_path.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    return make


def test_argument_comes_before_variable(program):
    named, variable = program("a", "mine"), program("b", "other")
    environ = {VARIABLE: str(variable), "PATH": str(program("bin", "chromium").parent)}
    assert find_chrome(str(named), environ=environ) == named
    assert find_chrome(environ=environ) == variable


def test_missing_named_browser_raises_usage_error(program, tmp_path):
    environ = {"PATH": str(program("bin", "chromium").parent)}
    with pytest.raises(UsageError, match="executable is /nowhere/chrome, which is no file"):
        find_chrome("/nowhere/chrome", environ=environ)
    with pytest.raises(UsageError, match=f"{VARIABLE} is {tmp_path}"):
        find_chrome(environ={**environ, VARIABLE: str(tmp_path)})


@pytest.mark.skipif(os.name == "nt", reason="PATH lookups of this test are POSIX")
def test_path_prefers_chrome_then_chromium(program, tmp_path):
    environ = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}
    edge = program("bin", "microsoft-edge")
    assert find_chrome(platform="linux", environ=environ, root=tmp_path) == edge
    chromium = program("bin", "chromium")
    assert find_chrome(platform="linux", environ=environ, root=tmp_path) == chromium
    chrome = program("bin", "google-chrome")
    assert find_chrome(platform="linux", environ=environ, root=tmp_path) == chrome


def test_install_folders_of_linux_and_macos(program, tmp_path):
    nothing = {"PATH": "", "HOME": str(tmp_path / "home")}
    linux = program("opt", "google", "chrome", "chrome")
    assert find_chrome(platform="linux", environ=nothing, root=tmp_path) == linux
    mine = program("home", "Applications", "Chromium.app", "Contents", "MacOS", "Chromium")
    assert find_chrome(platform="darwin", environ=nothing, root=tmp_path) == mine
    chrome = program("Applications", "Google Chrome.app", "Contents", "MacOS", "Google Chrome")
    assert find_chrome(platform="darwin", environ=nothing, root=tmp_path) == chrome


def test_install_folders_of_windows(program, tmp_path):
    environ = {"PATH": "", "PROGRAMFILES": str(tmp_path / "pf"), "LOCALAPPDATA": str(tmp_path / "local")}
    edge = program("pf", "Microsoft", "Edge", "Application", "msedge.exe")
    assert find_chrome(platform="win32", environ=environ, root=tmp_path) == edge
    chrome = program("local", "Google", "Chrome", "Application", "chrome.exe")
    assert find_chrome(platform="win32", environ=environ, root=tmp_path) == chrome


@pytest.mark.parametrize(
    ("platform", "cache", "inside"),
    [
        ("linux", ".cache/ms-playwright", "chrome-linux64/chrome"),
        ("darwin", "Library/Caches/ms-playwright", "chrome-mac-arm64/Chrome.app/Contents/MacOS/Chrome"),
        ("win32", "AppData/Local/ms-playwright", "chrome-win64/chrome.exe"),
    ],
)
def test_newest_playwright_browser_is_found(program, tmp_path, platform, cache, inside):
    environ = {"PATH": "", "HOME": str(tmp_path)}
    program(cache, "chromium-999", inside)
    newest = program(cache, "chromium-1200", inside)
    program(cache, "chromium_headless_shell-1300", inside)
    assert find_chrome(platform=platform, environ=environ, root=tmp_path) == newest


def test_playwright_browsers_path_is_searched(program, tmp_path):
    own = program("browsers", "chromium-7", "chrome-linux", "chrome")
    environ = {"PATH": "", "HOME": str(tmp_path / "home"), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "browsers")}
    assert find_chrome(platform="linux", environ=environ, root=tmp_path) == own


def test_no_browser_error_names_remedies(tmp_path):
    environ = {"PATH": "", "HOME": str(tmp_path)}
    with pytest.raises(UsageError) as error:
        find_chrome(platform="linux", environ=environ, root=tmp_path)
    assert install_command() in str(error.value)
    assert f"{sys.executable} -m playwright install chromium" == install_command()
    assert "apt-get install chromium" in str(error.value)
    assert VARIABLE in str(error.value)
