"""Replies of AutoGLM-Phone and what each means, for autoglm.py: places from 0 to 1000, whatever the picture's size."""

from __future__ import annotations

from actions import Ask, Back, Click, Done, Drag, Home, LongPress, Open, Point, Wait
from model.dialects.base import Example

PHONE, SMALL_PHONE = (1080, 2400), (720, 1280)


def _answer(action: str) -> str:
    return f"<think>I see do(nothing) here.</think>\n<answer>{action}</answer>"


_TAP = _answer('do(action="Tap", element=[500,250])')
EXAMPLES = [
    Example(_TAP, PHONE, Click(x=540, y=600)),
    Example(_TAP, SMALL_PHONE, Click(x=360, y=320)),
    Example(_answer('do(action="Tap", element=[0,999])'), PHONE, Click(x=0, y=2397)),
    Example(_answer('do(action="Tap", element=[1000,1000])'), PHONE, Click(x=1079, y=2399)),
    Example(_answer('do(action="Tap", element=[500.0,2.5e2])'), PHONE, Click(x=540, y=600)),
    Example(_answer('do(action="Tap", element=[400,200,600,300])'), PHONE, Click(x=540, y=600)),
    Example(_answer('do(action="Tap", element=[500,250], message="Pay")'), PHONE, Click(x=540, y=600)),
    Example(_answer('do（action="Tap"，element=［500，250］）'), PHONE, Click(x=540, y=600)),
    Example(_answer('do(action="Double Tap", element=[500,250])'), PHONE, Click(x=540, y=600, count=2)),
    Example(_answer('do(action="Long Press", element=[500,250])'), PHONE, LongPress(x=540, y=600)),
    Example(
        _answer('do(action="Swipe", start=[500,800], end=[500,200])'),
        PHONE,
        Drag(path=(Point(540, 1920), Point(540, 480))),
    ),
    Example(_answer('do(action="Launch", app="微信")'), PHONE, Open(target="微信")),
    Example(_answer('do(action="Back")'), PHONE, Back()),
    Example(_answer('do(action="Home")'), PHONE, Home()),
    Example(_answer('do(action="Wait", duration="3 seconds")'), PHONE, Wait(seconds=3.0)),
    Example(_answer('do(action="Wait", duration=2)'), PHONE, Wait(seconds=2.0)),
    Example(_answer('do(action="Note", message="True")'), PHONE, Wait(seconds=0.0)),
    Example(_answer('do(action="Take_over", message="Log in, please")'), PHONE, Ask(question="Log in, please")),
    Example('<answer>do(action="Interact")</answer>', PHONE, Ask(question="Which one do you want?")),
    Example(_answer('finish(message="It is "here" {now}")'), PHONE, Done(message='It is "here" {now}')),
    Example('I tap.\ndo(action="Tap", element=[500,250])', PHONE, Click(x=540, y=600)),
    Example("<think>Tap</think><answer>\n```\ndo(action='Tap', element=[500,250])\n```", PHONE, Click(x=540, y=600)),
]
