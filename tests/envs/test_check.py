"""check_surface finds what is broken, each thing in a sentence, and nothing in what is sound."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from actions import InvalidActionError, Screen, SurfaceError
from envs.surface_check import check_surface


class Sound:
    """A surface of memory: all white, and it can click and wait."""

    name = "memory"

    def __init__(self):
        self.closed = False

    def capture(self):
        if self.closed:
            raise SurfaceError("closed")
        return Screen(np.full((20, 30, 3), 255, np.uint8))

    def perform(self, action):
        if action.verb not in self.verbs():
            raise InvalidActionError(f"cannot {action.verb}")
        return ""

    def verbs(self):
        return frozenset({"click", "wait"})

    def close(self):
        self.closed = True


def test_a_sound_surface_has_no_failures():
    assert check_surface(Sound()) == []


class Shrinks(Sound):
    width = 30

    def capture(self):
        super().capture()
        self.width -= 1
        return Screen(np.zeros((20, self.width, 3), np.uint8))


class Stale(Sound):
    screen = Screen(np.zeros((20, 30, 3), np.uint8))

    def capture(self):
        super().capture()
        return self.screen


class OldClock(Sound):
    def capture(self):
        return Screen(super().capture().pixels, timestamp=12.5)


class BareArray(Sound):
    def capture(self):
        return np.zeros((20, 30, 3), np.uint8)


class Mute(Sound):
    def perform(self, action):
        super().perform(action)


class Careless(Sound):
    def perform(self, action):
        return ""


class Foreign(Sound):
    def perform(self, action):
        raise KeyError("no such thing")


class Boasts(Sound):
    def verbs(self):
        return frozenset({"click", "fly", "answer"})


class ListsVerbs(Sound):
    def verbs(self):
        return ["click"]


class ClosesOnce(Sound):
    def close(self):
        if self.closed:
            raise RuntimeError("already closed")
        super().close()


class GhostAfterClose(Sound):
    def close(self):
        pass


class NoName(Sound):
    name = ""


class NoClose(Sound):
    close = None


class ChangesAfterClick(Sound):
    clicked = False

    def capture(self):
        screen = super().capture()
        return Screen(screen.pixels[:10]) if self.clicked else screen

    def perform(self, action):
        note = super().perform(action)
        self.clicked = True
        return note


@pytest.mark.parametrize(
    ("surface", "sentence"),
    [
        (Shrinks, "it went from 29x20 to 28x20 between two captures"),
        (Stale, "two calls returned one and the same"),
        (OldClock, "in seconds since 1970; it said 12.5"),
        (BareArray, "capture() must return a Screen, not ndarray"),
        (Mute, 'perform(click) must return its note as text, "" for none, not NoneType'),
        (Careless, "perform(done), which it cannot, must raise BadCall; it returned as if done"),
        (Foreign, "perform(click) must fail with SurfaceError or BadCall, not KeyError: 'no such thing'"),
        (Boasts, "verbs() names what is no verb: fly"),
        (Boasts, "verbs() names what is for the person, not for a machine: answer"),
        (ListsVerbs, "verbs() must be a frozenset of at least one verb, not ['click']"),
        (ClosesOnce, "close() a second time must fail with SurfaceError or BadCall, not RuntimeError: already closed"),
        (GhostAfterClose, "capture() after close() must raise SurfaceError; it returned a picture of nothing"),
        (NoName, "name must be a non-empty text"),
        (NoClose, "close() is missing"),
        (ChangesAfterClick, "it went from 30x20 to 30x10 after some actions"),
    ],
)
def test_a_broken_surface_is_told_what_is_wrong(surface, sentence):
    failures = check_surface(surface())
    assert any(sentence in failure for failure in failures), failures


def test_a_surface_that_hangs_is_told_so_in_bounded_time():
    release = threading.Event()

    class Hangs(Sound):
        def perform(self, action):
            release.wait(30)
            return ""

    failures = check_surface(Hangs(), limit_s=0.3)
    release.set()
    assert failures[-1] == "perform(click) must end or raise SurfaceError; it did not return within 0.3 s"


def test_the_browser_keeps_the_contract(chrome):
    from envs.surfaces.browser import Surface

    assert check_surface(Surface("practice:click-test", executable=chrome)) == []
