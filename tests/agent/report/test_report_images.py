"""Images of reports: their total size, close-ups and changes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from actions import Screen, UsageError
from agent.report.images import CropBox, ImageBudget, ScreenCache, changed_box, crop_box


def noise(seed: int, width: int = 640, height: int = 360) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def screen(width: int = 400, height: int = 300) -> Screen:
    return Screen(np.zeros((height, width, 3), np.uint8))


@pytest.mark.parametrize("chars_per_image", [40_000, 120_000, 400_000])
def test_noise_fits_the_total_size(chars_per_image: int) -> None:
    budget = ImageBudget(6 * chars_per_image, 6)
    total_bytes = sum(len(budget.encode(noise(seed))) for seed in range(6))
    assert total_bytes * 4 / 3 <= 6 * chars_per_image


def test_plain_images_keep_their_size() -> None:
    budget = ImageBudget(200_000, 2)
    sizes = []
    for value in (40, 200):
        data = budget.encode(Image.new("RGB", (1280, 720), (value, value, value)))
        sizes.append(len(data))
        assert data[8:12] == b"WEBP"
    assert max(sizes) < 20_000


def test_crop_box_stays_within_screen() -> None:
    assert crop_box(screen(), 200, 150, (100, 80)) == CropBox(150, 110, 100, 80)
    assert crop_box(screen(), 0, 299, (100, 80)) == CropBox(0, 220, 100, 80)
    assert crop_box(screen(60, 40), 10, 10, (100, 80)) == CropBox(0, 0, 60, 40)


def test_changed_box_surrounds_the_difference() -> None:
    before = screen()
    pixels = before.pixels.copy()
    pixels[10:20, 30:60] = 255
    assert changed_box(before, Screen(pixels)) == CropBox(30, 10, 30, 10)
    assert changed_box(before, before) is None
    assert changed_box(before, Screen(np.full_like(pixels, 9))) is None  # another screen altogether
    assert changed_box(before, screen(10, 10)) is None
    assert changed_box(None, before) is None


def test_cache_holds_two_screens() -> None:
    loaded: list[str] = []

    def load(digest: str) -> Screen:
        loaded.append(digest)
        if digest == "gone":
            raise UsageError("the file is missing")
        return screen()

    cache = ScreenCache(load)
    for digest in ("a", "b", "a", "b", "c", "b", "a"):
        cache.get(digest)
    assert loaded == ["a", "b", "c", "a"]
    with pytest.raises(UsageError):
        cache.get("gone")
