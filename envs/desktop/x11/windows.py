"""Windows of an X server: which there are, where, and what lies over them. Knows window managers' properties (EWMH).

A program is told apart by its connection: the server gives each one its own range of ids, so that a menu or a dialog,
which is a window of its own, is known to belong to the program that opened it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actions import SurfaceError, UsageError
from envs.desktop.geometry import Box

FRONT_S = 1.5


@dataclass(frozen=True)
class Window:
    """One of a program's windows."""

    id: int
    title: str


class Windows:
    """The windows of one connection. Xlib's errors pass, but BadWindow: a window that is gone."""

    def __init__(self, connection: Any) -> None:
        self._x = connection
        self._root = connection.screen().root
        self._mask = ~connection.display.info.resource_id_mask & 0xFFFFFFFF
        self._atoms: dict[str, int] = {}

    def screen(self) -> Box:
        """All of the display."""
        size = self._root.get_geometry()
        return Box(0, 0, size.width, size.height)

    def all(self) -> list[Window]:
        """As the window manager lists them; without one, every window with a title that is on the screen."""
        if self._property(self._root, "_NET_SUPPORTING_WM_CHECK"):
            listed = self._property(self._root, "_NET_CLIENT_LIST")
            windows = [self._window(number) for number in ([] if listed is None else listed)]
        else:
            windows = self._top_windows()
        found = [(window, self._title(window)) for window in windows]
        return [Window(window.id, title) for window, title in found if title]

    def find(self, title: str) -> Window:
        """The window whose title is this, or else the only one whose title has it in it, capitals or not."""
        windows = self.all()
        exact = [window for window in windows if window.title == title]
        close = [window for window in windows if title.casefold() in window.title.casefold()]
        if len(exact or close) == 1:
            return (exact or close)[0]
        if exact or close:
            titles = ", ".join(repr(window.title) for window in (exact or close))
            raise UsageError(
                f"{len(exact or close)} windows have '{title}' in their titles: {titles}; name one of them"
            )
        titles = ", ".join(repr(window.title) for window in windows) or "none"
        raise UsageError(f"no window is called '{title}'; there are: {titles}")

    def box(self, number: int) -> Box | None:
        """Where a window's inside lies on the screen; None when it is not to be seen (closed, or an icon)."""
        from Xlib import X
        from Xlib.error import XError

        window = self._window(number)
        try:
            if window.get_attributes().map_state != X.IsViewable:
                return None
            size = window.get_geometry()
            at = self._root.translate_coords(window, 0, 0)
        except XError:
            return None
        return Box(at.x, at.y, size.width, size.height)

    def exists(self, number: int) -> bool:
        from Xlib.error import XError

        try:
            self._window(number).get_attributes()
        except XError:
            return False
        return True

    def covers(self, number: int, box: Box) -> list[Box]:
        """Parts of a box of this window that other programs' windows lie over."""
        from Xlib import X
        from Xlib.error import XError

        found: list[Box] = []
        for top in reversed(self._root.query_tree().children):  # the uppermost first
            try:
                if self._holds(top, number):
                    break
                shown = top.get_attributes()
                if shown.map_state != X.IsViewable or shown.win_class == X.InputOnly or self._same_program(top, number):
                    continue
                size = top.get_geometry()
            except XError:  # it closed meanwhile
                continue
            edge = 2 * size.border_width
            part = box.intersection(Box(size.x, size.y, size.width + edge, size.height + edge))
            if part.width and part.height:
                found.append(part)
        return found

    def at(self, number: int, x: int, y: int) -> bool:
        """Whether a click at a point of the screen reaches this window's program."""
        from Xlib.error import XError

        window, found = self._root, False
        try:
            while child := window.translate_coords(self._root, x, y).child:
                window = child
                found |= self._same_program(child, number)
        except XError:
            return False
        return found

    def has_focus(self, number: int) -> bool:
        """Whether keys reach this window's program."""
        from Xlib import X

        focus = self._x.get_input_focus().focus
        if focus in (X.NONE, X.PointerRoot) or focus.id == self._root.id:
            return False
        return self._same_program(focus, number) or self._holds(focus, number)

    def active(self) -> int:
        """The window that keys reach now; 0 for none."""
        from Xlib import X

        named = self._property(self._root, "_NET_ACTIVE_WINDOW")
        if named is not None and len(named) and named[0]:
            return int(named[0])
        focus = self._x.get_input_focus().focus
        return 0 if focus in (X.NONE, X.PointerRoot) or focus.id == self._root.id else int(focus.id)

    def bring_front(self, number: int) -> bool:
        """Ask the window manager to show and focus a window; whether its program has the focus after at most 1.5 s."""
        return self._front(number, lambda: self.has_focus(number))

    def give_focus(self, number: int) -> bool:
        """The same for this very window, and not for another one of its program; whether it has the focus then."""
        return self._front(number, lambda: self.active() == number)

    def _front(self, number: int, there: Callable[[], bool]) -> bool:
        from Xlib import X
        from Xlib.error import CatchError
        from Xlib.protocol import event

        if there():
            return True
        window, gone = self._window(number), CatchError()
        if self._property(self._root, "_NET_SUPPORTING_WM_CHECK"):
            # source 2: a pager's request, which is for the person; 1, a program's own, may be ignored
            message = event.ClientMessage(
                window=window, client_type=self._atom("_NET_ACTIVE_WINDOW"), data=(32, [2, X.CurrentTime, 0, 0, 0])
            )
            mask = X.SubstructureRedirectMask | X.SubstructureNotifyMask
            self._root.send_event(message, event_mask=mask, onerror=gone)
        else:
            window.configure(stack_mode=X.Above, onerror=gone)
            window.set_input_focus(X.RevertToParent, X.CurrentTime, onerror=gone)
        end = time.monotonic() + FRONT_S
        while not (front := there()) and time.monotonic() < end:
            time.sleep(0.02)
        return front

    # inside

    def _window(self, number: int) -> Any:
        return self._x.create_resource_object("window", number)

    def _atom(self, name: str) -> int:
        if name not in self._atoms:
            self._atoms[name] = self._x.intern_atom(name)
        return self._atoms[name]

    def _property(self, window: Any, name: str) -> Any | None:
        from Xlib import X
        from Xlib.error import XError

        try:
            found = window.get_full_property(self._atom(name), X.AnyPropertyType)
        except XError:
            return None
        return None if found is None else found.value

    def _title(self, window: Any) -> str:
        for name in ("_NET_WM_NAME", "WM_NAME"):
            value = self._property(window, name)
            if value is not None and len(value):
                data = value if isinstance(value, bytes) else str(value).encode()
                return data.decode("utf-8" if name == "_NET_WM_NAME" else "latin-1", errors="replace").strip("\0")
        return ""

    def _top_windows(self) -> list[Any]:
        from Xlib import X
        from Xlib.error import XError

        found = []
        for window in self._root.query_tree().children:
            try:
                if window.get_attributes().map_state == X.IsViewable:
                    found.append(window)
            except XError:
                continue
        return found

    def _same_program(self, window: Any, number: int) -> bool:
        return bool(window.id & self._mask == number & self._mask)

    def _holds(self, outer: Any, number: int) -> bool:
        """Whether a window is this one or has it inside: a window manager's frame."""
        from Xlib.error import XError

        window = self._window(number)
        try:
            while window and window.id != self._root.id:
                if window.id == outer.id:
                    return True
                window = window.query_tree().parent
        except XError:
            pass
        return False


def visible_box(windows: Windows, window: Window) -> Box:
    """Where the window lies now, brought back when it is an icon. SurfaceError when it is closed or stays hidden."""
    box = windows.box(window.id)
    if box is None and windows.exists(window.id):
        windows.bring_front(window.id)
        box = windows.box(window.id)
    if box is None:
        how = "is hidden and does not come back" if windows.exists(window.id) else "was closed"
        raise SurfaceError(f"the window '{window.title}' {how}; open it and start again")
    return box
