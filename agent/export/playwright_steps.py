"""Statements of Playwright for the actions of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from actions import (
    Action,
    Back,
    Click,
    Drag,
    Home,
    LongPress,
    Move,
    Open,
    PressKeys,
    Scroll,
    TypeText,
    UsageError,
    Wait,
)
from actions.keys import to_platform_key
from agent.export.locators import TargetLocator
from agent.export.run import ExportedAction, ExportedRun
from agent.export.source import literal
from agent.ui.formatting import describe_action
from envs.chromium.address import model_address
from envs.chromium.input import DRAG_STEPS, NOTCH_PX, check_keys

FindLocator = Callable[[ExportedAction, int], TargetLocator | None]  # (action, index of the point)
POSITION_WAIT_MS = 500  # before a position, which Playwright does not wait for
POSITION_COMMENT = "  # a position: no role, label or text identifies this place"
PLACED_ROLES = frozenset({"slider", "img"})  # where it matters which part of the element is clicked
HTML_DATE = re.compile(r"\d{4}-\d\d(-\d\d(T\d\d:\d\d)?)?|\d{4}-W\d\d|\d\d:\d\d")


@dataclass(frozen=True)
class CodeStep:
    """Statements that repeat one or several actions.

    Args:
        label: The steps of the run and what they do, in words.
        lines: The statements.
        count: How many actions they repeat.
        has_position: Whether a statement names a position in place of an element.
    """

    label: str
    lines: tuple[str, ...]
    count: int = 1
    has_position: bool = False


def step_at(run: ExportedRun, index: int, find: FindLocator) -> CodeStep:
    """Return the statements for the action at an index, and for those after it that belong to it.

    Args:
        run: The run.
        index: The action's index.
        find: Returns the locator of a point, None for a position.

    Raises:
        UsageError: Playwright has no statement for the action.
    """
    item = run.actions[index]
    following = run.actions[index + 1] if index + 1 < len(run.actions) else None
    if isinstance(item.action, Click) and following is not None:
        locator = find(item, 0)
        lines = _field_lines(item, following, locator)
        if lines is not None:
            return CodeStep(f"{_label(item)}; {_label(following)}", tuple(lines), 2)
        return _single(run, item, lambda *_: locator, index)
    return _single(run, item, find, index)


def _single(run: ExportedRun, item: ExportedAction, find: FindLocator, index: int) -> CodeStep:
    locators = [find(item, number) for number in range(len(item.action.points()))]
    has_position = any(locator is None for locator in locators)
    lines = list(_lines(run, item, locators))
    if has_position and index > 0:
        lines.insert(0, f"page.wait_for_timeout({POSITION_WAIT_MS})  # ms: a position is not waited for")
    return CodeStep(_label(item), tuple(lines), 1, has_position)


def _label(item: ExportedAction) -> str:
    target = next((target for target in item.targets if target is not None), None)
    words = describe_action(item.action)
    if target is not None and isinstance(item.action, Click | LongPress | Move):
        words = f"{item.action.verb.replace('_', ' ')} {target.describe()}"
    return f"{item.number}: {words}"


def _field_lines(item: ExportedAction, following: ExportedAction, locator: TargetLocator | None) -> list[str] | None:
    """Return the statement for a click on a field and what is put into it, None where they are separate."""
    action, after = item.action, following.action
    if not isinstance(action, Click) or action != Click(x=action.x, y=action.y) or locator is None:
        return None
    target = item.targets[0]
    chosen = following.targets[0] if following.targets else None
    if isinstance(after, Click) and locator.tag == "SELECT" and chosen is not None and chosen.label in locator.options:
        return [f"{locator.code()}.select_option(label={literal(chosen.label)})"]
    if not isinstance(after, TypeText) or not locator.is_empty or re.search(r"[\n\t]", after.text):
        return None
    if target is not None and target.field == "date":
        value = iso_date(after.text)
        return [f"{locator.code()}.fill({literal(value)})"] if value and not following.secrets else None
    method = "press_sequentially" if following.appeared else "fill"  # a list of suggestions needs key strokes
    return [f"{locator.code()}.{method}({typed_expression(following)})"]


def iso_date(text: str) -> str:
    """Return a typed date or time in the form of HTML's fields, "" if it has none that is known."""
    if HTML_DATE.fullmatch(text):
        return text
    for form in ("%m/%d/%Y", "%m%d%Y"):
        with suppress(ValueError):
            return datetime.strptime(text, form).strftime("%Y-%m-%d")
    return ""


def typed_expression(item: ExportedAction) -> str:
    """Return the typed text as an expression, with secrets from the environment."""
    parts = [literal(item.texts[0])] if item.texts[0] or not item.secrets else []
    for name, text in zip(item.secrets, item.texts[1:], strict=True):
        parts.append(f"os.environ[{literal(name)}]")
        parts += [literal(text)] if text else []
    return " + ".join(parts)


