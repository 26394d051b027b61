"""Which app and window of a phone an action would reach, and whether they are those of the last screenshot.

A phone tells its focused window, not its widgets: the elements of these facts are unknown, and the guard compares the
pixels around a target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actions import Action, PressKeys, TypeText
from actions.facts import ActionFacts, ElementFacts
from envs.android.display import FOCUS, DisplayState


@dataclass(frozen=True)
class FocusedWindow:
    """The window that receives input.

    Args:
        token: The window manager's name of it, which no other window has.
        package: The app's package; "" of windows of the system, such as the notification shade.
        name: The activity, or the name of a window of the system.
    """

    token: str = ""
    package: str = ""
    name: str = ""

    @classmethod
    def parse(cls, window_dump: str) -> FocusedWindow:
        """Return the focused window in the output of `dumpsys window`; all fields "" where none has the focus."""
        focus = FOCUS.search(window_dump)
        if focus is None:
            return cls()
        token = focus[1].removeprefix("Window{").rstrip("}")
        title = token.split(" ", 2)[-1]  # "5f3a1c2 u0 org.app/org.app.MainActivity"
        package, slash, activity = title.partition("/")
        return cls(token, package, activity) if slash else cls(token, "", title)


class FocusWatch:
    """The focused window and the rotation of a phone, at the last screenshot and now.

    The window is read with each screenshot once facts have been asked for: `dumpsys window` takes a real phone some
    time, and not every user of the surface needs it.

    Args:
        read_dump: Returns the output of `dumpsys window`.
    """

    def __init__(self, read_dump: Callable[[], str]) -> None:
        self._read_dump = read_dump
        self._is_needed = False
        self._before: tuple[FocusedWindow, DisplayState] | None = None

    def remember(self, state: DisplayState) -> None:
        """Remember what is shown now, before a screenshot is taken."""
        self._before = (FocusedWindow.parse(self._read_dump()), state) if self._is_needed else None

    def read(self, action: Action, state: DisplayState) -> ActionFacts:
        """Return what an action would reach now."""
        self._is_needed = True
        window = FocusedWindow.parse(self._read_dump())
        changes = []
        if self._before is not None and (action.points() or isinstance(action, TypeText | PressKeys)):
            if self._before[1] != state:
                changes.append("the phone was turned")
            if self._before[0] != window:
                changes.append("another app or window is shown")
        return ActionFacts(
            document=f"{window.token} rotation {state.rotation}",
            app=window.package,
            window=window.name,
            elements=tuple(ElementFacts() for _ in action.points()),
            changes=tuple(changes),
        )
