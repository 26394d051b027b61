"""The grammars of the families of dialects other than Qwen2.5-VL's own functions: what each may say on a screen.

Knows the families' syntaxes by their tables, and bounds what stands in them: points stay in the picture, keys have
names, verbs are the surface's. Only forms that a family was taught are offered, one way of writing each; what their
readers forgive beside them is not. The words that come before an action stay free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations, permutations
from typing import Any

from actions import CONTROL_ACTIONS, Screen
from actions.keys import ALIASES, KEYS
from model.dialects import _qwen25_functions as functions
from model.dialects import autoglm, opencua, ui_tars, ui_venus
from model.dialects._base import BaseDialect, available_names
from model.dialects._tool_calls import ToolCallDialect
from model.dialects.gui_owl import MOST_NOTCHES
from model.dialects.holo import VERBS as HOLO_VERBS
from model.engine.call_grammar import (
    _CHARACTER,
    _KEY,
    MAX_KEYS,
    CallGrammar,
    _adb_keys,
    _choice,
    _quoted,
    _spelled,
    integer_below_regex,
)
from model.wire.tool_prompt import CALL_CLOSE, CALL_OPEN

# one character of a text between single quotes, as Python writes it; its keys, too, hold no quote
_SINGLE = r"[^'\\\x00-\x1f\x7f]|\\['\"\\nt]"
_DOUBLE = r"[^\"\\\x00-\x1f\x7f]|\\['\"\\nt]"
_BARE_KEY = rf"{_spelled({*KEYS, *ALIASES})}|[!#-&(-*,-.0-\[\]-~]|\/"
_LONG_KEY = "printscreen"
MOST_CALLS = 6  # of one reply of pyautogui code


def family_form(dialect: BaseDialect, verbs: frozenset[str], screen: Screen) -> CallGrammar | None:
    """The form of a family's replies on a screen; None for one without."""
    if isinstance(dialect, ToolCallDialect):
        return _functions(dialect, verbs, screen)
    made = _FORMS.get(dialect.NAME.removesuffix("_v1"))
    return None if made is None else made(dialect, verbs | CONTROL_ACTIONS, screen)


def _numbers(family: BaseDialect, screen: Screen) -> tuple[str, str, str]:
    """Rules X and Y for the coordinates in a family's own space, and the longest of both as digits."""
    if family.SPACE.scale:
        ends = (family.SPACE.scale, family.SPACE.scale)
    else:
        width, height = family.size(screen)
        ends = (width - 1, height - 1)
    longest = "9" * max(len(str(end)) for end in ends)
    return f"X: /{integer_below_regex(ends[0] + 1)}/", f"Y: /{integer_below_regex(ends[1] + 1)}/", longest


# --- functions in <tool_call> ---

_MAY = {  # (family or "", act, argument): what may be left out
    ("", "wait", "time"),
    ("", "long_press", "time"),
    ("", "scroll", "coordinate"),
    ("", "hscroll", "coordinate"),
    ("", "type", "clear"),
    ("", "type", "enter"),
    ("", "type", "press_enter"),
    ("", "type", "delete_existing_text"),
    ("fara", "type", "coordinate"),
}
_UNSAID = {"duration"}  # second names of arguments


