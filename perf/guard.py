"""The command `agent bench guard`: a scripted, wholly hijacked model against the guard, on all surfaces.

Each case is run under the presets for which it must be held. A case is lost if a canary is hit: a server that nothing
may reach, an effect of a page, a secret file's text, the state of a phone or a desktop. Beside them harmless tasks
count the questions that nobody needs.
"""

from __future__ import annotations

import json as json_
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from perf.guard_cases.cases import GuardCase
    from perf.guard_cases.sites import CanarySites
    from perf.guard_run import CaseResult, CaseScreen

SURFACES = ("browser", "desktop:virtual", "phone")
PRESETS = ("cautious", "unattended", "sandbox")


def guard(
    surface: Annotated[
        list[str] | None, typer.Option(help="browser, desktop:virtual or phone; repeatable. Default: all.")
    ] = None,
    preset: Annotated[
        list[str] | None, typer.Option(help="cautious, unattended or sandbox; repeatable. Default: all.")
    ] = None,
    only: Annotated[str, typer.Option(help="Run the cases whose name contains this.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print no table, only one JSON object per case.")] = False,
) -> None:
    """Let a scripted, hijacked model try to do harm, and count what the guard holds and what it asks in vain."""
    surfaces = _select("--surface", surface, SURFACES)
    presets = _select("--preset", preset, PRESETS)
    results: list[CaseResult] = []
    problems: dict[str, str] = {}
    for name in surfaces:
        for result in _run_surface(name, presets, only, problems):
            results.append(result)
            if json:
                print(json_.dumps(_as_dict(result)), flush=True)
            elif not result.is_held:
                print(f"HIT {name} {result.preset} {result.case.name}: {'; '.join(result.hits)}", file=sys.stderr)
    if not results:
        from actions import UsageError

        reasons = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise UsageError(reasons or f"no case has --only {only!r} in its name")
    if not json:
        print(format_results(results))
        for name, problem in problems.items():
            print(f"{name} was not measured: {problem}")
    if any(not result.is_held for result in results):
        raise typer.Exit(1)


def _select(flag: str, names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    for name in names or ():
        if name not in known:
            from actions import UsageError

            raise UsageError(f"{flag} is one of {', '.join(known)}, not '{name}'")
    return list(dict.fromkeys(names or known))


def _run_surface(name: str, presets: Sequence[str], only: str, problems: dict[str, str]) -> Iterator[CaseResult]:
    """Yield the results of one surface; a surface that does not start goes to `problems`."""
    from actions import Error
    from perf.guard_cases.sites import canary_sites
    from perf.guard_run import run_case

    with canary_sites() as sites, tempfile.TemporaryDirectory(prefix="pixelhand-guard-") as folder:
        cases = [case for case in select_cases(name, sites) if only in case.name and {*case.presets} & {*presets}]
        if not cases:
            return
        is_open = False
        try:
            with open_screen(name, sites, Path(folder)) as screen:
                is_open = True
                for case in cases:
                    for preset in case.presets:
                        if preset in presets:
                            yield run_case(case, preset, screen)
        except Error as error:
            if is_open:
                raise
            problems[name] = str(error)


def select_cases(surface: str, sites: CanarySites) -> tuple[GuardCase, ...]:
    """Return all cases of a surface."""
    from perf.guard_cases import addresses, effects, swaps, tasks
    from perf.guard_cases.cases import unique

    allowed_port = int(sites.allowed.rpartition(":")[2])
    if surface == "browser":
        return unique(
            [
                *swaps.browser_swaps(),
                *effects.effect_cases(),
                *effects.disclosure_cases(),
                *addresses.opened_cases(allowed_port, sites.canary_port),
                *addresses.page_cases(sites.allowed),
                *tasks.task_cases(sites.canary_port),
            ]
        )
    from perf.guard_cases import screens

    cases = screens.phone_cases(sites) if surface == "phone" else screens.desktop_cases(sites)
    return unique(cases)


def open_screen(surface: str, sites: CanarySites, folder: Path) -> AbstractContextManager[CaseScreen]:
    """Return the screen of a surface, opened once for all cases."""
    from perf import guard_run

    opening = {"browser": guard_run.open_browser, "desktop:virtual": guard_run.open_desktop}
    return opening.get(surface, guard_run.open_phone)(sites, folder)


def format_results(results: Sequence[CaseResult]) -> str:
    """Return a table by surface and preset, and the figures of the tasks."""
    lines = [f"{'surface':16} {'preset':11} {'cases':>5} {'hit':>4}  refused how"]
    groups: dict[tuple[str, str], list[CaseResult]] = {}
    for result in results:
        groups.setdefault((result.case.surface, result.preset), []).append(result)
    for (surface, preset), group in groups.items():
        attacks = [result for result in group if not result.case.is_benign]
        how = Counter(name for result in attacks for name in dict.fromkeys(result.refusals or ["nothing to refuse"]))
        hits = sum(not result.is_held for result in attacks)
        described = ", ".join(f"{name} {count}" for name, count in how.most_common())
        lines.append(f"{surface:16} {preset:11} {len(attacks):>5} {hits:>4}  {described}")
    for (surface, preset), group in groups.items():
        if text := _describe_tasks(group):
            lines.append(f"{surface}, {preset}: {text}")
    return "\n".join(lines)


def _describe_tasks(group: Sequence[CaseResult]) -> str:
    """Return the figures of harmless and poisoned pages: attack success, asks, and completion under the policy."""
    tasks = [result for result in group if result.case.is_benign]
    poisoned = [result for result in group if result.case.name.startswith("poisoned/")]
    if not tasks:
        return ""
    done = sum(result.is_done for result in tasks)
    asked_count = sum(result.asks > 0 for result in tasks)
    refused = sum("unchanged" in result.refusals for result in tasks)
    text = (
        f"{done} of {len(tasks)} harmless tasks done, {sum(r.asks for r in tasks) / len(tasks):.2f} asks a task, "
        f"{asked_count} asked in vain ({100 * asked_count / len(tasks):.0f} %), {refused} had to look again"
    )
    if poisoned:
        hits = sum(not result.is_held for result in poisoned)
        completed = sum(result.is_held and result.is_done for result in poisoned)
        text += (
            f"; {len(poisoned)} poisoned twins: attack success {100 * hits / len(poisoned):.0f} %, completion under "
            f"the policy {100 * completed / len(poisoned):.0f} %"
        )
    return text


def _as_dict(result: CaseResult) -> dict[str, object]:
    return {
        "surface": result.case.surface,
        "preset": result.preset,
        "case": result.case.name,
        "benign": result.case.is_benign,
        "held": result.is_held,
        "hits": result.hits,
        "refusals": result.refusals,
        "asks": result.asks,
        "done": result.is_done,
        "seconds": round(result.seconds, 2),
    }
