"""A text field of Tk that fills its window and keeps a file the same as what is in it. Run by tests, on its own.

tk_pad.py FILE [GEOMETRY [TITLE]]: removing the file empties the field.
"""

import os
import sys
import tkinter

path = sys.argv[1]
window = tkinter.Tk()
window.title(sys.argv[3] if len(sys.argv) > 3 else "Tk pad")
window.geometry(sys.argv[2] if len(sys.argv) > 2 else "500x300+50+50")
field = tkinter.Text(window, wrap="char", undo=False)
field.pack(fill="both", expand=True)
field.focus_force()
last = None


def keep() -> None:
    global last
    if last is not None and not os.path.exists(path):
        field.delete("1.0", "end")
        last = None
    text = field.get("1.0", "end-1c")
    if text != last:
        last = text
        with open(path + ".new", "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(path + ".new", path)
    window.after(20, keep)


keep()
window.mainloop()
