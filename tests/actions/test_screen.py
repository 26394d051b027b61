"""Screen: validation, immutability, digests, bounds and image files."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from actions import Call, InvalidActionError, Reply, Screen, Step, SurfaceError, UsageError


def image(height: int = 4, width: int = 6, value: int = 0) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 3), np.float32),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        np.zeros((4, 6, 3), np.int8),
        None,
        b"png",
        [[[0, 0, 0]]],
    ],
)
def test_invalid_pixels_raise_surface_error(pixels: object) -> None:
    with pytest.raises(SurfaceError, match=r"a screen must be uint8 \[height, width, 3\]"):
        Screen(pixels)  # type: ignore[arg-type]


def test_screen_has_size_and_timestamp() -> None:
    before = time.time()
    screen = Screen(image())
    assert (screen.width, screen.height) == (6, 4)
    assert before <= screen.timestamp <= time.time()


def test_screen_pixels_are_read_only() -> None:
    screen = Screen(image())
    with pytest.raises(ValueError, match="read-only"):
        screen.pixels[0, 0] = 1


def test_screen_copies_writable_buffer() -> None:
    buffer = image()
    screen = Screen(buffer)
    buffer[:] = 255
    assert screen.pixels.max() == 0


def test_digest_depends_on_pixels_and_shape() -> None:
    assert Screen(image()).digest == Screen(image()).digest
    assert Screen(image()).digest != Screen(image(value=1)).digest
    assert Screen(image(4, 6)).digest != Screen(image(6, 4)).digest  # the same bytes, another shape


def test_screen_accepts_strided_view() -> None:
    wide = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert np.array_equal(Screen(wide[:, ::-1]).pixels, wide[:, ::-1])
    assert Screen(wide[:, ::-1]).digest == Screen(wide[:, ::-1].copy()).digest


def test_check_point_bounds_are_inclusive_exclusive() -> None:
    screen = Screen(image())
    screen.check_point(0, 0)
    screen.check_point(5, 3)
    for x, y in ((6, 3), (5, 4), (-1, 0), (0, -1)):
        with pytest.raises(
            InvalidActionError, match=rf"point \({x}, {y}\) is outside the screen; x must be 0 to 5 and y 0 to 3"
        ):
            screen.check_point(x, y)


def test_call_arguments_are_immutable() -> None:
    arguments = {"x": 1}
    call = Call("click", arguments)
    arguments["x"] = 2
    assert call.arguments["x"] == 1
    with pytest.raises(TypeError):
        call.arguments["x"] = 3  # type: ignore[index]


def test_step_defaults_have_no_action() -> None:
    step = Step(1, Screen(image()), Reply("words"), error="no call")
    assert step.action is None
    assert step.call is None
    assert step.reply.image_digests == ()


def test_screen_save_and_open_round_trip(tmp_path: Path) -> None:
    screen = Screen(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))
    path = tmp_path / "screen.png"
    screen.save(path)
    assert Screen.open(path).digest == screen.digest
    assert screen._repr_png_()[:4] == b"\x89PNG"


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_open_invalid_image_raises_usage_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read .*broken\.png as an image"):
        Screen.open(path)
    with pytest.raises(UsageError, match="missing"):
        Screen.open(tmp_path / "missing.png")


def test_save_unknown_suffix_raises_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        Screen(image()).save(tmp_path / "screen.xyz")
