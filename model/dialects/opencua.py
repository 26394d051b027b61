"""OpenCUA's dialect: a thought, an action in words, and pyautogui code; in pixels of the resized picture.

The code is read, never run: it must be a list of calls from a closed list, with literal arguments. Sources: OpenCUA's
model/README.md and AgentNetBench agent (prompt layout, history, computer.triple_click and computer.terminate), and
pyautogui's own signatures for what an argument without a name is. The sentences are our own. This is the 7B, 32B and
72B on Qwen2.5-VL, in the authors' L2 form; OpenCUA-A3B and OpenCUA-Qwen2-7B answer in shares, 0 to 1, and
are not here.
Not here: dragRel, moveRel, mouseDown, mouseUp and whatever else pyautogui has.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from actions import Call, InvalidActionError, Screen, Step, make_action
from actions.keys import normalize_key
from model.dialects._base import (
    MOST_ACTIONS,
    BaseDialect,
    chain_calls,
    escape,
    image_part,
    message,
    outcome_text,
    reject_unknown_arguments,
    seconds,
    string_argument,
    text_part,
    unknown_action,
    unsupported_action,
)
from model.dialects._call_parser import quoted
from model.dialects._coordinates import FULLWIDTH_TABLE, CoordinateMapper
from model.dialects._opencua_examples import EXAMPLES as _EXAMPLES
from model.dialects._qwen25_functions import show
from model.dialects.base import Conversation, Example, HistoryStep
from model.processing.image import ImageLimits

__all__ = ["EXAMPLES", "LIMITS", "Dialect"]
EXAMPLES: list[Example] = _EXAMPLES
LIMITS = ImageLimits(3136, 12845056)  # model/README.md

MOST_CODE = 30_000  # characters; a typed text has 10,000 at most
_CLICK = ("x", "y", "clicks", "interval", "button", "duration", "tween")
_ONE = ("x", "y", "interval", "duration", "tween")
_MANY = ("x", "y", "interval", "button", "duration", "tween")
TAKES: dict[str, tuple[str, ...]] = {  # pyautogui's own order of arguments
    "pyautogui.click": _CLICK,
    "pyautogui.doubleClick": _MANY,
    "pyautogui.tripleClick": _MANY,
    "pyautogui.rightClick": _ONE,
    "pyautogui.middleClick": _ONE,
    "pyautogui.moveTo": ("x", "y", "duration", "tween"),
    "pyautogui.dragTo": ("x", "y", "duration", "tween", "button"),
    "pyautogui.scroll": ("clicks", "x", "y"),
    "pyautogui.hscroll": ("clicks", "x", "y"),
    "pyautogui.write": ("message", "interval"),
    "pyautogui.typewrite": ("message", "interval"),
    "pyautogui.press": ("keys", "presses", "interval"),
    "pyautogui.hotkey": (),  # all of its arguments are keys, or keys=[...]
    "pyautogui.keyDown": ("key",),
    "pyautogui.keyUp": ("key",),
    "pyautogui.sleep": ("seconds",),
    "time.sleep": ("seconds",),
    "computer.triple_click": ("x", "y"),
    "computer.terminate": ("status",),
}
SAYS_NOTHING = ("interval", "duration", "tween")  # how fast; our surfaces have a pace of their own
MODIFIERS = ("ctrl", "shift", "alt", "meta")
SYSTEM = """\
You carry out a task on a computer by its screen alone, with pyautogui actions. You are given the task and a \
screenshot of the screen.

For each step, answer in this form:

Thought:
  - What of the task is done, whether the last action did what it should, and if not, how to recover
  - What could be done next, what is best, and what will come of it
  - Before typing: where the text will go, and what will stand there then

Action:
  In plain words, what to do and to what: its name, or else its shape, colour and place; no coordinates. Say how often \
a key is pressed, and what text is expected.

