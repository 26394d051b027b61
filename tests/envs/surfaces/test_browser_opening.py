"""Opening a browser by options, and a MiniWoB++ page on an open surface."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from actions import UsageError
from envs.options import SurfaceOptions


def test_open_surface_uses_url_and_size(chrome, site):
    from envs.surfaces.browser import open_surface

    with open_surface(SurfaceOptions(url=site.add("<title>here</title>"), width=320, height=200)) as surface:
        screen = surface.capture()
        assert (screen.width, screen.height) == (320, 200)
        assert surface.evaluate("document.title") == "here"
        assert surface.is_user_owned is False


def test_miniwob_page_brings_its_own_size(chrome):
    from envs.miniwob.env import miniwob_env
    from envs.surfaces.browser import open_surface

    surface = open_surface(SurfaceOptions(url="practice:click-test", width=320, height=200))
    env = miniwob_env("click-test", surface=surface)
    try:
        _, info = env.reset(seed=900_001)
        assert (info["screen"].width, info["screen"].height) == (280, 364)
        assert info["goal"] == "Click the button."
        assert env.surface is surface
    finally:
        env.close()


@pytest.mark.parametrize(
    ("option", "value", "flag"),
    [
        ("where", "virtual", "--surface browser:virtual"),
        ("window", "Mail", "--window"),
        ("program", "xterm", "--program"),
    ],
)
def test_options_of_other_surfaces_are_rejected(option, value, flag):
    from envs.surfaces.browser import open_surface

    with pytest.raises(UsageError, match=flag):
        open_surface(replace(SurfaceOptions(), **{option: value}))


def test_surface_without_pages_raises_usage_error():
    from envs.miniwob.env import miniwob_env

    class Glass:
        name = "glass"

    with pytest.raises(UsageError, match="this glass surface cannot set up a practice page"):
        miniwob_env("click-test", surface=Glass())


def test_slow_browser_opens_despite_short_timeout(chrome, site, monkeypatch):
    from playwright.async_api import BrowserContext

    from envs.surfaces.browser import Surface

    open_at_once = BrowserContext.new_page

    async def open_late(context):
        await asyncio.sleep(1.5)
        return await open_at_once(context)

    monkeypatch.setattr(BrowserContext, "new_page", open_late)
    with Surface(site.add("<title>late</title>"), width=200, height=100, executable=chrome, timeout_s=1.0) as surface:
        assert surface.evaluate("document.title") == "late"
