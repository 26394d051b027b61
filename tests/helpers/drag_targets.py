"""A window with a card that can be dragged onto a bin, run by tests as a program.

drag_targets.py (tk|gtk) FILE: each line `x y to_x to_y` that is written to FILE.in places both and empties the count;
FILE then holds the number of drops and the line.
"""

import os
import sys

SIZE, BOX = (1240, 680), 40
toolkit, path = sys.argv[1], sys.argv[2]


def read_placing(last: str) -> str:
    """Return the latest line."""
    try:
        with open(path + ".in", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return last


def report(drops: int, line: str) -> None:
    """Write the count at once, so that no half of it is read."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(f"{drops} {line}")
    os.replace(path + ".new", path)


def run_tk() -> None:
    """Drag with Tk's own events: a press on the card, moves, and a release over the bin."""
    import tkinter

    window = tkinter.Tk()
    window.title("targets")
    window.geometry(f"{SIZE[0]}x{SIZE[1]}+0+0")
    canvas = tkinter.Canvas(window, bg="white", highlightthickness=0)
    canvas.pack(fill="both", expand=True)
    card = canvas.create_rectangle(0, 0, BOX, BOX, fill="skyblue", outline="")
    target = canvas.create_rectangle(0, 0, BOX, BOX, fill="orange", outline="")
    state = {"line": "", "drops": 0, "held": False, "moves": 0}

    def press(event: tkinter.Event) -> None:
        state["held"], state["moves"] = card in canvas.find_overlapping(event.x, event.y, event.x, event.y), 0

    def move(event: tkinter.Event) -> None:
        state["moves"] += 1
        if state["held"]:
            canvas.coords(card, event.x - BOX / 2, event.y - BOX / 2, event.x + BOX / 2, event.y + BOX / 2)

    def release(event: tkinter.Event) -> None:
        is_over = target in canvas.find_overlapping(event.x, event.y, event.x, event.y)
        if state["held"] and state["moves"] > 1 and is_over:
            state["drops"] += 1
            report(state["drops"], state["line"])
        state["held"] = False

    def poll() -> None:
        line = read_placing(state["line"])
        if line != state["line"]:
            x, y, to_x, to_y = map(int, line.split())
            canvas.coords(card, x - BOX / 2, y - BOX / 2, x + BOX / 2, y + BOX / 2)
            canvas.coords(target, to_x - BOX / 2, to_y - BOX / 2, to_x + BOX / 2, to_y + BOX / 2)
            state["line"], state["drops"] = line, 0
            window.update_idletasks()
            report(0, line)
        window.after(20, poll)

    canvas.bind("<ButtonPress-1>", press)
    canvas.bind("<B1-Motion>", move)
    canvas.bind("<ButtonRelease-1>", release)
    poll()
    window.mainloop()


def run_gtk() -> None:
    """Drag with GTK's drag and drop, which starts after a few pixels and asks the target for its formats."""
    import gi

    gi.require_version("Gtk", "3.0")
    from gi.repository import Gdk, GLib, Gtk

    window = Gtk.Window(title="targets")
    window.set_default_size(*SIZE)
    fixed = Gtk.Fixed()
    window.add(fixed)
    card, target = Gtk.EventBox(), Gtk.EventBox()
    for box, color in ((card, "skyblue"), (target, "orange")):
        label = Gtk.Label(label=color[:3])
        label.set_size_request(BOX, BOX)
        box.add(label)
        fixed.put(box, 0, 0)
    formats = [Gtk.TargetEntry.new("text/plain", 0, 0)]
    card.drag_source_set(Gdk.ModifierType.BUTTON1_MASK, formats, Gdk.DragAction.COPY)
    card.connect("drag-data-get", lambda widget, context, data, info, time: data.set_text("card", -1))
    target.drag_dest_set(Gtk.DestDefaults.ALL, formats, Gdk.DragAction.COPY)
    state = {"line": "", "drops": 0}

    def receive(*_: object) -> None:
        state["drops"] += 1
        report(state["drops"], state["line"])

    def poll() -> bool:
        line = read_placing(state["line"])
        if line != state["line"]:
            x, y, to_x, to_y = map(int, line.split())
            fixed.move(card, x - BOX // 2, y - BOX // 2)
            fixed.move(target, to_x - BOX // 2, to_y - BOX // 2)
            state["line"], state["drops"] = line, 0
            GLib.timeout_add(60, lambda: report(0, line))
        return True

    target.connect("drag-data-received", receive)
    GLib.timeout_add(20, poll)
    window.connect("destroy", Gtk.main_quit)
    window.show_all()
    Gtk.main()


run_tk() if toolkit == "tk" else run_gtk()
