"""OpenCUA: a thought, an action in words, and pyautogui code; in pixels of the resized image.

The code is parsed, never run: it must be a list of calls with literal arguments, from a closed list of names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from actions import Action, Call, Click, Drag, InvalidActionError, Screen, Step, make_action
from actions.keys import normalize_key
from model.dialects.base import Calls, Detection, Steps, Values, Verbs
from model.dialects.parts.arguments import Arguments
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.dialect import MAX_ACTIONS, BaseDialect, chain_calls, check_count, load_prompt
from model.dialects.parts.fields import STATUS, AmountField, Field, KeysField, SecondsField, TextField, XYField
from model.dialects.parts.grammar import GrammarBuilder, literal
from model.dialects.parts.history import Message, escape, image_turns, message
from model.dialects.parts.table import Actions, ActionSpec, ActionTable, Result
from model.engine.call_grammar import CallGrammar
from model.processing.image import ImageLimits
from model.wire.call_parser import quoted
from model.wire.points import show
from model.wire.python_code import EXAMPLE, find_code, parse_code

LIMITS = ImageLimits(3136, 12845056)  # model/README.md

MAX_CALLS = 6  # of a constrained reply
WAIT_S = 20.0  # of computer.wait, by its description
PACE = ("interval", "duration", "tween")  # arguments without an effect: surfaces have a pace of their own
CLICKS = (  # of a constrained reply
    *(f"pyautogui.{name}" for name in ("click", "doubleClick", "tripleClick", "rightClick", "middleClick")),
    "computer.triple_click",
)
MODIFIERS = ("ctrl", "shift", "alt", "meta")
_HEADING = re.compile(r"^[ \t]*#*[ \t]*(Observation|Thought|Action|Code)[ \t]*[:：]?[ \t]*", re.MULTILINE)


POINTER: Values = {"x": -1, "y": -1}  # the place of a click without one, until it is merged with the moveTo before it
XY, MAYBE_XY = XYField(), XYField(optional=True)
POSITIONAL = ("clicks", "seconds")  # arguments that are written without their names


def _click(arguments: Arguments) -> Result:
    values, constants = arguments.values, TABLE.rows[arguments.name].constants
    button = values.get("button", constants["button"])
    button = {"primary": "left", "secondary": "right"}.get(button, button) if isinstance(button, str) else button
    count = values.get("clicks", 1) if constants["count"] == 1 else constants["count"]
    return make_action("click", **(MAYBE_XY.parse(arguments) or POINTER), button=button, count=count)


def _drag(arguments: Arguments) -> Result:
    if arguments.values.get("button", "left") not in ("left", "primary"):
        raise InvalidActionError("only the left button drags here")
    return make_action("drag", path=(XY.place(arguments),))


def _write_drag(action: Action, mapper: CoordinateMapper) -> Values | None:
    if not isinstance(action, Drag) or len(action.path) > 1 or action.modifiers:
        return None
    return {**XY.write(mapper.to_model(*action.path[0])), "button": "left"}


def _press(arguments: Arguments) -> Result:
    times = arguments.values.get("presses", 1)
    if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= MAX_ACTIONS:
        raise InvalidActionError(f"'presses' must be 1 to {MAX_ACTIONS}, not {show(times)}")
    return tuple(make_action("press", keys=(key,)) for key in _key_names(arguments)[:MAX_ACTIONS]) * times


def _key_names(arguments: Arguments) -> list[str]:
    keys = arguments.values.get("keys")
    names = [keys] if isinstance(keys, str) else keys
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(key, str) for key in names):
        raise InvalidActionError(f"'keys' must be names of keys, not {show(keys)}")
    return list(names)


def _rest(keys: str) -> tuple[Field, ...]:
    return tuple(Field(key) for key in keys.split())


def _click_row(name: str, rest: str = "", button: str = "left", count: int = 1, writes: bool = True) -> ActionSpec:
    constants = {"button": button, "count": count}
    return ActionSpec(name, "click", (XY, *_rest(rest)), constants=constants, parse=_click, writes=writes)


KEYS, SECONDS = KeysField("keys"), SecondsField("seconds")
SCROLL = AmountField("clicks", unit=-1)
HSCROLL = AmountField("clicks", unit=1, attribute="right")
TYPED = (TextField("message"), Field("interval"))
TABLE = ActionTable(  # fields in pyautogui's own order of arguments
    _click_row("pyautogui.click", "clicks interval button duration tween"),
    _click_row("pyautogui.doubleClick", "interval button duration tween", count=2),
    _click_row("pyautogui.tripleClick", "interval button duration tween", count=3, writes=False),
    _click_row("pyautogui.rightClick", "interval duration tween", "right"),
    _click_row("pyautogui.middleClick", "interval duration tween", "middle"),
    _click_row("computer.triple_click", count=3),
    _click_row("computer.tripleClick", count=3, writes=False),
    ActionSpec("pyautogui.moveTo", "move", (XY, *_rest("duration tween"))),
    ActionSpec("pyautogui.dragTo", "drag", (XY, *_rest("duration tween button")), parse=_drag, format=_write_drag),
    ActionSpec("pyautogui.scroll", "scroll", (SCROLL, MAYBE_XY)),
    ActionSpec("pyautogui.hscroll", "scroll", (HSCROLL, MAYBE_XY)),
    ActionSpec("pyautogui.write", "type", TYPED),
    ActionSpec("pyautogui.typewrite", "type", TYPED),
    ActionSpec(
        "pyautogui.press", "press", (KEYS, *_rest("presses interval")), parse=_press,
        format=lambda action, mapper: KEYS.format(action, mapper) if len(getattr(action, "keys", ())) == 1 else None,
    ),
    ActionSpec(
        "pyautogui.hotkey", "press", (KEYS,), parse=lambda values: make_action("press", keys=_key_names(values)[:9])
    ),
    ActionSpec("pyautogui.keyDown", "press", _rest("key"), writes=False),
    ActionSpec("pyautogui.keyUp", "press", _rest("key"), writes=False),
    ActionSpec("time.sleep", "wait", (SECONDS,)),
    ActionSpec("pyautogui.sleep", "wait", (SECONDS,)),
    ActionSpec("computer.wait", "wait", (SecondsField("seconds", default=WAIT_S),)),
    ActionSpec("computer.terminate", "done", (STATUS,)),
)  # fmt: skip


class Dialect(BaseDialect):
    """OpenCUA in its L2 form: the thoughts and actions of all steps in the history, the code of none."""

    NAME = "opencua"
    DETECTION = Detection(
        markers=(("computer.triple_click",), ("computer.terminate", "pyautogui.")),
        architectures=("OpenCUAForConditionalGeneration",),
    )
    SYSTEM = load_prompt("opencua")
    ACTIONS: ClassVar = {"computer_use": TABLE}
    point_pattern = r"\(x=(\d+), y=(\d+)"

    def prompt_values(self, goal: str, screen: Screen, verbs: Verbs) -> Mapping[str, object]:
        return {"goal": goal, "instruction": goal}

    def turns(self, goal: str, steps: Steps, screen: Screen) -> Sequence[Message]:
        text = "Say the next step, from the screenshot, the task and the steps before (if there are any)."
        user = message("user", screen, f"\n# Task Instruction:\n{goal}\n\n{text}\n")  # the heading is the authors'
        return [*image_turns(steps, _summary), user]

    def parse_call(self, text: str) -> Call:
        code, before = find_code(text)
        calls = list(parse_code(code, lambda name: TABLE.find(name, "call").keys))
        if not calls:
            raise InvalidActionError(f"the code has no call; end the reply with one such as {EXAMPLE}")
        return chain_calls(calls, before.strip())

    def to_action(self, call: Call, screen: Screen) -> Action:
        """Return the first action of the code; several calls may be one action (moveTo and dragTo)."""
        return self.to_actions(call, screen)[0]

    def merge_calls(self, calls: Calls, mapper: CoordinateMapper, thought: str) -> Actions:
        """Return the actions of calls that depend on each other: keys are held, and the pointer stays where it was."""
        actions: list[Action] = []
        held_keys: list[str] = []
        is_used = True  # whether an action was performed since the last key went down
        for name, arguments in calls:
            values = Arguments(name, arguments, mapper)
            if name == "pyautogui.keyDown":
                held_keys.append(normalize_key(values.text("key", "keys")))
                is_used = False
            elif name == "pyautogui.keyUp":
                key = normalize_key(values.text("key", "keys"))
                if key not in held_keys:
                    raise InvalidActionError(f"keyUp of {key!r}, which is not held; use hotkey or press")
                if not is_used and held_keys[-1] == key:
                    actions.append(make_action("press", keys=tuple(held_keys)))
                    is_used = True
                held_keys.remove(key)
            else:
                for action in self.actions_of(name, arguments, mapper, thought):
                    _append(actions, action, held_keys)
                    is_used = True
            check_count(len(actions))
        if held_keys:
            key = held_keys[-1]
            raise InvalidActionError(f"keyDown of {key!r} without its keyUp in the same code; use hotkey or press")
        if any(_is_at_pointer(action) for action in actions):
            raise InvalidActionError("a click without x and y has no place; say where")
        if not actions:
            raise InvalidActionError(f"the code does nothing; end the reply with a call such as {EXAMPLE}")
        return tuple(actions)

    def actions_of(self, name: str, arguments: Mapping[str, object], mapper: CoordinateMapper, thought: str) -> Actions:
        values = {key: value for key, value in arguments.items() if key not in PACE}
        return TABLE.to_actions(TABLE.find(name, "call"), Arguments(name, values, mapper), ("keys",))

    def format_action(self, action: Action, screen: Screen) -> str:
        before, after = [], []
        if isinstance(action, Click):
            before = [f"pyautogui.keyDown({quoted(key)})" for key in action.modifiers]
            after = [f"pyautogui.keyUp({quoted(key)})" for key in reversed(action.modifiers)]
            action = action.model_copy(update={"modifiers": ()})
        elif isinstance(action, Drag) and len(action.path) == 2:
            x, y = action.path[0]
            before = [super().format_action(make_action("move", x=x, y=y), screen)]
            action = action.model_copy(update={"path": action.path[1:]})
        code = "\n".join([*before, super().format_action(action, screen), *after])
        return f"```python\n{code}\n```"

    def write_call(self, name: str, values: Values) -> str:
        texts = [_literal(value) if key in POSITIONAL else f"{key}={_literal(value)}" for key, value in values.items()]
        return f"{name}({', '.join(texts)})"

    def build_grammar(self, verbs: Verbs, mapper: CoordinateMapper) -> CallGrammar | None:
        """Return a grammar of up to MAX_CALLS calls; keys are held around a click only, and an end comes last."""
        grammar = GrammarBuilder(verbs, mapper, "single", "x=X, y=Y")
        alternatives = _alternatives(grammar)
        end = grammar.rule("end", f'"computer.terminate(status=" {STATUS.rule(grammar).lark} ")"')
        call = f'{end} "\\n"'
        if alternatives:
            act = grammar.rule("act", " | ".join(alternatives))
            call = f'({act} "\\n"){{1,{MAX_CALLS}}} | ({act} "\\n"){{0,{MAX_CALLS - 1}}} {call}'
        place = f"x={grammar.digits}, y={grammar.digits}"
        drag = f"```python\npyautogui.moveTo({place})\npyautogui.dragTo({place}, button='left')\n```"
        click = f"```python\npyautogui.keyDown('shift')\npyautogui.click({place})\npyautogui.keyUp('shift')\n```"
        closing = ("'", "]", ")", "`", "\n")
        return grammar.build(call, (drag, click), ("```python\n", "```"), closing_strings=closing, before="[^`]")


def _is_at_pointer(action: Action) -> bool:
    return isinstance(action, Click) and action.x == POINTER["x"]


def _append(actions: list[Action], action: Action, held_keys: Sequence[str]) -> None:
    """Add an action to those before it, at the place that the pointer was moved to and with the keys that are held."""
    moved = actions[-1] if actions and actions[-1].verb == "move" else None
    if moved is not None and _is_at_pointer(action):
        actions[-1] = action = action.model_copy(update={"x": moved.x, "y": moved.y})
    elif moved is not None and action.verb == "drag":
        actions[-1] = action = make_action("drag", path=((moved.x, moved.y), *action.path))
    elif moved is not None and action.verb == "scroll" and action.x is None:
        actions[-1] = action = action.model_copy(update={"x": moved.x, "y": moved.y})
    else:
        actions.append(action)
    if not held_keys or action.verb == "move":
        return
    if action.verb == "press":
        actions[-1] = make_action("press", keys=(*held_keys, *action.keys))
    elif action.verb in ("click", "drag") and set(held_keys) <= set(MODIFIERS):
        actions[-1] = action.model_copy(update={"modifiers": tuple(held_keys)})
    else:
        raise InvalidActionError(
            f"{action.verb} while {held_keys[-1]!r} is held cannot be done; leave keyDown and keyUp out"
        )


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return quoted(value) if isinstance(value, str) else str(value)


def _alternatives(grammar: GrammarBuilder) -> list[str]:
    """Return the Lark alternatives of a call, for the verbs of the surface."""
    place = grammar.point().lark

    def call(name: str, *arguments: str) -> str:
        return " ".join([literal(f"{name}("), *arguments, '")"'])

    click, move = call("pyautogui.click", place), call("pyautogui.moveTo", place)
    drag = call("pyautogui.dragTo", place, "\", button='left'\"")
    clicks = [call(name, place) for name in CLICKS]
    clicks.append(call("pyautogui.click", place, '", clicks=" ("1" | "2" | "3")'))
    clicks.append(call("pyautogui.click", place, '", button="', grammar.choice(("left", "right", "middle")).lark))
    for key in MODIFIERS:
        down, up = f"pyautogui.keyDown({key!r})\n", f"\npyautogui.keyUp({key!r})"
        clicks.append(f"{literal(down)} {click} {literal(up)}")
    calls = {"click": clicks, "move": [move], "drag": [drag, f'{move} "\\n" {drag}']}
    alternatives = [lark for verb, larks in calls.items() if verb in grammar.verbs for lark in larks]
    if "scroll" in grammar.verbs:
        amount = SCROLL.rule(grammar).lark
        for name in ("pyautogui.scroll", "pyautogui.hscroll"):
            alternatives += [call(name, amount), call(name, amount, '", "', place)]
    if "type" in grammar.verbs:
        alternatives.append(f'"pyautogui.write(message=" {grammar.text().lark} ")"')
    if "press" in grammar.verbs:
        key = f'"\'" {grammar.key()} "\'"'
        keys = f'{key} (", " {key}){{0,3}}'
        alternatives.append(call("pyautogui.press", f'({key} | "keys=[" {key} "]")'))
        alternatives.append(call("pyautogui.hotkey", f'({keys} | "keys=[" {keys} "]")'))
    if "wait" in grammar.verbs:
        alternatives.append(call("time.sleep", grammar.seconds().lark))
    return alternatives


def _summary(step: Step) -> str:
    """Return a step as later prompts show it, under the authors' L2 headings: thought and action, no code."""
    thought = step.call.thought if step.call else step.reply.text
    headings = [*_HEADING.finditer(thought)]
    ends = [heading.start() for heading in headings[1:]] + [len(thought)]
    parts = {"Thought": "" if headings else thought.strip(), "Action": ""}
    for heading, end in zip(headings, ends, strict=False):
        parts[heading.group(1)] = thought[heading.end() : end].strip()
    return escape(f"# Step {step.index}:\n## Thought:\n{parts['Thought']}\n\n## Action:\n{parts['Action']}\n")
