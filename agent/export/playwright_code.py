"""Code for the targets `playwright` and `pytest`: a script, and a test, that use Playwright alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.export.live_page import TIMEOUT_MS, LivePage, open_live_page
from agent.export.locators import ARIA_ROLES, recorded_locator
from agent.export.playwright_steps import CodeStep, FindLocator, step_at
from agent.export.run import ExportedRun, ExportError
from agent.export.source import SourceBuilder, comment, literal
from agent.export.start_page import start_lines
from agent.verification.expectations import Expectation

MAX_END_TEXTS = 3
CHROME_VARIABLE = "CHROMIUM_PATH"


def write_playwright(run: ExportedRun, *, checks: bool) -> SourceBuilder:
    """Return a run as a script.

    Args:
        run: The run.
        checks: Confirm each locator on a live page, on which the steps are performed; else take the trace's word.

    Raises:
        ExportError: A step failed on the live page, or nothing shows that the code works.
        UsageError: Playwright cannot repeat an action.
    """
    steps, end = _steps(run, checks=checks)
    source = SourceBuilder()
    source.add(*_head(run, "script", checks), "")
    source.add(*_imports(run, ["from playwright.sync_api import Page, expect, sync_playwright"], end), "", "")
    source.add(*start_lines(run), "", "")
    source.add("def do_steps(page: Page) -> None:", '    """Do what the run did."""')
    _add_steps(source, steps)
    source.add("", "", "def check_end(page: Page) -> None:", '    """Check that the run ends as it did."""')
    source.add_step("the end", end, has_comment=False)
    source.add("", "", "def main() -> None:", "    with sync_playwright() as playwright:")
    source.add(*(f"        {line}" for line in _open_browser(run)))
    source.add(
        "        open_start(page)", "        do_steps(page)", "        check_end(page)", "        browser.close()"
    )
    source.add("", "", 'if __name__ == "__main__":', "    main()")
    return source


def write_pytest(run: ExportedRun, *, checks: bool) -> SourceBuilder:
    """Return a run as a test of pytest; see `write_playwright`.

    It brings its own fixture `page` and needs no plugin; delete the fixture to use that of pytest-playwright.
    """
    steps, end = _steps(run, checks=checks)
    source = SourceBuilder()
    source.add(*_head(run, "test", checks), "")
    packages = ["import pytest", "from playwright.sync_api import Page, expect, sync_playwright"]
    source.add(*_imports(run, packages, end, is_test=True), "", "")
    source.add("@pytest.fixture", "def page() -> Iterator[Page]:")
    source.add("    with sync_playwright() as playwright:")
    source.add(*(f"        {line}" for line in _open_browser(run)), "        yield page", "        browser.close()")
    source.add("", "", *start_lines(run), "", "")
    source.add(f"def test_{_slug(run)}(page: Page) -> None:", "    open_start(page)")
    _add_steps(source, steps)
    source.add_step("the end", end)
    return source


def _add_steps(source: SourceBuilder, steps: list[CodeStep]) -> None:
    for step in steps:
        source.add_step(step.label, step.lines)


def _slug(run: ExportedRun) -> str:
    words = re.findall(r"[a-z0-9]+", (run.task or run.goal).lower())[:8]
    return "_".join(words)[:60] or "run"


def _head(run: ExportedRun, kind: str, checks: bool) -> list[str]:
    proof = "it passed twice when it was exported" if checks else "NOT CHECKED: it was exported with --no-check"
    packages = "playwright" + (" pytest" if kind == "test" else "") + (" miniwob" if run.task else "")
    needs = f"# Needs: pip install {packages}; playwright install chromium, or {CHROME_VARIABLE}=/path/of/chromium."
    lines = [f'"""A {kind} made of a recorded run; {proof}."""', comment(f"Run: {run.name}")]
    lines += [comment(f"Goal: {run.goal}", 300), needs]
    return lines + [f"# Secrets come from the environment: {', '.join(run.variables)}." for _ in run.variables[:1]]


def _imports(run: ExportedRun, packages: list[str], end: list[str], *, is_test: bool = False) -> list[str]:
    uses_re = any("re.compile(" in line for line in end)
    modules = ["import os", *(["import re"] if uses_re else [])]
    modules += ["from collections.abc import Iterator"] if is_test else []
    modules += ["from importlib.util import find_spec", "from pathlib import Path"] if run.task else []
    if not any("expect(" in line for line in end):
        packages = [line.replace(" expect,", "") for line in packages]
    return [*modules, "", *packages]


def _open_browser(run: ExportedRun) -> list[str]:
    width, height = run.page_size
    scale = f", device_scale_factor={run.scale}" if run.scale != 1 else ""
    return [
        f"browser = playwright.chromium.launch(executable_path=os.environ.get({literal(CHROME_VARIABLE)}))",
        f'page = browser.new_page(viewport={{"width": {width}, "height": {height}}}{scale})',
        f"page.set_default_timeout({TIMEOUT_MS})",
    ]


def _steps(run: ExportedRun, *, checks: bool) -> tuple[list[CodeStep], list[str]]:
    """Return the steps, and the statements that check the end."""
    if not checks:
        steps = list(_collect(run, lambda item, point: recorded_locator(item.targets[point]), None))
        return steps, _end_lines(run, run.appeared[:MAX_END_TEXTS]) or ["pass  # the run shows no end to check"]
    with open_live_page(run) as live:
        steps = list(_collect(run, live.find, live))
        end = _end_lines(run, live.visible_texts(run.appeared)[:MAX_END_TEXTS])
    if not end:
        raise ExportError(
            f"the run {run.name} shows no end that code can check: it has no reward, no --expect of a page, and its "
            "last action brought no text that is there again; record it with --expect"
        )
    return steps, end


def _collect(run: ExportedRun, find: FindLocator, live: LivePage | None) -> Iterator[CodeStep]:
    """Yield the steps of a run; where there is a page, each is performed on it before the next one is made."""
    index = 0
    while index < len(run.actions):
        step = step_at(run, index, find)
        if live is not None:
            live.perform(step)
        yield step
        index += step.count


def _end_lines(run: ExportedRun, texts: Sequence[str]) -> list[str]:
    """Return the statements that check how the run ended; texts count where nothing else does."""
    if run.reward is not None:
        return [
            'page.wait_for_function("WOB_DONE_GLOBAL")',
            'assert page.evaluate("WOB_RAW_REWARD_GLOBAL") >= 1 - 1e-9, "the page gave no full reward"',
        ]
    lines = [line for item in run.expectations if (line := _expectation_line(item))]
    if not lines:
        lines = [f"expect(page.get_by_text({literal(text)}, exact=True).first).to_be_visible()" for text in texts]
    unchecked = [item for item in run.expectations if not _expectation_line(item)]
    return [*lines, *(comment(f"not checked: {item.source}") for item in unchecked)] if lines else []


def _expectation_line(item: Expectation) -> str:
    """Return the statement that checks an expectation, "" for what a page does not tell."""
    value = literal(item.value)
    match item.kind:
        case "text":
            return f'expect(page.locator("body")).to_contain_text({value}, ignore_case=True)'
        case "no-text":
            return f'expect(page.locator("body")).not_to_contain_text({value}, ignore_case=True)'
        case "url" | "title":
            wildcards = {"*": ".*", "?": "."}
            pattern = "".join(wildcards.get(character, re.escape(character)) for character in item.value)
            is_pattern = any(character in item.value for character in wildcards)
            expected = f"re.compile({literal(f'^{pattern}$')})" if is_pattern else value
            return f"expect(page).to_have_{item.kind}({expected})"
        case "element" if item.qualifier in ARIA_ROLES:
            return f"expect(page.get_by_role({literal(item.qualifier)}, name={value}).first).to_be_visible()"
        case "element":
            return f"expect(page.get_by_text({value}).first).to_be_visible()"
    return ""
