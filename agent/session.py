"""From settings to a finished run: policy, environment, guard and trace are built here, used once, and closed.

Knows how the parts are put together and nothing of how a person asked for it.
"""

from __future__ import annotations

import json
import platform
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import randbelow
from typing import Any

from actions import Error, UsageError, plugins
from agent import config, trace
from agent.config import Settings
from agent.history_window import HistoryWindow
from agent.loop import Episode, run
from agent.policies.base import JsonDialect, LocalPolicy, Policy, ScriptPolicy, open_dialect
from agent.safety.approval import ApprovalGuard, Approver, requires_approval
from agent.safety.signals import defer_interrupts
from agent.safety.url_policy import UrlGuard
from agent.termination import Termination
from agent.turn_executor import AskPerson
from agent.ui.display import Display
from envs.miniwob import pages
from envs.options import SurfaceOptions

VERSIONS_OF = ("pixelhand", "torch", "transformers", "playwright", "gymnasium", "miniwob", "numpy")


class InternalError(Error):
    """A mistake of ours: one sentence for the person, and the file where the traceback lies."""


def is_practice(url: str) -> bool:
    return url.startswith(pages.PREFIX)


def run_session(
    goal: str,
    settings: Settings,
    display: Display,
    *,
    ask: AskPerson | None = None,
    person: Approver | None = None,
    script: Path | None = None,
) -> Episode:
    """Run once, told to the display and written to a new folder of runs. Raises Error with a sentence for the person.

    goal "" is the practice page's own instruction. ask answers the model's questions; person approves actions on their
    own screen. A script replays replies in place of a model.
    """
    if settings.seed is None and is_practice(settings.url):
        settings = replace(settings, seed=pages.EVAL_SEED_START + randbelow(100_000))
    guard = UrlGuard(settings.allow_schemes, settings.allow_hosts, apps=surface_name(settings) != "browser")
    if surface_name(settings) not in plugins.list_plugins("envs.surfaces"):
        plugins.load_plugin("envs.surfaces", surface_name(settings))  # says what there is
    policy: Policy
    if script is None:
        display.message(f"loading {settings.model} …")
        policy = load_policy(settings, on_text=display.on_text, say=display.message)
    else:
        policy = _load_script(script, settings)
        settings = replace(settings, max_steps=min(settings.max_steps, len(policy.replies)))
    with defer_interrupts() as hold, ExitStack() as stack:
        stack.callback(policy.close)
        folder = trace.new_folder(runs_root(settings))
        stack.enter_context(_report_crashes(folder))
        writer = trace.TraceWriter(folder, manifest(goal, settings, policy.metadata))
        stack.callback(writer.close)
        display(
            {
                "event": "begin",
                "run": str(folder),
                "model": policy.metadata["model"],
                "where": _describe_target(settings),
            }
        )
        try:
            with hold.allow_interrupts():
                env = make_env(settings, guard)
        except (Error, KeyboardInterrupt) as error:
            return _abort_before_start(error, writer, display)
        stack.callback(env.close)

        def tell(event: str, **facts: Any) -> None:
            writer.write(event, **facts)
            display({"event": event, **facts})

        each = install_approval(env, settings, folder, tell, person)
        return run(
            goal,
            env,
            policy,
            max_steps=settings.max_steps,
            seed=settings.seed,
            trace=writer,
            on_event=display,
            ask=ask,
            approved=each,
        )


def _abort_before_start(error: Error | KeyboardInterrupt, writer: trace.TraceWriter, display: Display) -> Episode:
    """The end of a run whose machine did not come up; an error of the person's is raised again once it is written."""
    if isinstance(error, KeyboardInterrupt):
        ending = Termination("stopped", "interrupted", "a person stopped the run before it began")
    else:
        ending = Termination("error", "machine", str(error))
    facts = {"status": ending.status, "cause": ending.cause, "message": ending.message, "reward": None, "steps": 0}
    writer.write("end", **facts)
    display({"event": "end", **facts})
    if isinstance(error, UsageError):
        raise error
    return Episode(ending.status, None, (), ending.message, str(writer.folder), ending.cause)


