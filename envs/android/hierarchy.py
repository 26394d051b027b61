"""The elements of a phone's screen, read from the hierarchy that `uiautomator dump` prints.

The dump covers the active window. It waits until the screen has been still for a second, so it takes 1 to 10 s on a
real phone, and fails on a screen that keeps moving.
Source: AOSP AccessibilityNodeInfoDumper.java (attributes), DumpCommand.java (output).
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from actions.screen import Area
from actions.targets import ScreenTarget
from envs.android import commands
from envs.android.adb import Phone
from envs.android.display import DisplayState

MAX_TARGETS = 1000
MAX_LABEL_CHARS = 120
ROLES = {  # by the last part of the class
    "Button": "button",
    "ImageButton": "button",
    "EditText": "textbox",
    "AutoCompleteTextView": "textbox",
    "MultiAutoCompleteTextView": "textbox",
    "CheckBox": "checkbox",
    "CheckedTextView": "checkbox",
    "RadioButton": "radio",
    "Switch": "switch",
    "SwitchCompat": "switch",
    "ToggleButton": "switch",
    "Spinner": "combobox",
    "SeekBar": "slider",
}
STATE_ROLES = frozenset({"switch", "combobox"})  # their text is a state, no label
HIERARCHY = re.compile(rb"<hierarchy\b.*</hierarchy>", re.DOTALL)
BOUNDS = re.compile(r"\[(-?\d+),(-?\d+)\]\[(-?\d+),(-?\d+)\]")
KEYBOARD_SHOWN = re.compile(r"\bmInputShown=true\b")
KEYBOARD_SHARE = 0.5  # of the screen's height, from which on a shown keyboard may cover elements


def read_targets(phone: Phone, state: DisplayState, size: tuple[int, int]) -> tuple[ScreenTarget, ...] | None:
    """Return the elements of the active window; None if the phone does not tell them. See parse_targets."""
    has_keyboard = is_keyboard_shown(phone.query(commands.INPUT_METHOD).text)
    return parse_targets(phone.query(commands.UI_DUMP).out, state, size, has_keyboard=has_keyboard)


def parse_targets(
    dump: bytes, state: DisplayState, size: tuple[int, int], *, has_keyboard: bool = False
) -> tuple[ScreenTarget, ...] | None:
    """Return the elements of a hierarchy that take input or have a text; None for an output without a valid one.

    Args:
        dump: The output of `uiautomator dump /dev/tty`.
        state: The display that the last screenshot shows.
        size: Width and height of that screenshot.
        has_keyboard: Whether the keyboard is shown. Elements that it may cover are left out.
    """
    match = HIERARCHY.search(dump)
    if match is None or b"<!" in match[0]:  # declarations, of which a dump has none, may define entities
        return None
    try:
        root = ElementTree.fromstring(match[0])
    except ElementTree.ParseError:
        return None
    if root.get("rotation") != str(state.rotation):  # the phone was turned meanwhile
        return None
    bottom = int(size[1] * KEYBOARD_SHARE) if has_keyboard else size[1]
    targets: list[ScreenTarget] = []
    for node in root.iter("node"):
        if len(targets) >= MAX_TARGETS:
            break
        area = _area(node, state, size)
        if area is None or area[1] + area[3] > bottom or not _is_target(node):
            continue
        targets.append(_target(node, area))
    return tuple(targets)


def is_keyboard_shown(input_method_dump: str) -> bool:
    """Return whether the output of `dumpsys input_method` tells that the keyboard is on the screen."""
    return KEYBOARD_SHOWN.search(input_method_dump) is not None


def _is_target(node: ElementTree.Element) -> bool:
    is_control = any(_has(node, name) for name in ("clickable", "long-clickable", "checkable"))
    return is_control or _role(node) == "textbox" or bool(_own_label(node))


def _target(node: ElementTree.Element, area: Area) -> ScreenTarget:
    role = _role(node)
    text = _squeeze(node.get("text", ""))
    if role == "textbox":
        name = node.get("content-desc") or node.get("hint") or _resource_name(node)
        is_secret = _has(node, "password")
        value = "" if is_secret or text == _squeeze(node.get("hint", "")) else text
        return ScreenTarget(role, _squeeze(name), "password" if is_secret else "text", value, area)
    label = _own_label(node) or _squeeze(" ".join(filter(None, map(_own_label, node.iter("node")))))
    label = label or (_squeeze(_resource_name(node)) if role else "")
    return ScreenTarget(role, label, "", text if role == "combobox" else "", area)


def _resource_name(node: ElementTree.Element) -> str:
    return node.get("resource-id", "").rpartition("/")[2]


def _role(node: ElementTree.Element) -> str:
    role = ROLES.get(re.split(r"[.$]", node.get("class", ""))[-1], "")
    return role or ("button" if _has(node, "clickable") else "")


def _own_label(node: ElementTree.Element) -> str:
    """Return what a node is called or shows, without what it contains; "" for the text of a field or a state."""
    role = _role(node)
    if role == "textbox":
        return ""
    text = "" if role in STATE_ROLES else node.get("text", "")
    return _squeeze(text or node.get("content-desc", ""))


def _area(node: ElementTree.Element, state: DisplayState, size: tuple[int, int]) -> Area | None:
    """Return the visible part of a node in pixels of the screenshot; None without one."""
    match = BOUNDS.fullmatch(node.get("bounds", ""))
    if match is None or node.get("visible-to-user") == "false":
        return None
    edges = [int(number) for number in match.groups()]
    columns, rows = (
        [min(max(round(edge * length / native), 0), length) for edge in pair]
        for pair, length, native in ((edges[::2], size[0], state.width), (edges[1::2], size[1], state.height))
    )
    if columns[1] <= columns[0] or rows[1] <= rows[0]:
        return None
    return columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0]


def _has(node: ElementTree.Element, name: str) -> bool:
    return node.get(name) == "true"


def _squeeze(text: str) -> str:
    return " ".join(text.split())[:MAX_LABEL_CHARS]
