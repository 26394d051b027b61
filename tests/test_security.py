"""No package runs text as code, as a shell command or as a pickle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("actions", "model", "envs", "agent", "evals", "perf", "training", "pixelhand")
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}
MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "cloudpickle", "joblib"}


def dangers(source: str) -> list[str]:
    """Return "line: call" for each call that runs text as code, as a shell command or as a pickle."""
    violations = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or name.startswith("builtins."):
                violations.append(f"{node.lineno}: {name}")
            for keyword in node.keywords:
                shell = keyword.arg == "shell" and not (
                    isinstance(keyword.value, ast.Constant) and not keyword.value.value
                )
                unsafe = keyword.arg in ("weights_only", "allow_pickle", "trust_remote_code")
                safe_value = keyword.arg == "weights_only"
                is_safe = isinstance(keyword.value, ast.Constant) and keyword.value.value is safe_value
                if shell or (unsafe and not is_safe):
                    violations.append(f"{node.lineno}: {keyword.arg}={ast.unparse(keyword.value)}")
            if name == "torch.load" and "weights_only" not in {keyword.arg for keyword in node.keywords}:
                violations.append(f"{node.lineno}: torch.load without weights_only=True")
            if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
                violations.append(f"{node.lineno}: {name}")
        elif isinstance(node, ast.Import):
            violations += [f"{node.lineno}: {a.name}" for a in node.names if a.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            if (node.module or "").partition(".")[0] in MODULES or names & CALLS:
                violations.append(f"{node.lineno}: from {node.module}")
    return violations


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_runs_text_as_code(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    violations = [
        f"{path.relative_to(ROOT)}:{danger}" for path in files for danger in dangers(path.read_text(encoding="utf-8"))
    ]
    assert not violations, "\n".join(violations)
    assert files or package == "evals"


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "exec(text)",
        "compile(text, '', 'exec')",
        "import pickle",
        "from pickle import loads",
        "import os; os.system(x)",
        "subprocess.run(x, shell=True)",
        "subprocess.run(x, shell=flag)",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p, allow_pickle=True)",
        "from os import system",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "yaml.load(x)",
        "builtins.eval(x)",
        "__import__(x)",
    ],
)
def test_each_dangerous_call_is_reported(source: str) -> None:
    assert len(dangers(source)) >= 1


@pytest.mark.parametrize(
    "source", ["model.eval()", "re.compile(x)", "page.evaluate(js)", "subprocess.run([a])", "run(x, shell=False)"]
)
def test_harmless_calls_are_not_reported(source: str) -> None:
    assert dangers(source) == []
