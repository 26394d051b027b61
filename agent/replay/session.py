"""run_replay: replay a program as a run of its own, with guard, trace and proof."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from actions import UsageError, usage_problems
from actions.suggest import suggest
from agent.config import Settings
from agent.loop import Episode
from agent.preflight import model_problems, target_problems
from agent.replay.parameters import fill
from agent.replay.policy import STEPS_PER_ACTION, ReplayPolicy
from agent.replay.program import Program, read_program
from agent.replay.recording import compile_trace
from agent.safety.approval import Approver
from agent.session import is_practice, policy_from_settings, run_session
from agent.trace import find_run, read_trace
from agent.ui.display import Display
from agent.verification.expectations import parse_expectations


def load_program(name: str, root: Path) -> Program:
    """Return the program of a file, or that of a run named as for `agent runs show`.

    Args:
        name: Path of a program's file, or a run.
        root: The folder of the traces.

    Raises:
        UsageError: There is neither, or it cannot be replayed.
    """
    if Path(name).is_file():
        return read_program(Path(name))
    return compile_trace(read_trace(find_run(root, name)))


def choose_program(name: str, program: Program, command: str | None) -> str | None:
    """Return the command line that a virtual desktop starts: the given one, or that of the run.

    Args:
        name: What `load_program` got.
        program: What it returned.
        command: The command line of `--program`; None without one.

    Raises:
        UsageError: Only a program's file names the command, and it may come from somebody else.
    """
    if command is not None or not program.program:
        return command
    if Path(name).is_file():
        raise UsageError(
            f"{name} starts a command on the virtual desktop, which a file may do only if you name it as well; if you "
            f"trust it, add --program {shlex.quote(program.program)!r:.300}"
        )
    return program.program


def parse_values(sources: Sequence[str], program: Program) -> dict[str, str]:
    """Return the values that `--set NAME=VALUE` gives.

    Raises:
        UsageError: One has another form, or names no parameter of the program.
    """
    names = [parameter.name for parameter in program.parameters]
    values: dict[str, str] = {}
    for source in sources:
        name, equals, value = source.partition("=")
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, not {source!r:.80}")
        if name not in names:
            hint = suggest(name, names) or f" Parameters: {', '.join(names) or 'none'}."
            raise UsageError(f"--set {name}: the program has no such parameter.{hint}")
        values[name] = value
    return values


def run_replay(
    program: Program,
    settings: Settings,
    values: Mapping[str, str],
    display: Display,
    *,
    person: Approver | None = None,
    asks_model: bool = False,
) -> tuple[Episode, Program]:
    """Replay a program; return the run, and the program with the changes that a model's answers propose.

    Args:
        program: The program.
        settings: The settings of the run.
        values: Values of parameters, as `parse_values` returns them.
        display: Receives all events.
        person: Approves actions; None without a terminal.
        asks_model: Whether the model of the settings is asked for a place that is missing.

    Raises:
        UsageError: The settings or values cannot be used.
        Error: The run failed.
    """
    has_practice_page = is_practice(settings.url)
    known = {item.name: item.recorded for item in program.parameters if item.kind != "hidden"} | dict(values)
    problems = _value_problems(program, settings, values)
    max_steps = len(program.steps) * STEPS_PER_ACTION + 1
    settings = replace(settings, max_steps=max_steps, read_elements=program.has_elements)
    if not problems:
        expect = tuple(fill(template, known) for template in program.expect) + settings.expect
        settings = replace(settings, expect=expect)
        problems += usage_problems(lambda: parse_expectations(settings.expect))
    problems += target_problems(settings)
    problems += model_problems(settings) if asks_model else []
    if problems:
        raise UsageError("\n".join(problems))
    goal = "" if has_practice_page else fill(program.goal, known)
    fallback = policy_from_settings(settings, on_status=display.message) if asks_model else None
    if not asks_model:
        settings = replace(settings, model="")
    own = {item.name: known[item.name] for item in program.parameters if not item.is_in_goal}
    policy = ReplayPolicy(program, own, fallback)
    episode = run_session(goal, settings, display, person=person, policy=policy)
    return episode, policy.proposal


def _value_problems(program: Program, settings: Settings, values: Mapping[str, str]) -> list[str]:
    """Return why the parameters cannot have these values, one sentence each."""
    problems = []
    is_practice_page = is_practice(settings.url)
    is_other_page = is_practice_page and (settings.url != program.url or settings.seed != program.seed)
    for parameter in program.parameters:
        is_set = parameter.name in values
        if parameter.kind == "hidden" and not is_set:
            problems.append(
                f"the trace does not contain the text '{parameter.name}', which is secret; give it with "
                f"--set {parameter.name}=VALUE, or --set {parameter.name}={{{{NAME}}}} for one of agent secrets"
            )
        elif parameter.is_in_goal and is_set and is_practice_page:
            problems.append(
                f"--set {parameter.name} cannot be used on a practice page, whose own goal gives the value; remove it"
            )
        elif parameter.kind == "typed" and not is_set and is_other_page:
            problems.append(
                f"the recorded text {parameter.recorded!r:.60} is not in the goal, so it may be wrong on this page; "
                f"give it with --set {parameter.name}=VALUE"
            )
    return problems