def runs_root(settings: Settings) -> Path:
    """The folder that new runs go to."""
    return Path(settings.runs).expanduser().absolute() if settings.runs else trace.default_root()


def make_env(settings: Settings, guard: UrlGuard) -> Any:
    """The LiveEnv of a screen, with a practice page or without, guarded. SurfaceError when the machine fails."""
    from envs import live

    surface = open_surface(settings)
    try:
        if not is_practice(settings.url):
            return live.LiveEnv(surface, guard=guard)
        return live.practice_env(settings.url.removeprefix(pages.PREFIX), guard=guard, surface=surface)
    except BaseException:
        surface.close()
        raise


def surface_name(settings: Settings) -> str:
    """The surface's name, without where it is: "desktop" of "desktop:virtual"."""
    return settings.on.partition(":")[0]


def open_surface(settings: Settings) -> Any:
    """The surface that the settings name. UsageError, or SurfaceError, when it cannot be had."""
    name, _, where = settings.on.partition(":")
    module = plugins.load_plugin("envs.surfaces", name)
    if not hasattr(module, "open_surface"):
        raise UsageError(f"the surface '{name}' cannot be opened by its name: its module has no open_surface")
    opening = SurfaceOptions(
        where=where,
        url=settings.url,
        width=settings.width,
        height=settings.height,
        headed=settings.headed,
        window=settings.window,
        program=settings.program,
    )
    return module.open_surface(opening)


def install_approval(
    env: Any, settings: Settings, folder: Path, tell: Callable[..., None], person: Approver | None
) -> bool:
    """Put the person behind the environment's rules where its screen is somebody's own, or where they ask for it.

    Where the settings leave it open, each action is asked for on somebody's own screen, and none elsewhere. True where
    each is asked for.
    """
    approve = settings.approve or ("never" if is_practice(settings.url) else "")
    live = env.unwrapped
    personal = requires_approval(live.surface)
    each = approve == "each" or (personal and not approve)
    if personal or each:
        live.guard = ApprovalGuard(live.guard, live.surface, folder, tell, each=each, person=person)
    return each


def _describe_target(settings: Settings) -> str:
    """The screen and what is on it, in words."""
    url = f"{settings.url}, seed {settings.seed}" if is_practice(settings.url) else settings.url
    if settings.on == "browser":
        return url
    return ", ".join(filter(None, [settings.on, settings.window, settings.program, url]))


def load_policy(
    settings: Settings, *, on_text: Callable[[str], None] | None = None, say: Callable[[str], None] | None = None
) -> Policy:
    """Who decides, as the settings name it: a checkpoint on this machine, or a server's http://host:port/v1#NAME."""
    if settings.grounder:
        return _load_planner_grounder(settings, on_text, say)
    if "://" in settings.model:
        from agent.policies.remote.policy import remote_policy

        how: dict[str, Any] = {"prompt": settings.prompt, "temperature": settings.temperature, "seed": settings.seed}
        how["grammar"] = settings.grammar
        return remote_policy(settings.model, **how, on_text=on_text, say=say)
    return load_local_policy(
        settings.model,
        settings.device,
        settings.dtype,
        prompt=settings.prompt,
        temperature=settings.temperature,
        seed=settings.seed,
        on_text=on_text,
        grammar=settings.grammar,
        zoom=settings.zoom,
        shrink=settings.shrink,
        budget_tokens=settings.budget_tokens,
    )


