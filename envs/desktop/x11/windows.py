"""Windows of an X server, through window manager properties (EWMH): their titles, boxes, stacking and focus.

A program is identified by its connection: the server gives each one its own range of ids, so that a menu or dialog,
which is a window of its own, is known to belong to the program that opened it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actions import SurfaceError, UsageError
from envs.desktop.geometry import Box
from envs.desktop.x11.focus import focused_window

if TYPE_CHECKING:
    from Xlib.display import Display
    from Xlib.xobject.drawable import Window as XWindow

FOCUS_TIMEOUT_S = 1.5
RAISE_S = 0.1  # for a window to be drawn above the others
ICONIC_STATE = 3  # of WM_STATE. Source: ICCCM 4.1.3.1


@dataclass(frozen=True)
class Window:
    """A program's window."""

    id: int
    title: str


class Windows:
    """The windows of one display. BadWindow, for a window that is gone, is handled; other Xlib errors are raised."""

    def __init__(self, connection: Display) -> None:
        self._display = connection
        self._root = connection.screen().root
        self._program_mask = ~connection.display.info.resource_id_mask & 0xFFFFFFFF
        self._atoms: dict[str, int] = {}

    def screen(self) -> Box:
        """Return the box of the whole display."""
        size = self._root.get_geometry()
        return Box(0, 0, size.width, size.height)

    def all(self) -> list[Window]:
        """Return the window manager's list of windows; without one, the visible windows that have a title."""
        if self._property(self._root, "_NET_SUPPORTING_WM_CHECK"):
            ids = self._property(self._root, "_NET_CLIENT_LIST")
            windows = [self._window(window_id) for window_id in ([] if ids is None else ids)]
        else:
            windows = self._top_windows()
        titled = [Window(window.id, self._title(window)) for window in windows]
        return [window for window in titled if window.title]

    def find(self, title: str) -> Window:
        """Return the window with this title, or the only one whose title contains it, ignoring case.

        Raises:
            UsageError: if there is none, or more than one.
        """
        windows = self.all()
        exact = [window for window in windows if window.title == title]
        partial = [window for window in windows if title.casefold() in window.title.casefold()]
        matches = exact or partial
        if len(matches) == 1:
            return matches[0]
        if matches:
            titles = ", ".join(repr(window.title) for window in matches)
            raise UsageError(f"{len(matches)} windows have '{title}' in their titles: {titles}; name one of them")
        titles = ", ".join(repr(window.title) for window in windows) or "none"
        raise UsageError(f"no window is called '{title}'; open windows: {titles}")

    def box(self, window_id: int) -> Box | None:
        """Return the box of a window's content on the screen; None if it is not visible (closed or minimized)."""
        from Xlib import X
        from Xlib.error import XError

        window = self._window(window_id)
        try:
            if window.get_attributes().map_state != X.IsViewable:
                return None
            size = window.get_geometry()
            origin = self._root.translate_coords(window, 0, 0)
        except XError:
            return None
        return Box(origin.x, origin.y, size.width, size.height)

    def exists(self, window_id: int) -> bool:
        """Return whether a window is still open."""
        from Xlib.error import XError

        try:
            self._window(window_id).get_attributes()
        except XError:
            return False
        return True

    def title(self, window_id: int) -> str:
        """Return the title of a window, "" if it has none."""
        return self._title(self._window(window_id))

    def covers(self, window_id: int, box: Box) -> list[Box]:
        """Return the parts of a box of this window that windows of other programs cover."""
        from Xlib import X
        from Xlib.error import XError

        covers: list[Box] = []
        for top in reversed(self._root.query_tree().children):  # from the topmost one down
            try:
                if self._contains(top, window_id):
                    break
                attributes = top.get_attributes()
                if attributes.map_state != X.IsViewable or attributes.win_class == X.InputOnly:
                    continue
                if self._belongs_to_program(top, window_id):
                    continue
                size = top.get_geometry()
            except XError:  # it was closed meanwhile
                continue
            border = 2 * size.border_width
            cover = box.intersection(Box(size.x, size.y, size.width + border, size.height + border))
            if cover.width and cover.height:
                covers.append(cover)
        return covers

    def has_visible(self, box: Box) -> bool:
        """Return whether any window but a desktop's background is visible in a part of the screen."""
        from Xlib import X
        from Xlib.error import XError

        background = self._atom("_NET_WM_WINDOW_TYPE_DESKTOP")
        for window in self._top_windows():
            try:
                size = window.get_geometry()
                part = box.intersection(Box(size.x, size.y, size.width, size.height))
                kinds = self._property(window, "_NET_WM_WINDOW_TYPE")
                is_drawn = window.get_attributes().win_class != X.InputOnly
            except XError:  # it was closed meanwhile
                continue
            is_background = kinds is not None and background in kinds
            if is_drawn and not is_background and part.width > 1 and part.height > 1:
                return True
        return False

    def minimized(self) -> list[Window]:
        """Return the windows that the window manager has minimized."""
        states = [(window, self._property(self._window(window.id), "WM_STATE")) for window in self.all()]
        return [window for window, state in states if state is not None and len(state) and state[0] == ICONIC_STATE]

    def receives_click(self, window_id: int, x: int, y: int) -> bool:
        """Return whether a click at a point of the screen reaches this window's program."""
        from Xlib.error import XError

        try:
            top = self._root.translate_coords(self._root, x, y).child
            return bool(top) and self._belongs_to_program(top, window_id)
        except XError:
            return False

    def has_focus(self, window_id: int) -> bool:
        """Return whether keys reach this window's program."""
        from Xlib import X

        focus = self._display.get_input_focus().focus
        if focus in (X.NONE, X.PointerRoot) or focus.id == self._root.id:
            return False
        return self._is_same_program(focus, window_id) or self._contains(focus, window_id)

    def active(self) -> int:
        """Return the id of the program window that keys reach; 0 for none."""
        return focused_window(self._display)

    def bring_to_front(self, window_id: int) -> bool:
        """Ask the window manager to show and focus a window; return whether its program gets the focus in time."""
        return self._activate(window_id, lambda: self.has_focus(window_id))

    def give_focus(self, window_id: int) -> bool:
        """Focus this very window, and not another one of its program; return whether it gets the focus in time."""
        return self._activate(window_id, lambda: self.active() == window_id)

    def _activate(self, window_id: int, is_active: Callable[[], bool]) -> bool:
        from Xlib import X
        from Xlib.error import CatchError
        from Xlib.protocol import event

        if is_active():
            return True
        window, on_error = self._window(window_id), CatchError()
        if self._property(self._root, "_NET_SUPPORTING_WM_CHECK"):
            # Source 2 is a pager's request on behalf of the user; a program's own (1) may be ignored.
            message = event.ClientMessage(
                window=window, client_type=self._atom("_NET_ACTIVE_WINDOW"), data=(32, [2, X.CurrentTime, 0, 0, 0])
            )
            mask = X.SubstructureRedirectMask | X.SubstructureNotifyMask
            self._root.send_event(message, event_mask=mask, onerror=on_error)
            if self._is_announced_as_active(window_id):  # a window manager does nothing for the window it holds active
                window.set_input_focus(X.RevertToParent, X.CurrentTime, onerror=on_error)
        else:
            window.configure(stack_mode=X.Above, onerror=on_error)
            window.set_input_focus(X.RevertToParent, X.CurrentTime, onerror=on_error)
        deadline = time.monotonic() + FOCUS_TIMEOUT_S
        while not (success := is_active()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return success

    def _is_announced_as_active(self, window_id: int) -> bool:
        active = self._property(self._root, "_NET_ACTIVE_WINDOW")
        return active is not None and len(active) > 0 and active[0] == window_id

    def _window(self, window_id: int) -> XWindow:
        return self._display.create_resource_object("window", window_id)

    def _atom(self, name: str) -> int:
        if name not in self._atoms:
            self._atoms[name] = self._display.intern_atom(name)
        return self._atoms[name]

    def _property(self, window: XWindow, name: str) -> Any | None:
        from Xlib import X
        from Xlib.error import XError

        try:
            value = window.get_full_property(self._atom(name), X.AnyPropertyType)
        except XError:
            return None
        return None if value is None else value.value

    def _title(self, window: XWindow) -> str:
        for name in ("_NET_WM_NAME", "WM_NAME"):
            value = self._property(window, name)
            if value is not None and len(value):
                data = value if isinstance(value, bytes) else str(value).encode()
                return data.decode("utf-8" if name == "_NET_WM_NAME" else "latin-1", errors="replace").strip("\0")
        return ""

    def _top_windows(self) -> list[XWindow]:
        from Xlib import X
        from Xlib.error import XError

        windows = []
        for window in self._root.query_tree().children:
            try:
                if window.get_attributes().map_state == X.IsViewable:
                    windows.append(window)
            except XError:
                continue
        return windows

    def _is_same_program(self, window: XWindow, window_id: int) -> bool:
        return bool(window.id & self._program_mask == window_id & self._program_mask)

    def _belongs_to_program(self, top: XWindow, window_id: int) -> bool:
        """Return whether a top-level window is of this window's program, or a window manager's frame around one."""
        if self._is_same_program(top, window_id):
            return True
        children = list(top.query_tree().children)
        return any(self._is_same_program(child, window_id) for child in children) or any(
            self._is_same_program(grandchild, window_id)
            for child in children
            for grandchild in child.query_tree().children
        )

    def _contains(self, outer: XWindow, window_id: int) -> bool:
        """Return whether `outer` is this window or an ancestor of it, such as the window manager's frame."""
        from Xlib.error import XError

        window = self._window(window_id)
        try:
            while window and window.id != self._root.id:
                if window.id == outer.id:
                    return True
                window = window.query_tree().parent
        except XError:
            pass
        return False


def visible_box(windows: Windows, window: Window) -> Box:
    """Return the box of a window, restored first if it is minimized.

    Raises:
        SurfaceError: if it is closed or stays hidden.
    """
    box = windows.box(window.id)
    if box is None and windows.exists(window.id):
        windows.bring_to_front(window.id)
        box = windows.box(window.id)
    if box is None:
        state = "is hidden and could not be restored" if windows.exists(window.id) else "was closed"
        raise SurfaceError(f"the window '{window.title}' {state}; open it and start the run again")
    return box


def unreachable_reason(windows: Windows, window: Window, points: Sequence[tuple[int, int]]) -> str:
    """Return why an action would reach another program than the window's; "" if it would not.

    Args:
        windows: The windows of the display.
        window: The window, which is brought to the front if it has to be.
        points: The action's points in pixels of the display.
    """
    if not points:
        return "" if windows.bring_to_front(window.id) else "the window does not take the keyboard focus"
    screen = windows.screen()
    if not all(screen.contains(x, y) for x, y in points):
        return "that part of the window is off the screen"
    if _receives_clicks(windows, window, points):
        return ""
    if windows.bring_to_front(window.id):
        time.sleep(RAISE_S)
        if _receives_clicks(windows, window, points):
            return ""
    return "another program covers that point of the window"


def _receives_clicks(windows: Windows, window: Window, points: Sequence[tuple[int, int]]) -> bool:
    return all(windows.receives_click(window.id, x, y) for x, y in points)
