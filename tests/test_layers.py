"""Imports point down: floors (top-level packages), rooms inside them, and private modules, read from the source."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {  # package: the packages that it may import
    "actions": set(),
    "model": {"actions"},
    "envs": {"actions"},
    "agent": {"actions", "model", "envs"},
    "training": {"actions", "model", "envs", "agent"},
    "evals": {"actions", "model", "envs", "agent"},
    "perf": {"actions", "model", "envs", "agent", "training", "evals"},
    "pixelhand": {"actions", "model", "envs", "agent", "evals"},
}
ROOMS = {  # room: the rooms of the same package that it may not import
    "model.nn": {
        "model.engine",
        "model.processing",
        "model.checkpoints",
        "model.dialects",
        "model.serve",
        "model.wire",
    },
    "model.processing": {"model.engine", "model.checkpoints", "model.dialects", "model.serve"},
    "model.wire": {
        "model.nn",
        "model.engine",
        "model.processing",
        "model.checkpoints",
        "model.dialects",
        "model.serve",
    },
    "model.engine": {"model.dialects", "model.serve", "model.chat_model"},
    "model.checkpoints": {"model.engine", "model.serve", "model.chat_model"},
    "model.dialects": {"model.nn", "model.checkpoints", "model.serve", "model.chat_model"},
    "envs.desktop": {"envs.surfaces", "envs.live", "envs.android", "envs.miniwob.task", "envs.miniwob.env"},
    "envs.android": {"envs.surfaces", "envs.live", "envs.desktop", "envs.miniwob"},
    "envs.chromium": {"envs.surfaces", "envs.live", "envs.android", "envs.desktop"},
    "envs.surfaces": {"envs.live", "envs.calibration"},
    "agent.ui": {"agent.loop", "agent.session", "agent.policies", "agent.mcp"},
    "agent.report": {"agent.loop", "agent.session", "agent.policies", "agent.mcp"},
    "agent.safety": {"agent.loop", "agent.session", "agent.policies", "agent.mcp"},
    "agent.policies": {"agent.loop", "agent.session", "agent.mcp", "agent.ui", "agent.trace"},
    "evals.metrics": {"evals.benchmarks", "evals.importers", "evals.runner", "evals.scoring", "evals.workers"},
    "evals.benchmarks": {"evals.runner", "evals.workers", "evals.importers"},
    "evals.importers": {"evals.runner", "evals.workers", "evals.scoring"},
    "evals.datasets": {"evals.runner", "evals.workers", "evals.scoring"},
}
# The command line names its subcommands' modules as text, so that `agent --help` imports none of them.
TEXT_MAY_POINT_UP = {"agent/cli.py"}
HEAVY = {"torch", "transformers", "playwright", "cv2", "gymnasium", "mss", "pyautogui", "adbutils", "huggingface_hub"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) for each import in a module of `package`, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: package.count(".") + 2 - node.level]
                base = ".".join([*parents, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def is_inside(name: str, room: str) -> bool:
    return f"{name}.".startswith(f"{room}.")


def floor_violations(path: str, source: str) -> list[str]:
    """Imports of, and texts that name, a module of a floor that the file may not import."""
    package = Path(path).parts[0]
    forbidden = set(FLOORS) - FLOORS[package] - {package}
    violations = [
        f"{path}:{line} imports {name}"
        for line, name in imports(source, ".".join(Path(path).parts[:-1]))
        if name.partition(".")[0] in forbidden
    ]
    if path not in TEXT_MAY_POINT_UP:
        pattern = re.compile(rf"(?:{'|'.join(sorted(forbidden)) or '(?!)'})(?:\.\w+)+(?::\w+)?")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value):
                module = node.value.partition(":")[0].replace(".", "/")
                if (ROOT / f"{module}.py").exists() or (ROOT / module).is_dir():
                    violations.append(f"{path}:{node.lineno} names {node.value}")
    return violations


def room_violations(path: str, source: str) -> list[str]:
    """Imports of a room that stands above, or beside, the file's own."""
    module = ".".join(Path(path).with_suffix("").parts)
    forbidden = {name for room, names in ROOMS.items() if is_inside(module, room) for name in names}
    return [
        f"{path}:{line} imports {name}"
        for line, name in imports(source, ".".join(Path(path).parts[:-1]))
        if any(is_inside(name, room) for room in forbidden)
    ]


