"""Report which windows an action on an X server would reach, and what changed since the last capture.

An X server has windows, not buttons: the elements of these facts are windows. What is drawn in them is compared by
the guard, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actions.facts import ActionFacts, ElementFacts
from envs.desktop.geometry import Box

if TYPE_CHECKING:
    from Xlib.display import Display
    from Xlib.xobject.drawable import Window as XWindow

    from envs.desktop.input import NativePoint

MAX_DEPTH = 3  # of a program's window within its window manager's frame
NO_WINDOW = ElementFacts()


@dataclass(frozen=True)
class _Layer:
    """A visible window directly below the root."""

    id: int
    box: Box


class WindowFacts:
    """The stacking and the keyboard focus of one display, as they were at the last capture and as they are.

    Args:
        connection: The connection to the display.
        window_title: Returns the title of a window by its id.
    """

    def __init__(self, connection: Display, window_title: Callable[[int], str]) -> None:
        self._display, self._window_title = connection, window_title
        self._root = connection.screen().root
        self._layers: list[_Layer] | None = None  # at the last capture, the topmost first
        self._focus = 0
        self._secret_windows: set[int] = set()  # into which a secret was typed

    def remember(self) -> None:
        """Remember the windows that are shown now."""
        self._layers, self._focus = self._visible_layers(), self._focused_id()

    def read(self, points: Sequence[NativePoint], *, has_keys: bool) -> ActionFacts:
        """Return what an action would reach now.

        Args:
            points: Its points in pixels of the display.
            has_keys: Whether it presses keys or types text.
        """
        layers, focus_id = self._visible_layers(), self._focused_id()
        changes = []
        if self._layers is not None:
            changes += [
                f"another window is at ({x}, {y})" for x, y in points if _at(self._layers, x, y) != _at(layers, x, y)
            ]
            if has_keys and focus_id != self._focus:
                changes.append("another window has the keyboard focus")
        tops = [next(iter(_at(layers, x, y)), None) for x, y in points]
        clients = [self._client(self._window(top.id)) if top else None for top in tops]
        focus = self._window(focus_id) if focus_id else None
        subject = next((client for client in clients if client is not None), focus)
        return ActionFacts(
            document=str(subject.id) if subject else "",
            app=self._program(subject) if subject else "",
            window=self._title(subject) if subject else "",
            pid=self._pid(subject) if subject else 0,
            elements=tuple(self._element(client) if client else NO_WINDOW for client in clients),
            focus=self._element(focus) if focus else None,
            changes=tuple(changes),
        )

    def add_secret_window(self) -> bool:
        """Remember that the window with the keyboard focus may show a secret; return whether there is one."""
        focus_id = self._focused_id()
        if focus_id:
            self._secret_windows.add(self._owner(self._window(focus_id)).id)
        return focus_id != 0

    def secret_boxes(self) -> list[Box]:
        """Return where the windows are that may show a secret, as far as they exist and are shown."""
        from Xlib import X
        from Xlib.error import XError

        boxes = []
        for window_id in sorted(self._secret_windows):
            window = self._window(window_id)
            try:
                if window.get_attributes().map_state != X.IsUnmapped:
                    size, corner = window.get_geometry(), self._root.translate_coords(window, 0, 0)
                    boxes.append(Box(corner.x, corner.y, size.width, size.height))
            except XError:  # it was closed
                self._secret_windows.discard(window_id)
        return boxes

    def _visible_layers(self) -> list[_Layer]:
        from Xlib import X
        from Xlib.error import XError

        layers = []
        for window in reversed(self._root.query_tree().children):
            try:
                if window.get_attributes().map_state == X.IsViewable:
                    size = window.get_geometry()
                    border = 2 * size.border_width
                    layers.append(_Layer(window.id, Box(size.x, size.y, size.width + border, size.height + border)))
            except XError:  # it was closed meanwhile
                continue
        return layers

    def _focused_id(self) -> int:
        from Xlib import X

        focus = self._display.get_input_focus().focus
        return 0 if focus in (X.NONE, X.PointerRoot) or focus.id == self._root.id else int(focus.id)

    def _element(self, window: XWindow) -> ElementFacts:
        return ElementFacts(role="window", label=self._title(window), identity=str(window.id))

    def _client(self, window: XWindow) -> XWindow:
        """Return the program's window in a window manager's frame, or the window itself."""
        from Xlib.error import XError

        level = [window]
        try:
            for _ in range(MAX_DEPTH):
                for candidate in level:
                    if candidate.get_wm_class():
                        return candidate
                level = [child for parent in level for child in parent.query_tree().children]
        except XError:  # it was closed meanwhile
            pass
        return window

    def _owner(self, window: XWindow) -> XWindow:
        """Return the nearest window from here up that names its program; a focused field may be a window of its own."""
        from Xlib.error import XError

        current = window
        try:
            while current and current.id != self._root.id:
                if current.get_wm_class():
                    return current
                current = current.query_tree().parent
        except XError:
            pass
        return window

    def _title(self, window: XWindow) -> str:
        return self._window_title(self._owner(window).id)

    def _program(self, window: XWindow) -> str:
        from Xlib.error import XError

        try:
            names = self._owner(window).get_wm_class()
        except XError:
            return ""
        return str(names[1]) if names else ""

    def _pid(self, window: XWindow) -> int:
        from Xlib import X
        from Xlib.error import XError

        try:
            value = self._owner(window).get_full_property(self._display.intern_atom("_NET_WM_PID"), X.AnyPropertyType)
        except XError:
            return 0
        return int(value.value[0]) if value and len(value.value) else 0

    def _window(self, window_id: int) -> XWindow:
        return self._display.create_resource_object("window", window_id)


def _at(layers: Sequence[_Layer], x: int, y: int) -> tuple[_Layer, ...]:
    """Return the windows at a point, the topmost first."""
    return tuple(layer for layer in layers if layer.box.contains(x, y))
