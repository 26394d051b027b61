"""Code of exported runs without a browser: literals, comments, secrets, statements and refusals."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.made_runs import make_screen

from actions import Reply, UsageError, parse_action
from agent.export.check import SCRIPT, check_code
from agent.export.exporter import export_run
from agent.export.locators import candidate_chains, relative_chains
from agent.export.playwright_steps import iso_date
from agent.export.run import ExportError, RecordedTarget, read_exported_run
from agent.export.source import SourceBuilder, comment, error_reason, literal
from agent.trace import TraceWriter, read_trace

BUTTON = {"role": "button", "label": "Go", "field": "", "area": [100, 100, 40, 30], "neighbors": []}
FIELD = {"role": "textbox", "label": "Pass word", "field": "password", "area": [10, 10, 90, 20], "neighbors": []}
CLICK: dict[str, Any] = {"verb": "click", "x": 120, "y": 110}


def write_run(
    folder: Path,
    steps: Sequence[tuple[dict[str, Any], dict[str, Any] | None]],
    *,
    goal: str = "go",
    surface: str = "browser",
    url: str = "https://shop.example/",
    status: str = "success",
    approval: str = "",
    appeared: Sequence[str] = ("Welcome",),
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write the trace of a run with these actions, each with its target."""
    folder.mkdir(parents=True)
    manifest = {"goal": goal, "surface": surface, "url": url, "seed": None, "policy": {}, "settings": {}}
    writer = TraceWriter(folder, {**manifest, **(extra or {})})
    writer.write("start", goal=goal, seed=None, max_steps=9, screen=make_screen(0), note="")
    for number, (fields, target) in enumerate(steps, 1):
        action = parse_action(fields)
        writer.write("reply", step=number, screen=make_screen(number), reply=Reply("a reply"))
        writer.write("act.intent", step=number, call=None, action=action, targets=[target] if target else [])
        if approval:
            writer.write("approval", action=action, answer=approval)
        facts: dict[str, Any] = {"note": "", "reward": 0.0, "seconds": 0.1, "verdict": None, "timings_s": {}}
        facts |= {"appeared": list(appeared), "screen": make_screen(number + 1)}
        writer.write("act.result", step=number, call=None, action=action, error="", **facts)
    facts = {"cause": "own word", "message": "", "reward": None, "steps": len(steps)}
    writer.write("end", status=status, screen=make_screen(len(steps) + 1), **facts)
    writer.close()
    return folder


def export(folder: Path, target: Any = "playwright") -> str:
    return export_run(read_trace(folder), target, checks=False)


@pytest.mark.parametrize(
    "text", ['say "hi"', "back\\slash", "line\nbreak\t", "\x1b[31m", "\ud83d", "ümläut", "'''", "\u2028", "{x}", "😀"]
)
def test_literal_evaluates_to_its_text(text: str) -> None:
    source = literal(text)
    assert ast.literal_eval(source) == text
    assert len(source.splitlines()) == 1


@pytest.mark.parametrize("text", ["a\nimport os", "a\rimport os", "\x1b]0;x\x07", "\u2028import os", '"""'])
def test_untrusted_text_stays_within_its_comment(text: str) -> None:
    line = comment(text)
    assert len(line.splitlines()) == 1
    assert ast.parse(line).body == []
    assert "\x1b" not in line


def test_goal_cannot_become_code(tmp_path: Path) -> None:
    goal = 'x"""\nraise SystemExit\n# coding: utf-7'
    target = {**BUTTON, "label": 'Go")\nraise SystemExit("'}
    code = export(write_run(tmp_path / "run", [(CLICK, target)], goal=goal))
    tree = ast.parse(code)
    assert not any(isinstance(node, ast.Raise) for node in ast.walk(tree))
    assert "coding" not in "".join(code.splitlines()[:2])


def test_button_is_located_by_role_and_name(tmp_path: Path) -> None:
    code = export(write_run(tmp_path / "run", [(CLICK, BUTTON)]))
    assert 'page.get_by_role("button", name="Go", exact=True).click()' in code
    assert 'expect(page.get_by_text("Welcome", exact=True).first).to_be_visible()' in code
    assert "NOT CHECKED" in code