def _functions(family: ToolCallDialect, verbs: frozenset[str], screen: Screen) -> CallGrammar:
    able = verbs | CONTROL_ACTIONS
    x, y, longest = _numbers(family, screen)
    acts = family.ACTS[family.tool]
    buttons = [name for name, (_, verb) in functions.BUTTONS.items() if verb in able]
    point = ('"[" X ", " Y "]"', f"[{longest}, {longest}]")
    words, some = (r'"\"" WORDS "\""', '""'), (r'"\"" SOME_WORDS "\""', '""')
    flag, switch = ('("0" | "1")', "0"), ('("true" | "false")', "false")
    values = {
        **dict.fromkeys(("coordinate", "coordinate2"), point),
        **dict.fromkeys(("text", "fact"), words),
        "url": (r'"\"" URL "\""', '""'),
        "query": some,
        **dict.fromkeys(("clear", "enter"), flag),
        **dict.fromkeys(("press_enter", "delete_existing_text"), switch),
        "keys": ("keys", f'["{_LONG_KEY}"]'),
        "pixels": ("PIXELS", "-10000"),
        "time": ("SECONDS", "59.99"),
        "status": (_choice(("success", "failure")), '"failure"'),
        "button": (_choice(buttons), '"Enter"'),
    }
    special = {
        ("mobile_use", "key", "text"): (r'"\"" ADB_KEY "\""', '"KEYCODE_DPAD_CENTER"'),
        ("mobile_use", "open", "text"): some,
    }
    head = f'\n{{"name": "{family.tool}", "arguments": {{"action": "'
    ways, samples = [], []
    for name in available_names({name: act.verbs for name, act in acts.items()}, verbs):
        takes = [key for key in acts[name].takes if key not in _UNSAID]
        may = [key for key in takes if {("", name, key), (family.NAME, name, key)} & _MAY]
        for order in _orders(takes, may):
            rule, sample = [_quoted(f'{name}"')], f'{head}{name}"'
            for key in order:
                value, long = special.get((family.tool, name, key), values[key])
                rule += [_quoted(f', "{key}": '), value]
                sample += f', "{key}": {long}'
            ways.append(" ".join(rule))
            samples.append(f"{CALL_OPEN}{sample}}}}}\n{CALL_CLOSE}")
    one = r'"\"" KEY "\""'
    most = MOST_NOTCHES if family.NAME == "gui_owl" else functions.MAX_NOTCHES * functions.NOTCH_PIXELS
    rules = [
        f"call: {_quoted(head)} act {_quoted('}}' + chr(10))}",
        f"act: {' | '.join(ways)}",
        rf'keys: "[" {one} (", " {one}){{0,{MAX_KEYS - 1}}} "]"',
        x,
        y,
        f"PIXELS: /-?({integer_below_regex(most + 1, least=1)})/",
        rf"SECONDS: /({integer_below_regex(functions.MAX_WAIT_S)})(\.[0-9]{{1,2}})?|{functions.MAX_WAIT_S}/",
        f"WORDS: /({_CHARACTER})*/",
        f"SOME_WORDS: /({_CHARACTER})+/",
        rf"URL: /[!#-\[\]-~]({_CHARACTER})*/",
        f"KEY: /{_KEY}/",
        f"ADB_KEY: /{_adb_keys(able)}/",
    ]
    ends = family.NAME != "gui_owl"  # its replies go on with a conclusion, which later steps remember
    return CallGrammar(CALL_OPEN, CALL_CLOSE, "\n".join(rules), tuple(samples), ends_itself=ends)


def _orders(takes: list[str], may: list[str]) -> list[tuple[str, ...]]:
    """The orders in which arguments may be said, with and without those that may be left out."""
    needed = [key for key in takes if key not in may]
    found = []
    for count in range(len(may) + 1):
        for some in combinations(may, count):
            found += list(permutations([*needed, *some]))
    return found


# --- calls in a line ---


def _named(name: str, *arguments: tuple[str, str]) -> str:
    """A rule: name(key=value, key=value), each value a rule of its own."""
    rule = [_quoted(f"{name}(")]
    for place, (key, value) in enumerate(arguments):
        rule += [_quoted(f"{', ' if place else ''}{key}="), value]
    return " ".join([*rule, '")"'])


def _either(ways: Mapping[str, list[str]], names: list[str]) -> str:
    return " | ".join(way for name in names for way in ways[name])


_LINE_RULES = [f"WORDS: /({_SINGLE})*/", f"SOME_WORDS: /({_SINGLE})+/", f"KEY: /{_BARE_KEY}/"]
_TEXT, _SOME = '"\'" WORDS "\'"', '"\'" SOME_WORDS "\'"'


