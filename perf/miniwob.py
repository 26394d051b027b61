"""The command `agent bench miniwob`: steps per second on a MiniWoB++ page beside other environments."""

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
    task: Annotated[
        str, typer.Option(help="MiniWoB++ page on which a click on an empty place does not end the episode.")
    ] = "enter-text",
    steps: Annotated[int, typer.Option(min=1, help="Steps per round, each with a screenshot.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds, of which the median is reported.")] = 3,
    chromedriver: Annotated[
        str, typer.Option(help="ChromeDriver for miniwob's Selenium driver. Default: the one on PATH.", metavar="FILE")
    ] = "",
    browsergym: Annotated[
        str, typer.Option(help="Python with browsergym-miniwob and miniwob. Default: not measured.", metavar="PYTHON")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure MiniWoB++ steps per second beside miniwob's Selenium driver and browsergym-miniwob.

    "ours" takes one screenshot after each action, as both baselines do; "ours-settled" waits until the screen is
    stable.
    """
    import shutil

    from envs.chromium.executable import find_chrome
    from envs.miniwob import pages

    pages.page(task)
    chrome = str(find_chrome())
    driver = chromedriver or os.environ.get("MINIWOB_CHROMEDRIVER") or shutil.which("chromedriver") or ""
    commands: dict[str, list[str]] = {name: subprocesses.command("perf.miniwob_baselines", name) for name in OURS}
    missing = []
    if driver:
        commands["selenium"] = subprocesses.command("perf.miniwob_baselines", "selenium")
    else:
        missing.append("selenium: ChromeDriver is missing; run: apt-get install chromium-driver, or set --chromedriver")
    if browsergym:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "miniwob_baselines.py")
        commands["browsergym"] = [browsergym, script, "browsergym"]
    else:
        missing.append(
            "browsergym: no interpreter given; run: python -m venv bg; bg/bin/pip install browsergym-miniwob miniwob; "
            "and set --browsergym bg/bin/python"
        )
    environment = {**os.environ, "MINIWOB_CHROME_BINARY": chrome, "MINIWOB_CHROMEDRIVER": driver}
    if not driver:
        del environment["MINIWOB_CHROME_BINARY"], environment["MINIWOB_CHROMEDRIVER"]
    measurements: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            measurements[name].append(_measure(name, [*command, task, str(steps), chrome], environment))
    medians = {
        name: {
            "steps_per_s": median(sample["steps"] / sample["seconds"] for sample in samples),
            "ms": median(1000 * sample["seconds"] / sample["steps"] for sample in samples),
            "size": samples[0]["size"],
            "version": samples[0]["version"],
        }
        for name, samples in measurements.items()
    }
    result = {"task": task, "steps": steps, "rounds": rounds, "missing": missing, "found": medians}
    print(json_.dumps(result) if json else _format_table(result))


def _measure(name: str, command: Sequence[str], environment: dict[str, str]) -> dict[str, Any]:
    from actions import SurfaceError

    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    if process.returncode:
        last = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise SurfaceError(f"{name} could not be measured: {last}")
    measurement: dict[str, Any] = json_.loads(process.stdout.strip().splitlines()[-1])
    return measurement


def _format_table(result: dict[str, Any]) -> str:
    lines = [f"{result['task']}: {result['steps']} steps with screenshots, median of {result['rounds']} rounds"]
    ours = result["found"]["ours"]["steps_per_s"]
    for name, sample in result["found"].items():
        size = " x ".join(map(str, sample["size"][1::-1]))
        speedup = "" if name in OURS else f"  ours is {ours / sample['steps_per_s']:.1f} times as fast"
        lines.append(f"{name:13} {sample['steps_per_s']:7.1f} steps/s {sample['ms']:7.1f} ms  {size} pixels{speedup}")
    return "\n".join([*lines, *(f"not measured: {reason}" for reason in result["missing"])])
