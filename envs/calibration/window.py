"""The program behind WindowTarget: a Tk window that answers JSON requests on standard input, one per line."""

from __future__ import annotations

import json
import math
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tkinter

POLL_MS = 10
FIELD_UNITS = 40  # height of the text field


def main() -> None:
    """Open the window; the arguments are left, top, width, height, and 1 for a window without a frame."""
    left, top, width, height, bare = (int(argument) for argument in sys.argv[1:6])
    try:
        import tkinter
    except ImportError as error:
        sys.stdin.readline()
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.shcore.SetProcessDpiAwareness(2)  # else Windows would scale what is painted
    root = tkinter.Tk()
    root.title("pixelhand calibration")
    root.geometry(f"{width}x{height}+{left}+{top}")
    root.attributes("-topmost", True)
    if bare:
        root.overrideredirect(True)
    TargetWindow(root, tkinter.Canvas(root, highlightthickness=0, borderwidth=0), tkinter.Entry(root)).run()


class TargetWindow:
    """The window, its canvas and its text field."""

    def __init__(self, root: tkinter.Tk, canvas: tkinter.Canvas, entry: tkinter.Entry) -> None:
        self.root, self.canvas, self.entry = root, canvas, entry
        self.middles: dict[str, tuple[int, int]] = {}
        self.last_event: dict[str, Any] | None = None
        self.requests: queue.Queue[str] = queue.Queue()
        canvas.pack(fill="both", expand=True)
        canvas.bind("<Motion>", lambda event: self.on_pointer(event, False))
        canvas.bind("<ButtonPress>", lambda event: self.on_pointer(event, True))

    def run(self) -> None:
        """Answer requests until standard input ends or the window is closed."""
        threading.Thread(target=self.read_requests, daemon=True).start()
        self.root.after(POLL_MS, self.poll)
        self.root.mainloop()

    def read_requests(self) -> None:
        """Queue the lines of standard input, and "" at its end."""
        for line in sys.stdin:
            self.requests.put(line)
        self.requests.put("")

    def poll(self) -> None:
        """Answer the queued requests."""
        while not self.requests.empty():
            line = self.requests.get()
            if not line:
                self.root.destroy()
                return
            print(json.dumps(self.answer(json.loads(line))), flush=True)
        self.root.after(POLL_MS, self.poll)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Follow a request; return the last pointer event and the text in the field."""
        self.root.update()
        if "paint" in request:
            self.paint(request["paint"], request["background"], request["side"])
        if "field" in request:
            self.entry.pack(fill="x", side="bottom", ipady=FIELD_UNITS // 4)
            self.entry.focus_force()
            self.root.update()
        return {"event": self.last_event, "text": self.entry.get()}

    def paint(self, markers: list[Any], background: list[int], side: int) -> None:
        """Show these markers and nothing else."""
        self.canvas.delete("all")
        self.canvas.configure(background=_hex(background))
        self.middles, self.last_event = {}, None
        for color, rgb, x, y in markers:
            left = round(x * self.canvas.winfo_width()) - side // 2
            top = round(y * self.canvas.winfo_height()) - side // 2
            self.canvas.create_rectangle(left, top, left + side, top + side, fill=_hex(rgb), width=0)
            self.middles[color] = left + side // 2, top + side // 2
        self.root.update()

    def on_pointer(self, event: tkinter.Event[tkinter.Canvas], pressed: bool) -> None:
        """Record a pointer event relative to the nearest marker."""
        offsets = {color: (event.x - x, event.y - y) for color, (x, y) in self.middles.items()}
        if offsets:
            color = min(offsets, key=lambda name: math.hypot(*offsets[name]))
            self.last_event = {"color": color, "dx": offsets[color][0], "dy": offsets[color][1], "pressed": pressed}


def _hex(rgb: list[int]) -> str:
    return "#" + "".join(f"{value:02x}" for value in rgb)


if __name__ == "__main__":
    main()
