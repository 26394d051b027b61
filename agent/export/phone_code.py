"""Code for the target `adb`: a script that repeats a run on an Android phone by positions."""

from __future__ import annotations

from collections.abc import Iterator

from actions import Action, Back, Click, Drag, Home, LongPress, Open, PressKeys, Scroll, TypeText, UsageError, Wait
from actions.keys import to_platform_key
from agent.export.run import ExportedAction, ExportedRun
from agent.export.source import SourceBuilder, comment, literal
from agent.ui.formatting import describe_action
from envs.android.gestures import SWIPE_S, scroll_swipes
from envs.android.text_input import needs_keyboard, split_text
from envs.chromium.address import model_address

PAUSE_S = 1.0  # after each command
USUAL_WIDTH_DP = 360  # of a phone; the trace has pixels only
ADB = '''
def adb(*words: str) -> None:
    """Run a command on the phone, with each word quoted for its shell."""
    serial = ["-s", SERIAL] if SERIAL else []
    subprocess.run(["adb", *serial, "shell", shlex.join(words)], check=True)
    time.sleep(PAUSE_S)
'''


def write_adb(run: ExportedRun, *, checks: bool) -> SourceBuilder:
    """Return a run as a Python script that needs adb alone.

    Args:
        run: The run.
        checks: Whether the code is run before it is written, for its head.

    Raises:
        UsageError: adb cannot repeat an action.
    """
    source = SourceBuilder()
    proof = "it passed twice when it was exported" if checks else "NOT CHECKED: it was exported with --no-check"
    source.add(f'"""A script made of a recorded run on a phone; {proof}."""', comment(f"Run: {run.name}"))
    source.add(comment(f"Goal: {run.goal}", 300))
    source.add(
        f"# Needs: adb, and a phone with a screen of {run.size[0]} x {run.size[1]} pixels. Targets are positions."
    )
    source.add(*(f"# Secrets come from the environment: {', '.join(run.variables)}." for _ in run.variables[:1]), "")
    source.add("import os", "import shlex", "import subprocess", "import time", "")
    source.add('SERIAL = os.environ.get("ANDROID_SERIAL", "")  # "" for the only phone')
    source.add(f"PAUSE_S = {PAUSE_S}", "", *ADB.splitlines(), "", "")
    start = ["am", "start", "-a", "android.intent.action.VIEW", "-d", run.url] if run.url else ["input", "keyevent"]
    source.add_step("the start", [_call(*start, *([] if run.url else ["KEYCODE_HOME"]))], indent="")
    for item in run.actions:
        source.add_step(f"{item.number}: {describe_action(item.action)}", _lines(run, item), indent="")
    return source


def _call(*words: str) -> str:
    return f"adb({', '.join(map(literal, words))})"


def _lines(run: ExportedRun, item: ExportedAction) -> Iterator[str]:
    action: Action = item.action
    match action:
        case Click(x=x, y=y, count=count):
            yield from [_call("input", "tap", str(x), str(y))] * count
        case LongPress(x=x, y=y, seconds=seconds):
            yield _call("input", "swipe", *map(str, (x, y, x, y, round(1000 * seconds))))
        case Drag(path=path) if len(path) == 2:
            yield _call("input", "swipe", *map(str, (*path[0], *path[1], round(1000 * SWIPE_S))))
        case Scroll(down=down, right=right):
            point = action.points()[0] if action.points() else (run.size[0] // 2, run.size[1] // 2)
            density = round(160 * min(run.size) / USUAL_WIDTH_DP)
            for command in scroll_swipes((point[0], point[1]), down, right, run.size, density):
                yield _call(*command.words)
        case TypeText():
            yield from _type_lines(item)
        case PressKeys(keys=keys):
            codes = [to_platform_key(key, "android") for key in keys]
            yield _call("input", "keyevent" if len(codes) == 1 else "keycombination", *codes)
        case Open(target=target) if address := _web_address(target):
            yield _call("am", "start", "-a", "android.intent.action.VIEW", "-d", address)
        case Back() | Home():
            yield _call("input", "keyevent", f"KEYCODE_{action.verb.upper()}")
        case Wait(seconds=seconds):
            yield f"time.sleep({seconds})"
        case Open():
            raise UsageError(f"step {item.number} opens an app by its name, which adb has no command for")
        case _:
            raise UsageError(f"step {item.number} is a {action.verb} that adb has no command for")


def _web_address(target: str) -> str:
    return model_address(target) if target.startswith(("http://", "https://")) else ""


def _type_lines(item: ExportedAction) -> Iterator[str]:
    if item.secrets:
        if len(item.secrets) > 1 or any(item.texts):
            raise UsageError(f"step {item.number} types a secret within a text, which is not exported for adb")
        yield f'adb("input", "text", os.environ[{literal(item.secrets[0])}].replace(" ", "%s"))'
        return
    assert isinstance(item.action, TypeText)
    if needs_keyboard(item.action.text):
        raise UsageError(f"step {item.number} types characters that `input text` cannot type: it has ASCII only")
    for chunk in split_text(item.action.text):
        words = ("keyevent", chunk.text) if chunk.kind == "key" else ("text", chunk.text.replace(" ", "%s"))
        yield _call("input", *words)
