"""Replies of OpenCUA and what each means, for opencua.py. With the official limits: 1920x1080 is shown as 1932x1092.

The first are the authors' own (model/README.md, and the forms of AgentNet's steps).
"""

from __future__ import annotations

from actions import Click, Done, Drag, Move, Point, PressKeys, Scroll, TypeText, Wait
from model.dialects.base import Example

PHONE, DESKTOP, LAPTOP, SAME = (1080, 2400), (1920, 1080), (1280, 720), (1288, 728)

EXAMPLES = [
    Example("```python\npyautogui.click(x=1443, y=343)\n```", DESKTOP, Click(x=1434, y=339)),
    Example("```python\npyautogui.click(x=960, y=324)\n```", DESKTOP, Click(x=954, y=320)),
    Example("```python\npyautogui.click(x=960, y=324)\n```", LAPTOP, Click(x=954, y=320)),
    Example("```python\npyautogui.click(x=960, y=324)\n```", PHONE, Click(x=949, y=323)),
    Example("pyautogui.hotkey(keys=['ctrl', 'F'])", SAME, PressKeys(keys=("ctrl", "F"))),
    Example("pyautogui.press(keys=['enter'])", SAME, PressKeys(keys=("enter",))),
    Example("pyautogui.write(message='STAT6011 gROUPING')", SAME, TypeText(text="STAT6011 gROUPING")),
    Example("computer.terminate(status='success')", SAME, Done()),
    Example("computer.triple_click(x=966, y=546)", DESKTOP, Click(x=960, y=540, count=3)),
    Example("pyautogui.rightClick(x=966, y=546)", DESKTOP, Click(x=960, y=540, button="right")),
    # the whole form, L2
    Example(
        "# Step 3:\n## Thought:\nThe menu (top left) is closed.\n\n## Action:\nClick the menu.\n\n"
        "## Code:\n```python\nimport pyautogui\npyautogui.click(x=8, y=9)\n```\n",
        SAME,
        Click(x=8, y=9),
    ),
    # each other call
    Example("pyautogui.click(8, 9, button='right')", SAME, Click(x=8, y=9, button="right")),
    Example("pyautogui.click(x=8, y=9, clicks=2, interval=0.1)", SAME, Click(x=8, y=9, count=2)),
    Example("pyautogui.click((8, 9))", SAME, Click(x=8, y=9)),
    Example("pyautogui.doubleClick(x=8, y=9)", SAME, Click(x=8, y=9, count=2)),
    Example("pyautogui.tripleClick(x=8, y=9)", SAME, Click(x=8, y=9, count=3)),
    Example("pyautogui.middleClick(x=8, y=9)", SAME, Click(x=8, y=9, button="middle")),
    Example("pyautogui.moveTo(x=8, y=9, duration=0.5)", SAME, Move(x=8, y=9)),
    Example("pyautogui.dragTo(x=8, y=9, button='left')", SAME, Drag(path=(Point(8, 9),))),
    Example("pyautogui.scroll(-5)", SAME, Scroll(down=5)),
    Example("pyautogui.scroll(3, x=8, y=9)", SAME, Scroll(x=8, y=9, down=-3)),
    Example("pyautogui.hscroll(2)", SAME, Scroll(right=2)),
    Example("pyautogui.hotkey('ctrl', 'c')", SAME, PressKeys(keys=("ctrl", "c"))),
    Example("pyautogui.press('esc')", SAME, PressKeys(keys=("escape",))),
    Example("pyautogui.typewrite('a\\nb', interval=0.05)", SAME, TypeText(text="a\nb")),
    Example('pyautogui.write("it\'s {here}")', SAME, TypeText(text="it's {here}")),
    Example("time.sleep(2)", SAME, Wait(seconds=2.0)),
    Example("computer.terminate(status='failure')", SAME, Done(status="failure")),
    # several calls that are one action
    Example(
        "pyautogui.moveTo(x=8, y=9)\npyautogui.dragTo(x=80, y=90, button='left')",
        SAME,
        Drag(path=(Point(8, 9), Point(80, 90))),
    ),
    Example("pyautogui.moveTo(x=8, y=9)\npyautogui.scroll(-54)", SAME, Scroll(x=8, y=9, down=54)),
    Example("pyautogui.moveTo(8, 9)\npyautogui.click()", SAME, Click(x=8, y=9)),
    Example(
        "pyautogui.keyDown('ctrl')\npyautogui.click(x=8, y=9)\npyautogui.keyUp('ctrl')",
        SAME,
        Click(x=8, y=9, modifiers=("ctrl",)),
    ),
    Example(
        "pyautogui.keyDown('ctrl')\npyautogui.press('a')\npyautogui.keyUp('ctrl')", SAME, PressKeys(keys=("ctrl", "a"))
    ),
    # nearly right
    Example("```python\npyautogui.click(x=8, y=9)", SAME, Click(x=8, y=9)),
    Example("pyautogui.click(x=8, y=9", SAME, Click(x=8, y=9)),
    Example("pyautogui.click（x=８，y=9.0）", SAME, Click(x=8, y=9)),
    Example("I shall use `pyautogui.click(x=8, y=9)`.", SAME, Click(x=8, y=9)),
    Example("pyautogui.click(x=1e2, y=9.4)", SAME, Click(x=100, y=9)),
]
