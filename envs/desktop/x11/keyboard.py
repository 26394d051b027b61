"""The keyboard of an X server: chords of keys, and text.

The keyboard map, Caps Lock and pressed keys are restored afterwards, by the clean-up process if this one is killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from envs.desktop.cleanup_process import CleanupProcess
from envs.desktop.input import ActionInterruptedError
from envs.desktop.x11.keymap import KEYSYMS, KeyMap, assign_free_keycodes, keysym_of_key
from envs.desktop.x11.modifiers import Modifiers
from envs.desktop.x11.strokes import press, release
from envs.desktop.x11.sync import InputSync
from envs.desktop.x11.text import TextTyper

if TYPE_CHECKING:
    from Xlib.display import Display


SHORTCUT_KEYS = frozenset({"ctrl", "alt", "meta"})


class Keyboard:
    """The keyboard of one display. Not thread-safe."""

    def __init__(self, connection: Display, cleanup: CleanupProcess) -> None:
        """Use a connection; what has to be undone is registered with the clean-up process."""
        self._display = connection
        self._cleanup = cleanup
        self._keymap = KeyMap(connection, cleanup)
        self._sync = InputSync(connection, self._keymap)
        self._modifiers = Modifiers(connection, self._keymap, cleanup)
        self._text = TextTyper(connection, self._keymap, self._sync, self._modifiers)
        self._pressed: list[int] = []
        self.target = 0  # the only window that may read the keys; 0 for the one that has the focus

    def check_keys(self, keys: Sequence[str]) -> None:
        """Raise InvalidActionError for a key that does not exist; press nothing."""
        for key in keys:
            keysym_of_key(key)

    @contextlib.contextmanager
    def chord(self, keys: Sequence[str]) -> Iterator[None]:
        """Press keys in order for the duration of the block and release them in reverse.

        Raises:
            ActionInterruptedError: if `target` does not have the focus; nothing was pressed then.
            SurfaceError: if the user holds a key that would change the chord; nothing was pressed then.
        """
        if not keys:
            yield
            return
        self._keymap.refresh()
        self._modifiers.wait_for_release()
        has_characters = any(len(key) == 1 and key not in KEYSYMS for key in keys)
        caps_lock = self._modifiers.caps_lock_off() if has_characters else contextlib.nullcontext()
        with caps_lock, self._pressed_keys(keys):
            yield

    def type(self, text: str) -> None:
        """Type a text exactly; see TextTyper.type."""
        self._text.type(text, self.target)

    def program_delay_s(self, limit_s: float) -> float:
        """Return how long the focused program takes to process the input so far; 0.0 if it does not answer pings."""
        return self._sync.delay_s(limit_s)

    def release_all(self) -> None:
        """Release the keys that an interrupted action left pressed."""
        for keycode in reversed(self._pressed):
            self._release(keycode)

    @contextlib.contextmanager
    def _pressed_keys(self, keys: Sequence[str]) -> Iterator[None]:
        is_capital = len(keys) == 2 and keys[0] == "shift" and len(keys[1]) == 1 and keys[1].isalpha()
        if is_capital:  # a letter to type, in whichever layout, not a shortcut
            keys = (keys[0], keys[1].upper())
        keysyms = [keysym_of_key(key) for key in keys]
        is_shortcut_chord = len(keys) > 1 and not is_capital
        strokes = {keysym: self._keymap.find_stroke(keysym, any_group=is_shortcut_chord) for keysym in keysyms}
        keycodes = self._assign_keycodes(
            [keysym for keysym, stroke in strokes.items() if stroke is None],
            is_shortcut=not SHORTCUT_KEYS.isdisjoint(keys),
        )
        pingable = self._sync.find_pingable() if keycodes else None
        with self._keymap.remapped(keycodes):
            if keycodes:
                self._sync.wait_after_remap(pingable)
            needs_shift = any(stroke and stroke.shift for stroke in strokes.values()) and "shift" not in keys
            downs = [self._keymap.shift] if needs_shift else []
            for keysym in keysyms:
                stroke = strokes[keysym]
                downs.append(stroke.keycode if stroke else keycodes[keysym])
            try:
                self._press_all(downs)
                yield
            finally:
                for keycode in reversed(downs):
                    self._release(keycode)
                if keycodes:
                    self._sync.wait_until_processed(pingable, len(downs))
                    self._sync.wait_before_restore(pingable)

    def _assign_keycodes(self, keysyms: Sequence[int], is_shortcut: bool) -> dict[int, int]:
        """Return the keycodes that keysyms without a key are mapped to."""
        keycodes: dict[int, int] = {}
        if is_shortcut:
            keycodes = {keysym: code for keysym in keysyms if (code := self._keymap.us_keycode(keysym))}
        remaining = [keysym for keysym in keysyms if keysym not in keycodes]
        return keycodes | assign_free_keycodes(remaining, self._keymap.free_keycodes())

    def _press_all(self, keycodes: Sequence[int]) -> None:
        """Press keys while `target` has the focus; no other program acts between the check and the last key."""
        self._display.grab_server()
        try:
            if self.target and self._sync.focused_window() != self.target:
                raise ActionInterruptedError("the window lost the keyboard focus; no key was pressed")
            for keycode in keycodes:
                self._press(keycode)
        finally:
            self._display.ungrab_server()
            self._display.sync()

    def _press(self, keycode: int) -> None:
        self._pressed.append(keycode)
        self._cleanup.register(keys=self._pressed)
        press(self._display, keycode)
        self._display.sync()

    def _release(self, keycode: int) -> None:
        release(self._display, keycode)
        self._display.sync()
        self._pressed = [pressed for pressed in self._pressed if pressed != keycode]
        self._cleanup.register(keys=self._pressed)
