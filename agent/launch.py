"""From settings to a finished run: policy, environment, guard and trace are built here, used once, and closed.

Knows how the parts are put together and nothing of how a person asked for it.
"""

from __future__ import annotations

import json
import platform
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import randbelow
from typing import Any

from actions import Error, SurfaceError, UsageError, plugins
from agent import config, trace
from agent.config import Settings
from agent.guard import Guard
from agent.interrupts import held
from agent.loop import Episode, run
from agent.memory import Memory
from agent.panel import Display
from agent.policy import LocalPolicy, Plain, Policy, ScriptPolicy
from envs import practice

EMBEDDED = "embedded"
HELD_OUT = 900_000  # practice seeds from here on were never trained on
VERSIONS_OF = ("pixelhand", "torch", "transformers", "playwright", "gymnasium", "miniwob", "numpy")


class Unforeseen(Error):
    """A mistake of ours: one sentence for the person, and the file where the traceback lies."""


def is_practice(url: str) -> bool:
    return url.startswith(practice.PREFIX)


def launch(goal: str, settings: Settings, display: Display, script: Path | None = None) -> Episode:
    """Run once, told to the display and written to a new folder of runs. Raises Error with a sentence for the person.

    goal "" is the practice page's own instruction. A script replays replies in place of a model.
    """
    if settings.seed is None and is_practice(settings.url):
        settings = config.with_seed(settings, HELD_OUT + randbelow(100_000))
    policy = _scripted(script, settings) if script else _local(settings, display)
    with held():
        folder = trace.new_folder(runs_root(settings))
        with _nothing_unforeseen(folder):
            writer = trace.Trace(folder, _manifest(goal, settings, policy))
            try:
                where = f"{settings.url}, seed {settings.seed}" if is_practice(settings.url) else settings.url
                display({"event": "begin", "run": str(folder), "model": policy.about["model"], "where": where})
                env = None
                try:
                    env = environment(settings)
                except SurfaceError as error:
                    ending = {"status": "error", "cause": "machine", "message": str(error), "reward": None, "steps": 0}
                    writer.write("end", **ending)
                    display({"event": "end", **ending})
                    return Episode("error", None, (), str(error), str(folder), "machine")
                try:
                    return run(
                        goal,
                        env,
                        policy,
                        max_steps=settings.max_steps,
                        seed=settings.seed,
                        trace=writer,
                        on_event=display,
                        ask=getattr(display, "ask", None),
                    )
                finally:
                    env.close()
            finally:
                writer.close()
                policy.close()


def runs_root(settings: Settings) -> Path:
    """The folder that new runs go to."""
    return Path(settings.runs).expanduser().absolute() if settings.runs else trace.default_root()


def environment(settings: Settings) -> Any:
    """The LiveEnv of an address, practice or not, guarded. Raises SurfaceError when the machine cannot show it."""
    guard = Guard(settings.allow_schemes, settings.allow_hosts)
    if is_practice(settings.url):
        from envs.live import practice_env

        return practice_env(settings.url.removeprefix(practice.PREFIX), headed=settings.headed)
    from envs.live import LiveEnv

    make = plugins.load("envs.surfaces", settings.on).Surface
    surface = make(settings.url, width=settings.width, height=settings.height, headed=settings.headed)
    return LiveEnv(surface, guard=guard)


def _local(settings: Settings, display: Display) -> Policy:
    from model.chat import load_chat

    display.say(f"loading {settings.model} …")
    chat = load_chat(settings.model, settings.device)
    dialect = _dialect(chat.settings.dialect, chat.limits, settings, tool=chat.settings.tool, history=chat.settings.history)
    memory = Memory(chat.settings.history_steps, chat.settings.pictures)
    return LocalPolicy(
        chat, dialect, memory, temperature=settings.temperature, seed=settings.seed, on_text=display.text
    )


def _dialect(name: str, limits: Any, settings: Settings, **how: Any) -> Any:
    prompt = None
    if settings.prompt:
        try:
            prompt = Path(settings.prompt).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"the prompt {settings.prompt} cannot be read ({error}); give a text file in UTF-8") from None
    return plugins.load("model.dialects", name).Dialect(limits, prompt=prompt, **how)


def _scripted(path: Path, settings: Settings) -> Policy:
    """A JSON string a line: the words of a model in the qwen25 dialect. Or a JSON object a line: actions (see Plain)."""
    from model.image import ImageLimits

    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        replies = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise UsageError(f"the script {path} cannot be read ({error}); it holds one JSON string a line") from None
    if replies and all(isinstance(reply, str) for reply in replies):
        return ScriptPolicy(replies, _dialect("qwen25", ImageLimits(), settings))
    if replies and all(isinstance(reply, dict) for reply in replies):
        return ScriptPolicy(lines, Plain())
    raise UsageError(f"the script {path} must hold a JSON string (a reply) on each line, or on each an action as object")


def _manifest(goal: str, settings: Settings, policy: Policy) -> Mapping[str, Any]:
    return {
        "goal": goal,
        "surface": settings.on,
        "url": settings.url,
        "seed": settings.seed,
        "policy": dict(policy.about),
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
def _nothing_unforeseen(folder: Path) -> Iterator[None]:
    try:
        yield
    except (Error, BrokenPipeError):
        raise
    except Exception as error:
        raise unforeseen(error, folder) from error


def unforeseen(error: Exception, folder: Path) -> Unforeseen:
    """Write the traceback into a run's folder; the error to raise in its place."""
    path = folder / trace.CRASH
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    first = (str(error).strip() or "no message").splitlines()[0][:200]
    return Unforeseen(
        f"something unforeseen went wrong ({type(error).__name__}: {first}); the traceback is in {path}, "
        "please report it (PIXELHAND_DEBUG=1 shows it here)"
    )
