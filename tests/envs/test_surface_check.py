"""check_surface reports every breach of the contract, and none of a surface that keeps it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from actions import InvalidActionError, Screen, SurfaceError
from envs.surface_check import check_surface


class MemorySurface:
    """A white screen in memory that can click and wait."""

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


def test_valid_surface_has_no_failures():
    assert check_surface(MemorySurface()) == []


class Shrinks(MemorySurface):
    width = 30

    def capture(self):
        super().capture()
        self.width -= 1
        return Screen(np.zeros((20, self.width, 3), np.uint8))


class Stale(MemorySurface):
    screen = Screen(np.zeros((20, 30, 3), np.uint8))

    def capture(self):
        super().capture()
        return self.screen


class OldClock(MemorySurface):
    def capture(self):
        return Screen(super().capture().pixels, timestamp=12.5)


class BareArray(MemorySurface):
    def capture(self):
        return np.zeros((20, 30, 3), np.uint8)


class ReturnsNone(MemorySurface):
    def perform(self, action):
        super().perform(action)


class IgnoresVerb(MemorySurface):
    def perform(self, action):
        return ""


class RaisesKeyError(MemorySurface):
    def perform(self, action):
        raise KeyError("no such thing")


class UnknownVerbs(MemorySurface):
    def verbs(self):
        return frozenset({"click", "fly", "answer"})


class ListsVerbs(MemorySurface):
    def verbs(self):
        return ["click"]


class ClosesOnce(MemorySurface):
    def close(self):
        if self.closed:
            raise RuntimeError("already closed")
        super().close()


class GhostAfterClose(MemorySurface):
    def close(self):
        pass


class NoName(MemorySurface):
    name = ""


class NoClose(MemorySurface):
    close = None


class ChangesAfterClick(MemorySurface):
    clicked = False

    def capture(self):
        screen = super().capture()
        return Screen(screen.pixels[:10]) if self.clicked else screen

    def perform(self, action):
        note = super().perform(action)
        self.clicked = True
        return note


@pytest.mark.parametrize(
    ("surface", "message"),
    [
        (Shrinks, "it went from 29x20 to 28x20 between two captures"),
        (Stale, "two calls returned the same one"),
        (OldClock, "in seconds since 1970, not 12.5"),
        (BareArray, "capture() must return a Screen, not ndarray"),
        (ReturnsNone, 'perform(click) must return a notice, "" for none, not NoneType'),
        (IgnoresVerb, "perform(done) is unsupported and must raise InvalidActionError; it returned"),
        (RaisesKeyError, "perform(click) must raise SurfaceError or InvalidActionError, not KeyError: 'no such thing'"),
        (UnknownVerbs, "verbs() returned unknown verbs: fly"),
        (UnknownVerbs, "verbs() returned control actions, which no surface performs: answer"),
        (ListsVerbs, "verbs() must return a frozenset of at least one verb, not ['click']"),
        (
            ClosesOnce,
            "close() a second time must raise SurfaceError or InvalidActionError, not RuntimeError: already closed",
        ),
        (GhostAfterClose, "capture() after close() must raise SurfaceError; it returned a Screen"),
        (NoName, "name must be a non-empty string"),
        (NoClose, "close() is missing"),
        (ChangesAfterClick, "it went from 30x20 to 30x10 after some actions"),
    ],
)
def test_breach_is_reported(surface, message):
    failures = check_surface(surface())
    assert any(message in failure for failure in failures), failures


def test_hanging_surface_is_reported():
    release = threading.Event()

    class Hangs(MemorySurface):
        def perform(self, action):
            release.wait(30)
            return ""

    failures = check_surface(Hangs(), limit_s=0.3)
    release.set()
    assert failures[-1] == "perform(click) must end or raise SurfaceError; it did not return within 0.3 s"


def test_browser_surface_keeps_contract(chrome):
    from envs.surfaces.browser import Surface

    assert check_surface(Surface("practice:click-test", executable=chrome)) == []