Finally, give the action as PyAutoGUI code or one of these functions:
- {"name": "computer.triple_click", "description": "Click three times at a point", "parameters": {"type": "object", \
"properties": {"x": {"type": "number", "description": "Its x coordinate"}, "y": {"type": "number", "description": \
"Its y coordinate"}}, "required": ["x", "y"]}}
- {"name": "computer.terminate", "description": "End the task and say how it went", "parameters": {"type": "object", \
"properties": {"status": {"type": "string", "enum": ["success", "failure"], "description": "How it went"}}, \
"required": ["status"]}}"""
TASK = (  # the headings are the authors'
    "\n# Task Instruction:\n{instruction}\n\n"
    "Say the next step, from the screenshot, the task and the steps before (if there are any).\n"
)
_FENCE = re.compile(r"```[A-Za-z]*+[ \t]*+\n?(.*?)(?:```|\Z)", re.DOTALL)
_STARTS = re.compile(r"(?:pyautogui|computer)\.[A-Za-z_]|time\.sleep[ \t]*[(（]")
_LINE = re.compile(r"[ \t]*(?:(?:pyautogui|computer)\.[A-Za-z_]|time\.sleep[ \t]*[(（])")
_AROUND = re.compile(r"[ \t]*(?:import\s|from\s|#|\Z)")
_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_HEADING = re.compile(r"^[ \t]*#*[ \t]*(Observation|Thought|Action|Code)[ \t]*[:：]?[ \t]*", re.MULTILINE)


class Dialect(BaseDialect):
    """OpenCUA in its L2 form: thoughts and actions of all steps in the history, code of none."""

    NAME = "opencua"

    def conversation(
        self, goal: str, steps: Sequence[HistoryStep], screen: Screen, verbs: frozenset[str]
    ) -> Conversation:
        goal = escape(goal)
        messages = [message("system", text_part(self.render_prompt(SYSTEM, goal=goal, instruction=goal)))]
        for shown in steps:
            if shown.picture:
                messages.append(message("user", image_part(shown.step.screen)))
            messages.append(message("assistant", text_part(_remembered(shown.step))))
            if outcome_text(shown.step):
                messages.append(message("user", text_part(outcome_text(shown.step))))
        asked = TASK.replace("{instruction}", goal)
        return Conversation((*messages, message("user", image_part(screen), text_part(asked))))

    def parse_call(self, text: str) -> Call:
        code, before = _code(text)
        said = list(_calls(code))
        if not said:
            raise InvalidActionError(
                "the code has no call; end the reply with one such as pyautogui.click(x=100, y=200)"
            )
        return chain_calls(said, before.strip())

    def to_action(self, call: Call, screen: Screen) -> Any:
        """The first action of the code; several calls may be one (moveTo and dragTo)."""
        return self.to_actions(call, screen)[0]

    def merge_calls(
        self, calls: Sequence[tuple[str, Mapping[str, Any]]], frame: CoordinateMapper, thought: str
    ) -> tuple[Any, ...]:
        """Calls belong together: keys are held while others act, and the pointer goes where the next acts."""
        found: list[Any] = []
        held: list[str] = []
        used = True  # whether something was done while keys were held
        for name, arguments in calls:
            given = {key: one for key, one in arguments.items() if key != "then"}
            if name == "pyautogui.keyDown":
                held.append(normalize_key(_key(given)))
                used = False
            elif name == "pyautogui.keyUp":
                key = normalize_key(_key(given))
                if key not in held:
                    raise InvalidActionError(f"keyUp of {key!r}, which is not held; use hotkey or press")
                if not used and held[-1] == key:
                    found.append(make_action("press", keys=tuple(held)))
                    used = True
                held.remove(key)
            else:
                meant = self.to_actions_of(name, given, frame, thought)
                for action in meant if isinstance(meant, tuple) else (meant,):
                    _join(found, action, held)
                    used = True
            if len(found) > MOST_ACTIONS:
                raise InvalidActionError(f"the code asks for more than {MOST_ACTIONS} actions; ask for fewer at a time")
        if held:
            raise InvalidActionError(f"keyDown of {held[-1]!r} without its keyUp in the same code; use hotkey or press")
        if any(getattr(action, "verb", "") == "here" for action in found):
            raise InvalidActionError("a click without x and y has no place; say where")
        if not found:
            raise InvalidActionError(
                "the code does nothing; end the reply with a call such as pyautogui.click(x=100, y=200)"
            )
        return tuple(found)

    def to_actions_of(self, name: str, arguments: Mapping[str, Any], frame: CoordinateMapper, thought: str) -> Any:
        if name not in TAKES:
            raise unknown_action(name, list(TAKES), "call")
        given = {key: one for key, one in arguments.items() if key not in SAYS_NOTHING}
        reject_unknown_arguments(name, given, [*(key for key in TAKES[name] if key not in SAYS_NOTHING), "keys"])
        short = name.rpartition(".")[2]
        if short == "terminate":
            status = string_argument(given, "status").strip().lower()
            return make_action("done", status=status) if status in ("success", "failure") else _refuse("status", status)
        if short == "sleep":
            return make_action("wait", seconds=seconds(given.get("seconds"), "seconds"))
        if short in ("write", "typewrite"):
            return make_action("type", text=string_argument(given, "message"))
        if short == "hotkey":
            return make_action("press", keys=_keys(given)[:9])
        if short == "press":
            times = given.get("presses", 1)
            if type(times) is not int or not 1 <= times <= MOST_ACTIONS:
                raise InvalidActionError(f"'presses' must be 1 to {MOST_ACTIONS}, not {show(times)}")
            return tuple(make_action("press", keys=(key,)) for key in _keys(given)[:MOST_ACTIONS]) * times
        at = None
        if given.get("x") is not None or given.get("y") is not None:
            at = frame.to_screen([given.get("x"), given.get("y")], "x, y")
        if short in ("scroll", "hscroll"):
            amount = given.get("clicks")
            if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 1 <= abs(amount) <= 100:
                raise InvalidActionError(f"'clicks' must be -100 to 100 and not 0, not {show(amount)}")
            where = {} if at is None else {"x": at[0], "y": at[1]}
            return make_action(
                "scroll", **where, **({"down": -round(amount)} if short == "scroll" else {"right": round(amount)})
            )
        if short in ("moveTo", "dragTo"):
            if at is None:
                raise InvalidActionError(f"{name} needs x and y")
            if short == "moveTo":
                return make_action("move", x=at[0], y=at[1])
            if given.get("button", "left") not in ("left", "primary"):
                raise InvalidActionError("only the left button drags here")
            return make_action("drag", path=(at,))
        count = {"doubleClick": 2, "tripleClick": 3, "triple_click": 3}.get(short, given.get("clicks", 1))
        default = {"rightClick": "right", "middleClick": "middle"}.get(short, "left")
        button = {"primary": "left", "secondary": "right"}.get(
            given.get("button", default), given.get("button", default)
        )
        how = {"button": button, "count": count}
        return _Here(how) if at is None else make_action("click", x=at[0], y=at[1], **how)

    def format_action(self, action: Any, screen: Screen) -> str:
        return f"```python\n{self._code(action, screen)}\n```"

    def _code(self, action: Any, screen: Screen) -> str:
        def at(x: int, y: int) -> str:
            said_x, said_y = self.frame(screen).to_model(x, y)
            return f"x={said_x}, y={said_y}"

        verb = action.verb
        if verb == "click":
            names = {1: "pyautogui.click", 2: "pyautogui.doubleClick", 3: "computer.triple_click"}
            sides = {"right": "pyautogui.rightClick", "middle": "pyautogui.middleClick"}
            if action.button == "left" or action.count == 1:
                name = sides.get(action.button, names[action.count])
                down = "".join(f"pyautogui.keyDown({quoted(key)})\n" for key in action.modifiers)
                up = "".join(f"\npyautogui.keyUp({quoted(key)})" for key in reversed(action.modifiers))
                return f"{down}{name}({at(action.x, action.y)}){up}"
        if verb == "move":
            return f"pyautogui.moveTo({at(action.x, action.y)})"
        if verb == "drag" and len(action.path) <= 2 and not action.modifiers:
            move = f"pyautogui.moveTo({at(*action.path[0])})\n" if len(action.path) == 2 else ""
            return f"{move}pyautogui.dragTo({at(*action.path[-1])}, button='left')"
        if verb == "scroll" and bool(action.down) != bool(action.right):
            where = "" if action.x is None else f", {at(action.x, action.y)}"
            name, amount = ("scroll", -action.down) if action.down else ("hscroll", action.right)
            return f"pyautogui.{name}({amount}{where})"
        if verb == "type":
            return f"pyautogui.write(message={quoted(action.text)})"
        if verb == "press" and len(action.keys) == 1:
            return f"pyautogui.press(keys=[{quoted(action.keys[0])}])"
        if verb == "press":
            return f"pyautogui.hotkey(keys=[{', '.join(quoted(key) for key in action.keys)}])"
        if verb == "wait":
            return f"time.sleep({action.seconds})"
        if verb == "done" and not action.message:
            return f"computer.terminate(status='{action.status}')"
        raise unsupported_action(self, action)


class _Here:
    """A click where the pointer is: not yet an action, until a moveTo before it says where."""

    verb = "here"

    def __init__(self, how: Mapping[str, Any]) -> None:
        self.how = how


def _join(found: list[Any], action: Any, held: Sequence[str]) -> None:
    """Add an action to those before it: with the keys that are held, and at the place the pointer was moved to."""
    moved = found[-1] if found and found[-1].verb == "move" else None
    if moved is not None and action.verb == "here":
        found[-1] = action = make_action("click", x=moved.x, y=moved.y, **action.how)
    elif moved is not None and action.verb == "drag":
        found[-1] = action = make_action("drag", path=((moved.x, moved.y), *action.path))
    elif moved is not None and action.verb == "scroll" and action.x is None:
        found[-1] = action = make_action("scroll", x=moved.x, y=moved.y, down=action.down, right=action.right)
    else:
        found.append(action)
    if not held or action.verb == "move":
        return
    if action.verb == "press":
        found[-1] = make_action("press", keys=(*held, *action.keys))
    elif action.verb in ("click", "drag") and set(held) <= set(MODIFIERS):
        found[-1] = action.model_copy(update={"modifiers": tuple(held)})
    else:
        raise InvalidActionError(
            f"{action.verb} while {held[-1]!r} is held cannot be done; leave keyDown and keyUp out"
        )


def _refuse(key: str, value: str) -> Any:
    raise InvalidActionError(f"'{key}' must be success or failure, not {show(value)}")


def _key(given: Mapping[str, Any]) -> str:
    return string_argument(given, "key", "keys")


def _keys(given: Mapping[str, Any]) -> list[str]:
    keys = given.get("keys")
    found = [keys] if isinstance(keys, str) else keys
    if not isinstance(found, (list, tuple)) or not found or not all(isinstance(key, str) for key in found):
        raise InvalidActionError(f"'keys' must be names of keys, not {show(keys)}")
    return list(found)


def _remembered(step: Step) -> str:
    """A step as later ones remember it, in the authors' L2 headings: thought and action, no code."""
    thought = step.call.thought if step.call else step.reply.text
    parts = {"Thought": "", "Action": ""}
    marks = [*_HEADING.finditer(thought)]
    ends = [mark.start() for mark in marks[1:]] + [len(thought)]
    for mark, end in zip(marks, ends, strict=False):
        if mark.group(1) in parts:
            parts[mark.group(1)] = thought[mark.end() : end].strip()
    if not marks:
        parts["Thought"] = thought.strip()
    return escape(f"# Step {step.index}:\n## Thought:\n{parts['Thought']}\n\n## Action:\n{parts['Action']}\n")