def private_violations(path: str, source: str) -> list[str]:
    """Imports of a module or name with a leading underscore out of another folder."""
    package = ".".join(Path(path).parts[:-1])
    violations = []
    for line, name in imports(source, package):
        parts = name.split(".")
        if parts[0] not in FLOORS:
            continue
        for index, part in enumerate(parts):
            if part.startswith("_") and not part.startswith("__") and not is_inside(package, ".".join(parts[:index])):
                # a private name of a module in the same folder is the folder's own business
                if ".".join(parts[: index - 1]) == package and index == len(parts) - 1:
                    continue
                violations.append(f"{path}:{line} imports {name}")
                break
    return violations


@pytest.mark.parametrize("package", FLOORS)
@pytest.mark.parametrize("check", [floor_violations, room_violations, private_violations])
def test_imports_point_down(package: str, check: object) -> None:
    assert callable(check)
    violations = [
        violation
        for path in sources(package)
        for violation in check(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert not violations, "\n".join(violations)


def test_every_floor_and_room_exists() -> None:
    for name in {*FLOORS, *ROOMS, *(room for rooms in ROOMS.values() for room in rooms)}:
        path = ROOT / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists(), name


@pytest.mark.parametrize(("package", "allowed"), FLOORS.items())
def test_each_broken_floor_is_reported(package: str, allowed: set[str]) -> None:
    for other in set(FLOORS) - allowed - {package}:
        assert floor_violations(f"{package}/x.py", f"import {other}")
        assert floor_violations(f"{package}/x.py", f"def f():\n    from {other} import y")
        assert floor_violations(f"{package}/x.py", f"importlib.import_module('{other}.y')")


@pytest.mark.parametrize(("room", "forbidden"), ROOMS.items())
def test_each_broken_room_is_reported(room: str, forbidden: set[str]) -> None:
    path = f"{room.replace('.', '/')}/x.py"
    for other in forbidden:
        assert room_violations(path, f"from {other} import y")
        assert not room_violations(path, f"from {other}s_unrelated import y")


def test_text_that_names_upper_module_is_reported() -> None:
    assert floor_violations("envs/x.py", "ENTRY = 'evals.runner:run'")
    assert floor_violations("agent/x.py", "ENTRY = 'evals.runner'")
    assert not floor_violations("envs/x.py", "ENTRY = 'evals.are.fun'")


def test_private_import_across_folders_is_reported() -> None:
    assert private_violations("agent/x.py", "from model.dialects._base import y")
    assert private_violations("agent/x.py", "from model.chat_model import _y")
    assert not private_violations("model/dialects/x.py", "from model.dialects._base import y")
    assert not private_violations("model/dialects/x.py", "from model.dialects.y import _z")
    assert not private_violations("agent/x.py", "from numpy import _core")


def test_relative_imports_are_resolved() -> None:
    names = [
        name
        for _, name in imports(
            "def f():\n    from . import a\n    from .. import b\n    from .c import d", "model.serve"
        )
    ]
    assert names == ["model.serve.a", "model.b", "model.serve.c.d"]


def test_actions_depend_on_numpy_and_pydantic() -> None:
    names = {
        name.partition(".")[0]
        for path in sources("actions")
        for _, name in imports(path.read_text(encoding="utf-8"), "actions")
    }
    assert names - set(sys.stdlib_module_names) == {"actions", "numpy", "pydantic", "PIL"}


@pytest.mark.parametrize("package", ["actions", "agent", "evals", "pixelhand"])
def test_heavy_packages_are_imported_inside_functions(package: str) -> None:
    violations = []
    for path in sources(package):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            violations += [f"{path.relative_to(ROOT)}: {name}" for name in names if name.partition(".")[0] in HEAVY]
    assert not violations
