"""The program behind WindowEasel: a Tk window that is told what to paint, line by line, and answers in JSON lines."""

from __future__ import annotations

import json
import math
import queue
import sys
import threading
from typing import Any

POLL_MS = 10
FIELD_UNITS = 40  # height of the text field


def main() -> None:
    """Arguments: left, top, width, height, and 1 for a window without a frame."""
    left, top, width, height, bare = (int(one) for one in sys.argv[1:6])
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
    root.title("pixelhand easel")
    root.geometry(f"{width}x{height}+{left}+{top}")
    root.attributes("-topmost", True)
    if bare:
        root.overrideredirect(True)
    Window(root, tkinter.Canvas(root, highlightthickness=0, borderwidth=0), tkinter.Entry(root)).run()


class Window:
    """The window, its canvas and its field; orders come from standard input."""

    def __init__(self, root: Any, canvas: Any, entry: Any) -> None:
        self.root, self.canvas, self.entry = root, canvas, entry
        self.middles: dict[str, tuple[int, int]] = {}
        self.last: dict[str, Any] | None = None
        self.orders: queue.Queue[str] = queue.Queue()
        canvas.pack(fill="both", expand=True)
        canvas.bind("<Motion>", lambda event: self.met(event, False))
        canvas.bind("<ButtonPress>", lambda event: self.met(event, True))

    def run(self) -> None:
        """Until standard input ends or the window is closed."""
        threading.Thread(target=self.listen, daemon=True).start()
        self.root.after(POLL_MS, self.poll)
        self.root.mainloop()

    def listen(self) -> None:
        for line in sys.stdin:
            self.orders.put(line)
        self.orders.put("")

    def poll(self) -> None:
        while not self.orders.empty():
            line = self.orders.get()
            if not line:
                self.root.destroy()
                return
            print(json.dumps(self.answer(json.loads(line))), flush=True)
        self.root.after(POLL_MS, self.poll)

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """Follow an order; what it asked for."""
        self.root.update()
        if "paint" in order:
            self.paint(order["paint"], order["ground"], order["side"])
        if "field" in order:
            self.entry.pack(fill="x", side="bottom", ipady=FIELD_UNITS // 4)
            self.entry.focus_force()
            self.root.update()
        return {"touched": self.last, "text": self.entry.get()}

    def paint(self, squares: list[Any], ground: list[int], side: int) -> None:
        self.canvas.delete("all")
        self.canvas.configure(background=_hex(ground))
        self.middles, self.last = {}, None
        for colour, rgb, x, y in squares:
            left = round(x * self.canvas.winfo_width()) - side // 2
            top = round(y * self.canvas.winfo_height()) - side // 2
            self.canvas.create_rectangle(left, top, left + side, top + side, fill=_hex(rgb), width=0)
            self.middles[colour] = left + side // 2, top + side // 2
        self.root.update()

    def met(self, event: Any, pressed: bool) -> None:
        away = {colour: (event.x - x, event.y - y) for colour, (x, y) in self.middles.items()}
        if away:
            colour = min(away, key=lambda name: math.hypot(*away[name]))
            self.last = {"colour": colour, "dx": away[colour][0], "dy": away[colour][1], "pressed": pressed}


def _hex(rgb: list[int]) -> str:
    return "#" + "".join(f"{value:02x}" for value in rgb)


if __name__ == "__main__":
    main()
