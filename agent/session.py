"""run_session: build policy, environment, guard and trace from settings, run once, and close them."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import randbelow
from typing import Protocol, cast

from actions import Error, Surface, UsageError
from agent import config, trace
from agent.config import Settings
from agent.control import serve_control
from agent.crash_report import report_crashes
from agent.env import BaseEnv, Env
from agent.extraction.extractor import AnsweringPolicy, Extractor
from agent.extraction.output_schema import OutputSchema, load_output_schema
from agent.loop import Episode, run
from agent.policies.base import OnStatus, OnText, Policy, SupportsJudgment, UsesSurface
from agent.policies.factory import PolicyOptions, load_policy
from agent.policies.scripted import load_script
from agent.resume import Resumption
from agent.run_control import RunControl
from agent.run_status import RunStatus
from agent.safety.approval import Approver
from agent.safety.guard import ActionGuard
from agent.safety.policy import SafetyPolicy, load_safety_policy
from agent.safety.redaction import hide_credentials
from agent.safety.signals import (
    HOTKEY,
    STOP_COMMAND,
    VIEWER_STOP,
    StopRequest,
    defer_interrupts,
    request_of_error,
)
from agent.safety.url_policy import UrlGuard
from agent.telemetry import SendEvent, check_installed, open_telemetry
from agent.termination import StopLimits, Termination
from agent.turn_executor import AskUser
from agent.ui.display import Display, Event
from agent.verification.expectations import parse_expectations
from agent.verification.second_look import SecondLook
from agent.verification.verifier import Verifier
from envs import factory
from envs.chromium.address import hide_userinfo
from envs.miniwob import pages
from envs.network.rules import NetworkRules
from envs.options import SurfaceOptions

REPORTED_VERSIONS = ("pixelhand", "torch", "transformers", "playwright", "gymnasium", "miniwob", "numpy")


class EventWriter(Protocol):
    """A function that records an event of a run."""

    def __call__(self, event: str, **facts: object) -> None: ...


def run_session(
    goal: str,
    settings: Settings,
    display: Display,
    *,
    ask: AskUser | None = None,
    person: Approver | None = None,
    script: Path | None = None,
    resumption: Resumption | None = None,
    control: RunControl | None = None,
    blocked_ports: frozenset[int] = frozenset(),
    policy: Policy | None = None,
    origin: Mapping[str, object] | None = None,
) -> Episode:
    """Run one goal and write its trace to a new folder.

    Ctrl-C, SIGTERM, SIGHUP and `agent stop` end it after the action in progress.

    Args:
        goal: The task in plain language; "" for a practice page's own instruction.
        settings: The settings of the run.
        display: Receives all events.
        ask: Answers the model's questions; None without a terminal.
        person: Approves actions; None without a terminal.
        script: A file of replies to replay instead of a model's.
        resumption: The earlier run that this one continues.
        control: What a person asks for between the steps; None where nobody can.
        blocked_ports: Ports of this machine that the surface's browser must not reach, as that of the viewer.
        policy: Decides in place of the model of the settings; closed with the run.
        origin: Further entries of the manifest, which name the run that this one comes from.

    Raises:
        UsageError: The settings cannot be used; no trace is left behind.
        Error: The run failed.
    """
    if settings.seed is None and is_practice(settings.url):
        settings = replace(settings, seed=pages.EVAL_SEED_START + randbelow(100_000))
    if settings.telemetry:
        check_installed()
    guard = make_guard(settings)
    safety = safety_policy(settings)
    schema = load_output_schema(settings.output_schema) if settings.output_schema else None
    if policy is None and script is not None:
        policy = script_policy = load_script(script, settings.prompt)
        settings = replace(settings, max_steps=min(settings.max_steps, len(script_policy.replies)))
        script_policy.skip(resumption.step_count if resumption is not None else 0)
    elif policy is None:
        display.message(f"loading {settings.model} …")
        policy = policy_from_settings(settings, on_text=display.on_text, on_status=display.message)
    with defer_interrupts() as shield, ExitStack() as stack:
        stack.callback(policy.close)
        extractor = make_extractor(schema, policy) if schema is not None else None
        folder = trace.new_folder(runs_root(settings))
        stack.enter_context(report_crashes(folder))
        about = manifest(goal, settings, policy.metadata, safety)
        about |= origin or {}
        if resumption is not None:
            about["resumes"] = resumption.as_manifest()
        writer = trace.TraceWriter(folder, about)
        stack.callback(writer.close)
        status = RunStatus(folder, goal)
        stop = partial(shield.stop, STOP_COMMAND)
        if control is not None:
            control.on_stop(partial(shield.stop, VIEWER_STOP))
            stack.callback(control.on_stop, None)
        stack.enter_context(serve_control(folder.name, status.as_dict, stop, display.message))
        send = open_run_telemetry(settings, policy, folder.name, stack)

        def show(event: Event) -> None:
            status(event)
            if send is not None:
                send(event)
            display(event)

        show(
            {
                "event": "begin",
                "run": str(folder),
                "model": policy.metadata["model"],
                "where": _describe_target(settings),
            }
        )
        try:
            with shield.allow_interrupts():
                env = make_env(settings, guard, blocked_ports) if blocked_ports else make_env(settings, guard)
        except UsageError:
            writer.close()
            shutil.rmtree(folder, ignore_errors=True)  # nothing was run
            raise
        except (Error, KeyboardInterrupt) as error:
            return _abort_before_start(error, writer, show)
        stack.callback(env.close)
        stack.enter_context(stop_hotkey(settings, partial(shield.stop, HOTKEY), display.message))

        def record(event: str, **facts: object) -> None:
            writer.write(event, **facts)
            show({"event": event, **facts})

        approves_each = install_guard(env, safety, folder, record, person)
        if resumption is not None:
            restore_limits(env, resumption)
        expectations = parse_expectations(settings.expect)
        surface = cast(BaseEnv, env.unwrapped).surface
        if isinstance(policy, UsesSurface):
            policy.attach(surface)
        return run(
            goal,
            env,
            policy,
            max_steps=settings.max_steps,
            stop_limits=StopLimits(minutes=settings.max_minutes, tokens=settings.max_tokens),
            seed=settings.seed,
            trace=writer,
            on_event=show,
            ask=ask,
            approves_each=approves_each,
            resumption=resumption,
            verifier=Verifier(expectations, surface) if expectations else None,
            second_look=SecondLook(policy) if settings.second_look and isinstance(policy, SupportsJudgment) else None,
            control=control,
            extractor=extractor,
        )


def _abort_before_start(
    error: Error | KeyboardInterrupt, writer: trace.TraceWriter, show: Callable[[Event], None]
) -> Episode:
    """End a run whose environment did not start."""
    request: StopRequest | None = None
    if isinstance(error, KeyboardInterrupt):
        request = request_of_error(error)
        ending = Termination("stopped", request.cause, f"{request.message} before it began")
    else:
        ending = Termination("error", "machine", str(error))
    facts = {"status": ending.status, "cause": ending.cause, "message": ending.message, "reward": None, "steps": 0}
    writer.write("end", **facts)
    show({"event": "end", **facts})
    exit_code = request.exit_code if request is not None else 0
    return Episode(ending.status, None, (), ending.message, str(writer.folder), ending.cause, exit_code)


def open_run_telemetry(settings: Settings, policy: Policy, run_id: str, stack: ExitStack) -> SendEvent | None:
    """Return what sends the spans of a run until the stack is closed; None where the settings name no endpoint.

    Args:
        settings: The settings of the run.
        policy: The policy of the run.
        run_id: The name of the run's trace; "" without one.
        stack: Closes it.

    Raises:
        UsageError: OpenTelemetry is not installed.
    """
    if not settings.telemetry:
        return None
    telemetry = open_telemetry(
        settings.telemetry, policy.metadata, settings.surface, run_id, has_content=settings.telemetry_content
    )
    return stack.enter_context(telemetry)


def manifest(goal: str, settings: Settings, policy: Mapping[str, object], safety: SafetyPolicy) -> dict[str, object]:
    """Return the manifest of a trace: what was asked, of which policy, with which settings and versions.

    Args:
        goal: The task; "" for a practice page's own.
        settings: The settings of the run.
        policy: The metadata of the policy that chooses the actions.
        safety: The policy of the guard.
    """
    return {
        "goal": hide_credentials(goal),
        "surface": settings.surface,
        "url": hide_userinfo(settings.url),
        "seed": settings.seed,
        "policy": dict(policy),
        "safety_policy": safety.as_manifest(),
        "settings": config.as_dict(settings),
        "versions": {name: _version(name) for name in REPORTED_VERSIONS} | {"python": platform.python_version()},
        "platform": platform.platform(),
    }


def runs_root(settings: Settings) -> Path:
    """Return the folder in which new traces are created."""
    return Path(settings.runs).expanduser().absolute() if settings.runs else trace.default_root()


def is_practice(url: str) -> bool:
    """Return whether a URL names a practice page."""
    return pages.is_miniwob_address(url)


def surface_name(settings: Settings) -> str:
    """Return the surface's name without its location: "desktop" for "desktop:virtual"."""
    return settings.surface.partition(":")[0]


