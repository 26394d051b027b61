"""Code for the target `pyautogui`: a script that repeats a run on a desktop by positions."""

from __future__ import annotations

from collections.abc import Iterator

from actions import Action, Click, Drag, LongPress, Move, PressKeys, Scroll, TypeText, UsageError, Wait
from actions.keys import to_platform_key
from agent.export.playwright_steps import typed_expression
from agent.export.run import ExportedAction, ExportedRun
from agent.export.source import SourceBuilder, comment, literal
from agent.ui.formatting import describe_action
from envs.desktop.input import lowercase_chord

PAUSE_S = 0.5  # after each call
KEY_PAUSE_S = 0.02  # between two typed characters
DRAG_S = 0.3  # of each part of a drag


def write_pyautogui(run: ExportedRun, *, checks: bool) -> SourceBuilder:
    """Return a run as a script of pyautogui.

    Args:
        run: The run.
        checks: Whether the code is run before it is written, for its head.

    Raises:
        UsageError: pyautogui cannot repeat an action.
    """
    source = SourceBuilder()
    proof = "it passed twice when it was exported" if checks else "NOT CHECKED: it was exported with --no-check"
    source.add(f'"""A script made of a recorded run on a desktop; {proof}."""', comment(f"Run: {run.name}"))
    source.add(comment(f"Goal: {run.goal}", 300))
    started = f" with this program alone: {run.program}" if run.program else ""
    source.add(comment(f"Start it on a screen of {run.size[0]} x {run.size[1]} pixels{started}", 300))
    source.add("# Needs: pip install pyautogui. Targets are positions: nothing on a desktop names what was there.")
    source.add(*(f"# Secrets come from the environment: {', '.join(run.variables)}." for _ in run.variables[:1]), "")
    needs_time = any(isinstance(item.action, Wait | LongPress) for item in run.actions)
    source.add(*(["import os"] if run.variables else []), *(["import time"] if needs_time else []))
    source.add(*([""] if run.variables or needs_time else []), "import pyautogui", "")
    source.add(f"pyautogui.PAUSE = {PAUSE_S}  # seconds after each call", "")
    for item in run.actions:
        source.add_step(f"{item.number}: {describe_action(item.action)}", _lines(item), indent="")
    return source


def _lines(item: ExportedAction) -> Iterator[str]:
    action: Action = item.action
    match action:
        case Click(x=x, y=y, button=button, count=count, modifiers=modifiers):
            options = [f"clicks={count}", "interval=0.1"] if count > 1 else []
            options += [f"button={literal(button)}"] if button != "left" else []
            yield from (f"pyautogui.keyDown({_key(key)})" for key in modifiers)
            yield f"pyautogui.click({', '.join([str(x), str(y), *options])})"
            yield from (f"pyautogui.keyUp({_key(key)})" for key in reversed(modifiers))
        case Move(x=x, y=y):
            yield f"pyautogui.moveTo({x}, {y})"
        case LongPress(x=x, y=y, seconds=seconds):
            yield from (f"pyautogui.moveTo({x}, {y})", "pyautogui.mouseDown()", f"time.sleep({seconds})")
            yield "pyautogui.mouseUp()"
        case Drag(path=path, modifiers=modifiers):
            yield from (f"pyautogui.keyDown({_key(key)})" for key in modifiers)
            if len(path) > 1:
                yield f"pyautogui.moveTo({path[0].x}, {path[0].y})"
            yield "pyautogui.mouseDown()"
            yield from (
                f"pyautogui.moveTo({point.x}, {point.y}, duration={DRAG_S})" for point in path[min(1, len(path) - 1) :]
            )
            yield "pyautogui.mouseUp()"
            yield from (f"pyautogui.keyUp({_key(key)})" for key in reversed(modifiers))
        case Scroll(x=x, y=y, down=down, right=right):
            yield from [] if x is None else [f"pyautogui.moveTo({x}, {y})"]
            yield from [f"pyautogui.scroll({-down})"] if down else []
            yield from [f"pyautogui.hscroll({right})"] if right else []
        case TypeText(text=text):
            if not item.secrets and any(not (" " <= character <= "~" or character in "\n\t") for character in text):
                raise UsageError(
                    f"step {item.number} types characters that pyautogui cannot type: it drops all but ASCII"
                )
            yield f"pyautogui.write({typed_expression(item)}, interval={KEY_PAUSE_S})"
        case PressKeys():
            yield f"pyautogui.hotkey({', '.join(map(_key, lowercase_chord(action)))})"
        case Wait(seconds=seconds):
            yield f"time.sleep({seconds})"
        case _:
            raise UsageError(f"step {item.number} is '{action.verb}', which pyautogui has no call for")


def _key(key: str) -> str:
    return literal(to_platform_key(key, "pyautogui"))
