"""Draw captions and marks onto frames of videos and pictures, with the fonts of the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import envs
from agent.ui.formatting import sanitize

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Color = tuple[int, int, int]
BACKGROUND, PANEL, INK, DIM = (20, 23, 28), (28, 32, 39), (240, 243, 247), (158, 167, 181)
MARK, EDGE = (230, 0, 60), (255, 255, 255)  # one of the two stands out on any background
OUTCOME_COLORS: dict[str, Color] = {
    "done": (95, 208, 141),
    "failed": (255, 138, 128),
    "refused": (242, 182, 88),
    "interrupted": (195, 165, 255),
}
FONTS = Path(envs.__file__).parent / "fonts"
_SUPERSAMPLING = 4  # of rings, whose edges Pillow does not smooth


@cache
def font(size: int, *, is_bold: bool = False) -> FreeTypeFont:
    """Return a font of the package in a size in pixels."""
    from PIL import ImageFont

    return ImageFont.truetype(str(FONTS / f"LiberationSans-{'Bold' if is_bold else 'Regular'}.ttf"), size)


def fit_text(text: str, typeface: FreeTypeFont, width: int) -> str:
    """Return untrusted text as one line that is at most `width` pixels wide, cut with an ellipsis."""
    line = sanitize(text, 400)
    if typeface.getlength(line) <= width:
        return line
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        if typeface.getlength(line[:middle] + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return line[:low].rstrip() + "…"


def wrap_text(text: str, typeface: FreeTypeFont, width: int, max_lines: int) -> list[str]:
    """Return untrusted text as lines of at most `width` pixels; the last one is cut where lines are left."""
    lines: list[str] = []
    rest = sanitize(text, 1000).split()
    while rest and len(lines) < max_lines:
        if len(lines) == max_lines - 1:
            lines.append(fit_text(" ".join(rest), typeface, width))
            break
        count = 1
        while count < len(rest) and typeface.getlength(" ".join(rest[: count + 1])) <= width:
            count += 1
        lines.append(fit_text(" ".join(rest[:count]), typeface, width))
        rest = rest[count:]
    return lines


def draw_ring(image: Image, x: float, y: float, radius: float, color: Color = MARK) -> None:
    """Draw a ring with smooth edges onto an image; parts outside it are cut off."""
    from PIL import Image as PilImage

    side = int(2 * radius + 12)
    tile = _ring_tile(side, round(radius * 2), color)
    resized = tile.resize((side, side), PilImage.Resampling.LANCZOS)
    image.paste(resized, (round(x - side / 2), round(y - side / 2)), resized)


@cache
def _ring_tile(side: int, diameter: int, color: Color) -> Image:
    from PIL import Image as PilImage
    from PIL import ImageDraw

    scale = _SUPERSAMPLING
    tile = PilImage.new("RGBA", (side * scale, side * scale), (*EDGE, 0))
    draw = ImageDraw.Draw(tile)
    start, end = (side - diameter) * scale // 2, (side + diameter) * scale // 2
    draw.ellipse((start, start, end, end), outline=(*EDGE, 255), width=6 * scale)
    inset = scale * 3 // 2
    draw.ellipse((start + inset, start + inset, end - inset, end - inset), outline=(*color, 255), width=3 * scale)
    return tile


def draw_caption(
    width: int, height: int, *, title: str, heading: str, detail: str = "", outcome: str = "done"
) -> Image:
    """Return a caption bar of three lines.

    Args:
        width: Pixels.
        height: Pixels; the sizes of the fonts follow from it.
        title: The small first line, such as the goal.
        heading: The large second line, such as the action.
        detail: The small third line, in the color of an outcome other than done; "" for none.
        outcome: Outcome of the action, which colors the bar's edge.
    """
    from PIL import Image as PilImage
    from PIL import ImageDraw

    bar = PilImage.new("RGB", (width, height), PANEL)
    draw = ImageDraw.Draw(bar)
    color = OUTCOME_COLORS.get(outcome, DIM)
    draw.rectangle((0, 0, 5, height), fill=color)
    margin, room = 20, width - 40
    small, large = font(round(height * 0.165)), font(round(height * 0.25), is_bold=True)
    top = height * (0.11 if detail else 0.2)
    draw.text((margin, top), fit_text(title, small, room), font=small, fill=DIM)
    draw.text((margin, top + height * 0.25), fit_text(heading, large, room), font=large, fill=INK)
    if detail:
        draw.text(
            (margin, top + height * 0.59),
            fit_text(detail, small, room),
            font=small,
            fill=DIM if outcome == "done" else color,
        )
    return bar


def draw_card(base: Image, *, title: str, lines: str, detail: str = "", color: Color = INK) -> Image:
    """Return a darkened image with a large text in its middle.

    Args:
        base: The image below.
        title: The small first line.
        lines: The large text, wrapped to at most four lines.
        detail: The small text below, wrapped to two lines; "" for none.
        color: Color of the large text.
    """
    from PIL import Image as PilImage
    from PIL import ImageDraw

    card = PilImage.blend(base, PilImage.new("RGB", base.size, BACKGROUND), 0.9)
    draw = ImageDraw.Draw(card)
    unit = min(base.width, base.height) / 20
    small, large = font(max(12, round(unit * 0.8))), font(max(16, round(unit * 1.35)), is_bold=True)
    room = round(base.width * 0.86)
    rows = [(fit_text(title, small, room), small, DIM)]
    rows += [(line, large, color) for line in wrap_text(lines, large, room, 4)]
    rows += [(line, small, DIM) for line in wrap_text(detail, small, room, 2)]
    heights = [typeface.size * 1.45 for _, typeface, _ in rows]
    y = (base.height - sum(heights)) / 2
    for (text, typeface, fill), height in zip(rows, heights, strict=True):
        draw.text(((base.width - typeface.getlength(text)) / 2, y), text, font=typeface, fill=fill)
        y += height
    return card