def test_unknown_target_is_a_commented_position(tmp_path: Path) -> None:
    code = export(write_run(tmp_path / "run", [(CLICK, None)]))
    (line,) = [line for line in code.splitlines() if "page.mouse.click" in line]
    assert "(120.5, 110.5)" in line
    assert "# a position" in line


def test_secret_is_read_from_environment(tmp_path: Path) -> None:
    steps = [({**CLICK, "x": 20, "y": 15}, FIELD), ({"verb": "type", "text": "•••"}, None)]
    code = export(write_run(tmp_path / "run", steps))
    assert "fill(" not in code
    assert 'page.keyboard.type(os.environ["PASS_WORD"])' in code


def test_stored_secret_is_read_by_its_name(tmp_path: Path) -> None:
    steps = [({"verb": "type", "text": "me:{{bank-pin}}!"}, None)]
    code = export(write_run(tmp_path / "run", steps))
    assert '"me:" + os.environ["bank_pin"] + "!"' in code


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"verb": "click", "x": 3, "y": 4, "count": 2}, "pyautogui.click(3, 4, clicks=2, interval=0.1)"),
        ({"verb": "click", "x": 3, "y": 4, "button": "right"}, 'pyautogui.click(3, 4, button="right")'),
        ({"verb": "press", "keys": ["ctrl", "A"]}, 'pyautogui.hotkey("ctrl", "a")'),
        ({"verb": "scroll", "x": 5, "y": 6, "down": 3}, "pyautogui.scroll(-3)"),
        ({"verb": "drag", "path": [[1, 2], [3, 4]]}, "pyautogui.moveTo(3, 4, duration=0.3)"),
        ({"verb": "drag", "path": [[7, 8]]}, "pyautogui.moveTo(7, 8, duration=0.3)"),
        ({"verb": "type", "text": "hello"}, 'pyautogui.write("hello", interval=0.02)'),
    ],
)
def test_desktop_action_is_a_call(tmp_path: Path, fields: dict[str, Any], line: str) -> None:
    folder = write_run(tmp_path / "run", [(fields, None)], surface="desktop:virtual", url="")
    assert line in export(folder, "pyautogui").splitlines()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (CLICK, 'adb("input", "tap", "120", "110")'),
        ({"verb": "back"}, 'adb("input", "keyevent", "KEYCODE_BACK")'),
        ({"verb": "long_press", "x": 3, "y": 4}, 'adb("input", "swipe", "3", "4", "3", "4", "1000")'),
        ({"verb": "type", "text": "$(reboot)"}, 'adb("input", "text", "$(reboot)")'),
        ({"verb": "press", "keys": ["ctrl", "c"]}, 'adb("input", "keycombination", "KEYCODE_CTRL_LEFT", "KEYCODE_C")'),
    ],
)
def test_phone_action_is_a_command(tmp_path: Path, fields: dict[str, Any], line: str) -> None:
    folder = write_run(tmp_path / "run", [(fields, None)], surface="android:x", url="")
    assert line in export(folder, "adb").splitlines()


@pytest.mark.parametrize(
    ("target", "surface", "fields", "message"),
    [
        ("adb", "browser", CLICK, "--to playwright or --to pytest"),
        ("playwright", "desktop", CLICK, "--to pyautogui"),
        ("pyautogui", "desktop", {"verb": "type", "text": "ü"}, "ASCII"),
        ("adb", "android", {"verb": "type", "text": "ü"}, "ASCII"),
        ("adb", "android", {"verb": "open", "target": "Notes"}, "by its name"),
    ],
)
def test_run_that_does_not_fit_is_refused(
    tmp_path: Path, target: str, surface: str, fields: dict[str, Any], message: str
) -> None:
    folder = write_run(tmp_path / "run", [(fields, None)], surface=surface)
    with pytest.raises(UsageError, match=message):
        export(folder, target)


