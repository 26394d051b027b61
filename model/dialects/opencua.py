"""OpenCUA: a thought, an action in words, and pyautogui code; in pixels of the resized image.

The code is parsed, never run: it must be a list of calls with literal arguments, from a closed list of names. Sources:
OpenCUA's model/README.md and AgentNetBench agent (prompt layout, history, computer.triple_click and
computer.terminate; computer.tripleClick and computer.wait of the released models), and pyautogui's signatures for
positional arguments. This is the 7B, 32B and 72B on Qwen2.5-VL, in the authors' L2 form; OpenCUA-A3B and
OpenCUA-Qwen2-7B answer in shares, 0 to 1, and are not supported; neither are dragRel, moveRel, mouseDown and mouseUp.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from actions import Action, Call, InvalidActionError, Screen, Step, make_action
from actions.keys import normalize_key
from model.dialects.base import Conversation, Detection, Steps, Verbs
from model.dialects.parts.arguments import Arguments, check_seconds, make, unknown_name
from model.dialects.parts.call_parser import quoted
from model.dialects.parts.coordinates import CoordinateMapper, show
from model.dialects.parts.dialect import MAX_ACTIONS, NEXT_CALLS, BaseDialect, chain_calls, check_count, load_prompt
from model.dialects.parts.fields import MAX_NOTCHES, Field
from model.dialects.parts.grammar import GrammarBuilder, literal
from model.dialects.parts.history import escape, image_part, image_turns, message, text_part
from model.dialects.parts.python_code import find_code, parse_code
from model.dialects.parts.table import ActionSpec, ActionTable, Result
from model.engine.call_grammar import CallGrammar
from model.processing.image import ImageLimits

LIMITS = ImageLimits(3136, 12845056)  # model/README.md

MAX_CALLS = 6  # of a constrained reply
WAIT_S = 20.0  # of computer.wait, by its description
PACE = ("interval", "duration", "tween")  # arguments without an effect: surfaces have a pace of their own
MODIFIERS = ("ctrl", "shift", "alt", "meta")
SYSTEM = load_prompt("opencua").removesuffix("\n")
TASK = (  # the headings are the authors'
    "\n# Task Instruction:\n{instruction}\n\n"
    "Say the next step, from the screenshot, the task and the steps before (if there are any).\n"
)
EXAMPLE = "pyautogui.click(x=100, y=200)"
_HEADING = re.compile(r"^[ \t]*#*[ \t]*(Observation|Thought|Action|Code)[ \t]*[:：]?[ \t]*", re.MULTILINE)


class _ClickAtPointer:
    """A click without a place, until it is merged with the moveTo before it."""

    verb = "click at the pointer"

    def __init__(self, attributes: Mapping[str, object]) -> None:
        self.attributes = attributes


def _place(arguments: Arguments) -> tuple[int, int] | None:
    x, y = arguments.get("x"), arguments.get("y")
    return None if x is None and y is None else arguments.mapper.to_screen([x, y], "x, y")


def _click(button: str, count: int) -> Callable[[Arguments], Result]:
    def parse(arguments: Arguments) -> Result:
        own = arguments.values.get("button", button)
        own = {"primary": "left", "secondary": "right"}.get(own, own) if isinstance(own, str) else own
        default = arguments.values.get("clicks", 1) if count == 1 else count
        attributes = {"button": own, "count": default}
        place = _place(arguments)
        action: Action = (
            _ClickAtPointer(attributes)  # type: ignore[assignment]
            if place is None
            else make_action("click", x=place[0], y=place[1], **attributes)
        )
        return action

    return parse


def _move_or_drag(verb: str) -> Callable[[Arguments], Result]:
    def parse(arguments: Arguments) -> Result:
        place = _place(arguments)
        if place is None:
            raise InvalidActionError(f"{arguments.name} needs x and y")
        if arguments.values.get("button", "left") not in ("left", "primary"):
            raise InvalidActionError("only the left button drags here")
        action: Action = (
            make_action("move", x=place[0], y=place[1]) if verb == "move" else make_action("drag", path=(place,))
        )
        return action

    return parse


def _scroll(attribute: str, sign: int) -> Callable[[Arguments], Result]:
    def parse(arguments: Arguments) -> Result:
        place = _place(arguments)
        amount = arguments.values.get("clicks")
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 1 <= abs(amount) <= MAX_NOTCHES:
            raise InvalidActionError(f"'clicks' must be -{MAX_NOTCHES} to {MAX_NOTCHES} and not 0, not {show(amount)}")
        x, y = place or (None, None)
        return make("scroll", x=x, y=y, **{attribute: sign * round(amount)})

    return parse


def _write(arguments: Arguments) -> Result:
    return make("type", text=arguments.text("message"))


def _press(arguments: Arguments) -> Result:
    times = arguments.values.get("presses", 1)
    if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= MAX_ACTIONS:
        raise InvalidActionError(f"'presses' must be 1 to {MAX_ACTIONS}, not {show(times)}")
    return tuple(make_action("press", keys=(key,)) for key in _key_names(arguments)[:MAX_ACTIONS]) * times


def _hotkey(arguments: Arguments) -> Result:
    return make("press", keys=_key_names(arguments)[:9])


def _key_names(arguments: Arguments) -> list[str]:
    keys = arguments.values.get("keys")
    names = [keys] if isinstance(keys, str) else keys
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(key, str) for key in names):
        raise InvalidActionError(f"'keys' must be names of keys, not {show(keys)}")
    return list(names)


def _sleep(arguments: Arguments) -> Result:
    default = WAIT_S if arguments.name == "computer.wait" else None
    return make("wait", seconds=check_seconds(arguments.values.get("seconds", default), "seconds"))


def _terminate(arguments: Arguments) -> Result:
    status = arguments.text("status").strip().lower()
    if status not in ("success", "failure"):
        raise InvalidActionError(f"'status' must be success or failure, not {show(status)}")
    return make("done", status=status)


def _held_key(arguments: Arguments) -> Result:
    raise InvalidActionError(f"{arguments.name} stands alone")


def _row(name: str, verb: str, signature: str, parse: Callable[[Arguments], Result]) -> ActionSpec:
    return ActionSpec(name, verb, tuple(Field(key) for key in signature.split()), parse=parse)


TABLE = ActionTable(  # signatures have pyautogui's own order of arguments
    _row("pyautogui.click", "click", "x y clicks interval button duration tween", _click("left", 1)),
    _row("pyautogui.doubleClick", "click", "x y interval button duration tween", _click("left", 2)),
    _row("pyautogui.tripleClick", "click", "x y interval button duration tween", _click("left", 3)),
    _row("pyautogui.rightClick", "click", "x y interval duration tween", _click("right", 1)),
    _row("pyautogui.middleClick", "click", "x y interval duration tween", _click("middle", 1)),
    _row("pyautogui.moveTo", "move", "x y duration tween", _move_or_drag("move")),
    _row("pyautogui.dragTo", "drag", "x y duration tween button", _move_or_drag("drag")),
    _row("pyautogui.scroll", "scroll", "clicks x y", _scroll("down", -1)),
    _row("pyautogui.hscroll", "scroll", "clicks x y", _scroll("right", 1)),
    _row("pyautogui.write", "type", "message interval", _write),
    _row("pyautogui.typewrite", "type", "message interval", _write),
    _row("pyautogui.press", "press", "keys presses interval", _press),
    _row("pyautogui.hotkey", "press", "keys", _hotkey),
    _row("pyautogui.keyDown", "press", "key", _held_key),
    _row("pyautogui.keyUp", "press", "key", _held_key),
    _row("pyautogui.sleep", "wait", "seconds", _sleep),
    _row("time.sleep", "wait", "seconds", _sleep),
    _row("computer.triple_click", "click", "x y", _click("left", 3)),
    _row("computer.tripleClick", "click", "x y", _click("left", 3)),
    _row("computer.wait", "wait", "seconds", _sleep),
    _row("computer.terminate", "done", "status", _terminate),
)
SIGNATURES = {row.name: row.keys for row in TABLE.rows.values()}


class Dialect(BaseDialect):
    """OpenCUA in its L2 form: the thoughts and actions of all steps in the history, the code of none."""

    NAME = "opencua"
    FAMILY = "OpenCUA 7B, 32B, 72B"
    DETECTION = Detection(
        markers=(("computer.triple_click",), ("computer.terminate", "pyautogui.")),
        architectures=("OpenCUAForConditionalGeneration",),
    )
    ACTIONS: ClassVar = {"computer_use": TABLE}
    point_pattern = r"\(x=(\d+), y=(\d+)"

    def conversation(self, goal: str, steps: Steps, screen: Screen, verbs: Verbs) -> Conversation:
        goal = escape(goal)
        system = message("system", text_part(self.render_prompt(SYSTEM, goal=goal, instruction=goal)))
        user = message("user", image_part(screen), text_part(TASK.replace("{instruction}", goal)))
        return Conversation((system, *image_turns(steps, _summary), user))

    def parse_call(self, text: str) -> Call:
        code, before = find_code(text)
        calls = list(parse_code(code, SIGNATURES))
        if not calls:
            raise InvalidActionError(f"the code has no call; end the reply with one such as {EXAMPLE}")
        return chain_calls(calls, before.strip())

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the first action of the code; several calls may be one action (moveTo and dragTo)."""
        return self.to_actions(call, screen)[0]

    def merge_calls(
        self, calls: Sequence[tuple[str, Mapping[str, object]]], mapper: CoordinateMapper, thought: str
    ) -> tuple[Action, ...]:
        """Return the actions of calls that depend on each other: keys are held, and the pointer stays where it was."""
        actions: list[Action] = []
        held: list[str] = []
        is_used = True  # whether an action was performed since the last key went down
        for name, arguments in calls:
            values = Arguments(name, {key: value for key, value in arguments.items() if key != NEXT_CALLS}, mapper)
            if name == "pyautogui.keyDown":
                held.append(normalize_key(values.text("key", "keys")))
                is_used = False
            elif name == "pyautogui.keyUp":
                key = normalize_key(values.text("key", "keys"))
                if key not in held:
                    raise InvalidActionError(f"keyUp of {key!r}, which is not held; use hotkey or press")
                if not is_used and held[-1] == key:
                    actions.append(make_action("press", keys=tuple(held)))
                    is_used = True
                held.remove(key)
            else:
                result = self.actions_of(name, values.values, mapper, thought)
                for action in result if isinstance(result, tuple) else (result,):
                    _append(actions, action, held)
                    is_used = True
            check_count(len(actions))
        if held:
            raise InvalidActionError(f"keyDown of {held[-1]!r} without its keyUp in the same code; use hotkey or press")
        if any(isinstance(action, _ClickAtPointer) for action in actions):
            raise InvalidActionError("a click without x and y has no place; say where")
        if not actions:
            raise InvalidActionError(f"the code does nothing; end the reply with a call such as {EXAMPLE}")
        return tuple(actions)

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Result:
        row = TABLE.rows.get(name)
        if row is None:
            raise unknown_name(name, [*TABLE.rows], "call")
        values = {key: value for key, value in arguments.items() if key not in PACE}
        return TABLE.to_actions(row, Arguments(name, values, mapper), ("keys",))

    def format_action(self, action: Action, screen: Screen) -> str:
        code = _code(action, self.mapper(screen))
        if code is None:
            raise self.unsupported(action)
        return f"```python\n{code}\n```"

    def build_grammar(self, verbs: frozenset[str], mapper: CoordinateMapper) -> CallGrammar | None:
        """Return a grammar of up to MAX_CALLS calls; keys are held around a click only, and an end comes last."""
        grammar = GrammarBuilder(verbs, mapper, "single")
        alternatives = _alternatives(grammar)
        end = grammar.rule("end", f'"computer.terminate(status=" {_options("success", "failure")} ")"')
        call = f'{end} "\\n"'
        if alternatives:
            act = grammar.rule("act", " | ".join(alternatives))
            call = f'({act} "\\n"){{1,{MAX_CALLS}}} | ({act} "\\n"){{0,{MAX_CALLS - 1}}} {call}'
        place = f"x={grammar.digits}, y={grammar.digits}"
        drag = f"```python\npyautogui.moveTo({place})\npyautogui.dragTo({place}, button='left')\n```"
        held = f"```python\npyautogui.keyDown('shift')\npyautogui.click({place})\npyautogui.keyUp('shift')\n```"
        closing = ("'", "]", ")", "`", "\n")
        return grammar.build(call, (drag, held), around=("```python\n", "```"), closing=closing, before="[^`]")


