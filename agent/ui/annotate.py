"""Draw an action onto the screenshot it refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actions import Action, Drag, Screen

if TYPE_CHECKING:
    from PIL import Image

RADIUS_PX = 18
CARET_PX = 14  # half the height of the caret that marks where text goes
LINE, EDGE = (230, 0, 60), (255, 255, 255)  # one of the two stands out on any background


def draw_action(screen: Screen, action: Action, focus: tuple[int, int] | None = None) -> Image.Image:
    """Return the screen with the action marked on it.

    Args:
        screen: The screen the action refers to.
        action: Each of its points gets a ring; the path of a drag is drawn as a line.
        focus: Where keyboard input most likely goes, marked with a text caret; None for no mark.
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(screen.pixels)
    draw = ImageDraw.Draw(image)
    points = [(point.x, point.y) for point in action.points()]
    for color, width in ((EDGE, 6), (LINE, 2)):
        if isinstance(action, Drag) and len(points) > 1:
            draw.line(points, fill=color, width=width)
        for x, y in points[:1] + points[1:][-1:]:
            ring = (x - RADIUS_PX, y - RADIUS_PX, x + RADIUS_PX, y + RADIUS_PX)
            draw.ellipse(ring, outline=color, width=width)
        if focus is not None:
            x, y = focus
            draw.line([(x, y - CARET_PX), (x, y + CARET_PX)], fill=color, width=width)
            for end in (y - CARET_PX, y + CARET_PX):
                draw.line([(x - CARET_PX // 2, end), (x + CARET_PX // 2, end)], fill=color, width=width)
    return image