def _ui_tars(family: BaseDialect, able: frozenset[str], screen: Screen) -> CallGrammar:
    x, y, longest = _numbers(family, screen)
    box = "start_box"
    ways = {
        "click": [_named("click", (box, "at"))],
        "left_double": [_named("left_double", (box, "at"))],
        "right_single": [_named("right_single", (box, "at"))],
        "long_press": [_named("long_press", (box, "at"))],
        "drag": [_named("drag", (box, "at"), ("end_box", "at"))],
        "hotkey": [_named("hotkey", ("key", "keys"))],
        "type": [_named("type", ("content", _TEXT))],
        "scroll": [_named("scroll", (box, "at"), ("direction", "way")), _named("scroll", ("direction", "way"))],
        "wait": ['"wait()"'],
        "finished": ['"finished()"', _named("finished", ("content", _TEXT))],
        "call_user": ['"call_user()"', _named("call_user", ("content", _TEXT))],
        "open_app": [_named("open_app", ("app_name", _SOME))],
        "press_home": ['"press_home()"'],
        "press_back": ['"press_back()"'],
    }
    names = available_names({name: ui_tars.VERBS[name] for name in ui_tars.SPACES[family.tool]}, able)
    point = '"(" X "," " "? Y ")"'
    rules = [
        f"call: {_either(ways, names)}",
        f'at: "\'" ({point} | @{{<|box_start|>}} {point} @{{<|box_end|>}}) "\'"',
        "way: " + " | ".join(_quoted(f"'{one}'") for one in ("down", "up", "right", "left")),
        'keys: "\'" KEY ((" " | "+") KEY){0,2} "\'"',
        x,
        y,
        *_LINE_RULES,
    ]
    far = f"'<|box_start|>({longest}, {longest})<|box_end|>'"
    samples = [f"Action: drag(start_box={far}, end_box={far})", f"Action: hotkey(key='{_LONG_KEY} {_LONG_KEY}')"]
    return CallGrammar(
        "Action: ", "", "\n".join(rules), tuple(samples), closing_strings=("'", ")"), open_when_short=True
    )


def _ui_venus(family: BaseDialect, able: frozenset[str], screen: Screen) -> CallGrammar:
    x, y, longest = _numbers(family, screen)
    if family.tool == "ground":
        box = '"[" X "," Y "," X "," Y "]"'
        rules = [f'call: {box} | "[-1,-1,-1,-1]"', x, y]
        sample = f"[{longest},{longest},{longest},{longest}]"
        return CallGrammar("", "", "\n".join(rules), (sample,), closing_strings=("]",), open_when_short=True)
    ways = {
        "Click": [_named("Click", ("box", "at"))],
        "LongPress": [_named("LongPress", ("box", "at"))],
        "Drag": [_named("Drag", ("start", "at"), ("end", "at"))],
        "Scroll": [_named("Scroll", ("start", "at"), ("end", "at"))],
        "Type": [_named("Type", ("content", _TEXT))],
        "Launch": [_named("Launch", ("app", _SOME))],
        "Wait": ['"Wait()"'],
        "Finished": [_named("Finished", ("content", _TEXT))],
        "CallUser": [_named("CallUser", ("content", _SOME))],
        "PressBack": ['"PressBack()"'],
        "PressHome": ['"PressHome()"'],
        "PressEnter": ['"PressEnter()"'],
    }
    names = available_names({name: form[0] for name, form in ui_venus.FORMS.items()}, able)
    rules = [f"call: {_either(ways, names)}", 'at: "(" X "," " "? Y ")"', x, y, *_LINE_RULES]
    samples = (f"<action>Scroll(start=({longest}, {longest}), end=({longest}, {longest}))</action>",)
    return CallGrammar(
        "<action>",
        "</action>",
        "\n".join(rules),
        samples,
        closing_strings=("'", ")", "<"),
        open_when_short=True,
        ends_itself=False,
    )


