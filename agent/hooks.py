"""Hooks: functions of the caller that are called during a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actions import RunStoppedError, Step, UsageError

if TYPE_CHECKING:
    from agent.loop import Episode
    from agent.turn_executor import AskUser

OnStep = Callable[[Step], None]
OnAsk = Callable[[str], str | None]  # question -> answer; None where there is none
OnEnd = Callable[["Episode"], None]


class HookError(Exception):
    """A hook raised an exception.

    Attributes:
        error: The exception.
    """

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(f"{name} raised {type(error).__name__}: {error}")
        self.error = error


@dataclass(frozen=True)
class Hooks:
    """The hooks of a run, except that for questions.

    Args:
        on_step: Called with each finished step, after it was recorded.
        on_end: Called once with the episode, after its end was recorded.

    Raises:
        UsageError: A hook is a coroutine function.
    """

    on_step: OnStep | None = None
    on_end: OnEnd | None = None

    def __post_init__(self) -> None:
        _check_hook("on_step", self.on_step)
        _check_hook("on_end", self.on_end)

    def finish_step(self, step: Step) -> None:
        """Call `on_step`.

        Raises:
            RunStoppedError: The hook stops the run.
            HookError: The hook raised another exception.
        """
        if self.on_step is None:
            return
        try:
            self.on_step(step)
        except RunStoppedError:
            raise
        except Exception as error:
            raise HookError("on_step", error) from error

    def finish_run(self, episode: Episode) -> None:
        """Call `on_end`.

        Raises:
            Exception: What the hook raised, with a note on how the run had ended.
        """
        if self.on_end is None:
            return
        try:
            self.on_end(episode)
        except Exception as error:
            error.add_note(
                f"on_end raised this after the run had ended: {episode.status} ({episode.cause}): {episode.message}"
            )
            raise


def ask_with_hook(on_ask: OnAsk) -> AskUser:
    """Return a function for `agent.loop.run` that asks the hook.

    The function raises EOFError where the hook has no answer, RunStoppedError where it stops the run, and HookError
    where it raised another exception.

    Raises:
        UsageError: The hook is a coroutine function.
    """
    _check_hook("on_ask", on_ask)

    def ask(question: str) -> str:
        try:
            answer = on_ask(question)
            if answer is not None and not isinstance(answer, str):
                raise TypeError(f"the answer must be a str or None, not {type(answer).__name__}")
        except EOFError:
            raise
        except RunStoppedError as error:
            raise RunStoppedError(str(error), by_person=True) from error
        except Exception as error:
            raise HookError("on_ask", error) from error
        if answer is None:
            raise EOFError
        return answer

    return ask


def _check_hook(name: str, hook: Callable[..., object] | None) -> None:
    if inspect.iscoroutinefunction(hook):
        raise UsageError(f"{name} cannot be a coroutine function: runs are synchronous. Pass a plain function.")
