"""Draw the result of perception onto its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actions import Screen
from agent.extraction.output import Output
from agent.report.drawing import EDGE, MARK, fit_text, font
from agent.see.results import GroundedObject, Perceived, Polygon, ScreenElement, TextRegion

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

LABEL_PX = 12
MAX_LABEL_PX = 240  # width
POINT_RADIUS_PX, CORNER_RADIUS_PX = 5, 3


def overlay(
    screen: Screen, result: Perceived[GroundedObject] | Perceived[ScreenElement] | Perceived[TextRegion]
) -> Image:
    """Return the image with a box, an outline or a dot for each item, and its label above.

    The first corner of an outline, from which its text starts, has a dot.
    """
    from PIL import Image as PilImage
    from PIL import ImageDraw

    image = PilImage.fromarray(screen.pixels)
    draw = ImageDraw.Draw(image)
    typeface = font(LABEL_PX)
    for item in result.items:
        x, y = item.point
        if item.box is None:
            corner = x, y - POINT_RADIUS_PX
            for radius, color in ((POINT_RADIUS_PX + 2, EDGE), (POINT_RADIUS_PX, MARK)):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
        else:
            left, top, right, bottom = item.box
            corner = left, top
            if item.polygon:
                _outline(draw, item.polygon)
            for inset, color in ((0, MARK), (1, EDGE)):
                edges = left + inset, top + inset, right - 1 - inset, bottom - 1 - inset
                if not item.polygon and edges[0] <= edges[2] and edges[1] <= edges[3]:
                    draw.rectangle(edges, outline=color)
        text = fit_text(item.label, typeface, MAX_LABEL_PX)
        label_left = max(0, min(corner[0], image.width - round(typeface.getlength(text)) - 4))
        label_top = max(0, corner[1] - LABEL_PX - 4)
        width = round(typeface.getlength(text)) + 4
        draw.rectangle((label_left, label_top, label_left + width, label_top + LABEL_PX + 3), fill=MARK)
        draw.text((label_left + 2, label_top), text, font=typeface, fill=EDGE)
    return image


def value_regions(output: Output, screen: Screen, model: str) -> Perceived[TextRegion]:
    """Return the values that were read from an image with their places, to be drawn.

    Args:
        output: The values.
        screen: The image.
        model: The model's name.
    """
    regions = [
        TextRegion(f"{field.path.removeprefix('/')}: {field.value}", field.box)
        for field in output.fields
        if field.box is not None
    ]
    return Perceived(tuple(regions), (screen.width, screen.height), model)


def _outline(draw: ImageDraw, polygon: Polygon) -> None:
    """Draw a polygon, and a dot on its first corner."""
    for width, color in ((3, EDGE), (1, MARK)):
        draw.line((*polygon, polygon[0]), fill=color, width=width)
    x, y = polygon[0]
    for radius, color in ((CORNER_RADIUS_PX + 1, EDGE), (CORNER_RADIUS_PX, MARK)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