def _code(text: str) -> tuple[str, str]:
    """The code in a reply, and what stands before it: a fence with calls, else lines of calls, else one in a line."""
    for fence in _FENCE.finditer(text):
        if _STARTS.search(fence.group(1)):
            return fence.group(1), text[: fence.start()]
    lines, at = [], 0
    first = -1
    for line in text.splitlines(keepends=True):
        if _LINE.match(line):
            first = at if first < 0 else first
            lines.append(line.strip())
        elif first >= 0 and line.strip() and not _AROUND.match(line.strip()):
            break
        at += len(line)
    if lines:
        return "\n".join(lines), text[:first]
    inside = _STARTS.search(text)
    if inside is None:
        raise InvalidActionError("the reply has no code; end it with a call such as pyautogui.click(x=100, y=200)")
    return text[inside.start() :].partition("\n")[0].rstrip("`. "), text[: inside.start()]


def _calls(code: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calls of a piece of code, by its syntax tree; anything but such calls and imports is a BadCall."""
    for statement in _tree(code).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            continue
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, (ast.Attribute, ast.Name)):
            raise InvalidActionError("the code may hold calls such as pyautogui.click(x=100, y=200) only, nothing else")
        name = _dotted(call.func)
        if name not in TAKES:
            raise unknown_action(name, list(TAKES), "call")
        yield name, _arguments(name, call)


def _tree(code: str) -> ast.Module:
    if len(code) > MOST_CODE:
        raise InvalidActionError(f"the code has more than {MOST_CODE} characters; write less at a time")
    wide = _outside_strings(code)
    why = "it is no Python"
    for source in dict.fromkeys((code, wide, wide + ")")):  # as it is, with plain punctuation, with its end put back
        try:
            return ast.parse(source.strip())
        except SyntaxError as error:
            why = error.msg if why == "it is no Python" else why
        except (ValueError, RecursionError, MemoryError):
            break
    raise InvalidActionError(
        f"the code cannot be read ({why[:100]}); write calls such as pyautogui.click(x=100, y=200)"
    )


def _outside_strings(code: str) -> str:
    """The code with plain punctuation for full-width, outside its strings."""
    parts, at = [], 0
    for string in _STRING.finditer(code):
        parts += [code[at : string.start()].translate(FULLWIDTH_TABLE), string.group()]
        at = string.end()
    return "".join([*parts, code[at:].translate(FULLWIDTH_TABLE)])


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "such a call"


def _arguments(name: str, call: ast.Call) -> dict[str, Any]:
    given = [_literal(one) for one in call.args]
    if name == "pyautogui.hotkey" and given:
        keys = given[0] if len(given) == 1 and isinstance(given[0], list) else given
        named: dict[str, Any] = {"keys": keys}
    else:
        if len(given) == 1 and isinstance(given[0], list) and TAKES[name][:2] == ("x", "y"):
            given = given[0]  # pyautogui takes a point in place of x and y
        if len(given) > len(TAKES[name]):
            raise InvalidActionError(f"{name} takes {len(TAKES[name])} arguments, not {len(given)}")
        named = dict(zip(TAKES[name], given, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in named:
            raise InvalidActionError(
                f"{name} is given {'**' if keyword.arg is None else repr(keyword.arg)[:40]} as well"
            )
        named[keyword.arg] = _literal(keyword.value)
    return named


def _literal(node: ast.AST, depth: int = 0) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, bool, type(None))):
        value = node.value
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise InvalidActionError("a number is too large")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise InvalidActionError("a number is too large")
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise InvalidActionError("the code holds half a character (a lone surrogate)") from None
        return value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _literal(node.operand, depth)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, (ast.List, ast.Tuple)) and depth < 2:
        return [_literal(one, depth + 1) for one in node.elts[:MOST_ACTIONS]]
    raise InvalidActionError("an argument is no plain value; write numbers, strings and lists of these only")
