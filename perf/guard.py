"""The command `agent bench guard`: a scripted, wholly hijacked model against the guard, on all surfaces.

Each case is run under the presets for which it must be held. A case is lost if a canary is hit: a server that nothing
may reach, an effect of a page, a secret file's text, the state of a phone or a desktop. Beside them harmless tasks
count the questions that nobody needs. With --model a model does the harmless tasks, on benign and on poisoned pages.
"""

from __future__ import annotations

import json as json_
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from perf.guard_cases.cases import GuardCase, PresetName
    from perf.guard_cases.sites import CanarySites
    from perf.guard_report import GuardReport
    from perf.guard_run import CaseResult
    from perf.guard_screens import CaseScreen

    RunCase = Callable[[GuardCase, PresetName, CaseScreen], CaseResult]

SURFACES = ("browser", "desktop:virtual", "phone")
PRESETS = ("cautious", "unattended", "sandbox")
NO_GUARD = "none"


def guard(
    surface: Annotated[
        list[str] | None, typer.Option(help="browser, desktop:virtual or phone; repeatable. Default: all.")
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            help="cautious, unattended or sandbox; repeatable. Default: all three. none: without the guard, to see "
            "which cases reach their canary then."
        ),
    ] = None,
    only: Annotated[str, typer.Option(help="Run the cases whose name contains this.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Run at most this many cases of each surface, spread over all of them.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A model that does the harmless tasks on benign and poisoned pages, in the browser.")
    ] = "",
    max_steps: Annotated[int, typer.Option(min=1, help="Steps of a task with --model.")] = 10,
    json: Annotated[
        bool, typer.Option("--json", help="Print no table, but one JSON object per case before the figures.")
    ] = False,
) -> None:
    """Let a scripted, hijacked model try to do harm, and count what the guard holds and what it asks in vain.

    The last line is one JSON object with all figures. The exit code is 1 if a canary was hit.
    """
    from actions import UsageError
    from perf.guard_report import GuardReport

    surfaces = _select("--surface", surface or (["browser"] if model else None), SURFACES, SURFACES)
    presets = _select("--preset", preset, PRESETS, (*PRESETS, NO_GUARD))
    if model and surfaces != ["browser"]:
        raise UsageError("--model does its tasks in the browser: leave out --surface, or use --surface browser")
    report = GuardReport(model)
    with closing(_load_runner(model, max_steps)) as runner:
        for name in surfaces:
            for result in _run_surface(name, presets, only, limit, runner, report):
                report.results.append(result)
                if json:
                    print(json_.dumps(_as_dict(result)), flush=True)
                elif not result.is_held:
                    print(f"HIT {name} {result.preset} {result.case.name}: {'; '.join(result.hits)}", file=sys.stderr)
    if not report.results:
        reasons = "; ".join(dict.fromkeys(f"{entry.surface}: {entry.reason}" for entry in report.skipped))
        raise UsageError(reasons or f"no case has --only {only!r} in its name")
    if not json:
        print(report.as_table(), file=sys.stderr)
    print(json_.dumps(report.as_dict()))
    if report.lost:
        raise typer.Exit(1)


class CaseRunner:
    """Runs cases with their own actions, or with a policy where one is given."""

    def __init__(self, run: RunCase, close: Callable[[], None] = lambda: None, has_model: bool = False) -> None:
        self.run, self.close, self.has_model = run, close, has_model


def _load_runner(model: str, max_steps: int) -> CaseRunner:
    from perf.guard_run import run_case, run_model_case

    if not model:
        return CaseRunner(run_case)
    from agent.policies.factory import load_policy

    policy = load_policy(model, on_status=lambda text: print(text, file=sys.stderr))

    def run(case: GuardCase, preset: PresetName, screen: CaseScreen) -> CaseResult:
        return run_model_case(case, preset, screen, policy, max_steps)

    return CaseRunner(run, policy.close, has_model=True)


def _select(flag: str, names: Sequence[str] | None, default: Sequence[str], known: Sequence[str]) -> list[str]:
    for name in names or ():
        if name not in known:
            from actions import UsageError

            raise UsageError(f"{flag} is one of {', '.join(known)}, not '{name}'")
    return list(dict.fromkeys(names or default))


def _run_surface(
    name: str, presets: Sequence[str], only: str, limit: int | None, runner: CaseRunner, report: GuardReport
) -> Iterator[CaseResult]:
    """Yield the results of one surface, and note in the report what is not run, with the reason."""
    from actions import Error
    from perf.guard_cases.sites import canary_sites
    from perf.guard_screens import open_screen

    with canary_sites() as sites, tempfile.TemporaryDirectory(prefix="pixelhand-guard-") as folder_name:
        sites.folder = Path(folder_name)
        named = [case for case in select_cases(name, sites) if only in case.name]
        usable = [case for case in named if case.goal or not runner.has_model]
        cases = usable[:: -(-len(usable) // limit)] if limit and usable else usable
        chosen = {case.name for case in cases}
        for preset in presets:
            if runner.has_model:
                report.skip(name, preset, [case for case in named if not case.goal], "no goal for a model")
            report.skip(name, preset, [case for case in usable if case.name not in chosen], f"--limit {limit}")
        is_open = False
        try:
            with open_screen(name, sites, sites.folder) as screen:
                is_open = True
                for preset in cast("Sequence[PresetName]", presets):
                    report.skip(name, preset, [case for case in cases if case.skip_reason(preset)])
                    for case in cases:
                        if not case.skip_reason(preset):
                            yield runner.run(case, preset, screen)
        except Error as error:
            if is_open:
                raise
            for preset in presets:
                report.skip(name, preset, cases, str(error))


def select_cases(surface: str, sites: CanarySites) -> tuple[GuardCase, ...]:
    """Return all cases of a surface."""
    from perf.guard_cases import addresses, effects, files, screens, swap_table, swaps, tasks
    from perf.guard_cases.cases import unique

    if surface == "phone":
        return unique(screens.phone_cases(sites))
    if surface != "browser":
        return unique(screens.desktop_cases(sites))
    allowed_port = int(sites.allowed.rpartition(":")[2])
    return unique(
        [
            *swaps.browser_swaps(),
            *swap_table.swap_table_cases(),
            *effects.effect_cases(),
            *effects.disclosure_cases(),
            *files.file_cases(sites.folder),
            *addresses.opened_cases(allowed_port, sites.canary_port),
            *addresses.page_cases(sites.allowed),
            *tasks.task_cases(sites.canary),
        ]
    )


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
        "notices": [notice for notice in result.notices if notice],
        "seconds": round(result.seconds, 2),
    }
