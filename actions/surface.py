"""Protocols of a surface: a screen that can be captured and acted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from actions.evidence import ScreenEvidence
from actions.facts import ActionFacts
from actions.screen import Screen
from actions.targets import ScreenTarget
from actions.types import Action


@runtime_checkable
class Surface(Protocol):
    """A screen that can be captured and acted on; every method raises SurfaceError when the machine fails."""

    name: str

    def capture(self) -> Screen:
        """Return the screen as it is now; never a black or stale image in place of a failed capture."""
        ...

    def perform(self, action: Action) -> str:
        """Perform one action, its points in pixels of the last captured Screen; only `dispatch` calls this.

        Returns:
            A notice of what the pixels may not show (a dialog, a new tab), "" if there is none.
        """
        ...

    def verbs(self) -> frozenset[str]:
        """Return the verbs that `perform` supports."""
        ...

    def close(self) -> None:
        """Release everything that the surface started; safe to call twice."""
        ...


@runtime_checkable
class SupportsNotices(Protocol):
    """A surface that reports events its pixels may not show (a new tab, a refused download)."""

    def pop_notices(self) -> str:
        """Return the notices since the last call, one a line, and forget them; "" if there are none."""
        ...


@runtime_checkable
class SupportsBusy(Protocol):
    """A surface that reports whether something it shows is still loading."""

    def busy(self) -> bool:
        """Return whether loading is in progress."""
        ...


@runtime_checkable
class SupportsWork(Protocol):
    """A surface that reports whether something that was started, and is not awaited any more, still runs."""

    def is_working(self) -> bool:
        """Return whether it does: an unchanged screen is no lack of progress then."""
        ...


@runtime_checkable
class SupportsVirtualTime(Protocol):
    """A surface whose screen may stand still between actions, because its time is virtual."""

    def is_frozen(self) -> bool:
        """Return whether the screen cannot change before the next action: one capture is the stable screen."""
        ...


@runtime_checkable
class SupportsPointer(Protocol):
    """A surface with a pointer that the user may move, too."""

    def pointer(self) -> tuple[int, int]:
        """Return the pointer's position in pixels of the last captured Screen."""
        ...


@runtime_checkable
class SupportsFocus(Protocol):
    """A surface that can give the keyboard focus back after a question to the user took it."""

    def keep_focus(self) -> Callable[[], bool]:
        """Return a function that restores the present focus and returns whether that worked."""
        ...


@runtime_checkable
class SupportsOwnership(Protocol):
    """A surface that declares whether its screen belongs to the user or to the agent alone."""

    is_user_owned: bool


@runtime_checkable
class SupportsFacts(Protocol):
    """A surface that reports what an action would touch, and whether that is what the last capture showed."""

    def facts(self, action: Action) -> ActionFacts:
        """Return what `action` would touch if it were performed now, compared with the last captured Screen."""
        ...


@runtime_checkable
class SupportsEvidence(Protocol):
    """A surface that tells what is true of its screen, for a check of what the model reports."""

    def evidence(self) -> ScreenEvidence:
        """Return what the surface knows of its screen now, without the model and without its pixels."""
        ...


@runtime_checkable
class SupportsTargets(Protocol):
    """A surface that lists the visible elements of its screen with their places."""

    def targets(self) -> tuple[ScreenTarget, ...] | None:
        """Return the elements that are shown now, each after what contains it; None where they are unknown."""
        ...


@runtime_checkable
class SupportsMasking(Protocol):
    """A surface that can keep the content of a field out of its screens."""

    def mask_field(self) -> bool:
        """Hide what the field with the keyboard focus holds in all later captures; return whether that worked."""
        ...


@runtime_checkable
class SupportsSecretAreas(Protocol):
    """A surface that tells which parts of its screens may show a secret that was typed."""

    def add_secret_area(self) -> bool:
        """Name the place of what has the keyboard focus in all later Screens; return whether it is known."""
        ...


@runtime_checkable
class SupportsRegions(Protocol):
    """A surface that captures a part of its screen faster than the whole."""

    def capture_region(self, left: int, top: int, width: int, height: int) -> Screen | None:
        """Return a part of the screen as it is now, None where the screen has another size than the last one."""
        ...


@runtime_checkable
class SupportsRefusals(Protocol):
    """A surface whose network rules refuse pages."""

    def pop_refusals(self) -> int:
        """Return how many pages were refused since the last call."""
        ...


@runtime_checkable
class SupportsPages(Protocol):
    """A surface that can open a page and evaluate JavaScript in it."""

    @property
    def url(self) -> str:
        """The address of the page that is shown."""
        ...

    def goto(self, url: str) -> None:
        """Open `url`."""
        ...

    def evaluate(self, js: str) -> object:
        """Return the JSON value of a JavaScript expression evaluated in the page."""
        ...