@pytest.mark.parametrize("target", ["pyautogui", "adb"])
def test_practice_page_needs_the_browser(tmp_path: Path, target: str) -> None:
    surface = "desktop:virtual" if target == "pyautogui" else "android:x"
    folder = write_run(tmp_path / "run", [(CLICK, None)], surface=surface, url="miniwob:click-test")
    with pytest.raises(UsageError, match="seed"):
        export(folder, target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "failure"}, "only a run that succeeded"),
        ({"extra": {"resumes": {"run": "x"}}}, "no beginning"),
    ],
)
def test_run_without_whole_success_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_exported_run(read_trace(write_run(tmp_path / "run", [(CLICK, BUTTON)], **changes)))


def test_approved_run_is_not_repeated_unasked(tmp_path: Path) -> None:
    trace = read_trace(write_run(tmp_path / "run", [(CLICK, BUTTON)], approval="approved"))
    with pytest.raises(UsageError, match="--repeat-approved"):
        export_run(trace, "playwright", checks=True)


def test_missing_secret_is_named_before_the_check(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [({"verb": "type", "text": "•••"}, None)])
    with pytest.raises(UsageError, match="SECRET_1"):
        export_run(read_trace(folder), "playwright", checks=True)


def test_own_desktop_is_not_checked(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [(CLICK, None)], surface="desktop", url="")
    with pytest.raises(UsageError, match="your own screen"):
        export_run(read_trace(folder), "pyautogui", checks=True)


def test_failing_code_names_its_step() -> None:
    source = SourceBuilder()
    source.add("import sys", "", "")
    source.add_step("1: greet", ["print('hello')"], indent="")
    source.add_step("2: divide", ["x = 1", "x / 0"], indent="")
    source.add_step("3: never", ["sys.exit(0)"], indent="")
    with pytest.raises(ExportError, match="step 2: divide: ZeroDivisionError"):
        check_code(source, "export.py", SCRIPT, (), {})


def test_code_cannot_import_this_package() -> None:
    source = SourceBuilder()
    source.add_step("1: import", ["import actions"], indent="")
    with pytest.raises(ExportError, match="actions"):
        check_code(source, "export.py", SCRIPT, (), {})


def test_code_gets_only_named_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMED", "a")
    monkeypatch.setenv("OTHER", "b")
    source = SourceBuilder()
    source.add_step(
        "1: read", ["import os", 'assert os.environ["NAMED"] == "a"', 'assert "OTHER" not in os.environ'], indent=""
    )
    check_code(source, "export.py", SCRIPT, ("NAMED",), {})


def test_code_that_passes_once_only_fails(tmp_path: Path) -> None:
    source = SourceBuilder()
    path = literal(str(tmp_path / "once"))
    source.add_step("1: once", [f"open({path}, 'x').close()"], indent="")
    with pytest.raises(ExportError, match="run 2 of 2"):
        check_code(source, "export.py", SCRIPT, (), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("03/12/2014", "2014-03-12"), ("2014-03-12", "2014-03-12"), ("10:30", "10:30"), ("13/45/2014", ""), ("soon", "")],
)
def test_typed_date_has_the_form_of_its_field(text: str, expected: str) -> None:
    assert iso_date(text) == expected


def test_candidates_of_a_field_begin_with_its_label() -> None:
    target = RecordedTarget("textbox", "Name", "text", ("Your data",), (0, 0, 9, 9))
    methods = [chain[0].method for chain in candidate_chains(target)]
    assert methods == ["get_by_role", "get_by_label", "get_by_placeholder", "locator"]
    assert next(relative_chains(target))[0].arguments == ("Your data",)


def test_reason_has_the_obstacle_of_the_call_log() -> None:
    text = "Locator.click: Timeout 10000ms exceeded.\nCall log:\n  - <div> intercepts pointer events\n  - retrying"
    assert error_reason(text) == "Locator.click: Timeout 10000ms exceeded.; <div> intercepts pointer events"
