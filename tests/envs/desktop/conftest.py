"""A bare X server for each test file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from helpers.desktop_programs import connect_to, x_server

if TYPE_CHECKING:
    from Xlib.display import Display


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """Yield the name of the display."""
    with x_server() as name:
        yield name


@pytest.fixture
def painted(display: str) -> Iterator[Display]:
    """Yield a connection to the display, whose background is not black."""
    connection = connect_to(display)
    root = connection.screen().root
    root.change_attributes(background_pixel=0x406080)
    root.clear_area()
    connection.sync()
    yield connection
    connection.close()