def make_guard(settings: Settings) -> UrlGuard:
    """Create the guard of the URLs that the model opens.

    Raises:
        UsageError: A host is invalid, or the start address is not among the hosts.
    """
    has_apps = surface_name(settings) != "browser"
    return UrlGuard(settings.allow_schemes, settings.allow_hosts, apps=has_apps, start=settings.url)


def make_env(settings: Settings, guard: UrlGuard, blocked_ports: frozenset[int] = frozenset()) -> Env:
    """Create the guarded environment, with a practice task where the URL names one.

    Args:
        settings: The settings of the run.
        guard: The guard of the URLs that the model opens.
        blocked_ports: Ports of this machine that the surface's browser must not reach.

    Raises:
        UsageError: The surface cannot be opened with these settings.
        SurfaceError: The surface failed.
    """
    options = surface_options(settings)
    options = replace(options, network=replace(options.network, blocked_ports=blocked_ports))
    return factory.open_env(settings.surface, options, guard=guard)


def open_surface(settings: Settings) -> Surface:
    """Open the surface that the settings name.

    Raises:
        UsageError: The surface cannot be opened with these settings.
        SurfaceError: The surface failed.
    """
    return factory.open_surface(settings.surface, surface_options(settings))


def surface_options(settings: Settings) -> SurfaceOptions:
    """Return the settings that concern the surface."""
    return SurfaceOptions(
        url=settings.url,
        width=settings.width,
        height=settings.height,
        headed=settings.headed,
        window=settings.window,
        program=settings.program,
        share=settings.share,
        network=NetworkRules(settings.allow_hosts, refuse_private_names=settings.refuse_private_names),
        hold_writes=settings.hold_writes,
        read_elements=settings.read_elements,
    )


