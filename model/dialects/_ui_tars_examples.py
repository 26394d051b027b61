"""Replies of UI-TARS and what each means, for ui_tars.py and ui_tars_v1.py. With the official limits.

1920x1080 is shown as 1932x1092, 1280x720 as 1288x728, 1080x2400 as 1092x2408; 1288x728 as it is.
"""

from __future__ import annotations

from actions import Ask, Back, Click, Done, Drag, Home, LongPress, Move, Open, Point, PressKeys, Scroll, TypeText, Wait
from model.dialects.base import Example

PHONE, DESKTOP, LAPTOP, SAME = (1080, 2400), (1920, 1080), (1280, 720), (1288, 728)


def _box(x: int, y: int, key: str = "start_box") -> str:
    return f"{key}='<|box_start|>({x},{y})<|box_end|>'"


_WORDS = [  # what means the same in both spaces
    Example("Thought: Save it.\nAction: hotkey(key='ctrl s')", SAME, PressKeys(keys=("ctrl", "s"))),
    Example("Action: hotkey(key='ctrl+shift+t')", SAME, PressKeys(keys=("ctrl", "shift", "t"))),
    Example("Action: hotkey(key='arrowleft')", SAME, PressKeys(keys=("left",))),
    Example("Action: press(key='space')", SAME, PressKeys(keys=("space",))),
    Example(r"Action: type(content='it\'s \"here\"\n')", SAME, TypeText(text='it\'s "here"\n')),
    Example("Action: type(content='don't {say} it')", SAME, TypeText(text="don't {say} it")),
    Example("Action: type(content='f('x')')", SAME, TypeText(text="f('x')")),
    Example("Action: type(content='zwei\nZeilen')", SAME, TypeText(text="zwei\nZeilen")),
    Example("Action: scroll(direction='up')", SAME, Scroll(down=-5)),
    Example("Thought: Let me wait.\nAction: wait()", SAME, Wait(seconds=5.0)),
    Example("Action: finished(content='7:30')", SAME, Done(message="7:30")),
    Example("Action: finished()", SAME, Done()),
    Example("Thought: A captcha.\nAction: call_user()", SAME, Ask(question="A captcha.")),
    Example("Action: open_app(app_name='Settings')", PHONE, Open(target="Settings")),
    Example("Action: press_home()", PHONE, Home()),
    Example("Action: press_back()", PHONE, Back()),
]

EXAMPLES = [
    # the authors' own reply, at two sizes
    Example("Thought: xxx\n    Action: click(start_box='(197,525)')", DESKTOP, Click(x=196, y=519)),
    Example("Thought: xxx\n    Action: click(start_box='(197,525)')", LAPTOP, Click(x=196, y=519)),
    Example("Thought: xxx\n    Action: click(start_box='(197,525)')", PHONE, Click(x=195, y=523)),
    # each form of a point
    Example(f"Action: click({_box(966, 546)})", DESKTOP, Click(x=960, y=540)),
    Example(f"Action: click({_box(966, 546)})", SAME, Click(x=966, y=546)),
    Example("Action: click(point='<point>200 300</point>')", SAME, Click(x=200, y=300)),
    Example("Action: click(start_box='[100,200,300,401]')", SAME, Click(x=200, y=300)),
    Example("Action: click(start_box='(1.93e2, 300.0)')", SAME, Click(x=193, y=300)),
    Example("Action：click（start_box＝'（１０，２０）'）", SAME, Click(x=10, y=20)),
    Example("Action: click('(10,20)')", SAME, Click(x=10, y=20)),
    # each action
    Example(f"Action: left_double({_box(8, 9)})", SAME, Click(x=8, y=9, count=2)),
    Example(f"Action: right_single({_box(8, 9)})", SAME, Click(x=8, y=9, button="right")),
    Example(f"Action: hover({_box(8, 9)})", SAME, Move(x=8, y=9)),
    Example(f"Action: long_press({_box(8, 9)})", SAME, LongPress(x=8, y=9)),
    Example(
        f"Action: drag({_box(8, 9)}, {_box(966, 546, 'end_box')})",
        DESKTOP,
        Drag(path=(Point(8, 9), Point(960, 540))),
    ),
    Example(
        "Action: drag(start_point='<point>8 9</point>', end_point='<point>80 90</point>')",
        SAME,
        Drag(path=(Point(8, 9), Point(80, 90))),
    ),
    Example(f"Action: scroll({_box(100, 200)}, direction='down')", SAME, Scroll(x=100, y=200, down=5)),
    Example(f"Action: scroll({_box(100, 200)}, direction='right')", SAME, Scroll(x=100, y=200, right=5)),
    *_WORDS,
    # nearly right
    Example("Thought: I click (the button).\nAction: click(start_box='(8,9)'", SAME, Click(x=8, y=9)),
    Example("```\nThought: a\nAction: click(start_box='(8,9)')\n```", SAME, Click(x=8, y=9)),
    Example("click(start_box='(8,9)')", SAME, Click(x=8, y=9)),
    # several actions: ground gives the first
    Example("Action: click(start_box='(8,9)')\n\ntype(content='a')\n\nhotkey(key='enter')", SAME, Click(x=8, y=9)),
]

THOUSANDTHS = [
    Example("Thought: xxx\nAction: click(start_box='(197,525)')", DESKTOP, Click(x=378, y=567)),
    Example("Thought: xxx\nAction: click(start_box='(197,525)')", PHONE, Click(x=212, y=1260)),
    Example(f"Action: click({_box(500, 500)})", LAPTOP, Click(x=640, y=360)),
    Example(f"Action: click({_box(0, 1000)})", DESKTOP, Click(x=0, y=1079)),
    Example("Action: click(start_box='(500.0,2.5e2)')", DESKTOP, Click(x=960, y=270)),
    Example("Action: click(start_box='[100,200,300,400]')", DESKTOP, Click(x=384, y=324)),
    Example(f"Action: left_double({_box(250, 250)})", DESKTOP, Click(x=480, y=270, count=2)),
    Example(f"Action: right_single({_box(250, 250)})", DESKTOP, Click(x=480, y=270, button="right")),
    Example(
        f"Action: drag({_box(100, 100)}, {_box(999, 999, 'end_box')})",
        DESKTOP,
        Drag(path=(Point(192, 108), Point(1918, 1078))),
    ),
    Example(f"Action: scroll({_box(500, 500)}, direction='left')", LAPTOP, Scroll(x=640, y=360, right=-5)),
    *_WORDS,
]
