"""MiniWoB++ addresses and pages."""

from __future__ import annotations

import pytest

from actions import UsageError
from envs.miniwob import pages


@pytest.mark.parametrize("address", ["miniwob:click-test", "practice:click-test"])
def test_address_and_its_alias_name_task(address: str) -> None:
    assert pages.is_miniwob_address(address)
    assert pages.task_name(address) == "click-test"


@pytest.mark.parametrize("address", ["https://example.com", "about:blank", "click-test", "xminiwob:click-test"])
def test_other_address_is_not_miniwob(address: str) -> None:
    assert not pages.is_miniwob_address(address)


def test_unknown_task_suggests_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'click-test'"):
        pages.page("click-tset")


def test_unknown_task_names_list() -> None:
    with pytest.raises(UsageError, match="agent demo --list"):
        pages.page("zzzzzzzz")


def test_screen_sides_are_multiples_of_28() -> None:
    width, height = pages.page("click-test").screen_size
    assert width % 28 == 0
    assert height % 28 == 0
