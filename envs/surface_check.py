"""Check that a surface keeps the contract of `actions.Surface`, for this package's surfaces and third-party ones.

    failures = check_surface(surface)    # [] if it does, else one sentence per failure

The check acts on the machine (pointer in the middle, Escape, short waits): use one with nothing to lose.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from actions import ACTION_TYPES, CONTROL_ACTIONS, Error, InvalidActionError, Screen, Surface, SurfaceError, make_action

CALL_LIMIT_S = 30.0
CLOCK_TOLERANCE_S = 60.0  # between a screen's timestamp and the local clock

FAILED = object()  # returned in place of a value by a call that failed and was reported
T = TypeVar("T")


class _TimeoutError(Exception):
    pass


def check_surface(surface: Surface, *, act: bool = True, limit_s: float = CALL_LIMIT_S) -> list[str]:
    """Return one sentence for every breach of the contract; the surface is closed at the end.

    Args:
        surface: The surface.
        act: Also perform one harmless action per verb.
        limit_s: Limit of each call, seconds.
    """
    failures: list[str] = []
    try:
        if _check_attributes(surface, failures):
            screen = _check_capture(surface, failures, limit_s)
            if screen is not None:
                if act:
                    _check_actions(surface, screen, failures, limit_s)
                _check_rejections(surface, failures, limit_s)
                _check_final_size(surface, screen, failures, limit_s)
            _check_close(surface, failures, limit_s)
    except _TimeoutError as error:
        failures.append(str(error))  # its thread is stuck in the surface, which cannot be called any more
    return failures


def sample_fields(verb: str, width: int, height: int) -> dict[str, object]:
    """Return the fields of an action that changes little on most screens of this size."""
    x, y = width // 2, height // 2
    fields: dict[str, dict[str, object]] = {
        "click": {"x": x, "y": y},
        "move": {"x": x, "y": y},
        "drag": {"path": ((x, y), (min(x + 5, width - 1), y))},
        "scroll": {"x": x, "y": y, "down": 1},
        "long_press": {"x": x, "y": y, "seconds": 0.05},
        "type": {"text": "a"},
        "press": {"keys": ("escape",)},
        "open": {"target": "about:blank"},
        "wait": {"seconds": 0.05},
    }
    return fields.get(verb, {})


def _check_attributes(surface: Surface, failures: list[str]) -> bool:
    if not isinstance(getattr(surface, "name", None), str) or not surface.name:
        failures.append("name must be a non-empty string, such as 'browser'")
    missing = [name for name in ("capture", "perform", "verbs", "close") if not callable(getattr(surface, name, None))]
    failures.extend(f"{name}() is missing" for name in missing)
    return not missing


def _check_capture(surface: Surface, failures: list[str], limit_s: float) -> Screen | None:
    screens: list[Screen] = []
    for _ in range(2):
        start = time.time()
        screen = _call("capture()", surface.capture, failures, limit_s)
        if screen is FAILED:
            return None
        if not isinstance(screen, Screen):
            failures.append(f"capture() must return a Screen, not {type(screen).__name__}")
            return None
        if not start - CLOCK_TOLERANCE_S <= screen.timestamp <= time.time() + CLOCK_TOLERANCE_S:
            failures.append(
                f"Screen.timestamp must be the time of capture in seconds since 1970, not {screen.timestamp}"
            )
        screens.append(screen)
    first, second = screens
    if first is second or (np.shares_memory(first.pixels, second.pixels) and _is_writable(second.pixels)):
        failures.append("capture() must return a new Screen each time; two calls returned the same one")
    if first.pixels.shape != second.pixels.shape:
        failures.append(
            f"the screen must keep its size; it went from {_size(first)} to {_size(second)} between two captures"
        )
    return second


def _check_actions(surface: Surface, screen: Screen, failures: list[str], limit_s: float) -> None:
    verbs = _check_verbs(surface, failures, limit_s)
    # What leaves the page comes last, so that the others act on the page that was shown at the start.
    for verb in sorted(verbs, key=lambda name: (name in ("open", "back", "home"), name)):
        action = make_action(verb, **sample_fields(verb, screen.width, screen.height))
        notice = _call(f"perform({verb})", partial(surface.perform, action), failures, limit_s)
        if notice is not FAILED and not isinstance(notice, str):
            failures.append(f'perform({verb}) must return a notice, "" for none, not {type(notice).__name__}')
        _call(f"capture() after {verb}", surface.capture, failures, limit_s)


def _check_verbs(surface: Surface, failures: list[str], limit_s: float) -> frozenset[str]:
    verbs = _call("verbs()", surface.verbs, failures, limit_s)
    if verbs is FAILED:
        return frozenset()
    if not isinstance(verbs, frozenset) or not verbs:
        failures.append(f"verbs() must return a frozenset of at least one verb, not {verbs!r}")
        return frozenset()
    if unknown := sorted(verbs - frozenset(ACTION_TYPES)):
        failures.append(
            f"verbs() returned unknown verbs: {', '.join(map(str, unknown))}; there are {', '.join(ACTION_TYPES)}"
        )
    if control := sorted(verbs & CONTROL_ACTIONS):
        failures.append(f"verbs() returned control actions, which no surface performs: {', '.join(control)}")
    if surface.verbs() != verbs:
        failures.append("verbs() must return the same verbs at each call")
    return verbs & frozenset(ACTION_TYPES) - CONTROL_ACTIONS


def _check_rejections(surface: Surface, failures: list[str], limit_s: float) -> None:
    """Check that unsupported verbs raise: silence would look like success."""
    verbs = surface.verbs() if isinstance(surface.verbs(), frozenset) else frozenset()
    samples = [make_action("done"), make_action("ask", question="?"), make_action("answer", text="x")]
    samples += [
        make_action(verb, **sample_fields(verb, 9, 9))
        for verb in sorted(frozenset(ACTION_TYPES) - CONTROL_ACTIONS - verbs)
    ]
    for action in samples:
        expected = f"perform({action.verb}) is unsupported and must raise InvalidActionError"
        try:
            _call_with_limit(f"perform({action.verb})", partial(surface.perform, action), limit_s)
        except InvalidActionError:
            continue
        except _TimeoutError:
            raise
        except Exception as error:
            failures.append(f"{expected}, not {_message(error)}")
        else:
            failures.append(f"{expected}; it returned")


def _check_final_size(surface: Surface, screen: Screen, failures: list[str], limit_s: float) -> None:
    last = _call("capture() at the end", surface.capture, failures, limit_s)
    if isinstance(last, Screen) and last.pixels.shape != screen.pixels.shape:
        failures.append(
            f"the screen must keep its size; it went from {_size(screen)} to {_size(last)} after some actions"
        )


def _check_close(surface: Surface, failures: list[str], limit_s: float) -> None:
    for call in ("close()", "close() a second time"):
        _call(call, surface.close, failures, limit_s)
    try:
        _call_with_limit("capture() after close()", surface.capture, limit_s)
    except SurfaceError:
        return
    except _TimeoutError:
        raise
    except Exception as error:
        failures.append(f"capture() after close() must raise SurfaceError, not {_message(error)}")
    else:
        failures.append("capture() after close() must raise SurfaceError; it returned a Screen")


def _call(description: str, function: Callable[[], T], failures: list[str], limit_s: float) -> T | object:
    """Return the function's value, or report its failure and return FAILED."""
    try:
        return _call_with_limit(description, function, limit_s)
    except _TimeoutError:
        raise
    except Error as error:
        failures.append(f"{description} failed: {_message(error)}")
    except Exception as error:
        failures.append(f"{description} must raise SurfaceError or InvalidActionError, not {_message(error)}")
    return FAILED


def _call_with_limit(description: str, function: Callable[[], T], limit_s: float) -> T:
    """Call in a thread of its own, since the call may hang: a surface may be called from any one thread at a time."""
    values: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            values.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="check_surface")
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise _TimeoutError(f"{description} must end or raise SurfaceError; it did not return within {limit_s:g} s")
    if errors:
        raise errors[0]
    return values[0]


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _is_writable(pixels: object) -> bool:
    """Return whether the array, or one that it is a view of, can be written to."""
    while isinstance(pixels, np.ndarray):
        if pixels.flags.writeable:
            return True
        pixels = pixels.base
    return False


def _size(screen: Screen) -> str:
    return f"{screen.width}x{screen.height}"
