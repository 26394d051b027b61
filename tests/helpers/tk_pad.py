"""A text field of Tk that fills its window and keeps a file equal to its content. Run by tests as a program.

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
saved = None


def save() -> None:
    """Write the field's content to the file if it changed; empty the field if the file was removed."""
    global saved
    if saved is not None and not os.path.exists(path):
        field.delete("1.0", "end")
        saved = None
    text = field.get("1.0", "end-1c")
    if text != saved:
        saved = text
        with open(path + ".new", "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(path + ".new", path)
    window.after(20, save)


save()
window.mainloop()