def _load_planner_grounder(
    settings: Settings, on_text: Callable[[str], None] | None, say: Callable[[str], None] | None
) -> Policy:
    """Planner and grounder. The prompt and the temperature are the planner's; who points is who looks twice."""
    from agent.policies.planner_grounder import PlannerGrounderPolicy

    first = replace(settings, grounder="", zoom="off")
    second = replace(settings, grounder="", model=settings.grounder, prompt="", temperature=0.0)
    with ExitStack() as stack:
        planner = load_policy(first, on_text=on_text, say=say)
        stack.callback(planner.close)
        if say is not None:
            say(f"loading {settings.grounder} …")
        grounder = load_policy(second, say=say)
        stack.callback(grounder.close)
        pair = PlannerGrounderPolicy(planner, grounder)
        stack.pop_all()
        return pair


def load_local_policy(
    model: str,
    device: str = "auto",
    dtype: str = "auto",
    *,
    prompt: str = "",
    temperature: float = 0.0,
    seed: int | None = None,
    on_text: Callable[[str], None] | None = None,
    grammar: bool = True,
    zoom: str = "off",
    shrink: bool = False,
    budget_tokens: int = 0,
) -> LocalPolicy:
    """A checkpoint with its own dialect and memory. model: embedded, a folder or a hub id; prompt: a file's path;
    budget_tokens: the longest context, 0 for the checkpoint's own."""
    from model.chat_model import load_chat
    from model.checkpoints.detect_dialect import detect_dialect

    chat = load_chat(model, device, dtype, budget_tokens)
    chat.warm_up()
    how, name = chat.settings, detect_dialect(chat.path).require()
    dialect = open_dialect(name, chat.limits, prompt, tool=how.tool, history=how.history)
    chat.settings = replace(
        how, dialect=name, tool=dialect.tool, history=dialect.history, grammar=how.grammar and grammar
    )
    memory = HistoryWindow(how.history_steps, how.pictures)
    given: dict[str, Any] = {"temperature": temperature, "seed": seed, "on_text": on_text, "shrink": shrink}
    if zoom != "off":
        from agent.policies.zoom import ZoomPolicy

        return ZoomPolicy(chat, dialect, memory, zoom=zoom, **given)
    return LocalPolicy(chat, dialect, memory, **given)


def _load_script(path: Path, settings: Settings) -> ScriptPolicy:
    """A file with a JSON string a line, words in qwen25; or with a JSON object a line, actions (see policy.Plain)."""
    from model.processing.image import ImageLimits

    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        replies = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise UsageError(f"the script {path} cannot be read ({error}); it holds one JSON string a line") from None
    if replies and all(isinstance(reply, str) for reply in replies):
        return ScriptPolicy(replies, open_dialect("qwen25", ImageLimits(), settings.prompt))
    if replies and all(isinstance(reply, dict) for reply in replies):
        return ScriptPolicy(lines, JsonDialect())
    raise UsageError(
        f"the script {path} must hold a JSON string (a reply) on each line, or on each an action as object"
    )


def manifest(goal: str, settings: Settings, metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the manifest of a trace: the goal, the settings, the policy's metadata, package versions and platform."""
    return {
        "goal": goal,
        "surface": settings.on,
        "url": settings.url,
        "seed": settings.seed,
        "policy": dict(metadata),
        "settings": config.as_dict(settings),
        "versions": {name: _version(name) for name in VERSIONS_OF} | {"python": platform.python_version()},
        "platform": platform.platform(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@contextmanager
def _report_crashes(folder: Path) -> Iterator[None]:
    try:
        yield
    except (Error, BrokenPipeError):
        raise
    except Exception as error:
        raise write_crash_report(error, folder) from error


def write_crash_report(error: Exception, folder: Path) -> InternalError:
    """Write the traceback into a run's folder; the error to raise in its place."""
    path = folder / trace.CRASH
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    first = (str(error).strip() or "no message").splitlines()[0][:200]
    return InternalError(
        f"something unforeseen went wrong ({type(error).__name__}: {first}); the traceback is in {path}, "
        "please report it (PIXELHAND_DEBUG=1 shows it here)"
    )