def _lines(run: ExportedRun, item: ExportedAction, locators: Sequence[TargetLocator | None]) -> Iterator[str]:
    action: Action = item.action
    match action:
        case Click() | Move() | LongPress():
            yield _pointer_line(run, item, locators[0])
        case Drag(path=path):
            yield from _drag_lines(run, action, locators) if len(path) > 1 else _short_drag_lines(run, action)
        case Scroll(down=down, right=right):
            yield from (
                f"page.mouse.move({_position(run, point.x, point.y)}){POSITION_COMMENT}" for point in action.points()
            )
            yield f"page.mouse.wheel({right * NOTCH_PX}, {down * NOTCH_PX})"
        case TypeText():
            yield from _type_lines(item)
        case PressKeys():
            yield f"page.keyboard.press({literal('+'.join(check_keys(action)))})"
        case Open(target=target):
            yield f"page.goto({literal(model_address(target))})"
        case Home():
            yield "open_start(page)"
        case Back():
            yield "page.go_back()"
        case Wait(seconds=seconds):
            yield f"page.wait_for_timeout({round(1000 * seconds)})  # ms, as recorded"
        case _:
            raise UsageError(f"step {item.number} is '{action.verb}', which Playwright has no statement for")


def _pointer_line(run: ExportedRun, item: ExportedAction, locator: TargetLocator | None) -> str:
    action = item.action
    assert isinstance(action, Click | Move | LongPress)
    options = []
    if isinstance(action, Click) and action.button != "left":
        options.append(f"button={literal(action.button)}")
    if isinstance(action, LongPress):
        options.append(f"delay={round(1000 * action.seconds)}")
    count = action.count if isinstance(action, Click) else 1
    if locator is None:
        place = _position(run, action.x, action.y)
        if isinstance(action, Move):
            return f"page.mouse.move({place}){POSITION_COMMENT}"
        options += [f"click_count={count}"] if count > 1 else []
        if isinstance(action, Click) and action.modifiers:
            raise UsageError(f"step {item.number} holds keys during a click on a place that no locator identifies")
        return f"page.mouse.click({', '.join([place, *options])}){POSITION_COMMENT}"
    target = item.targets[0]
    is_placed = target is not None and (target.role in PLACED_ROLES or target.field == "date")
    if target is not None and target.area is not None and (is_placed or locator.tag == "CANVAS"):
        across, down = ((action.x + 0.5 - target.area[0]) / run.scale, (action.y + 0.5 - target.area[1]) / run.scale)
        options.append(f'position={{"x": {across:.1f}, "y": {down:.1f}}}')
    if isinstance(action, Click) and action.modifiers:
        names = ", ".join(literal(to_platform_key(key, "playwright")) for key in action.modifiers)
        options.append(f"modifiers=[{names}]")
    if isinstance(action, Move):
        return f"{locator.code()}.hover({', '.join(options)})"
    options += ["click_count=3"] if count == 3 else []
    return f"{locator.code()}.{'dblclick' if count == 2 else 'click'}({', '.join(options)})"


def _drag_lines(run: ExportedRun, action: Drag, locators: Sequence[TargetLocator | None]) -> Iterator[str]:
    first, last = locators[0], locators[-1]
    if len(action.path) == 2 and first is not None and last is not None and not action.modifiers:
        yield f"{first.code()}.drag_to({last.code()})"
        return
    yield from (f'page.keyboard.down("{to_platform_key(key, "playwright")}")' for key in action.modifiers)
    yield f"page.mouse.move({_position(run, *action.path[0])}){POSITION_COMMENT}"
    yield "page.mouse.down()"
    for point in action.path[1:]:
        yield f"page.mouse.move({_position(run, *point)}, steps={DRAG_STEPS})"
    yield "page.mouse.up()"
    yield from (f'page.keyboard.up("{to_platform_key(key, "playwright")}")' for key in reversed(action.modifiers))


def _short_drag_lines(run: ExportedRun, action: Drag) -> Iterator[str]:
    yield "page.mouse.down()"
    yield f"page.mouse.move({_position(run, *action.path[0])}, steps={DRAG_STEPS}){POSITION_COMMENT}"
    yield "page.mouse.up()"


def _type_lines(item: ExportedAction) -> Iterator[str]:
    if item.secrets:
        yield f"page.keyboard.type({typed_expression(item)})"
        return
    assert isinstance(item.action, TypeText)
    for part in re.findall(r"\n|\t|[^\n\t]+", item.action.text):
        keys = {"\n": 'press("Enter")', "\t": 'press("Tab")'}
        yield f"page.keyboard.{keys.get(part, f'type({literal(part)})')}"


def _position(run: ExportedRun, x: int, y: int) -> str:
    return f"{(x + 0.5) / run.scale:.1f}, {(y + 0.5) / run.scale:.1f}"
