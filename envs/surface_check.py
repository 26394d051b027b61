"""The contract of a surface as a program, for our own surfaces and for third parties'. Knows no machine.

    failures = check_surface(surface)    # [] when it keeps the contract; else one sentence each

It acts on the machine (the pointer in the middle, Escape, short waits), so give it one with nothing to lose.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from actions import ACTION_TYPES, CONTROL_ACTIONS, Error, InvalidActionError, Screen, SurfaceError, make_action

LIMIT_S = 30.0  # for one call: beyond it a loop would stand still
CLOCK_S = 60.0  # between a screen's own time and ours


FAILED = object()  # in place of a value: the call failed, and its sentence is written


class _TimeoutError(Exception):
    pass


def check_surface(surface: Any, *, act: bool = True, limit_s: float = LIMIT_S) -> list[str]:
    """Every way in which the surface breaks its contract; it is closed at the end.

    act: also perform one harmless action per verb. limit_s: how long any call may take.
    """
    failures: list[str] = []
    try:
        if _shape(surface, failures):
            screen = _captures(surface, failures, limit_s)
            if screen is not None:
                if act:
                    _acts(surface, screen, failures, limit_s)
                _refusals(surface, failures, limit_s)
                _still_sized(surface, screen, failures, limit_s)
            _closes(surface, failures, limit_s)
    except _TimeoutError as error:
        failures.append(str(error))  # its thread is stuck in the surface: nothing more can be asked of it
    return failures


def sample_fields(verb: str, width: int, height: int) -> dict[str, Any]:
    """Fields of an action of this verb that changes little on most screens."""
    x, y = width // 2, height // 2
    fields: dict[str, dict[str, Any]] = {
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


def _shape(surface: Any, failures: list[str]) -> bool:
    if not isinstance(getattr(surface, "name", None), str) or not surface.name:
        failures.append("name must be a non-empty text, such as 'browser'")
    missing = [name for name in ("capture", "perform", "verbs", "close") if not callable(getattr(surface, name, None))]
    failures.extend(f"{name}() is missing" for name in missing)
    return not missing


def _captures(surface: Any, failures: list[str], limit_s: float) -> Screen | None:
    screens: list[Screen] = []
    for _ in range(2):
        began = time.time()
        screen = _ask("capture()", surface.capture, failures, limit_s)
        if screen is FAILED:
            return None
        if not isinstance(screen, Screen):
            failures.append(f"capture() must return a Screen, not {type(screen).__name__}")
            return None
        if not began - CLOCK_S <= screen.timestamp <= time.time() + CLOCK_S:
            failures.append(f"capture() must say when it was taken in seconds since 1970; it said {screen.timestamp}")
        screens.append(screen)
    first, second = screens
    if first is second or (np.shares_memory(first.pixels, second.pixels) and _writable(second.pixels)):
        failures.append("capture() must return a new picture each time; two calls returned one and the same")
    if first.pixels.shape != second.pixels.shape:
        failures.append(
            f"the screen's size must stay; it went from {_size(first)} to {_size(second)} between two captures"
        )
    return second


def _acts(surface: Any, screen: Screen, failures: list[str], limit_s: float) -> None:
    verbs = _verbs(surface, failures, limit_s)
    # What leaves the page comes last, so that the others act on the one that was given.
    for verb in sorted(verbs, key=lambda name: (name in ("open", "back", "home"), name)):
        action = make_action(verb, **sample_fields(verb, screen.width, screen.height))
        note = _ask(f"perform({verb})", partial(surface.perform, action), failures, limit_s)
        if note is not FAILED and not isinstance(note, str):
            failures.append(f'perform({verb}) must return its note as text, "" for none, not {type(note).__name__}')
        _ask(f"capture() after {verb}", surface.capture, failures, limit_s)


def _verbs(surface: Any, failures: list[str], limit_s: float) -> frozenset[str]:
    verbs = _ask("verbs()", surface.verbs, failures, limit_s)
    if verbs is FAILED:
        return frozenset()
    if not isinstance(verbs, frozenset) or not verbs:
        failures.append(f"verbs() must be a frozenset of at least one verb, not {verbs!r}")
        return frozenset()
    if unknown := sorted(verbs - frozenset(ACTION_TYPES)):
        failures.append(
            f"verbs() names what is no verb: {', '.join(map(str, unknown))}; have {', '.join(ACTION_TYPES)}"
        )
    if foreign := sorted(verbs & CONTROL_ACTIONS):
        failures.append(f"verbs() names what is for the person, not for a machine: {', '.join(foreign)}")
    if surface.verbs() != verbs:
        failures.append("verbs() must not change from call to call")
    return verbs & frozenset(ACTION_TYPES) - CONTROL_ACTIONS


def _refusals(surface: Any, failures: list[str], limit_s: float) -> None:
    """A verb that a surface has not must be refused aloud: doing nothing would look like done."""
    verbs = surface.verbs() if isinstance(surface.verbs(), frozenset) else frozenset()
    samples = [make_action("done"), make_action("ask", question="?"), make_action("answer", text="x")]
    samples += [
        make_action(verb, **sample_fields(verb, 9, 9))
        for verb in sorted(frozenset(ACTION_TYPES) - CONTROL_ACTIONS - verbs)
    ]
    for action in samples:
        try:
            _bounded(f"perform({action.verb})", partial(surface.perform, action), limit_s)
        except InvalidActionError:
            continue
        except _TimeoutError:
            raise
        except Exception as error:
            failures.append(f"perform({action.verb}), which it cannot, must raise BadCall, not {_message(error)}")
        else:
            failures.append(f"perform({action.verb}), which it cannot, must raise BadCall; it returned as if done")


def _still_sized(surface: Any, screen: Screen, failures: list[str], limit_s: float) -> None:
    after = _ask("capture() at the end", surface.capture, failures, limit_s)
    if isinstance(after, Screen) and after.pixels.shape != screen.pixels.shape:
        failures.append(
            f"the screen's size must stay; it went from {_size(screen)} to {_size(after)} after some actions"
        )


def _closes(surface: Any, failures: list[str], limit_s: float) -> None:
    for call in ("close()", "close() a second time"):
        _ask(call, surface.close, failures, limit_s)
    try:
        _bounded("capture() after close()", surface.capture, limit_s)
    except SurfaceError:
        return
    except _TimeoutError:
        raise
    except Exception as error:
        failures.append(f"capture() after close() must raise SurfaceError, not {_message(error)}")
    else:
        failures.append("capture() after close() must raise SurfaceError; it returned a picture of nothing")


def _ask(what: str, call: Callable[[], Any], failures: list[str], limit_s: float) -> Any:
    """The call's value; RAISED, and a sentence, when it failed."""
    try:
        return _bounded(what, call, limit_s)
    except _TimeoutError:
        raise
    except Error as error:
        failures.append(f"{what} failed: {_message(error)}")
    except Exception as error:
        failures.append(f"{what} must fail with SurfaceError or BadCall, not {_message(error)}")
    return FAILED


def _bounded(what: str, call: Callable[[], Any], limit_s: float) -> Any:
    """Run in a thread of its own: a surface may be called from any one thread at a time, and this one may hang."""
    box: dict[str, Any] = {}

    def run() -> None:
        try:
            box["value"] = call()
        except BaseException as error:
            box["error"] = error

    thread = threading.Thread(target=run, daemon=True, name="check_surface")
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise _TimeoutError(f"{what} must end or raise SurfaceError; it did not return within {limit_s:g} s")
    if "error" in box:
        raise box["error"]
    return box["value"]


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _writable(pixels: Any) -> bool:
    """Whether somebody could still write to a picture: to it, or to an array that it is a view of."""
    while isinstance(pixels, np.ndarray):
        if pixels.flags.writeable:
            return True
        pixels = pixels.base
    return False


def _size(screen: Screen) -> str:
    return f"{screen.width}x{screen.height}"
