"""Plug-in folders: listing, loading, and the interface that each built-in plug-in has."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from actions import Screen, UsageError, plugins

SURFACES, DIALECTS = plugins.list_plugins("envs.surfaces"), plugins.list_plugins("model.dialects")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a package "garden.trees" with two plug-ins and a private module."""
    trees = tmp_path / "garden" / "trees"
    trees.mkdir(parents=True)
    (tmp_path / "garden" / "__init__.py").write_text("")
    (trees / "__init__.py").write_text("raise RuntimeError('the folder was imported')")
    for name in ("oak", "birch", "_roots"):
        (trees / f"{name}.py").write_text(f"NAME = {name!r}")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "garden.trees"
    for name in [name for name in sys.modules if name.startswith("garden")]:
        del sys.modules[name]


def test_listing_plugins_imports_nothing(folder: str) -> None:
    assert plugins.list_plugins(folder) == ["birch", "oak"]
    assert folder not in sys.modules


def test_loading_imports_one_plugin(folder: str, tmp_path: Path) -> None:
    (tmp_path / "garden" / "trees" / "__init__.py").write_text("")
    assert plugins.load_plugin(folder, "oak").NAME == "oak"
    assert f"{folder}.birch" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("oka", r"unknown tree 'oka'; available: birch, oak\. Did you mean 'oak'\?"),
        ("zzzzzz", r"unknown tree 'zzzzzz'; available: birch, oak\.$"),
        ("_roots", "unknown tree '_roots'"),
        ("", "unknown tree ''"),
        ("../oak", "unknown tree '../oak'"),
    ],
)
def test_unknown_plugin_suggests_the_nearest(folder: str, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plugins.load_plugin(folder, name)


def test_entry_points_add_plugins(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    palm = types.ModuleType("somewhere_palm")
    monkeypatch.setitem(sys.modules, "somewhere_palm", palm)

    def points(group: str) -> list[object]:
        point = types.SimpleNamespace(name="palm", value="somewhere_palm")
        return [point] if group == "pixelhand.garden.trees" else []

    monkeypatch.setattr(plugins, "entry_points", points)
    assert plugins.list_plugins(folder) == ["birch", "oak", "palm"]
    assert plugins.load_plugin(folder, "palm") is palm


@pytest.mark.parametrize("name", SURFACES)
def test_surface_plugins_have_the_required_methods(name: str) -> None:
    surface = plugins.load_plugin("envs.surfaces", name).Surface
    for method in ("capture", "perform", "verbs", "close"):
        assert callable(getattr(surface, method)), f"{name}.Surface lacks {method}"


@pytest.mark.parametrize("name", DIALECTS)
def test_dialect_parses_its_examples(name: str) -> None:
    from helpers.model_families import load_examples

    from model.processing.image import ImageLimits

    dialect = plugins.load_plugin("model.dialects", name).Dialect(ImageLimits())
    examples = load_examples(name, dialect.tool)
    assert examples
    assert len(dialect.prompt_hash) >= 16
    for example in examples:
        width, height = example.screen_size
        screen = Screen(np.zeros((height, width, 3), np.uint8))
        assert dialect.to_action(dialect.parse(example.text), screen) == example.action, example.text


def test_built_in_plugins_are_listed() -> None:
    assert "browser" in SURFACES
    assert "qwen25" in DIALECTS
