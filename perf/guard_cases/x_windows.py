"""Windows that another program opens on a desktop while the model decides, and what reaches them."""

from __future__ import annotations

from collections.abc import Mapping

from Xlib import X

from envs.desktop.x11.connection import open_connection

GRAY, WHITE = 0x555555, 0xFFFFFF
SMALL_PX = 12  # side of the small window around the target


class CoveringWindows:
    """Windows of one program on an X display; clicks and keys that reach them are recorded.

    Args:
        environ: The environment with the display and its cookie.
        target: The point that the model clicks, in pixels of the display.
    """

    def __init__(self, environ: Mapping[str, str], target: tuple[int, int]) -> None:
        self._display = open_connection(environ["DISPLAY"], environ)
        self._target = target
        self._windows: list[object] = []

    def show(self, kind: str) -> None:
        """Open a window.

        Args:
            kind: "cover" (gray, above all), "small" (white, at the target), "invisible" (takes input, has no pixels),
                "managed" (under the window manager), "focus" (in the corner, with the keyboard focus).
        """
        screen = self._display.screen()
        x, y, width, height = 0, 0, screen.width_in_pixels, screen.height_in_pixels
        if kind == "small":
            x, y = self._target[0] - SMALL_PX // 2, self._target[1] - SMALL_PX // 2
            width = height = SMALL_PX
        elif kind == "focus":
            x, y, width, height = width - 4, height - 4, 4, 4
        mask = X.ButtonPressMask | X.KeyPressMask
        options = {"event_mask": mask, "override_redirect": kind != "managed"}
        if kind == "invisible":
            window = screen.root.create_window(x, y, width, height, 0, 0, X.InputOnly, **options)
        else:
            color = WHITE if kind == "small" else GRAY
            window = screen.root.create_window(
                x, y, width, height, 0, screen.root_depth, background_pixel=color, **options
            )
        window.map()
        window.raise_window()
        self._display.sync()
        if kind == "focus":
            window.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
            self._display.sync()
        self._windows.append(window)

    def pop_events(self) -> list[str]:
        """Return which clicks and keys reached the windows since the last call."""
        self._display.sync()
        events = [self._display.next_event() for _ in range(self._display.pending_events())]
        names = {X.ButtonPress: "a click", X.KeyPress: "a key"}
        return [f"{names[event.type]} reached the other window" for event in events if event.type in names]

    def close_windows(self) -> None:
        """Close all windows."""
        for window in self._windows:
            window.destroy()  # type: ignore[attr-defined]
        self._windows = []
        self._display.sync()
        self.pop_events()

    def close(self) -> None:
        """Close the connection, and the windows with it."""
        self._display.close()
