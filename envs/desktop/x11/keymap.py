"""Keysyms of characters and keys, and the keyboard map of an X server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from actions import InvalidActionError, SurfaceError
from envs.desktop.cleanup_process import CleanupProcess

if TYPE_CHECKING:
    from Xlib.display import Display

KEYSYMS = {  # by normalized key name. Source: X.org's X11/keysymdef.h, XF86keysym.h
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
EVDEV_KEYS = {36: KEYSYMS["enter"], 65: KEYSYMS["space"]}  # keycodes that show an evdev keyboard
US_ROWS = {10: "1234567890-=", 24: "qwertyuiop[]", 38: "asdfghjkl;'", 49: "`", 51: "\\", 52: "zxcvbnm,./"}  # evdev
US_KEYCODES = {ord(key): start + index for start, keys in US_ROWS.items() for index, key in enumerate(keys)}
GROUP_SHIFT = 13  # the active layout is in the upper bits of the modifier state


class Stroke(NamedTuple):
    """A key and whether shift is held with it."""

    keycode: int
    shift: bool


def keysym_of_character(character: str) -> int:
    """Return the keysym of one character.

    Raises:
        InvalidActionError: for a control character, a surrogate or a noncharacter.
    """
    code = ord(character)
    if 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xFF:
        return code
    if code < 0x100 or 0xD800 <= code <= 0xDFFF or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        raise InvalidActionError(f"U+{code:04X} is not a character that can be typed")
    return UNICODE + code


def keysym_of_key(key: str) -> int:
    """Return the keysym of a normalized key name or a character.

    Raises:
        InvalidActionError: if there is none.
    """
    if key in KEYSYMS:
        return KEYSYMS[key]
    if len(key) != 1:
        raise InvalidActionError(f"key '{key}' does not exist on a desktop keyboard")
    return keysym_of_character(key)


class KeyMap:
    """The server's keyboard map: which keys give a keysym, and free keycodes for keysyms that no key gives."""

    def __init__(self, connection: Display, cleanup: CleanupProcess) -> None:
        """Read the map; changes to it are registered with the clean-up process."""
        from Xlib import X
        from Xlib.ext import xtest

        self._display = connection
        self._cleanup = cleanup
        self._root = connection.screen().root
        self._first = connection.display.info.min_keycode
        self._count = connection.display.info.max_keycode - self._first + 1
        self._group = 0
        self.is_stale = False  # the map was changed since it was read
        # Releasing a key that is not pressed makes the server's XTEST keyboard the current one, whose map then counts.
        xtest.fake_input(connection, X.KeyRelease, self._first)
        self.read()

    def read(self) -> None:
        """Read the map from the server."""
        self.is_stale = False
        self.keysyms = [list(row) for row in self._display.get_keyboard_mapping(self._first, self._count)]
        self.modifiers = [[code for code in codes if code] for codes in self._display.get_modifier_mapping()]
        self.shift = next(iter(self.modifiers[0]), 0)
        self._strokes: dict[int, dict[int, Stroke]] = {}  # by layout and keysym

    def refresh(self) -> None:
        """Read the map again if it was changed, and find the active layout."""
        from Xlib import X

        self._display.sync()
        while self._display.pending_events():
            self.is_stale |= self._display.next_event().type == X.MappingNotify
        if self.is_stale:
            self.read()
        self._group = self.state() >> GROUP_SHIFT & 3

    def state(self) -> int:
        """Return the server's modifier state."""
        return int(self._root.query_pointer().mask)

    def modifier_mask(self, keysym: int) -> int:
        """Return the bits of the modifiers that a key with this keysym sets."""
        mask = 0
        for bit, codes in enumerate(self.modifiers):
            if any(keysym in self._row(code) for code in codes):
                mask |= 1 << bit
        return mask

    def caps_lock_keycode(self) -> int:
        """Return the keycode of Caps Lock; 0 if the keyboard has none."""
        return next((code for code in self.modifiers[1] if CAPS_LOCK in self._row(code)), 0)

    def find_stroke(self, keysym: int, any_group: bool = False) -> Stroke | None:
        """Return the stroke that gives a keysym in the active layout, plain or with shift; None if there is none.

        Args:
            keysym: the keysym.
            any_group: whether the first two layouts are searched as well.
        """
        for group in (self._group, *((0, 1) if any_group else ())):
            if group not in self._strokes:
                self._strokes[group] = self._read_group(group)
            if keysym in self._strokes[group]:
                return self._strokes[group][keysym]
        return None

    def us_keycode(self, keysym: int) -> int:
        """Return the keycode that has a character on a US keyboard; 0 if there is none.

        Shortcuts under a layout without Latin letters are pressed there: Chromium ignores other keycodes.
        """
        if any(code < self._first or symbol not in self._row(code) for code, symbol in EVDEV_KEYS.items()):
            return 0
        return US_KEYCODES.get(keysym, 0)

    def free_keycodes(self) -> list[int]:
        """Return the keycodes that have no keysym and are no modifier."""
        modifiers = {code for codes in self.modifiers for code in codes}
        codes = [index + self._first for index, row in enumerate(self.keysyms) if not any(row)]
        return [code for code in codes if code not in modifiers]

    @contextlib.contextmanager
    def remapped(self, keycodes: Mapping[int, int]) -> Iterator[None]:
        """Assign keysyms to keycodes for the duration of the block, in every layout, with and without shift.

        Args:
            keycodes: by keysym.
        """
        if not keycodes:
            yield
            return
        original = {code: self._row(code) for code in sorted(keycodes.values())}
        self._cleanup.register(keymap=list(original.items()))
        try:
            self._change({code: [keysym] * 4 for keysym, code in keycodes.items()})
            yield
        finally:
            self._change(original)
            self._cleanup.register(keymap=[])

    def _row(self, keycode: int) -> list[int]:
        return self.keysyms[keycode - self._first]

    def _change(self, keysyms: Mapping[int, list[int]]) -> None:
        """Change the map, adjacent keycodes in one request, with the server grabbed: no program reads half a change."""
        codes = sorted(keysyms)
        self._display.grab_server()
        start = 0
        for end in range(1, len(codes) + 1):
            if end == len(codes) or codes[end] != codes[end - 1] + 1:
                self._display.change_keyboard_mapping(codes[start], [keysyms[code] for code in codes[start:end]])
                start = end
        self._display.ungrab_server()
        self._display.sync()

    def _read_group(self, group: int) -> dict[int, Stroke]:
        """Return the strokes of a layout by keysym.

        The core protocol's map shows two layouts, in columns 0, 1 and 2, 3; further ones are not visible in it.
        """
        strokes: dict[int, Stroke] = {}
        if group > 1:
            return strokes
        modifiers = {code for codes in self.modifiers for code in codes}
        for level in (0, 1):
            for index, row in enumerate(self.keysyms):
                keysym = _levels(row, group)[level]
                if keysym and keysym not in strokes and (level == 0 or self.shift):
                    if index + self._first in modifiers and keysym < 0xFF00:
                        continue
                    strokes[keysym] = Stroke(index + self._first, shift=level == 1)
        return strokes


def _levels(keysyms: Sequence[int], group: int) -> tuple[int, int]:
    """Return the plain and the shifted keysym of a key in a layout; a key with one layout has it in both.

    Source: X Window System Protocol, section 5, "Keyboards": an empty second column stands for the capital.
    """
    plain, shifted = (*keysyms, 0, 0)[2 * group : 2 * group + 2]
    if group and not plain and not shifted:
        return _levels(keysyms, 0)
    if plain and not shifted and plain < 0x100 and chr(plain).isalpha():
        lower, upper = chr(plain).lower(), chr(plain).upper()
        return ord(lower), ord(upper) if len(upper) == 1 and ord(upper) < 0x100 else ord(lower)
    return plain, shifted


def assign_free_keycodes(keysyms: Sequence[int], free: Sequence[int]) -> dict[int, int]:
    """Return a free keycode for each keysym.

    Raises:
        SurfaceError: if there are not enough.
    """
    if len(keysyms) > len(free):
        raise SurfaceError("the keyboard map of this display has no free keycode; free one with xmodmap")
    return dict(zip(keysyms, free, strict=False))
