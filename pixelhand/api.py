"""`open_env` and `run`: a screen as an environment, and a policy run in it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from actions import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from agent.env import BaseEnv, Env
    from agent.hooks import OnAsk, OnEnd, OnStep
    from agent.loop import Episode
    from agent.policies.base import Policy
    from agent.safety.approval import Approver
    from agent.turn_executor import AskUser
    from envs.live import LiveEnv

OnEvent = Callable[[Mapping[str, object]], None]


def open_env(
    surface: str = "browser",
    *,
    url: str = "",
    goal: str = "",
    width: int = 1288,
    height: int = 728,
    headed: bool = False,
    window: str = "",
    program: str = "",
    share: Sequence[str] = (),
    allow_hosts: Sequence[str] | None = None,
    allow_schemes: Sequence[str] = ("http", "https"),
    hold_writes: bool = False,
) -> LiveEnv:
    """Open a screen as a gymnasium environment whose observations are pixels and whose actions are `Action`s.

    Args:
        surface: "browser", "desktop", "desktop:virtual", "android", "android:SERIAL", "image:FILE" or a plug-in's name.
        url: address to start at. "miniwob:TASK" opens a practice page with its own goal and reward.
        goal: the environment's goal where `run` is given none.
        width: width of the page or of the virtual screen, in CSS pixels.
        height: height of the page or of the virtual screen, in CSS pixels.
        headed: show the browser's window.
        window: restrict "desktop" to the window with this title.
        program: command to start on "desktop:virtual".
        share: folders that programs of "desktop:virtual" may read and write.
        allow_hosts: the only hosts to which the browser may connect ("example.org", "example.org:8080",
            "*.example.org"); None allows every public host. `url` must be among them.
        allow_schemes: URL schemes that the policy may open.
        hold_writes: hold what pages of the browser send to change something, until the `approver` of `run` has a
            method `review_writes` that lets it be sent; what is held at the end is dropped.

    Returns:
        A `LiveEnv`; use it as a context manager, or close it.

    Raises:
        UsageError: the surface or an option is unknown or does not fit.
        SurfaceError: the machine failed, such as a browser that does not start.
    """
    from agent.safety.url_policy import UrlGuard
    from envs import factory
    from envs.network.rules import NetworkRules
    from envs.options import SurfaceOptions

    network = NetworkRules(None if allow_hosts is None else tuple(allow_hosts))
    options = SurfaceOptions(
        url=url,
        width=width,
        height=height,
        headed=headed,
        window=window,
        program=program,
        share=tuple(share),
        network=network,
        hold_writes=hold_writes,
    )
    is_browser = surface.partition(":")[0] == "browser"
    guard = UrlGuard(tuple(allow_schemes), network.hosts, apps=not is_browser, start=url)
    return factory.open_env(surface, options, goal=goal, guard=guard)


def run(
    goal: str,
    env: Env,
    policy: Policy,
    *,
    max_steps: int = 30,
    max_minutes: float | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    trace: str | PathLike[str] | None = None,
    approve: Literal["", "each", "never"] = "",
    approver: Approver | None = None,
    safety: str = "",
    expect: Sequence[str] = (),
    second_look: bool = True,
    output_model: type[BaseModel] | None = None,
    on_event: OnEvent | None = None,
    on_step: OnStep | None = None,
    on_ask: OnAsk | None = None,
    on_end: OnEnd | None = None,
    ask: AskUser | None = None,
    telemetry: str = "",
    telemetry_content: bool = False,
) -> Episode:
    """Run `policy` in `env` until the task is over, the policy ends it, or `max_steps` are spent.

    Args:
        goal: what to do; "" takes the environment's own goal.
        env: an environment such as `open_env` returns.
        policy: a policy such as `load_policy` returns. It is not closed.
        max_steps: turns at most.
        max_minutes: minutes at most, without the user's time.
        max_tokens: tokens of prompts and replies at most. A turn that has begun is finished.
        seed: seed of the environment's task; None draws one.
        trace: folder of runs. The run is recorded in a new folder in it; None records nothing.
        approve: "each" asks `approver` before every action, "never" asks for none, "" follows `safety`.
        approver: answers the questions. Without one, an action that needs approval ends the run.
        safety: what is allowed, asked and denied: "read-only", "cautious", "unattended", "sandbox" or the path of a
            policy file; "" is "sandbox" where the environment has a task of its own, else "cautious".
        expect: what holds after the run, such as 'text "Order received"' (see the guide to runs). If it does not, a
            reported success becomes a failure.
        second_look: without `expect`, ask the policy's model at the end whether the screens show the goal as reached,
            where it can answer questions. If it denies that, a reported success becomes a failure.
        output_model: a pydantic model. When the run ends with success, its `output` is an instance, read from the
            last screenshots; `extraction` has the box of each value. A value that a second look does not confirm
            is None where the model permits it. If no valid instance can be read, the run fails.
        on_event: called with each event of the run, after it was recorded.
        on_step: called with each finished step, after it was recorded.
        on_ask: called with each question of the policy; returns the answer, or None where there is none.
        on_end: called once with the episode, after its end was recorded, however the run ended.
        ask: the former name of `on_ask`; raises EOFError where there is no answer.
        telemetry: OTLP/HTTP endpoint to send OpenTelemetry spans of the run to, such as "http://localhost:4318";
            "" sends nothing. Configuration files and environment variables are not read.
        telemetry_content: send the goal, typed texts, replies and messages with the spans, without secrets.

    `RunStoppedError` in `on_step` or `on_ask` stops the run: status "stopped", with the error's text as the message.
    Another exception in them ends the run with status "error" and cause "hook"; the end is recorded, `on_end` is
    called, and the exception is raised. An exception in `on_end` is raised, and the recorded end stays as it is.

    Returns:
        The episode: `status`, `reward`, `steps`, `message`, `cause`, `output`, `extraction`, `proof` (how far a
            reported success is proven), and `run`, the folder of its trace.

    Raises:
        UsageError: wrong usage, such as a screen of the user without an approver.
        Exception: what a hook raised.
    """
    from agent import loop
    from agent.config import Settings
    from agent.extraction.output_schema import output_schema_of
    from agent.hooks import Hooks, ask_with_hook
    from agent.policies.base import SupportsJudgment
    from agent.safety.guard import requires_approval
    from agent.safety.policy import load_safety_policy
    from agent.session import install_guard, make_extractor, manifest, open_run_telemetry
    from agent.telemetry import normalize_endpoint
    from agent.termination import StopLimits
    from agent.trace import TraceWriter, new_folder
    from agent.verification.expectations import parse_expectations
    from agent.verification.second_look import SecondLook
    from agent.verification.verifier import Verifier

    hooks = Hooks(on_step, on_end)
    if on_ask is not None:
        if ask is not None:
            raise UsageError("ask= cannot be used with on_ask=: it is its former name. Remove ask=.")
        ask = ask_with_hook(on_ask)
    expectations = parse_expectations(expect)
    extractor = None if output_model is None else make_extractor(output_schema_of(output_model), policy)
    if approve not in ("", "each", "never"):
        raise UsageError(f"approve must be 'each', 'never' or '', not {approve!r}")
    base = cast("BaseEnv", env.unwrapped)
    is_user_owned = requires_approval(base.surface)
    is_practice = getattr(base, "task", None) is not None
    policy_of_guard = load_safety_policy(safety, approve=approve, is_practice=is_practice)
    if approver is None and policy_of_guard.asks_each(base.surface.name, is_user_owned):
        raise UsageError(
            "the screen is the user's own, so each action needs approval: pass approver=, or approve='never'"
            if approve != "each"
            else "approve='each' needs approver="
        )
    try:
        telemetry = normalize_endpoint(telemetry)
    except ValueError as error:
        raise UsageError(f"telemetry={telemetry!r} cannot be used: {error}") from None
    settings = Settings(
        surface=base.surface.name,
        seed=seed,
        max_steps=max_steps,
        approve=approve,
        policy=safety,
        telemetry=telemetry,
        telemetry_content=telemetry_content,
    )
    with ExitStack() as stack:
        writer = None
        if trace is not None:
            writer = TraceWriter(new_folder(Path(trace)), manifest(goal, settings, policy.metadata, policy_of_guard))
            stack.callback(writer.close)
            folder = writer.folder
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # for screenshots of approvals

        send = open_run_telemetry(settings, policy, folder.name if writer is not None else "", stack)

        def show(event: Mapping[str, object]) -> None:
            if send is not None:
                send(event)
            if on_event is not None:
                on_event(event)

        def record(event: str, **facts: object) -> None:
            if writer is not None:
                writer.write(event, **facts)
            show({"event": event, **facts})

        stack.callback(setattr, base, "guard", base.guard)
        approves_each = install_guard(env, policy_of_guard, folder, record, approver)
        return loop.run(
            goal,
            env,
            policy,
            max_steps=max_steps,
            stop_limits=StopLimits(minutes=max_minutes, tokens=max_tokens),
            seed=seed,
            trace=writer,
            on_event=show,
            ask=ask,
            approves_each=approves_each,
            verifier=Verifier(expectations, base.surface) if expectations else None,
            second_look=SecondLook(policy) if second_look and isinstance(policy, SupportsJudgment) else None,
            extractor=extractor,
            hooks=hooks,
        )