def _append(actions: list[Action], action: Action, held: Sequence[str]) -> None:
    """Add an action to those before it, at the place that the pointer was moved to and with the keys that are held."""
    moved = actions[-1] if actions and actions[-1].verb == "move" else None
    if moved is not None and isinstance(action, _ClickAtPointer):
        actions[-1] = action = make_action("click", x=moved.x, y=moved.y, **action.attributes)
    elif moved is not None and action.verb == "drag":
        actions[-1] = action = make_action("drag", path=((moved.x, moved.y), *action.path))
    elif moved is not None and action.verb == "scroll" and action.x is None:
        actions[-1] = action = make_action("scroll", x=moved.x, y=moved.y, down=action.down, right=action.right)
    else:
        actions.append(action)
    if not held or action.verb == "move":
        return
    if action.verb == "press":
        actions[-1] = make_action("press", keys=(*held, *action.keys))
    elif action.verb in ("click", "drag") and set(held) <= set(MODIFIERS):
        actions[-1] = action.model_copy(update={"modifiers": tuple(held)})
    else:
        raise InvalidActionError(
            f"{action.verb} while {held[-1]!r} is held cannot be done; leave keyDown and keyUp out"
        )


def _code(action: Action, mapper: CoordinateMapper) -> str | None:
    def place(x: int, y: int) -> str:
        model_x, model_y = mapper.to_model(x, y)
        return f"x={model_x}, y={model_y}"

    if action.verb == "click" and (action.button == "left" or action.count == 1):
        counts = {1: "pyautogui.click", 2: "pyautogui.doubleClick", 3: "computer.triple_click"}
        name = counts[action.count] if action.button == "left" else f"pyautogui.{action.button}Click"
        down = "".join(f"pyautogui.keyDown({quoted(key)})\n" for key in action.modifiers)
        up = "".join(f"\npyautogui.keyUp({quoted(key)})" for key in reversed(action.modifiers))
        return f"{down}{name}({place(action.x, action.y)}){up}"
    if action.verb == "move":
        return f"pyautogui.moveTo({place(action.x, action.y)})"
    if action.verb == "drag" and len(action.path) <= 2 and not action.modifiers:
        move = f"pyautogui.moveTo({place(*action.path[0])})\n" if len(action.path) == 2 else ""
        return f"{move}pyautogui.dragTo({place(*action.path[-1])}, button='left')"
    if action.verb == "scroll" and bool(action.down) != bool(action.right):
        at = "" if action.x is None or action.y is None else f", {place(action.x, action.y)}"
        return f"pyautogui.scroll({-action.down}{at})" if action.down else f"pyautogui.hscroll({action.right}{at})"
    if action.verb == "type":
        return f"pyautogui.write(message={quoted(action.text)})"
    if action.verb == "press":
        keys = ", ".join(quoted(key) for key in action.keys)
        return f"pyautogui.{'press' if len(action.keys) == 1 else 'hotkey'}(keys=[{keys}])"
    if action.verb == "wait":
        return f"time.sleep({action.seconds})"
    if action.verb == "done" and not action.message:
        return f"computer.terminate(status='{action.status}')"
    return None


