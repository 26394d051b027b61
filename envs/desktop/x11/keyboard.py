"""Keys and exact text on an X server: XTEST strokes, and spare keycodes lent to the characters that no key has.

A character that the present layout has on a plain or shifted key is struck there. All others of a text are mapped to
spare keycodes at once, struck, and unmapped when the program that has the focus has read them: it is asked by
_NET_WM_PING, whose answer comes after all events before it. So a slow program gets its time, and a quick one no wait.
Strokes go out in pieces, and each piece only while the window that had the keyboard at the first one still has it: the
server serves nobody else between the look and the strokes. An Enter, which may close a window, ends its piece.
Keyboard map, Caps Lock and held keys are afterwards as before; the keeper sees to it when this process is killed.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator, Sequence
from typing import Any

from actions import InvalidActionError, SurfaceError
from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.input import ActionInterruptedError

KEYSYMS = {  # canonical key name -> X.org's name. Source: X11/keysymdef.h, XF86keysym.h
    "enter": 0xFF0D,
    "tab": 0xFF09,
    "space": 0x0020,
    "backspace": 0xFF08,
    "delete": 0xFFFF,
    "insert": 0xFF63,
    "escape": 0xFF1B,
    "up": 0xFF52,
    "down": 0xFF54,
    "left": 0xFF51,
    "right": 0xFF53,
    "home": 0xFF50,
    "end": 0xFF57,
    "pageup": 0xFF55,
    "pagedown": 0xFF56,
    "ctrl": 0xFFE3,
    "shift": 0xFFE1,
    "alt": 0xFFE9,
    "meta": 0xFFEB,
    "capslock": 0xFFE5,
    "printscreen": 0xFF61,
    "menu": 0xFF67,
    "volume_up": 0x1008FF13,
    "volume_down": 0x1008FF11,
    "power": 0x1008FF2A,
    **{f"f{n}": 0xFFBE + n - 1 for n in range(1, 13)},
}
NUM_LOCK, CAPS_LOCK = 0xFF7F, 0xFFE5
UNICODE = 0x01000000
STROKES = 64  # between two looks whether the program keeps up
HELD_S = 2.0  # a person's own shift or ctrl is waited for this long
PING_S = 10.0  # a program that does not answer in this time is taken to hang
NO_PING_WAIT_S, BLIND_PER_STROKE_S = 0.5, 0.01  # for a program that knows no ping
ENTER_S = 0.05  # for such a program to close its window on an Enter
DIALOG_S = 0.4  # for a dialog to do so: GTK shows its button pressed for 0.25 s before, and swallows keys meanwhile
REMAP_WAIT_S = (
    0.2  # for such a program to hear of the map before the first stroke: older ones merge several changes wrongly
)
GROUP_SHIFT = 13  # the active layout, in the upper bits of the state

Stroke = tuple[int, bool]  # keycode, with shift


def keysym(character: str) -> int:
    """The keysym of one character. BadCall for what is no character."""
    code = ord(character)
    if 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xFF:
        return code
    if code < 0x100 or 0xD800 <= code <= 0xDFFF or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        raise InvalidActionError(f"U+{code:04X} is no character that can be typed")
    return UNICODE + code


class Keyboard:
    """The keyboard of one display. Not for two threads at a time."""

    def __init__(self, connection: Any, keeper: CleanupProcess) -> None:
        from Xlib import X

        self._x = connection
        self._keeper = keeper
        self._root = connection.screen().root
        self._first = connection.display.info.min_keycode
        self._count = connection.display.info.max_keycode - self._first + 1
        self._held: list[int] = []
        self._map: list[list[int]] = []
        self._modifiers: list[list[int]] = []
        self._ping = connection.intern_atom("_NET_WM_PING")
        self._protocols = connection.intern_atom("WM_PROTOCOLS")
        self._managed = connection.intern_atom("WM_STATE")
        self._kind = connection.intern_atom("_NET_WM_WINDOW_TYPE")
        self._dialog = connection.intern_atom("_NET_WM_WINDOW_TYPE_DIALOG")
        self._pings = 0
        self._shift = 0
        self._group = 0
        self._stale = False
        # A release of what is not pressed does nothing but make the server's XTEST keyboard the current one, whose
        # map then is the one that counts.
        self._fake(X.KeyRelease, self._first)
        self._read()

    # what surfaces use

    def check(self, keys: Sequence[str]) -> None:
        """BadCall when a key is not on this keyboard and cannot be lent a keycode."""
        for key in keys:
            self._keysym(key)

    @contextlib.contextmanager
    def chord(self, keys: Sequence[str]) -> Iterator[None]:
        """Keys down in order for the time of the block, and up in reverse whatever happens in it.

        SurfaceError, with nothing pressed, where a person holds a key that would make another chord of it.
        """
        if not keys:
            yield
            return
        self._refresh()
        self._until_free()
        characters = any(len(key) == 1 and key not in KEYSYMS for key in keys)
        with self._without_caps_lock() if characters else contextlib.nullcontext(), self._held_down(keys):
            yield

    @contextlib.contextmanager
    def _held_down(self, keys: Sequence[str]) -> Iterator[None]:
        wanted = [self._keysym(key) for key in keys]
        lacking = list(dict.fromkeys(sym for sym in wanted if self._stroke(sym, any_group=len(keys) > 1) is None))
        spare = self._spare()
        if len(lacking) > len(spare):
            raise SurfaceError("the keyboard map of this display has no spare keycode; free one with xmodmap")
        lent = dict(zip(lacking, spare, strict=False))
        reader = self._pingable() if lent else None
        with self._lent(lent, reader):
            strokes = [
                (lent[sym], False) if sym in lent else self._stroke(sym, any_group=len(keys) > 1) for sym in wanted
            ]
            shifted = any(stroke and stroke[1] for stroke in strokes) and "shift" not in keys
            downs = [*([self._shift] if shifted else []), *(stroke[0] for stroke in strokes if stroke)]
            try:
                for keycode in downs:
                    self._down(keycode)
                yield
            finally:
                for keycode in reversed(downs):
                    self._up(keycode)
                if lent:
                    self._until_read(reader, len(downs))
                    self._until_blind_has_read(reader)

    def type(self, text: str) -> None:
        """Strike every character. BadCall before the first one for what is none; SurfaceError when it cannot go on.

        Unfinished, with the rest not struck, when the window that had the keyboard no longer has it.
        """
        wanted = [KEYSYMS["enter"] if c == "\n" else KEYSYMS["tab"] if c == "\t" else keysym(c) for c in text]
        if not wanted:
            return
        self._refresh()
        self._until_free()
        place, reader, struck = self._place(), self._pingable(), 0
        dialog = "\n" in text and self._is_dialog(place)
        with self._without_caps_lock():
            spare = self._spare()
            for part in self._parts(wanted, len(spare)):
                lacking = list(dict.fromkeys(sym for sym in part if self._stroke(sym) is None))
                lent = dict(zip(lacking, spare, strict=False))
                with self._lent(lent, reader):
                    for piece in _pieces(part):
                        if not self._strike_at(place, piece, lent):
                            raise ActionInterruptedError(
                                f"the window that was typed into lost the keyboard after {struck} of {len(wanted)} "
                                "characters, and the rest was not typed"
                            )
                        struck += len(piece)
                        entered = piece[-1] == KEYSYMS["enter"] and struck < len(wanted)
                        if lent or entered:
                            self._until_read(reader, len(piece) if lent else 0, entered)
                        if entered and dialog:
                            time.sleep(DIALOG_S)
                            self._until_read(reader, 0)
                    if lent:
                        self._until_blind_has_read(reader)
        self._x.sync()

    def let_go(self) -> None:
        """Release what is still held, of an action that was cut."""
        for keycode in reversed(self._held):
            self._up(keycode)

    # the map

    def _keysym(self, key: str) -> int:
        if key in KEYSYMS:
            return KEYSYMS[key]
        if len(key) != 1:
            raise InvalidActionError(f"key '{key}' does not exist on a desktop keyboard")
        return keysym(key)

    def _refresh(self) -> None:
        """Read the map again when somebody changed it since."""
        from Xlib import X

        self._x.sync()
        while self._x.pending_events():
            self._stale |= self._x.next_event().type == X.MappingNotify
        if self._stale:
            self._read()
        self._group = self._state() >> GROUP_SHIFT & 3

    def _read(self) -> None:
        self._stale = False
        self._map = [list(keysyms) for keysyms in self._x.get_keyboard_mapping(self._first, self._count)]
        self._modifiers = [[code for code in codes if code] for codes in self._x.get_modifier_mapping()]
        self._shift = next(iter(self._modifiers[0]), 0)
        self._levels: dict[int, dict[int, Stroke]] = {}

    def _state(self) -> int:
        return int(self._root.query_pointer().mask)

    def _stroke(self, sym: int, any_group: bool = False) -> Stroke | None:
        """How the layout that is active now says a keysym: plain or with shift. None where it does not."""
        for each in (self._group, *((0, 1) if any_group else ())):
            if each not in self._levels:
                self._levels[each] = self._read_group(each)
            if sym in self._levels[each]:
                return self._levels[each][sym]
        return None

    def _read_group(self, group: int) -> dict[int, Stroke]:
        """keysym -> stroke. The core map shows two layouts: columns 0, 1 and 2, 3; more are not seen in it."""
        found: dict[int, Stroke] = {}
        if group > 1:
            return found
        taken = {code for codes in self._modifiers for code in codes}
        for level in (0, 1):
            for number, keysyms in enumerate(self._map):
                plain, shifted = _levels(keysyms, group)
                sym = (plain, shifted)[level]
                if sym and sym not in found and (level == 0 or self._shift):
                    if number + self._first in taken and sym < 0xFF00:
                        continue
                    found[sym] = (number + self._first, level == 1)
        return found

    def _spare(self) -> list[int]:
        """Keycodes that say nothing, and switch nothing."""
        taken = {code for codes in self._modifiers for code in codes}
        codes = [n + self._first for n, keysyms in enumerate(self._map) if not any(keysyms)]
        return [code for code in codes if code not in taken]

    def _parts(self, wanted: list[int], room: int) -> Iterator[list[int]]:
        """The text in pieces, each with no more foreign characters than there are spare keycodes."""
        part: list[int] = []
        foreign: set[int] = set()
        for sym in wanted:
            if self._stroke(sym) is None and sym not in foreign:
                if not room:
                    raise SurfaceError("the keyboard map of this display has no spare keycode; free one with xmodmap")
                if len(foreign) == room:
                    yield part
                    part, foreign = [], set()
                foreign.add(sym)
            part.append(sym)
        yield part

    @contextlib.contextmanager
    def _lent(self, lent: dict[int, int], reader: Any | None) -> Iterator[None]:
        """Keysyms on their keycodes for the time of the block, in every layout and with or without shift."""
        if not lent:
            yield
            return
        before = {code: self._map[code - self._first] for code in sorted(lent.values())}
        self._keeper.register(keymap=list(before.items()))
        try:
            self._write({code: [sym] * 4 for sym, code in lent.items()})
            if reader is None:
                time.sleep(REMAP_WAIT_S)
            yield
        finally:
            self._write(before)
            self._keeper.register(keymap=[])

    def _write(self, keysyms: dict[int, list[int]]) -> None:
        """Neighbours in one request, and all while no other is served: a program must not read half of the map."""
        codes = sorted(keysyms)
        self._x.grab_server()
        start = 0
        for at in range(1, len(codes) + 1):
            if at == len(codes) or codes[at] != codes[at - 1] + 1:
                self._x.change_keyboard_mapping(codes[start], [keysyms[code] for code in codes[start:at]])
                start = at
        self._x.ungrab_server()
        self._x.sync()

    # strokes

    def _fake(self, kind: int, keycode: int) -> None:
        from Xlib.ext import xtest

        xtest.fake_input(self._x, kind, keycode)

    def _down(self, keycode: int) -> None:
        from Xlib import X

        self._held.append(keycode)
        self._keeper.register(keys=self._held)
        self._fake(X.KeyPress, keycode)
        self._x.sync()

    def _up(self, keycode: int) -> None:
        from Xlib import X

        self._fake(X.KeyRelease, keycode)
        self._x.sync()
        self._held = [held for held in self._held if held != keycode]
        self._keeper.register(keys=self._held)

    def _strike_at(self, place: int, piece: Sequence[int], lent: dict[int, int]) -> bool:
        """Strike a piece if the place has the keyboard; whether it had. Nothing can come between look and strokes."""
        self._x.grab_server()
        try:
            if there := self._place() == place:
                for sym in piece:
                    keycode, shift = (lent[sym], False) if sym in lent else self._stroke(sym) or (0, False)
                    self._strike(keycode, shift)
        finally:
            self._x.ungrab_server()
            self._x.sync()
        return there

    def _place(self) -> int:
        """The program's window that keys reach now; 0 for none.

        ICCCM, 4.1.3.1: a window manager gives it the property WM_STATE. What is put around it has none: the keyboard
        stays at that for a moment when the window in it has closed. Without a window manager, the uppermost window.
        """
        from Xlib import X
        from Xlib.error import XError

        window = self._x.get_input_focus().focus
        if window == X.PointerRoot:
            window = self._root.query_pointer().child
        place = 0
        try:
            while window != X.NONE and window.id != self._root.id:
                place = int(window.id)
                if window.get_full_property(self._managed, X.AnyPropertyType) is not None:
                    break
                window = window.query_tree().parent
        except XError:  # it closed meanwhile
            return 0
        return place

    def _is_dialog(self, place: int) -> bool:
        """Whether a window says that it belongs to another one, or is a dialog."""
        from Xlib import X
        from Xlib.error import XError

        window = self._x.create_resource_object("window", place)
        try:
            kind = window.get_full_property(self._kind, X.AnyPropertyType)
            return bool(window.get_wm_transient_for()) or (kind is not None and self._dialog in kind.value)
        except XError:  # there is none, or it closed meanwhile
            return False

    def _strike(self, keycode: int, shift: bool) -> None:
        """Not sent before the next sync. The strokes of a piece go out in one write: nothing is held when it ends."""
        from Xlib import X

        if shift:
            self._fake(X.KeyPress, self._shift)
        self._fake(X.KeyPress, keycode)
        self._fake(X.KeyRelease, keycode)
        if shift:
            self._fake(X.KeyRelease, self._shift)

    # what a person may have left on

    def _until_free(self) -> None:
        """Wait for modifiers that a person holds. SurfaceError when they stay: the text would be commands."""
        from Xlib import X

        numlock = 0
        for bit, codes in enumerate(self._modifiers):
            if any(NUM_LOCK in self._map[code - self._first] for code in codes):
                numlock |= 1 << bit
        end = time.monotonic() + HELD_S
        while (state := self._state()) & 0xFF & ~X.LockMask & ~numlock:
            if time.monotonic() > end:
                names = ("Shift", "Lock", "Control", "Alt", "Mod2", "Mod3", "Super", "Mod5")
                held = [name for bit, name in enumerate(names) if state & ~X.LockMask & ~numlock & 1 << bit]
                raise SurfaceError(
                    f"{' and '.join(held)} is held down on the keyboard, and would spoil what is typed; let go"
                )
            time.sleep(0.02)

    @contextlib.contextmanager
    def _without_caps_lock(self) -> Iterator[None]:
        from Xlib import X

        lock = next((code for code in self._modifiers[1] if CAPS_LOCK in self._map[code - self._first]), 0)
        if not self._state() & X.LockMask:
            yield
            return
        if not lock:
            raise SurfaceError("Caps Lock is on and this keyboard has no key for it; switch it off")
        self._keeper.register(lock=lock)
        self._strike(lock, False)
        self._x.sync()
        try:
            if self._state() & X.LockMask:
                raise SurfaceError("Caps Lock is on and stays on; switch it off")
            yield
        finally:
            if not self._state() & X.LockMask:
                self._strike(lock, False)
                self._x.sync()
            self._keeper.register(lock=0)

    # whether the program has read them

    def _until_read(self, reader: Any | None, strokes: int, entered: bool = False) -> None:
        """Until the program that was typed into has read it, or its window is gone; SurfaceError when it hangs.

        reader: of _pingable(), from before the strokes; a program without one gets some time instead.
        """
        from Xlib import X
        from Xlib.error import XError

        self._x.sync()
        if reader is None:
            time.sleep(BLIND_PER_STROKE_S * strokes + ENTER_S * entered)
            return
        from Xlib.error import CatchError
        from Xlib.protocol import event

        self._pings = (self._pings + 1) % 2**31
        stamp = (int(time.monotonic() * 1000) + self._pings) & 0x7FFFFFFF
        self._root.change_attributes(event_mask=X.SubstructureNotifyMask)
        try:
            message = event.ClientMessage(
                window=reader, client_type=self._protocols, data=(32, [self._ping, stamp, reader.id, 0, 0])
            )
            gone = CatchError()
            reader.send_event(message, onerror=gone)
            self._x.sync()
            end = time.monotonic() + PING_S
            while not gone.get_error():
                while self._x.pending_events():
                    answer = self._x.next_event()
                    self._stale |= answer.type == X.MappingNotify
                    if (
                        answer.type & 0x7F == X.ClientMessage
                        and answer.client_type == self._protocols
                        and list(answer.data[1][:2]) == [self._ping, stamp]
                    ):
                        return
                if time.monotonic() > end:
                    raise SurfaceError("the program does not take the text: it gave no sign of life for 10 s")
                if not select.select([self._x.fileno()], [], [], 0.05)[0]:
                    reader.get_attributes()
        except XError:  # it closed on what was typed, and has nobody to answer
            pass
        finally:
            self._root.change_attributes(event_mask=0)
            self._x.sync()

    def _until_blind_has_read(self, reader: Any | None) -> None:
        """For a program that knows no ping to read all that was struck, before the map changes under it."""
        if reader is None:
            time.sleep(NO_PING_WAIT_S)

    def _pingable(self) -> Any | None:
        """The window around the focus whose program answers pings."""
        from Xlib import X
        from Xlib.error import XError

        window = self._x.get_input_focus().focus
        try:
            while window not in (X.NONE, X.PointerRoot) and window.id != self._root.id:
                found = window.get_full_property(self._protocols, X.AnyPropertyType)
                if found is not None and self._ping in found.value:
                    return window
                window = window.query_tree().parent
        except XError:  # it closed meanwhile
            pass
        return None


def _pieces(part: Sequence[int]) -> Iterator[list[int]]:
    """At most STROKES each; an Enter is the last of its piece."""
    piece: list[int] = []
    for sym in part:
        piece.append(sym)
        if len(piece) == STROKES or sym == KEYSYMS["enter"]:
            yield piece
            piece = []
    if piece:
        yield piece


def _levels(keysyms: Sequence[int], group: int) -> tuple[int, int]:
    """(plain, shifted) of one key in a layout; a key with one layout only has it in both.

    Source: X Window System Protocol, section 5, "Keyboards": an empty second column stands for the capital.
    """
    first, second = (*keysyms, 0, 0)[2 * group : 2 * group + 2]
    if group and not first and not second:
        return _levels(keysyms, 0)
    if first and not second and first < 0x100 and chr(first).isalpha():
        lower, upper = chr(first).lower(), chr(first).upper()
        return ord(lower), ord(upper) if len(upper) == 1 and ord(upper) < 0x100 else ord(lower)
    return first, second
