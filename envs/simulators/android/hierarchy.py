"""The simulated phone's `uiautomator dump`: what its page shows, as nodes of Android's shape.

A page's elements are nodes as those of a web view: without a check whether another element covers them, without the
hint of a field, and with the element's id as `resource-id`.
Source: AOSP AccessibilityNodeInfoDumper.java.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict
from xml.sax.saxutils import quoteattr

NODES_JS = """(() => {
  const FIELD = 'textarea, [contenteditable], input:not([type=button], [type=submit], [type=reset], [type=image], ' +
    '[type=checkbox], [type=radio], [type=range], [type=file], [type=color], [type=hidden])';
  const CLASSES = [
    [FIELD, 'EditText'], ['input[type=checkbox]', 'CheckBox'], ['input[type=radio]', 'RadioButton'],
    ['input[type=range]', 'SeekBar'], ['select', 'Spinner'], ['button, input, [role=button]', 'Button'],
  ];
  const ATOMIC = 'button, a[href], select, option, [role=button]'; // what these contain is no node of its own
  const ownText = element => Array.from(element.childNodes).filter(node => node instanceof Text)
    .map(node => node.data).join(' ').replace(/\\s+/g, ' ').trim();
  function text(element, kind) {
    if (kind === 'EditText') {
      const value = element.value ?? element.textContent;
      return element.type === 'password' ? '\\u2022'.repeat(value.length) : value;
    }
    if (kind === 'Spinner') return element.selectedOptions[0]?.textContent ?? '';
    if (kind === 'Button' || element.matches(ATOMIC)) {
      return (element instanceof HTMLInputElement ? element.value : element.textContent).replace(/\\s+/g, ' ').trim();
    }
    return ownText(element);
  }
  const nodes = [];
  for (const element of document.body?.querySelectorAll('*') ?? []) {
    if (element.matches('script, style, option') || element.parentElement.closest(ATOMIC)) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const box = element.getBoundingClientRect();
    const [left, top] = [Math.max(box.left, 0), Math.max(box.top, 0)];
    const [right, bottom] = [Math.min(box.right, innerWidth), Math.min(box.bottom, innerHeight)];
    if (right - left < 1 || bottom - top < 1) continue;
    const control = CLASSES.find(([selector]) => element.matches(selector))?.[1];
    const kind = control ?? (ownText(element) ? 'TextView' : 'View');
    const isClickable = !!control || element.matches('a[href], [onclick]') || !!element.onclick;
    if (!isClickable && kind === 'View') continue;
    nodes.push({
      kind, text: text(element, kind), id: element.id, description: element.ariaLabel || element.alt || '',
      clickable: isClickable, checkable: ['CheckBox', 'RadioButton'].includes(kind), checked: element.checked === true,
      focused: kind === 'EditText' && element === document.activeElement, password: element.type === 'password',
      box: [left, top, right, bottom],
    });
  }
  return nodes;
})()"""
FLAGS = ("checkable", "checked", "clickable", "focused", "password")
INVALID = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0; Android writes a point


class UiNode(TypedDict):
    """An element of a page, its box as left, top, right and bottom in CSS pixels."""

    kind: str
    text: str
    id: str
    description: str
    clickable: bool
    checkable: bool
    checked: bool
    focused: bool
    password: bool
    box: tuple[float, float, float, float]


def dump_ui(nodes: Sequence[UiNode], package: str, rotation: int, scale: float, size: tuple[int, int]) -> str:
    """Return the output of `uiautomator dump /dev/tty`.

    Args:
        nodes: The elements of the page, outermost first.
        package: The app's package.
        rotation: The display's rotation in quarter turns.
        scale: Pixels per CSS pixel.
        size: Width and height of the screen in pixels.
    """
    return "".join(_lines(nodes, package, rotation, scale, size))


def _lines(nodes: Sequence[UiNode], package: str, rotation: int, scale: float, size: tuple[int, int]) -> Iterator[str]:
    root = {"class": "android.widget.FrameLayout", "bounds": f"[0,0][{size[0]},{size[1]}]"}
    yield f"<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><hierarchy rotation=\"{rotation}\">"
    yield f'<node index="0" package={_quote(package)} {_attributes(root)}>'
    for index, node in enumerate(nodes):
        left, top, right, bottom = (round(edge * scale) for edge in node["box"])
        values = {
            "index": str(index),
            "text": node["text"],
            "resource-id": node["id"],
            "class": f"android.{'view' if node['kind'] == 'View' else 'widget'}.{node['kind']}",
            "package": package,
            "content-desc": node["description"],
            **{flag: "true" if node[flag] else "false" for flag in FLAGS},  # type: ignore[literal-required]
            "bounds": f"[{left},{top}][{right},{bottom}]",
        }
        yield f"<node {_attributes(values)} />"
    yield "</node></hierarchy>UI hierchary dumped to: /dev/tty"


def _attributes(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={_quote(value)}" for name, value in values.items())


def _quote(text: str) -> str:
    return quoteattr(INVALID.sub(".", text), {'"': "&quot;"})