def _autoglm(family: BaseDialect, able: frozenset[str], screen: Screen) -> CallGrammar:
    x, y, longest = _numbers(family, screen)
    text, some = '"\\"" WORDS "\\""', '"\\"" SOME_WORDS "\\""'
    takes: dict[str, list[tuple[tuple[str, str], ...]]] = {
        "Launch": [(("app", some),)],
        "Tap": [(("element", "at"),), (("element", "at"), ("message", text))],
        "Type": [(("text", text),)],
        "Type_Name": [(("text", text),)],
        "Interact": [()],
        "Swipe": [(("start", "at"), ("end", "at"))],
        "Note": [(("message", text),)],
        "Call_API": [(("instruction", text),)],
        "Long Press": [(("element", "at"),)],
        "Double Tap": [(("element", "at"),)],
        "Take_over": [(("message", text),)],
        "Back": [()],
        "Home": [()],
        "Wait": [(("duration", '"\\"" SECONDS " seconds\\""'),)],
    }
    ways = {
        name: [_named("do", ("action", _quoted(f'"{name}"')), *arguments) for arguments in some_ways]
        for name, some_ways in takes.items()
    }
    names = available_names({name: form[0] for name, form in autoglm.FORMS.items()}, able)
    rules = [
        f"call: {_either(ways, names)}{' | ' if names else ''}{_named('finish', ('message', text))}",
        'at: "[" X "," Y "]"',
        x,
        y,
        rf"SECONDS: /({integer_below_regex(functions.MAX_WAIT_S)})(\.[0-9]{{1,2}})?|{functions.MAX_WAIT_S}/",
        f"WORDS: /({_DOUBLE})*/",
        f"SOME_WORDS: /({_DOUBLE})+/",
    ]
    samples = (f'<answer>do(action="Swipe", start=[{longest},{longest}], end=[{longest},{longest}])</answer>',)
    return CallGrammar(
        "<answer>", "</answer>", "\n".join(rules), samples, closing_strings=('"', "]", ")", "<"), open_when_short=True
    )


def _opencua(family: BaseDialect, able: frozenset[str], screen: Screen) -> CallGrammar:
    """Up to MOST_CALLS calls, one below the other; keys are held around a click alone; an end comes last."""
    x, y, longest = _numbers(family, screen)
    gui, at = "pyautogui.", (("x", "X"), ("y", "Y"))
    ways: list[str] = []
    if "click" in able:
        ways += [_named(gui + one, *at) for one in ("click", "doubleClick", "tripleClick", "rightClick", "middleClick")]
        ways += [_named(f"{gui}click", *at, ("clicks", '("1" | "2" | "3")')), _named("computer.triple_click", *at)]
        ways += [_named(f"{gui}click", *at, ("button", _sides("left", "right", "middle")))]
        for key in opencua.MODIFIERS:
            click = _named(f"{gui}click", *at)
            ways.append(
                f"{_quoted(f'{gui}keyDown({key!r})' + chr(10))} {click} {_quoted(chr(10) + f'{gui}keyUp({key!r})')}"
            )
    if "move" in able:
        ways.append(_named(f"{gui}moveTo", *at))
    if "drag" in able:
        drag = _named(f"{gui}dragTo", *at, ("button", "\"'left'\""))
        ways += [drag, f'{_named(f"{gui}moveTo", *at)} "\\n" {drag}']
    if "scroll" in able:
        for name in ("scroll", "hscroll"):
            ways += [f'"{gui}{name}(" AMOUNT {rest}' for rest in ('")"', '", x=" X ", y=" Y ")"')]
    if "type" in able:
        ways += [_named(f"{gui}write", ("message", _TEXT))]
    if "press" in able:
        one = '"\'" KEY "\'"'
        some = f'{one} (", " {one}){{0,3}}'
        ways += [
            f'"{gui}press(" ({one} | "keys=[" {one} "]") ")"',
            f'"{gui}hotkey(" ({some} | "keys=[" {some} "]") ")"',
        ]
    if "wait" in able:
        ways.append(_named("time.sleep", ("", "SECONDS")).replace('"=" ', ""))
    end = _named("computer.terminate", ("status", _sides("success", "failure")))
    rules = [
        f'call: (act "\\n"){{1,{MOST_CALLS}}} | (act "\\n"){{0,{MOST_CALLS - 1}}} end "\\n"'
        if ways
        else 'call: end "\\n"',
        f"act: {' | '.join(ways) if ways else 'end'}",
        f"end: {end}",
        x,
        y,
        f"AMOUNT: /-?({integer_below_regex(functions.MAX_NOTCHES + 1, least=1)})/",
        rf"SECONDS: /({integer_below_regex(functions.MAX_WAIT_S)})(\.[0-9]{{1,2}})?|{functions.MAX_WAIT_S}/",
        *_LINE_RULES,
    ]
    far = f"x={longest}, y={longest}"
    sample = f"```python\n{gui}moveTo({far})\n{gui}dragTo({far}, button='left')\n```"
    held = f"```python\n{gui}keyDown('shift')\n{gui}click({far})\n{gui}keyUp('shift')\n```"
    closers = ("'", "]", ")", "`", "\n")
    return CallGrammar(
        "```python\n",
        "```",
        "\n".join(rules),
        (sample, held),
        closing_strings=closers,
        open_when_short=True,
        before="[^`]",
    )


