"""Screen: a picture and nothing else becomes one, and it stays what it was."""

from __future__ import annotations

import time

import numpy as np
import pytest

from actions import Call, InvalidActionError, Reply, Screen, Step, SurfaceError


def picture(height: int = 4, width: int = 6, value: int = 0) -> np.ndarray:
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
def test_what_is_no_picture_is_a_failed_capture(pixels: object) -> None:
    with pytest.raises(SurfaceError, match=r"a screen is uint8 \[height, width, 3\]"):
        Screen(pixels)  # type: ignore[arg-type]


def test_size_and_time() -> None:
    before = time.time()
    screen = Screen(picture())
    assert (screen.width, screen.height) == (6, 4) and before <= screen.timestamp <= time.time()


def test_pixels_cannot_be_written_through_the_screen() -> None:
    screen = Screen(picture())
    with pytest.raises(ValueError, match="read-only"):
        screen.pixels[0, 0] = 1


def test_a_buffer_that_is_used_again_does_not_change_what_was_seen() -> None:
    buffer = picture()
    screen = Screen(buffer)
    buffer[:] = 255
    assert screen.pixels.max() == 0


def test_equal_pictures_have_equal_digests_and_others_do_not() -> None:
    assert Screen(picture()).digest == Screen(picture()).digest
    assert Screen(picture()).digest != Screen(picture(value=1)).digest
    assert Screen(picture(4, 6)).digest != Screen(picture(6, 4)).digest  # the same bytes, another shape


def test_a_view_with_strides_is_taken_as_it_looks() -> None:
    wide = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert np.array_equal(Screen(wide[:, ::-1]).pixels, wide[:, ::-1])
    assert Screen(wide[:, ::-1]).digest == Screen(wide[:, ::-1].copy()).digest


def test_the_corners_are_on_it_and_one_further_is_not() -> None:
    screen = Screen(picture())
    screen.check_point(0, 0)
    screen.check_point(5, 3)
    for x, y in ((6, 3), (5, 4), (-1, 0), (0, -1)):
        with pytest.raises(
            InvalidActionError, match=rf"point \({x}, {y}\) is outside the screen; x must be 0 to 5 and y 0 to 3"
        ):
            screen.check_point(x, y)


def test_a_calls_arguments_cannot_be_changed() -> None:
    arguments = {"x": 1}
    call = Call("click", arguments)
    arguments["x"] = 2
    assert call.arguments["x"] == 1
    with pytest.raises(TypeError):
        call.arguments["x"] = 3  # type: ignore[index]


def test_a_step_of_words_alone_has_no_action() -> None:
    step = Step(1, Screen(picture()), Reply("words"), error="no call")
    assert step.action is None and step.call is None and step.reply.image_digests == ()
