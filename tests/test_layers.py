"""No arrow points up: who may import whom, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "actions": set(),
    "model": {"actions"},
    "envs": {"actions"},
    "agent": {"actions", "model", "envs"},
    "training": {"actions", "model", "envs", "agent"},
    "evals": {"actions", "model", "envs", "agent"},
    "perf": {"actions", "model", "envs", "agent", "evals"},
}
HEAVY = {"torch", "transformers", "playwright", "cv2", "gymnasium", "mss", "pyautogui", "adbutils", "huggingface_hub"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each import in a package's source, wherever it stands; names taken out are added to it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: package.count(".") + 2 - node.level]
                base = ".".join([*above, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, str(given.value)) for given in node.args[:1] if isinstance(given, ast.Constant))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    return imports(path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parts[:-1]))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_down(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(package)
        for line, name in imported(path)
        if name.partition(".")[0] in set(MAY_IMPORT) - MAY_IMPORT[package] - {package}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_vocabulary_needs_numpy_and_pydantic_only() -> None:
    import sys

    names = {name.partition(".")[0] for path in sources("actions") for _, name in imported(path)}
    assert names - set(sys.stdlib_module_names) == {"actions", "numpy", "pydantic"}


def test_this_test_sees_an_arrow_that_points_up() -> None:
    def seen(source: str) -> list[str]:
        return [name for _, name in imports(source, "model.serve")]

    assert seen("import agent.loop") == ["agent.loop"]
    assert seen("from envs import practice, live") == ["envs.practice", "envs.live"]
    assert seen("def f():\n    from . import a\n    from .. import b\n    from .c import d") == [
        "model.serve.a",
        "model.b",
        "model.serve.c.d",
    ]
    assert seen("importlib.import_module('evals.run')") == ["evals.run"]


@pytest.mark.parametrize("package", ["actions", "agent", "evals"])
def test_heavy_packages_are_imported_inside_functions(package: str) -> None:
    wrong = []
    for path in sources(package):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            wrong += [f"{path.relative_to(ROOT)}: {name}" for name in names if name.partition(".")[0] in HEAVY]
    assert not wrong
