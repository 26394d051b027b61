"""Parsers for a phone's display: its rotation and size, screenshots, black, locked and secure screens.

Source of the dump's format: AOSP DisplayViewport.java; the field isActive exists since Android 10.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actions import Point

VIEWPORT = re.compile(r"DisplayViewport\{(.*?)\}(?=[,\]\s]|$)", re.DOTALL)
LOGICAL_FRAME = re.compile(r"logicalFrame=Rect\(0, 0 - (\d+), (\d+)\)")
UNIQUE_ID = re.compile(r"uniqueId='local:(\d+)'")
SIZE = re.compile(r"(Override|Physical) size: (\d+)x(\d+)")
DENSITY = re.compile(r"(Override|Physical) density: (\d+)")
FOCUS = re.compile(r"mCurrentFocus=(Window\{[^}]*\})")
SECURE_BIT = 0x2000  # WindowManager.LayoutParams.FLAG_SECURE
DARK, DARK_SHARE = 8, 0.99
CRLF_PNG_START = b"\x89PNG\r\r\n\x1a\r\n"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

Pixels = NDArray[np.uint8]


class ScreenshotError(Exception):
    """The phone sent no complete PNG."""


@dataclass(frozen=True)
class DisplayState:
    """The display's rotation in quarter turns, and its size in the pixels that touches are given in.

    `physical_id` is the id for `screencap -d` on a phone with several internal displays (a foldable), whose default
    display may be the one that is switched off; "" on others.
    """

    rotation: int
    width: int
    height: int
    physical_id: str = field(default="", compare=False)


def parse_display_state(display_dump: str, size_dump: str = "") -> DisplayState | None:
    """Return the state of the display; on a phone with several, of the internal one that is active.

    Args:
        display_dump: output of `dumpsys display`.
        size_dump: output of `wm size`, for dumps without a size.

    Returns:
        The state, or None if the dumps do not contain it.
    """
    ranked: list[tuple[int, str]] = []
    for match in VIEWPORT.finditer(display_dump):
        viewport = match[1]
        if "valid=false" in viewport or "isActive=false" in viewport or "orientation=" not in viewport:
            continue
        ranked.append((2 * ("type=INTERNAL" in viewport) + ("displayId=0" in viewport), viewport))
    viewport = max(ranked, key=lambda pair: pair[0])[1] if ranked else display_dump
    physical_id = _physical_id(viewport, display_dump)
    orientation = re.search(r"orientation=(\d)", viewport) or re.search(r"mCurrentOrientation=(\d)", display_dump)
    if orientation is None:
        return None
    rotation = int(orientation[1])
    if frame := LOGICAL_FRAME.search(viewport):
        return DisplayState(rotation, int(frame[1]), int(frame[2]), physical_id)
    sizes = {kind: (int(width), int(height)) for kind, width, height in SIZE.findall(size_dump)}
    if not sizes:
        return None
    width, height = sizes.get("Override") or sizes["Physical"]
    width, height = (height, width) if rotation % 2 else (width, height)
    return DisplayState(rotation, width, height, physical_id)


def map_points(state: DisplayState, size: tuple[int, int], points: Iterable[Point]) -> list[tuple[int, int]]:
    """Return the phone's pixels under the middle of screenshot pixels; they differ if `wm size` was overridden.

    Args:
        state: the display.
        size: width and height of the screenshot.
        points: pixels of the screenshot.
    """
    width, height = size
    return [
        (int((point.x + 0.5) * state.width / width), int((point.y + 0.5) * state.height / height)) for point in points
    ]


def _physical_id(viewport: str, display_dump: str) -> str:
    """Return the physical id of an active internal viewport when the dump lists several, "" otherwise."""
    internal = [match[1] for match in VIEWPORT.finditer(display_dump) if "type=INTERNAL" in match[1]]
    unique_id = UNIQUE_ID.search(viewport)
    if unique_id is None or "isActive=true" not in viewport or len(set(map(_identity, internal))) < 2:
        return ""
    return unique_id[1]


def _identity(viewport: str) -> str:
    """Return the id of a viewport's display, or the viewport itself where it has none."""
    unique_id = UNIQUE_ID.search(viewport)
    return unique_id[1] if unique_id is not None else viewport


def parse_density(density_dump: str) -> int:
    """Return the dots per inch in the output of `wm density`, 160 if it has none."""
    densities = {kind: int(dots) for kind, dots in DENSITY.findall(density_dump)}
    return densities.get("Override") or densities.get("Physical") or 160


def has_png(output: bytes) -> bool:
    """Return whether the output of `screencap` contains the start of a PNG."""
    start = output[:4096]  # some phones write a warning before the image
    return PNG_START in start or CRLF_PNG_START in start


def decode_png(png: bytes) -> Pixels:
    """Return the RGB pixels [H, W, 3] of a PNG.

    Raises:
        ScreenshotError: if it is not a complete PNG.
    """
    if CRLF_PNG_START in png[:4096]:  # a terminal on the phone has replaced the line breaks
        png = png.replace(b"\r\n", b"\n")
    start = png.find(PNG_START, 0, 4096)  # some phones write a warning before the image
    if start < 0:
        raise ScreenshotError(f"{len(png)} bytes that are no PNG: {png[:60]!r}")
    if not png.rstrip(b"\r\n").endswith(PNG_END):
        raise ScreenshotError(f"a truncated PNG of {len(png)} bytes")
    try:
        with Image.open(io.BytesIO(png[start:])) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise ScreenshotError(f"a damaged PNG ({error})") from None


def is_black(pixels: Pixels) -> bool:
    """Return whether every pixel is black."""
    return not pixels[::8, ::8].any() and not pixels.any()


def is_dark(pixels: Pixels) -> bool:
    """Return whether all but a status bar's few pixels are black, as in the screenshot of a secure window."""
    return bool((pixels[::4, ::4].max(axis=2) <= DARK).mean() > DARK_SHARE)


def is_asleep(power_dump: str) -> bool:
    """Return whether `dumpsys power` shows a screen that is off."""
    wakefulness = re.search(r"mWakefulness=(\w+)", power_dump)
    return wakefulness is not None and wakefulness[1] in ("Asleep", "Dozing")


def is_locked(window_dump: str) -> bool:
    """Return whether `dumpsys window` shows a locked phone."""
    return re.search(r"(mDreamingLockscreen|isKeyguardShowing|mShowingLockscreen)=true", window_dump) is not None


def secure_window(window_dump: str) -> str:
    """Return the package whose focused window is excluded from screenshots (FLAG_SECURE), "" if there is none."""
    focus = FOCUS.search(window_dump)
    if focus is None:
        return ""
    blocks = re.split(r"(?m)^\s*Window #\d+ ", window_dump)
    block = next((part for part in blocks if part.startswith(focus[1])), "")
    match = re.search(r"\bfl=(#[0-9a-fA-F]+|[A-Z0-9_ ]+)", block)
    if match is None:
        return ""
    flags = match[1].strip()
    is_secure = bool(int(flags[1:], 16) & SECURE_BIT) if flags.startswith("#") else "SECURE" in flags.split()
    return focus[1].rstrip("}").split()[-1].partition("/")[0] if is_secure else ""
