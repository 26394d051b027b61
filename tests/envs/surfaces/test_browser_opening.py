"""A browser opened as every screen is opened, and a practice page on a surface that was opened before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actions import UsageError
from envs.options import SurfaceOptions


def test_it_opens_at_the_address_and_size_asked_for(chrome, site):
    from envs.surfaces.browser import open_surface

    with open_surface(SurfaceOptions(url=site.add("<title>here</title>"), width=320, height=200)) as surface:
        screen = surface.capture()
        assert (screen.width, screen.height) == (320, 200) and surface.evaluate("document.title") == "here"
        assert surface.is_user_owned is False


def test_a_practice_page_brings_its_size_and_runs_on_the_surface_given(chrome):
    from envs.live import practice_env
    from envs.surfaces.browser import open_surface

    surface = open_surface(SurfaceOptions(url="practice:click-test", width=320, height=200))
    env = practice_env("click-test", surface=surface)
    try:
        _, info = env.reset(seed=900_001)
        assert (info["screen"].width, info["screen"].height) == (280, 364) and info["goal"] == "Click the button."
        assert env.surface is surface
    finally:
        env.close()


@pytest.mark.parametrize(("what", "value"), [("where", "virtual"), ("window", "Mail"), ("program", "xterm")])
def test_what_belongs_to_other_screens_is_refused(what, value):
    from envs.surfaces.browser import open_surface

    with pytest.raises(UsageError, match=f"the browser has no {what} to choose"):
        open_surface(replace(SurfaceOptions(), **{what: value}))


def test_a_surface_without_pages_is_refused_in_a_sentence():
    from envs.live import practice_env

    class Glass:
        name = "glass"

    with pytest.raises(UsageError, match="this glass surface cannot set up a practice page"):
        practice_env("click-test", surface=Glass())
