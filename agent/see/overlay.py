"""Draw the result of perception onto its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actions import Screen
from agent.report.drawing import EDGE, MARK, fit_text, font
from agent.see.results import GroundedObject, Perceived, ScreenElement, TextRegion

if TYPE_CHECKING:
    from PIL.Image import Image

LABEL_PX = 12
MAX_LABEL_PX = 240  # width
POINT_RADIUS_PX = 5


def overlay(
    screen: Screen, result: Perceived[GroundedObject] | Perceived[ScreenElement] | Perceived[TextRegion]
) -> Image:
    """Return the image with a box or a dot for each item, and its label above."""
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
            for inset, color in ((0, MARK), (1, EDGE)):
                edges = left + inset, top + inset, right - 1 - inset, bottom - 1 - inset
                if edges[0] <= edges[2] and edges[1] <= edges[3]:
                    draw.rectangle(edges, outline=color)
        text = fit_text(item.label, typeface, MAX_LABEL_PX)
        label_left = max(0, min(corner[0], image.width - round(typeface.getlength(text)) - 4))
        label_top = max(0, corner[1] - LABEL_PX - 4)
        width = round(typeface.getlength(text)) + 4
        draw.rectangle((label_left, label_top, label_left + width, label_top + LABEL_PX + 3), fill=MARK)
        draw.text((label_left + 2, label_top), text, font=typeface, fill=EDGE)
    return image
