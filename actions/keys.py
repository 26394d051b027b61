"""Key names, with their spelling on each platform."""

from __future__ import annotations

from typing import NamedTuple

from actions.errors import InvalidActionError
from actions.suggest import suggest


class Key(NamedTuple):
    """A key's name in Playwright, in pyautogui and as an Android key event; "" where the platform has none."""

    playwright: str
    pyautogui: str
    android: str


KEYS: dict[str, Key] = {
    "enter": Key("Enter", "enter", "KEYCODE_ENTER"),
    "tab": Key("Tab", "tab", "KEYCODE_TAB"),
    "space": Key("Space", "space", "KEYCODE_SPACE"),
    "backspace": Key("Backspace", "backspace", "KEYCODE_DEL"),
    "delete": Key("Delete", "delete", "KEYCODE_FORWARD_DEL"),
    "insert": Key("Insert", "insert", "KEYCODE_INSERT"),
    "escape": Key("Escape", "escape", "KEYCODE_ESCAPE"),
    "up": Key("ArrowUp", "up", "KEYCODE_DPAD_UP"),
    "down": Key("ArrowDown", "down", "KEYCODE_DPAD_DOWN"),
    "left": Key("ArrowLeft", "left", "KEYCODE_DPAD_LEFT"),
    "right": Key("ArrowRight", "right", "KEYCODE_DPAD_RIGHT"),
    "home": Key("Home", "home", "KEYCODE_MOVE_HOME"),
    "end": Key("End", "end", "KEYCODE_MOVE_END"),
    "pageup": Key("PageUp", "pageup", "KEYCODE_PAGE_UP"),
    "pagedown": Key("PageDown", "pagedown", "KEYCODE_PAGE_DOWN"),
    "ctrl": Key("Control", "ctrl", "KEYCODE_CTRL_LEFT"),
    "shift": Key("Shift", "shift", "KEYCODE_SHIFT_LEFT"),
    "alt": Key("Alt", "alt", "KEYCODE_ALT_LEFT"),
    "meta": Key("Meta", "win", "KEYCODE_META_LEFT"),
    "capslock": Key("CapsLock", "capslock", "KEYCODE_CAPS_LOCK"),
    "printscreen": Key("PrintScreen", "printscreen", "KEYCODE_SYSRQ"),
    "menu": Key("ContextMenu", "apps", "KEYCODE_MENU"),
    "volume_up": Key("", "volumeup", "KEYCODE_VOLUME_UP"),
    "volume_down": Key("", "volumedown", "KEYCODE_VOLUME_DOWN"),
    "power": Key("", "", "KEYCODE_POWER"),
    "camera": Key("", "", "KEYCODE_CAMERA"),
    "clear": Key("", "", "KEYCODE_CLEAR"),
    "recents": Key("", "", "KEYCODE_APP_SWITCH"),
    **{f"f{n}": Key(f"F{n}", f"f{n}", f"KEYCODE_F{n}") for n in range(1, 13)},
}

ALIASES: dict[str, str] = {
    "return": "enter",
    "app_switch": "recents",
    "overview": "recents",
    "esc": "escape",
    "del": "delete",
    "ins": "insert",
    "control": "ctrl",
    "cmd": "meta",
    "command": "meta",
    "win": "meta",
    "windows": "meta",
    "super": "meta",
    "option": "alt",
    "arrowup": "up",
    "arrowdown": "down",
    "arrowleft": "left",
    "arrowright": "right",
    "page_up": "pageup",
    "page_down": "pagedown",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "caps_lock": "capslock",
    "print_screen": "printscreen",
    "spacebar": "space",
    " ": "space",
    "contextmenu": "menu",
    "ctrlleft": "ctrl",
    "ctrlright": "ctrl",
    "shiftleft": "shift",
    "shiftright": "shift",
    "altleft": "alt",
    "altright": "alt",
}


def normalize_key(name: str) -> str:
    """Return the name in `KEYS` of a key such as "Return", "Ctrl" or "a".

    A single printable character is its own name and keeps its case.

    Raises:
        InvalidActionError: no key has that name; the message suggests the nearest.
    """
    if len(name) == 1 and name.isprintable() and name != " ":
        return name
    key = name if name == " " else name.strip().lower()
    key = ALIASES.get(key, key)
    if key in KEYS:
        return key
    hint = suggest(key[:40], [*KEYS, *ALIASES]) or " Use a name such as enter, tab, ctrl or f5, or a single character."
    raise InvalidActionError(f"unknown key {name[:40]!r}.{hint}")


def to_platform_key(key: str, platform: str) -> str:
    """Return a normalized key's name on a platform ("playwright", "pyautogui" or "android").

    Characters keep their own name except on Android, where letters and digits have key codes.

    Raises:
        InvalidActionError: the platform has no such key.
    """
    if key in KEYS:
        spelled: str = getattr(KEYS[key], platform)
    elif platform == "android":
        spelled = f"KEYCODE_{key.upper()}" if key.isascii() and key.isalnum() else ""
    else:
        spelled = key
    if not spelled:
        raise InvalidActionError(f"key '{key}' does not exist on {platform}")
    return spelled