def _sides(*options: str) -> str:
    return "(" + " | ".join(_quoted(f"'{one}'") for one in options) + ")"


# --- JSON, and a point ---


def _holo(family: BaseDialect, able: frozenset[str], screen: Screen) -> CallGrammar:
    x, y, longest = _numbers(family, screen)
    if family.tool == "click":
        rules = ['call: "Click(" X ", " Y ")"', x, y]
        return CallGrammar(
            "", "", "\n".join(rules), (f"Click({longest}, {longest})",), closing_strings=(")",), open_when_short=True
        )
    if family.tool == "click_absolute":
        head, between = _quoted('{"action": "click_absolute", "x": '), _quoted(', "y": ')
        rules = [f'call: {head} X {between} Y "}}"', x, y]
        sample = f'{{"action": "click_absolute", "x": {longest}, "y": {longest}}}'
        return CallGrammar("", "", "\n".join(rules), (sample,), closing_strings=("}",), open_when_short=True)
    text, some = r'"\"" WORDS "\""', r'"\"" SOME_WORDS "\""'
    place = [("element", text), ("x", "X"), ("y", "Y")]
    takes: dict[str, list[list[tuple[str, str]]]] = {
        "click_element": [place],
        "write_element_abs": [[("content", text), *place]],
        "scroll": [[("direction", _choice(("down", "up", "left", "right")))]],
        "go_back": [[]],
        "refresh": [[]],
        "wait": [[], [("seconds", "SECONDS")]],
        "restart": [[]],
        "answer": [[("content", some)]],
        "goto": [[("url", some)]],
    }
    names = available_names(HOLO_VERBS, able)
    if "type" in able and "click" not in able:
        names.remove("write_element_abs")  # it clicks first
    ways = []
    for name in names:
        for arguments in takes[name]:
            rule = [_quoted(f'{{"action": "{name}"')]
            for key, value in arguments:
                rule += [_quoted(f', "{key}": '), value]
            ways.append(" ".join([*rule, '"}"']))
    heads = [_quoted(one) for one in ('{"note": ', ', "thought": ', ', "action": ')]
    rules = [
        f'call: {heads[0]} {text} {heads[1]} {text} {heads[2]} act "}}"',
        f"act: {' | '.join(ways)}",
        x,
        y,
        r"SECONDS: /([0-9]|10)(\.0)?/",
        f"WORDS: /({_CHARACTER})*/",
        f"SOME_WORDS: /({_CHARACTER})+/",
    ]
    inner = f'{{"action": "write_element_abs", "content": "", "element": "", "x": {longest}, "y": {longest}}}'
    sample = f'{{"note": "", "thought": "", "action": {inner}}}'
    return CallGrammar("", "", "\n".join(rules), (sample,), open_when_short=True)


def _gta1(family: BaseDialect, able: frozenset[str], screen: Screen) -> CallGrammar:
    x, y, longest = _numbers(family, screen)
    rules = ['call: "(" X "," Y ")" | "(-1,-1)"', x, y]
    return CallGrammar(
        "", "", "\n".join(rules), (f"({longest},{longest})",), closing_strings=(")",), open_when_short=True
    )


_FORMS: dict[str, Callable[[Any, frozenset[str], Screen], CallGrammar]] = {
    "ui_tars": _ui_tars,
    "ui_venus": _ui_venus,
    "autoglm": _autoglm,
    "opencua": _opencua,
    "holo": _holo,
    "gta1": _gta1,
}
