"""Does a server see, and does it keep coordinates? Asked at the start of a run. Knows a RemotePolicy; no machine.

Quantised builds and servers without the picture half of a model answer fluently and blindly, and servers that shrink
pictures on their own give points of another picture. So it is shown two solid colours to name, and a page with one
button, painted at two places, to click. Colours named or buttons hit prove sight, and buttons hit prove that points are
kept. A model that does neither (a very small one) must at least say other things to other pictures. A server that
fails on the colours or on the large page (one that takes calls out of the words fails where a model says a broken one)
is judged by the small pages alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from actions import ACTION_TYPES, InvalidActionError, Screen, SurfaceError, UsageError
from agent.policies.remote import structured_output
from model.dialects.base import Conversation

if TYPE_CHECKING:
    from agent.policies.remote.policy import RemotePolicy

COLOURS = {"red": (220, 20, 30), "green": (20, 150, 40), "blue": (20, 50, 220)}
NAMED = ("blue", "red")  # those that are shown
QUESTION = "Which colour fills this picture: red, green or blue? Answer with that one word."
WORD_TOKENS = 16
GOAL = "Click the button."
SMALL, LARGE = (280, 364), (1288, 728)  # width and height in pixels, multiples of 28: nothing is resampled on the way
PLACES = ((0.30, 0.42), (0.72, 0.80))  # of the button's centre, as shares of the picture
BUTTON = (70, 37)
SCALE_TOLERANCE = 0.07  # ratios of answer and target that agree within this are a scale


@dataclass(frozen=True)
class ProbeResult:
    """One button: where its centre is, what was answered, and the words."""

    target: tuple[int, int]
    answer: tuple[int, int] | None
    words: str
    problem: str = ""

    @property
    def hit(self) -> bool:
        return self.answer is not None and all(
            abs(said - real) <= side / 2 for said, real, side in zip(self.answer, self.target, BUTTON, strict=True)
        )


def check_server(policy: RemotePolicy, *, ours: bool = False) -> str:
    """What was found, in a sentence; UsageError when the server is blind or moves coordinates.

    ours: it is our own server, which shows pictures as they come: then the small page alone is shown.
    """
    said = _colours(policy)
    named = bool(said) and all(_names_only(words, name) for words, name in zip(said, NAMED, strict=True))
    shots = [_shot(policy, SMALL, place) for place in PLACES]
    hit = all(shot.hit for shot in shots)
    where = f"the server {policy.server.base} ({policy.server.name})"
    if not named and not hit and not _reacts_to_images(policy, said, shots):
        colours = " and ".join(f"{words[:40]!r}" for words in said) or "nothing that can be read"
        raise UsageError(
            f"{where} answers without looking: to a {NAMED[0]} and a {NAMED[1]} picture it says {colours}, and two "
            "pages with a button at two places make no difference; serve it with the vision part of the model "
            "(llama.cpp: --mmproj), or another build of it"
        )
    scale = _scale(shots)
    if scale is None and hit and not ours and _large_page_unscaled(policy):
        try:
            shots = [_shot(policy, LARGE, place) for place in PLACES]
        except SurfaceError as error:
            return f"{where} sees pictures and keeps coordinates of small ones; of larger ones it is not shown: {error}"
        scale = _scale(shots)
    if scale is not None:
        raise UsageError(
            f"{where} does not keep coordinates: of a button at {_pair(shots[0].target)} it says "
            f"{_pair(shots[0].answer)}, of one at {_pair(shots[1].target)} {_pair(shots[1].answer)}, about {scale:.2f} "
            "times what it is; it resizes pictures on its own: raise its limit of pixels, or say the limit here, "
            "?max_pixels=N before the #"
        )
    if hit and all(shot.hit for shot in shots):
        return f"{where} sees pictures and keeps coordinates"
    missed = next(shot for shot in shots if not shot.hit)
    sight = "sees pictures" if named or hit else "tells pictures apart"
    came = _pair(missed.answer) if missed.answer else missed.problem
    return (
        f"{where} {sight}; that it keeps coordinates is not shown: of a button at {_pair(missed.target)} it says {came}"
    )


def _colours(policy: RemotePolicy) -> list[str]:
    """What it says to each solid colour; nothing where the server fails on it."""
    try:
        return [_colour(policy, name) for name in NAMED]
    except SurfaceError:
        return []  # one that is not there at all fails on the buttons too


def _colour(policy: RemotePolicy, name: str) -> str:
    pixels = np.full((SMALL[1], SMALL[0], 3), COLOURS[name], np.uint8)
    content = [{"type": "image", "image": Screen(pixels)}, {"type": "text", "text": QUESTION}]
    talk = Conversation(({"role": "user", "content": content},))
    return policy.reply(talk, temperature=0, max_new_tokens=WORD_TOKENS).text.strip()


def _names_only(words: str, name: str) -> bool:
    return name in words.lower() and not any(other in words.lower() for other in COLOURS if other != name)


def render_button_page(size: tuple[int, int], place: tuple[float, float]) -> tuple[Screen, tuple[int, int]]:
    """A painted page that says what to do, with one button; and where the button's centre is, in its pixels."""
    width, height = size
    x, y = round(width * place[0]), round(height * place[1])
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width - 1, 86), fill=(255, 255, 0))
    draw.text((6, 6), GOAL, fill="black", font=ImageFont.load_default(18))
    half_w, half_h = BUTTON[0] // 2, BUTTON[1] // 2
    edges = (x - half_w, y - half_h, x + half_w, y + half_h)
    draw.rounded_rectangle(edges, 4, fill=(239, 239, 239), outline=(118, 118, 118), width=2)
    draw.text((x, y), "Click Me!", fill="black", anchor="mm", font=ImageFont.load_default(14))
    return Screen(np.asarray(image)), (x, y)


