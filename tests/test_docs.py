"""The documentation: links, command lines, Python snippets and generated pages."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actions import UsageError
from envs.chromium.executable import find_chrome

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.py"))


CODE = ("actions", "agent", "envs", "evals", "model", "perf", "pixelhand", "scripts", "training")
# Pages that name files of other repositories, or files as they were at the time.
FOREIGN_PATHS = (ROOT / "docs" / "dialects.md", *ROOT.glob("docs/lab/*.md"))
FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")


def _load_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "scripts"))  # for the modules beside it
    spec.loader.exec_module(module)
    return module


REFERENCE = _load_reference()


def _page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def _headings(path: Path) -> set[str]:
    """Anchors of a page's headings, as mkdocs makes them."""
    titles = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=_page_id)
def test_relative_links_resolve(path: Path) -> None:
    broken = []
    for groups in LINK.findall(_without_code(path.read_text(encoding="utf-8"))):
        target = next(filter(None, groups))
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        is_page = linked.suffix == ".md" and linked.is_file()
        if not linked.exists() or (anchor and is_page and anchor not in _headings(linked)):
            broken.append(target)
    assert not broken


@cache
def _commands() -> dict[tuple[str, ...], Any]:
    return dict(REFERENCE.command_tree())


def _shell_lines(text: str) -> Iterator[list[str]]:
    """Yield the `agent ...` command lines of the shell snippets of a page, fenced or indented."""
    snippets = [body for _, language, body in FENCE.findall(text) if language in ("sh", "bash", "console", "")]
    snippets += re.findall(r"(?:^(?: {4}|\t)\S[^\n]*\n)+", FENCE.sub("", text), re.MULTILINE)
    for snippet in snippets:
        for line in snippet.replace("\\\n", " ").splitlines():
            line = re.sub(r"^\s*(?:\$ )?(?:\w+=\S+ )*(?:\.venv/bin/)?", "", line)
            if not line.startswith("agent "):
                continue
            try:
                yield shlex.split(line, comments=True)
            except ValueError as error:
                pytest.fail(f"{error}: {line}")


def _check_line(words: list[str]) -> list[str]:
    """Errors in one command line: unknown options and unknown subcommands."""
    path: tuple[str, ...] = ("agent",)
    rest = words[1:]
    while rest and (*path, rest[0]) in _commands():
        path, rest = (*path, rest[0]), rest[1:]
    if path == ("agent", "eval") and rest and not rest[0].startswith("-"):
        path = ("agent", "eval", "predict")
    if path == ("agent",) and rest and not rest[0].startswith("-"):
        return [f"unknown command {rest[0]}"]
    known = {"--help"}
    for param in _commands()[path].params:
        known |= {*param.opts, *param.secondary_opts}
    used = [word.partition("=")[0].strip("[]") for word in rest if word.strip("[").startswith("-") and word != "-"]
    return [f"unknown option {option}" for option in used if option not in known]


@pytest.mark.parametrize("path", PAGES, ids=_page_id)
def test_agent_command_lines_parse(path: Path) -> None:
    errors = []
    for words in _shell_lines(path.read_text(encoding="utf-8")):
        errors += [f"{error}: {shlex.join(words)}" for error in _check_line(words)]
    assert not errors


def test_unknown_option_is_reported() -> None:
    assert _check_line(["agent", "run", "goal", "--urll", "x"]) == ["unknown option --urll"]
    assert _check_line(["agent", "fly"]) == ["unknown command fly"]


def _snippets() -> list[Any]:
    """Return the Python snippets of all pages, and the example scripts."""
    snippets = [
        pytest.param(body, id=f"{_page_id(path)}:{index}")
        for path in PAGES
        for index, (_, language, body) in enumerate(FENCE.findall(path.read_text(encoding="utf-8")))
        if language == "python" and _page_id(path) != "docs/reference/api.md"
    ]
    return [*snippets, *(pytest.param(path.read_text(encoding="utf-8"), id=_page_id(path)) for path in EXAMPLES)]


def _has_name(module: ModuleType, name: str) -> bool:
    try:
        return hasattr(module, name) or importlib.import_module(f"{module.__name__}.{name}") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("source", _snippets())
def test_python_snippet_imports_resolve(source: str) -> None:
    tree = ast.parse(source)
    compile(tree, "snippet", "exec")
    modules: dict[str, ModuleType] = {}
    missing = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules[alias.asname or alias.name.partition(".")[0]] = importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            missing += [alias.name for alias in node.names if not _has_name(module, alias.name)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            imported = modules.get(node.value.id)
            if imported is not None and not _has_name(imported, node.attr):
                missing.append(f"{node.value.id}.{node.attr}")
    assert not missing


def test_docs_named_in_code_exist() -> None:
    sources = [path for folder in CODE for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".toml")]
    named = {
        (name, str(path.relative_to(ROOT)))
        for path in sources
        for name in re.findall(r"\bdocs/[\w./-]+\.(?:md|svg|png)", path.read_text(encoding="utf-8"))
    }
    absent = [(name, path) for name, path in sorted(named) if not (ROOT / name).exists()]
    assert not absent


@pytest.mark.parametrize("path", [path for path in PAGES if path not in FOREIGN_PATHS], ids=_page_id)
def test_source_files_named_in_docs_exist(path: Path) -> None:
    roots = "|".join((*CODE, "docs", "examples", "tests"))
    named = re.findall(rf"`((?:{roots})/[\w./-]+\.\w+)`", path.read_text(encoding="utf-8"))
    absent = [name for name in named if not (ROOT / name).exists()]
    assert not absent


def test_make_targets_named_in_docs_exist() -> None:
    targets = {*re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)}
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    named = {*re.findall(r"(?:`|^)make ([a-z][\w-]*)", text, re.MULTILINE)}
    assert named <= targets


def test_reference_pages_are_current() -> None:
    assert REFERENCE.stale_pages() == []


def test_every_public_name_is_documented() -> None:
    public = pytest.importorskip("pixelhand")
    text = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert [name for name in public.__all__ if f"`pixelhand.{name}`" not in text] == []


def test_every_environment_variable_is_documented() -> None:
    from agent.config import NOT_SETTINGS

    assert set(REFERENCE.OTHER_VARIABLES) >= NOT_SETTINGS


def test_glossary_has_at_most_25_terms() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\*\*", text, re.MULTILINE)) <= 25


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    docs = ROOT / "docs"
    absent = [name for path in docs.rglob("*.md") if (name := str(path.relative_to(docs))) not in navigation]
    assert not absent


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run_task.py", "step_env.py"])
def test_example_script_runs(name: str) -> None:
    pytest.importorskip("pixelhand")
    try:
        find_chrome()
    except UsageError as error:
        pytest.skip(str(error))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "examples" / name)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "reward 1.0" in result.stdout


@pytest.mark.slow
def test_site_builds_and_loads_nothing_from_the_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install 'pixelhand[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    subprocess.run(command, cwd=ROOT, check=True)
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"(https?:[^\"]+)|<link[^>]+rel=\"stylesheet\"[^>]+href=\"(https?:[^\"]+)"
    )
    remote = {match for page in (tmp_path / "site").rglob("*.html") for match in loaded.findall(page.read_text())}
    assert not remote
