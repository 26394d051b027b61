"""Replies of UI-Venus-1.0 and what each means, for ui_venus.py. With the official limits.

1080x2400 is shown as 1092x2408, 720x1280 as 728x1288; 1288x728 as it is.
"""

from __future__ import annotations

from actions import Answer, Back, Click, Done, Drag, Home, LongPress, Open, Point, PressKeys, TypeText, Wait
from model.dialects.base import Example

PHONE, SMALL_PHONE, SAME = (1080, 2400), (720, 1280), (1288, 728)


def _step(action: str) -> str:
    return f"<think>I see (a) button.</think>\n<action>{action}</action>\n<conclusion>It is done</conclusion>"


EXAMPLES = [
    Example(_step("Click(box=(935, 406))"), PHONE, Click(x=925, y=405)),
    Example(_step("Click(box=(364, 644))"), SMALL_PHONE, Click(x=360, y=640)),
    Example(_step("Click(box=(546,1204))"), PHONE, Click(x=540, y=1200)),
    Example(_step("Click(box=(8.0, 9.4))"), SAME, Click(x=8, y=9)),
    Example(_step("Click(box=(1e2, 9))"), SAME, Click(x=100, y=9)),
    Example(_step("Click(box=(100, 200, 300, 400))"), SAME, Click(x=200, y=300)),
    Example(_step("Click（box＝（８，９））"), SAME, Click(x=8, y=9)),
    Example(_step("LongPress(box=(8, 9))"), SAME, LongPress(x=8, y=9)),
    Example(_step("Drag(start=(546, 1800), end=(546, 600))"), PHONE, Drag(path=(Point(540, 1794), Point(540, 598)))),
    Example(
        _step("Scroll(start=(546, 1800), end=(546, 600), direction='down')"),
        PHONE,
        Drag(path=(Point(540, 1794), Point(540, 598))),
    ),
    Example(_step("Type(content='it's {here}, (now)')"), PHONE, TypeText(text="it's {here}, (now)")),
    Example(_step("Launch(app='Settings')"), PHONE, Open(target="Settings")),
    Example(_step("Launch(app='', url='https://example.org')"), PHONE, Open(target="https://example.org")),
    Example(_step("Wait()"), PHONE, Wait()),
    Example(_step("Finished(content='All set')"), PHONE, Done(message="All set")),
    Example(_step("CallUser(content='7:30')"), PHONE, Answer(text="7:30")),
    Example(_step("PressBack()"), PHONE, Back()),
    Example(_step("PressHome()"), PHONE, Home()),
    Example(_step("PressEnter()"), PHONE, PressKeys(keys=("enter",))),
    Example("<think>Now</think><action>Click(box=(8, 9)", SAME, Click(x=8, y=9)),
    Example("Click(box=(8, 9))", SAME, Click(x=8, y=9)),
    Example(_step("```\nClick(box=(8, 9))\n```"), SAME, Click(x=8, y=9)),
    Example(_step("Click(box=(8, 9))\nType(content='a')"), SAME, Click(x=8, y=9)),
]

GROUNDED = [
    Example("[925,400,945,412]", PHONE, Click(x=925, y=405)),
    Example("[354,634,374,654]", SMALL_PHONE, Click(x=360, y=640)),
    Example("[ 100, 200, 300, 400 ]", SAME, Click(x=200, y=300)),
    Example("[100.0,200.0,300.0,400.0]", SAME, Click(x=200, y=300)),
    Example("[1e2,2e2,3e2,4e2]", SAME, Click(x=200, y=300)),
    Example("[0,0,1,1]", SAME, Click(x=0, y=0)),
    Example("[-1,-1,-1,-1]", PHONE, Done(status="failure", message="what was described is not on the screen")),
    Example("The box is [100,200,300,400].", SAME, Click(x=200, y=300)),
    Example("```json\n[100,200,300,400]\n```", SAME, Click(x=200, y=300)),
    Example("[100,200,300,400]\n[1,2,3,4]", SAME, Click(x=200, y=300)),
    Example("［100，200，300，400］", SAME, Click(x=200, y=300)),
    Example("[200,300]", SAME, Click(x=200, y=300)),
    Example("(100,200,300,400)", SAME, Click(x=200, y=300)),
]
