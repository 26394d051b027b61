"""A bare X server for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from helpers.desktop_programs import link, x_server


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x_server() as name:
        yield name


@pytest.fixture
def painted(display: str) -> Iterator[Any]:
    """The display with a ground that is not black."""
    connection = link(display)
    root = connection.screen().root
    root.change_attributes(background_pixel=0x406080)
    root.clear_area()
    connection.sync()
    yield connection
    connection.close()
