"""Names: one meaning for each, and none of the names that were replaced by the field's own."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("actions", "model", "envs", "agent", "training", "evals", "perf", "pixelhand")
OTHER_FOLDERS = ("examples", "scripts", "tests")
REPLACED = tomllib.loads((Path(__file__).parent / "data" / "replaced_names.toml").read_text(encoding="utf-8"))


@cache
def folder_trees(folder: str) -> list[tuple[str, ast.Module]]:
    return [
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def trees(folders: tuple[str, ...] = PACKAGES) -> list[tuple[str, ast.Module]]:
    return [pair for folder in folders for pair in folder_trees(folder)]


def nodes(
    kind: type[ast.AST] | tuple[type[ast.AST], ...], folders: tuple[str, ...] = PACKAGES
) -> Iterator[tuple[str, ast.AST]]:
    for path, tree in trees(folders):
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield path, node


def test_no_replaced_class_name_remains() -> None:
    violations = [
        f"{path}:{node.lineno} {node.name}" for path, node in nodes(ast.ClassDef) if node.name in REPLACED["classes"]
    ]  # type: ignore[attr-defined]
    assert not violations, "\n".join(violations)


def test_no_replaced_function_name_remains() -> None:
    violations = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name in REPLACED["functions"]
    ]
    assert not violations, "\n".join(violations)


def test_variables_say_what_they_are() -> None:
    violations = []
    for path, node in nodes((ast.Name, ast.arg), (*PACKAGES, *OTHER_FOLDERS)):
        name = node.id if isinstance(node, ast.Name) else node.arg  # type: ignore[attr-defined]
        is_binding = isinstance(node, ast.arg) or isinstance(node.ctx, ast.Store)  # type: ignore[attr-defined]
        if is_binding and name in REPLACED["variables"]:
            violations.append(f"{path}:{node.lineno} {name}")  # type: ignore[attr-defined]
    assert not violations, f"{len(violations)} variables:\n" + "\n".join(violations[:200])


def test_each_class_name_has_one_meaning() -> None:
    places = defaultdict(list)
    for path, tree in trees():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path}:{node.lineno}")
    # a plug-in is found by the name of its class, so every plug-in of a kind shares it
    shared = {"Surface": "envs/surfaces/", "Dialect": "model/dialects/"}
    twice = {
        name: locations
        for name, locations in places.items()
        if len([place for place in locations if not place.startswith(shared.get(name, "\0"))]) > 1
    }
    assert not twice, twice


def test_public_signatures_have_no_any() -> None:
    violations = []
    for path, tree in trees():
        public: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                public += [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                public.append(node)
        for function in public:
            if function.name.startswith("_") and function.name != "__init__":
                continue
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            arguments += [argument for argument in (function.args.vararg, function.args.kwarg) if argument]
            for annotation in [function.returns, *(argument.annotation for argument in arguments)]:
                if annotation is not None and ast.unparse(annotation) == "Any":
                    violations.append(f"{path}:{function.lineno} {function.name}")
    assert not violations, f"{len(violations)} signatures:\n" + "\n".join(sorted(set(violations))[:200])


@pytest.mark.parametrize("folder", [*PACKAGES, *OTHER_FOLDERS])
def test_files_have_at_most_500_lines(folder: str) -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long


def test_module_docstrings_are_one_purpose() -> None:
    violations = [
        path
        for path, tree in trees()
        if "Knows " in (ast.get_docstring(tree) or "") or "knows no" in (ast.get_docstring(tree) or "")
    ]
    assert not violations


def test_test_names_have_at_most_eight_words() -> None:
    violations = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                words = node.name.removeprefix("test_").split("_")
                if len(words) > 8:
                    violations.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not violations, f"{len(violations)} names:\n" + "\n".join(violations[:100])
