"""The window that keys reach, by the server's input focus and not by what a window manager announces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from Xlib.display import Display


def focused_window(connection: Display) -> int:
    """Return the id of the program window that keys reach; 0 for none.

    A window manager gives it the property WM_STATE (ICCCM, 4.1.3.1). Its frame has none, and keeps the focus for a
    moment when the window inside has closed. Without a window manager, it is the topmost ancestor.

    _NET_ACTIVE_WINDOW is not read: a program that takes the focus with XSetInputFocus leaves it as it was.
    """
    from Xlib import X
    from Xlib.error import XError

    root = connection.screen().root
    state = connection.intern_atom("WM_STATE")
    window = connection.get_input_focus().focus
    if window == X.PointerRoot:
        window = root.query_pointer().child
    window_id = 0
    try:
        while window != X.NONE and window.id != root.id:
            window_id = int(window.id)
            if window.get_full_property(state, X.AnyPropertyType) is not None:
                break
            window = window.query_tree().parent
    except XError:  # it was closed meanwhile
        return 0
    return window_id