def _alternatives(grammar: GrammarBuilder) -> list[str]:
    """Return the Lark alternatives of a call, for the verbs of the surface."""
    place = f'"x=" {grammar.x()} ", y=" {grammar.y()}'

    def call(name: str, rest: str = "") -> str:
        return f'{literal(f"{name}(")} {place} {rest} ")"'.replace("  ", " ")

    found: list[str] = []
    verbs = grammar.verbs
    if "click" in verbs:
        names = ("click", "doubleClick", "tripleClick", "rightClick", "middleClick")
        found += [call(f"pyautogui.{name}") for name in names] + [call("computer.triple_click")]
        found.append(call("pyautogui.click", '", clicks=" ("1" | "2" | "3")'))
        found.append(call("pyautogui.click", f'", button=" {_options("left", "right", "middle")}'))
        for key in MODIFIERS:
            down, up = f"pyautogui.keyDown({key!r})\n", f"\npyautogui.keyUp({key!r})"
            found.append(f"{literal(down)} {call('pyautogui.click')} {literal(up)}")
    if "move" in verbs:
        found.append(call("pyautogui.moveTo"))
    if "drag" in verbs:
        drag = call("pyautogui.dragTo", "\", button='left'\"")
        found += [drag, f'{call("pyautogui.moveTo")} "\\n" {drag}']
    if "scroll" in verbs:
        amount = grammar.amount(MAX_NOTCHES).lark
        for name in ("scroll", "hscroll"):
            found += [f'"pyautogui.{name}(" {amount} {rest} ")"'.replace("  ", " ") for rest in ("", f'", " {place}')]
    if "type" in verbs:
        found.append(f'"pyautogui.write(message=" {grammar.text().lark} ")"')
    if "press" in verbs:
        key = f'"\'" {grammar.key()} "\'"'
        keys = f'{key} (", " {key}){{0,3}}'
        found.append(f'"pyautogui.press(" ({key} | "keys=[" {key} "]") ")"')
        found.append(f'"pyautogui.hotkey(" ({keys} | "keys=[" {keys} "]") ")"')
    if "wait" in verbs:
        found.append(f'"time.sleep(" {grammar.seconds().lark} ")"')
    return found


def _options(*words: str) -> str:
    return "(" + " | ".join(literal(f"'{word}'") for word in words) + ")"


def _summary(step: Step) -> str:
    """Return a step as later prompts show it, under the authors' L2 headings: thought and action, no code."""
    thought = step.call.thought if step.call else step.reply.text
    parts = {"Thought": "", "Action": ""}
    headings = [*_HEADING.finditer(thought)]
    ends = [heading.start() for heading in headings[1:]] + [len(thought)]
    for heading, end in zip(headings, ends, strict=False):
        if heading.group(1) in parts:
            parts[heading.group(1)] = thought[heading.end() : end].strip()
    if not headings:
        parts["Thought"] = thought.strip()
    return escape(f"# Step {step.index}:\n## Thought:\n{parts['Thought']}\n\n## Action:\n{parts['Action']}\n")
