"""Exact text on an X server.

A character that the active layout has on a plain or shifted key is typed there. The others are mapped to free keycodes,
typed, and unmapped again when the focused program has processed them. Strokes are sent in batches, each only while the
window that was focused at the start still is; the server serves no other program between the check and the strokes. An
Enter, which may close a window, ends its batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from actions import SurfaceError
from envs.desktop.input import ActionInterruptedError
from envs.desktop.x11.keymap import KEYSYMS, KeyMap, Stroke, assign_free_keycodes, keysym_of_character
from envs.desktop.x11.modifiers import Modifiers
from envs.desktop.x11.strokes import tap
from envs.desktop.x11.sync import InputSync

if TYPE_CHECKING:
    from Xlib.display import Display

BATCH_SIZE = 64  # strokes between two checks of the focus
DIALOG_S = 0.4  # for a dialog to close on Enter: GTK shows its button pressed for 0.25 s and drops keys meanwhile
SPECIAL = {"\n": KEYSYMS["enter"], "\t": KEYSYMS["tab"]}


class TextTyper:
    """Types text into the focused window."""

    def __init__(self, connection: Display, keymap: KeyMap, sync: InputSync, modifiers: Modifiers) -> None:
        self._display = connection
        self._keymap = keymap
        self._sync = sync
        self._modifiers = modifiers

    def type(self, text: str, window_id: int = 0) -> None:
        """Type every character of a text.

        Args:
            text: the text.
            window_id: the window that must have the focus; 0 for the one that has it now.

        Raises:
            InvalidActionError: if a character cannot be typed; nothing was typed then.
            ActionInterruptedError: if the window lost the focus; the rest was not typed.
            SurfaceError: if the program hangs or the keyboard cannot be used.
        """
        keysyms = [SPECIAL.get(character) or keysym_of_character(character) for character in text]
        if not keysyms:
            return
        self._keymap.refresh()
        self._modifiers.wait_for_release()
        window, pingable, typed = window_id or self._sync.focused_window(), self._sync.find_pingable(), 0
        is_dialog = "\n" in text and self._sync.is_dialog(window)
        with self._modifiers.caps_lock_off():
            free = self._keymap.free_keycodes()
            for part in self._split_by_mapping(keysyms, len(free)):
                unmapped = list(dict.fromkeys(keysym for keysym in part if self._keymap.find_stroke(keysym) is None))
                keycodes = assign_free_keycodes(unmapped, free)
                with self._keymap.remapped(keycodes):
                    if keycodes:
                        self._sync.wait_after_remap(pingable)
                    for batch in split_batches(part):
                        if not self._type_batch(window, batch, keycodes):
                            raise ActionInterruptedError(
                                f"the window lost the keyboard focus after {typed} of {len(keysyms)} characters; "
                                "the rest was not typed"
                            )
                        typed += len(batch)
                        after_enter = batch[-1] == KEYSYMS["enter"] and typed < len(keysyms)
                        if keycodes or after_enter:
                            self._sync.wait_until_processed(pingable, len(batch) if keycodes else 0, after_enter)
                        if after_enter and is_dialog:
                            time.sleep(DIALOG_S)
                            self._sync.wait_until_processed(pingable, 0)
                    if keycodes:
                        self._sync.wait_before_restore(pingable)
        self._display.sync()

    def _split_by_mapping(self, keysyms: Sequence[int], free_count: int) -> Iterator[list[int]]:
        """Split a text into parts that need no more free keycodes than there are."""
        part: list[int] = []
        unmapped: set[int] = set()
        for keysym in keysyms:
            if self._keymap.find_stroke(keysym) is None and keysym not in unmapped:
                if not free_count:
                    raise SurfaceError("the keyboard map of this display has no free keycode; free one with xmodmap")
                if len(unmapped) == free_count:
                    yield part
                    part, unmapped = [], set()
                unmapped.add(keysym)
            part.append(keysym)
        yield part

    def _type_batch(self, window: int, batch: Sequence[int], keycodes: Mapping[int, int]) -> bool:
        """Type a batch if the window has the focus; return whether it had. No other program acts in between."""
        self._display.grab_server()
        try:
            if has_focus := self._sync.focused_window() == window:
                for keysym in batch:
                    if keysym in keycodes:
                        stroke = Stroke(keycodes[keysym], shift=False)
                    else:
                        stroke = self._keymap.find_stroke(keysym) or Stroke(0, shift=False)
                    tap(self._display, stroke.keycode, self._keymap.shift if stroke.shift else 0)
        finally:
            self._display.ungrab_server()
            self._display.sync()
        return has_focus


def split_batches(keysyms: Sequence[int]) -> Iterator[list[int]]:
    """Split keysyms into batches of at most BATCH_SIZE; an Enter is the last of its batch."""
    batch: list[int] = []
    for keysym in keysyms:
        batch.append(keysym)
        if len(batch) == BATCH_SIZE or keysym == KEYSYMS["enter"]:
            yield batch
            batch = []
    if batch:
        yield batch
