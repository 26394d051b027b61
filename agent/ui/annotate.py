"""A picture with an action's target marked on it. Knows pixels and points; knows no run."""

from __future__ import annotations

from typing import Any

from actions import Drag, Screen

RADIUS_PX = 18
LINE, EDGE = (230, 0, 60), (255, 255, 255)  # one of the two stands out on any ground


def draw_action(screen: Screen, action: Any) -> Any:
    """The screen as a PIL picture, a ring around each point of the action and a line along a drag."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(screen.pixels)
    draw = ImageDraw.Draw(picture)
    points = [(point.x, point.y) for point in action.points()]
    for colour, width in ((EDGE, 6), (LINE, 2)):
        if isinstance(action, Drag) and len(points) > 1:
            draw.line(points, fill=colour, width=width)
        for x, y in points[:1] + points[1:][-1:]:
            ring = (x - RADIUS_PX, y - RADIUS_PX, x + RADIUS_PX, y + RADIUS_PX)
            draw.ellipse(ring, outline=colour, width=width)
    return picture
