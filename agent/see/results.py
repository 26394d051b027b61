"""Results of perception. Boxes and points are in pixels of the original image, from its top left corner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import JsonValue

from agent.extraction.output import Box

Pixel = tuple[int, int]  # x, y
Polygon = tuple[Pixel, ...]  # corners


@dataclass(frozen=True)
class GroundedObject:
    """An object that a model found.

    Args:
        label: Its name in the model's words.
        box: Left, top, right and bottom; right and bottom are outside. None where the model gave a point.
        point: A point on it: the one that the model gave, or the center of the box.
        attributes: The attributes that were asked for, by name.
        polygon: Its four corners, where the model gave them; the box is around them. () otherwise.
    """

    label: str
    box: Box | None
    point: Pixel
    attributes: Mapping[str, str]
    polygon: Polygon = ()

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the object as JSON data."""
        attributes: dict[str, JsonValue] = dict(self.attributes)
        place = {**_place(self.label, self.box), "polygon": polygon_json(self.polygon)}
        return {**place, "point": list(self.point), "attributes": attributes}


@dataclass(frozen=True)
class ScreenElement:
    """An element of a screen that can be operated; its box is as in `GroundedObject`.

    Args:
        label: Its text, or what it shows.
        kind: One of `agent.see.elements.KINDS`.
        box: Left, top, right and bottom.
    """

    label: str
    kind: str
    box: Box

    @property
    def point(self) -> Pixel:
        """The center of the box."""
        return center(self.box)

    @property
    def polygon(self) -> Polygon:
        """No corners."""
        return ()

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the element as JSON data."""
        return {**_place(self.label, self.box), "kind": self.kind}


@dataclass(frozen=True)
class TextRegion:
    """A line or a word of text; its box is as in `GroundedObject`.

    Args:
        text: The text.
        box: Left, top, right and bottom.
        polygon: Its four corners, where the model gave them: clockwise, from the top left one of the upright text.
    """

    text: str
    box: Box
    polygon: Polygon = ()

    @property
    def label(self) -> str:
        """The text."""
        return self.text

    @property
    def point(self) -> Pixel:
        """The center of the box."""
        return center(self.box)

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the text as JSON data."""
        return {"text": self.text, "box": list(self.box), "polygon": polygon_json(self.polygon)}


Item = TypeVar("Item", GroundedObject, ScreenElement, TextRegion)


@dataclass(frozen=True)
class Perceived(Generic[Item]):
    """What a model found in an image.

    Args:
        items: In the model's order.
        size: Width and height of the image in pixels.
        model: The model's name.
        is_complete: Whether the model's list ended; False where it reached the limit of tokens.
        rejected: Why items of the reply were left out, one sentence for each.
    """

    items: tuple[Item, ...]
    size: tuple[int, int]
    model: str
    is_complete: bool = True
    rejected: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of items."""
        return len(self.items)

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the result as JSON data."""
        return {
            "model": self.model,
            "size": list(self.size),
            "count": self.count,
            "items": [item.as_dict() for item in self.items],
            "complete": self.is_complete,
            "rejected": list(self.rejected),
        }


def center(box: Box) -> Pixel:
    """Return the pixel at the center of a box."""
    left, top, right, bottom = box
    return (left + right - 1) // 2, (top + bottom - 1) // 2


def polygon_json(polygon: Polygon) -> list[JsonValue]:
    """Return corners as JSON data."""
    return [list(corner) for corner in polygon]


def _place(label: str, box: Box | None) -> dict[str, JsonValue]:
    return {"label": label, "box": None if box is None else list(box)}