def safety_policy(settings: Settings) -> SafetyPolicy:
    """Load the policy of the guard that the settings describe, with the layers of this machine.

    Raises:
        UsageError: A policy file is missing or not valid.
    """
    return load_safety_policy(settings.policy, approve=settings.approve, is_practice=is_practice(settings.url))


def install_guard(env: Env, safety: SafetyPolicy, folder: Path, record: EventWriter, person: Approver | None) -> bool:
    """Put the guard between the loop and the environment's screen; return whether it asks about every action.

    Args:
        env: The environment; its present guard becomes the first rule of the new one.
        safety: The policy of the guard.
        folder: The run's folder, for screenshots of the actions to approve.
        record: Records decisions and approvals.
        person: Approves actions; None without a terminal.
    """
    base = cast(BaseEnv, env.unwrapped)
    rules = base.guard.rules if isinstance(base.guard, ActionGuard) else base.guard
    guard = ActionGuard(safety, base.surface, folder, record, person=person, rules=rules)
    base.guard = guard
    return safety.asks_each(base.surface.name, guard.is_user_owned)


@contextmanager
def stop_hotkey(settings: Settings, stop: Callable[[], None], message: Callable[[str], None]) -> Iterator[None]:
    """Let a hotkey stop a run on the user's own X display within the block, and say so; elsewhere there is none.

    Args:
        settings: The settings of the run.
        stop: Asks the run to stop.
        message: Shows a sentence.
    """
    display = os.environ.get("DISPLAY", "")
    if settings.surface != "desktop" or not sys.platform.startswith("linux") or not display:
        yield
        return
    from envs.desktop.x11 import hotkey

    try:
        keys = hotkey.Hotkey(display, stop)
    except UsageError as error:
        message(f"{error}, so there is no hotkey; Ctrl-C in this terminal stops the run")
        yield
        return
    message(f"{hotkey.HOTKEY} stops the run, whichever window is in front")
    with keys:
        yield


def make_extractor(schema: OutputSchema, policy: Policy) -> Extractor:
    """Return what reads the output of a run.

    Args:
        schema: What the output must look like.
        policy: The policy of the run.

    Raises:
        UsageError: The policy answers no questions about screenshots.
    """
    if not isinstance(policy, AnsweringPolicy):
        raise UsageError(
            f"--output-schema cannot be used with {policy.metadata['model']}: it answers no questions about "
            "screenshots. Remove --output-schema, or use a model."
        )
    return Extractor(schema, policy)


def restore_limits(env: Env, resumption: Resumption) -> None:
    """Count what the earlier run did toward the limits of the environment's guard."""
    guard = cast(BaseEnv, env.unwrapped).guard
    if isinstance(guard, ActionGuard):
        guard.limits.restore(resumption.usage.actions, resumption.usage.seconds)


def policy_from_settings(
    settings: Settings, *, on_text: OnText | None = None, on_status: OnStatus | None = None
) -> Policy:
    """Create the policy that the settings describe; see agent.policies.factory.load_policy."""
    options = policy_options(settings)
    return load_policy(settings.model, options, grounder=settings.grounder, on_text=on_text, on_status=on_status)


def policy_options(settings: Settings) -> PolicyOptions:
    """Return the settings that concern the policy."""
    return PolicyOptions(
        prompt=settings.prompt,
        device=settings.device,
        dtype=settings.dtype,
        temperature=settings.temperature,
        seed=settings.seed,
        grammar=settings.grammar,
        zoom=settings.zoom,
        budget_tokens=settings.budget_tokens,
        auto_shrink_history=settings.auto_shrink_history,
    )


def _describe_target(settings: Settings) -> str:
    """Return the surface and its content in words."""
    url = f"{settings.url}, seed {settings.seed}" if is_practice(settings.url) else hide_userinfo(settings.url)
    if settings.surface == "browser":
        return url
    return ", ".join(filter(None, [settings.surface, settings.window, settings.program, url]))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
