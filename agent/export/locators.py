"""Locators of Playwright for recorded targets: candidates from the trace, and the first that a live page confirms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.export.run import MAX_LABEL_CHARS, RecordedTarget
from agent.export.source import literal

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MIN_OVERLAP = 0.4  # intersection over union of a locator's box and the recorded one
MAX_NEIGHBOR_CHARS = 30  # a longer text is no caption of a field
MAX_MATCHES = 40  # of a locator that is told apart by its position among them
READABLE_ID = re.compile(r"[A-Za-z][A-Za-z_-]{1,40}")  # a generated one has digits
ARIA_ROLES = frozenset(
    {
        "button", "checkbox", "combobox", "dialog", "gridcell", "heading", "img", "link", "listbox", "menuitem",
        "menuitemcheckbox", "menuitemradio", "option", "radio", "row", "searchbox", "slider", "spinbutton", "switch",
        "tab", "textbox", "treeitem",
    }
)  # fmt: skip


@dataclass(frozen=True)
class LocatorCall:
    """One call of a chain of locators, such as `get_by_role("button", name="Login", exact=True)`.

    Args:
        method: The method of a page or a locator.
        arguments: Its positional arguments.
        options: Its keyword arguments.
    """

    method: str
    arguments: tuple[str | int, ...]
    options: Mapping[str, str | bool] = field(default_factory=dict)

    def code(self) -> str:
        """Return the call as code."""
        arguments = [*map(literal, self.arguments), *(f"{key}={literal(item)}" for key, item in self.options.items())]
        return f".{self.method}({', '.join(arguments)})"


@dataclass(frozen=True)
class TargetLocator:
    """A locator of one element.

    Args:
        calls: The calls that lead to it from the page.
        tag: The element's tag, such as "SELECT"; "" where no page confirmed it.
        is_empty: Whether the page confirmed that it is a field that holds nothing.
        options: The labels of a select's options.
    """

    calls: tuple[LocatorCall, ...]
    tag: str = ""
    is_empty: bool = False
    options: tuple[str, ...] = ()

    def code(self) -> str:
        """Return the locator as an expression."""
        return "page" + "".join(call.code() for call in self.calls)

    def resolve(self, page: Page) -> Locator:
        """Return the locator on a page."""
        return resolve(page, self.calls)


def resolve(page: Page, calls: tuple[LocatorCall, ...]) -> Locator:
    """Return the locator that a chain of calls stands for."""
    current: Page | Locator = page
    for call in calls:
        current = getattr(current, call.method)(*call.arguments, **call.options)
    return current  # type: ignore[return-value]  # a chain has at least one call


def candidate_chains(target: RecordedTarget) -> Iterator[tuple[LocatorCall, ...]]:
    """Yield the locators that a recorded target may have, the most readable first."""
    label = target.label if 0 < len(target.label) <= MAX_LABEL_CHARS else ""
    if label and target.role in ARIA_ROLES:
        yield (LocatorCall("get_by_role", (target.role,), {"name": label, "exact": True}),)
    if label and target.field:
        yield (LocatorCall("get_by_label", (label,), {"exact": True}),)
        yield (LocatorCall("get_by_placeholder", (label,), {"exact": True}),)
        yield (LocatorCall("locator", (f"[name={_css_string(label)}]",)),)
    if label and not target.field:
        yield (LocatorCall("get_by_text", (label,), {"exact": True}),)


def relative_chains(target: RecordedTarget) -> Iterator[tuple[LocatorCall, ...]]:
    """Yield locators that start from a text beside or above the target."""
    if not target.field:
        return
    for neighbor in target.neighbors:
        if 0 < len(neighbor) <= MAX_NEIGHBOR_CHARS:
            for tag in ("input", "textarea"):
                yield (
                    LocatorCall("get_by_text", (neighbor,), {"exact": True}),
                    LocatorCall("locator", (f"xpath=following::{tag}[1]",)),
                )


def recorded_locator(target: RecordedTarget | None) -> TargetLocator | None:
    """Return the first locator that a trace alone suggests; None for a position."""
    if target is None:
        return None
    chains = next(candidate_chains(target), None) or next(relative_chains(target), None)
    return TargetLocator(chains) if chains is not None else None


def confirmed_locator(
    page: Page, target: RecordedTarget | None, x: float, y: float, scale: float
) -> TargetLocator | None:
    """Return the first locator that stands for the recorded element on a page, None for a position.

    Args:
        page: The page, in the state before the action.
        target: The recorded target; None where it is unknown.
        x: The recorded column in CSS pixels.
        y: The recorded row in CSS pixels.
        scale: Screen pixels per CSS pixel.
    """
    if target is None:
        return None
    has_own_name = bool(target.label) and not target.field
    ids = [] if has_own_name else _id_chains(page, x, y)
    chains = [*candidate_chains(target), *ids, *relative_chains(target)]
    for chain in chains:
        locator = resolve(page, chain)
        count = locator.count()
        if count == 1 and _is_at(locator, target, x, y, scale):
            return _describe(locator, chain)
        if 1 < count <= MAX_MATCHES:
            places = [index for index in range(count) if _is_at(locator.nth(index), target, x, y, scale)]
            if places and chain[0].method != "locator":
                numbered = (*chain, LocatorCall("nth", (places[-1],)))
                return _describe(locator.nth(places[-1]), numbered)
    if target.role in ARIA_ROLES:
        return _numbered(page, (LocatorCall("get_by_role", (target.role,)),), target, x, y, scale)
    return None


def _numbered(
    page: Page, chain: tuple[LocatorCall, ...], target: RecordedTarget, x: float, y: float, scale: float
) -> TargetLocator | None:
    locator = resolve(page, chain)
    for index in range(min(locator.count(), MAX_MATCHES)):
        if _is_at(locator.nth(index), target, x, y, scale):
            return _describe(locator.nth(index), (*chain, LocatorCall("nth", (index,))))
    return None


def _id_chains(page: Page, x: float, y: float) -> list[tuple[LocatorCall, ...]]:
    """Return the locator of the id at a point, if it has one that a person wrote."""
    name = page.evaluate("([x, y]) => document.elementFromPoint(x, y)?.id ?? ''", [x, y])
    if not isinstance(name, str) or not READABLE_ID.fullmatch(name):
        return []
    return [(LocatorCall("locator", (f"#{name}",)),)]


def _is_at(locator: Locator, target: RecordedTarget, x: float, y: float, scale: float) -> bool:
    box = locator.bounding_box()
    if box is None or not locator.is_visible():
        return False
    left, top, width, height = box["x"], box["y"], box["width"], box["height"]
    if target.area is None:
        return left <= x < left + width and top <= y < top + height
    other_left, other_top, other_width, other_height = (value / scale for value in target.area)
    across = min(left + width, other_left + other_width) - max(left, other_left)
    down = min(top + height, other_top + other_height) - max(top, other_top)
    both = max(0.0, across) * max(0.0, down)
    return both / (width * height + other_width * other_height - both) >= MIN_OVERLAP


_FACTS_JS = """element => ({
    tag: element.tagName,
    isEmpty: 'value' in element && element.value === '',
    options: element instanceof HTMLSelectElement ? Array.from(element.options, option => option.label) : [],
})"""


def _describe(locator: Locator, chain: tuple[LocatorCall, ...]) -> TargetLocator:
    facts = locator.evaluate(_FACTS_JS)
    return TargetLocator(chain, str(facts["tag"]), bool(facts["isEmpty"]), tuple(map(str, facts["options"])))


def _css_string(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