def _shot(policy: RemotePolicy, size: tuple[int, int], place: tuple[float, float]) -> ProbeResult:
    screen, target = render_button_page(size, place)
    talk = policy.dialect.conversation(GOAL, (), screen, frozenset(ACTION_TYPES))
    held = structured_output.request_fields(policy.speech.structured, policy.dialect, frozenset(ACTION_TYPES), screen)
    reply = policy.reply(talk, temperature=0, held=held)
    try:
        meant = policy.to_actions(policy.parse(reply), screen)
    except InvalidActionError as error:
        return ProbeResult(target, None, reply.text, f"nothing that can be done ({error})"[:200])
    points = [point for action in meant for point in action.points()]
    if not points:
        return ProbeResult(target, None, reply.text, "no point")
    return ProbeResult(target, (points[0].x, points[0].y), reply.text)


def _reacts_to_images(policy: RemotePolicy, said: list[str], shots: list[ProbeResult]) -> bool:
    """Whether other pictures make other words, and the same picture the same."""
    if len(set(said)) < 2 and shots[0].words == shots[1].words:
        return False
    if shots[0].words != shots[1].words:
        return _shot(policy, SMALL, PLACES[0]).words == shots[0].words
    return _colour(policy, NAMED[0]) == said[0]


def _scale(shots: list[ProbeResult]) -> float | None:
    """By how much points are too near or too far, when all agree on it; None when they do not, or when it is 1."""
    if any(shot.answer is None for shot in shots):
        return None
    ratios = [said / real for shot in shots for said, real in zip(shot.answer or (), shot.target, strict=True)]
    middle = sum(ratios) / len(ratios)
    same = all(abs(ratio / middle - 1) <= SCALE_TOLERANCE for ratio in ratios) if middle > 0 else False
    return middle if same and abs(middle - 1) > SCALE_TOLERANCE else None


def _large_page_unscaled(policy: RemotePolicy) -> bool:
    """Whether the large page is shown as it is painted."""
    return policy.speech.limits.resized(*LARGE) == LARGE


def _pair(point: tuple[int, int] | None) -> str:
    return "nowhere" if point is None else f"({point[0]}, {point[1]})"
