"""A phone's display: how it is turned, its picture, whether that is black. Knows Android's dumps and PNG; asks nobody.

Source of the dump's shape: AOSP DisplayViewport.java; the field isActive is there since Android 10.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

VIEWPORT = re.compile(r"DisplayViewport\{(.*?)\}(?=[,\]\s]|$)", re.DOTALL)
FRAME = re.compile(r"logicalFrame=Rect\(0, 0 - (\d+), (\d+)\)")
SIZE = re.compile(r"(Override|Physical) size: (\d+)x(\d+)")
DENSITY = re.compile(r"(Override|Physical) density: (\d+)")
FOCUS = re.compile(r"mCurrentFocus=(Window\{[^}]*\})")
SECURE_BIT = 0x2000  # WindowManager.LayoutParams.FLAG_SECURE
DARK, MOSTLY = 8, 0.99
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class ScreenshotError(Exception):
    """What the phone sent is no whole PNG."""


@dataclass(frozen=True)
class DisplayState:
    """The display as it is turned now: quarter turns, and its size in the pixels that touches are told in."""

    rotation: int
    width: int
    height: int


def read_frame(display_dump: str, size_dump: str = "") -> DisplayState | None:
    """From `dumpsys display`; the size from `wm size` where the dump has none. None where neither tells.

    A phone with several screens: the internal one that is active.
    """
    ranked: list[tuple[int, re.Match[str]]] = []
    for match in VIEWPORT.finditer(display_dump):
        body = match[1]
        if "valid=false" in body or "isActive=false" in body or "orientation=" not in body:
            continue
        ranked.append((2 * ("type=INTERNAL" in body) + ("displayId=0" in body), match))
    body = max(ranked, key=lambda one: one[0])[1][1] if ranked else display_dump
    turned = re.search(r"orientation=(\d)", body) or re.search(r"mCurrentOrientation=(\d)", display_dump)
    if turned is None:
        return None
    rotation = int(turned[1])
    if frame := FRAME.search(body):
        return DisplayState(rotation, int(frame[1]), int(frame[2]))
    sizes = {kind: (int(width), int(height)) for kind, width, height in SIZE.findall(size_dump)}
    if not sizes:
        return None
    width, height = sizes.get("Override") or sizes["Physical"]
    return DisplayState(rotation, height, width) if rotation % 2 else DisplayState(rotation, width, height)


def read_density(dump: str) -> int:
    """Dots per inch from `wm density`, 160 where it is not told."""
    found = {kind: int(dots) for kind, dots in DENSITY.findall(dump)}
    return found.get("Override") or found.get("Physical") or 160


def decode(png: bytes) -> Pixels:
    """RGB pixels [H, W, 3] of a whole PNG. BrokenPicture for anything else, one that breaks off among them."""
    start = png.find(PNG_START, 0, 4096)  # some phones write a warning before the picture
    if start < 0:
        raise ScreenshotError(f"{len(png)} bytes that are no PNG: {png[:60]!r}")
    if not png.rstrip(b"\r\n").endswith(PNG_END):
        raise ScreenshotError(f"a PNG of {len(png)} bytes that breaks off")
    try:
        with Image.open(io.BytesIO(png[start:])) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise ScreenshotError(f"a damaged PNG ({error})") from None


def is_black(pixels: Pixels) -> bool:
    """Whether not one pixel has any light."""
    return not pixels[::8, ::8].any() and not pixels.any()


def is_dark(pixels: Pixels) -> bool:
    """Whether all but a status bar's few pixels are black, as the picture of a secure window is."""
    return bool((pixels[::4, ::4].max(axis=2) <= DARK).mean() > MOSTLY)


def is_asleep(power_dump: str) -> bool:
    found = re.search(r"mWakefulness=(\w+)", power_dump)
    return found is not None and found[1] in ("Asleep", "Dozing")


def is_locked(window_dump: str) -> bool:
    return re.search(r"(mDreamingLockscreen|isKeyguardShowing|mShowingLockscreen)=true", window_dump) is not None


def secure_window(window_dump: str) -> str:
    """The package whose focused window no picture may show (FLAG_SECURE), "" where there is none."""
    focus = FOCUS.search(window_dump)
    if focus is None:
        return ""
    blocks = re.split(r"(?m)^\s*Window #\d+ ", window_dump)
    block = next((part for part in blocks if part.startswith(focus[1])), "")
    flags = re.search(r"\bfl=(#[0-9a-fA-F]+|[A-Z0-9_ ]+)", block)
    if flags is None:
        return ""
    word = flags[1].strip()
    secure = bool(int(word[1:], 16) & SECURE_BIT) if word.startswith("#") else "SECURE" in word.split()
    return focus[1].rstrip("}").split()[-1].partition("/")[0] if secure else ""
