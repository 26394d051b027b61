"""`agent bench miniwob`: steps per second on a practice page, with pictures, beside the peers that are there. Thin."""

from __future__ import annotations

import json as json_
import os
import subprocess
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Any

import typer

from envs import subprocesses

OURS = ("ours", "ours-settled")


def miniwob(
    task: Annotated[str, typer.Option(help="A page on which a click beside everything ends nothing.")] = "enter-text",
    steps: Annotated[int, typer.Option(min=1, help="Of each round, with a picture after each.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Of all, one after the other; the median counts.")] = 3,
    chromedriver: Annotated[str, typer.Option(help="For the package's own driver.", metavar="FILE")] = "",
    browsergym: Annotated[
        str, typer.Option(help="An interpreter that has browsergym-miniwob and miniwob.", metavar="PYTHON")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="No table: one JSON object.")] = False,
) -> None:
    """MiniWoB++ steps per second, beside miniwob's Selenium driver and browsergym-miniwob, in one run.

    "ours" takes one picture after each action, as both peers do; "ours-settled" waits until the screen rests.
    """
    import shutil

    from envs.chromium.executable import find_chrome
    from envs.miniwob import pages

    pages.page(task)
    chrome = str(find_chrome())
    driver = chromedriver or os.environ.get("MINIWOB_CHROMEDRIVER") or shutil.which("chromedriver") or ""
    runs: dict[str, list[str]] = {name: subprocesses.command("perf.miniwob_baselines", name) for name in OURS}
    missing = []
    if driver:
        runs["selenium"] = subprocesses.command("perf.miniwob_baselines", "selenium")
    else:
        missing.append("selenium: ChromeDriver is missing (apt-get install chromium-driver, or --chromedriver FILE)")
    if browsergym:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "miniwob_baselines.py")
        runs["browsergym"] = [browsergym, script, "browsergym"]
    else:
        missing.append(
            "browsergym: name an interpreter that has it (python -m venv bg; bg/bin/pip install browsergym-miniwob "
            "miniwob; --browsergym bg/bin/python)"
        )
    environment = {**os.environ, "MINIWOB_CHROME_BINARY": chrome, "MINIWOB_CHROMEDRIVER": driver}
    if not driver:
        del environment["MINIWOB_CHROME_BINARY"], environment["MINIWOB_CHROMEDRIVER"]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, line in runs.items():
            found[name].append(_measured(name, [*line, task, str(steps), chrome], environment))
    told = {
        name: {
            "steps_per_s": median(one["steps"] / one["seconds"] for one in held),
            "ms": median(1000 * one["seconds"] / one["steps"] for one in held),
            "size": held[0]["size"],
            "version": held[0]["version"],
        }
        for name, held in found.items()
    }
    result = {"task": task, "steps": steps, "rounds": rounds, "missing": missing, "found": told}
    print(json_.dumps(result) if json else _table(result))


def _measured(name: str, line: Sequence[str], environment: dict[str, str]) -> dict[str, Any]:
    from actions import SurfaceError

    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SurfaceError(f"{name} could not be measured: {last}")
    told: dict[str, Any] = json_.loads(done.stdout.strip().splitlines()[-1])
    return told


def _table(result: dict[str, Any]) -> str:
    lines = [f"{result['task']}: {result['steps']} steps with pictures, median of {result['rounds']} rounds"]
    ours = result["found"]["ours"]["steps_per_s"]
    for name, one in result["found"].items():
        size = " x ".join(map(str, one["size"][1::-1]))
        times = "" if name in OURS else f"  ours is {ours / one['steps_per_s']:.1f} times as fast"
        lines.append(f"{name:13} {one['steps_per_s']:7.1f} steps/s {one['ms']:7.1f} ms  {size} pixels{times}")
    return "\n".join([*lines, *(f"not measured: {one}" for one in result["missing"])])
