"""Importing pixelhand is light, and every public name resolves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pixelhand

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "playwright", "cv2", "gymnasium", "mss", "pyautogui", "adbutils", "numpy", "pydantic"}
HEAVY |= {"opentelemetry"}


def test_import_loads_no_heavy_package() -> None:
    code = "import pixelhand, json, sys; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {name.partition(".")[0] for name in json.loads(output)} & HEAVY


@pytest.mark.parametrize("name", pixelhand.__all__)
def test_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(pixelhand, name)
    assert name in dir(pixelhand)
    if name != "Action":  # a union has no docstring
        assert value.__doc__


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pixelhand.nothing  # noqa: B018


def test_action_classes_are_all_exported() -> None:
    from actions import ACTION_TYPES

    assert {action.__name__ for action in ACTION_TYPES.values()} <= set(pixelhand.__all__)
