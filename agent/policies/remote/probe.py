"""Start-up check of a server: whether images reach its model and coordinates are kept.

Quantized builds and servers without the vision part of a model reply fluently without looking, and servers that resize
images on their own return coordinates of another image. The model therefore names two solid colors, and clicks the
button of a rendered page at two places. Correct colors or hits show that images arrive; hits
also show that coordinates are kept.
A model that does neither (a very small one) must at least reply differently to different images. A server that fails
on the colors or on the large page is judged by the small pages alone; one that parses tool calls fails where the model
writes a malformed one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from actions import ACTION_TYPES, InvalidActionError, Screen, SurfaceError, UsageError
from agent.policies.remote import structured_output
from model.dialects.base import Conversation

if TYPE_CHECKING:
    from agent.policies.remote.policy import RemotePolicy

COLORS = {"red": (220, 20, 30), "green": (20, 150, 40), "blue": (20, 50, 220)}
SHOWN_COLORS = ("blue", "red")
QUESTION = "Which colour fills this picture: red, green or blue? Answer with that one word."
COLOR_REPLY_TOKENS = 16
GOAL = "Click the button."
SMALL, LARGE = (280, 364), (1288, 728)  # width and height in pixels, multiples of 28: nothing is resampled
PLACES = ((0.30, 0.42), (0.72, 0.80))  # of the button's center, as shares of the page
BUTTON = (70, 37)
SCALE_TOLERANCE = 0.07  # relative; ratios of prediction and target that agree within this are one scale


@dataclass(frozen=True)
class ProbeResult:
    """The prediction for one page with a button."""

    target: tuple[int, int]  # the button's center
    point: tuple[int, int] | None  # the predicted point, None when the reply has none
    text: str
    problem: str = ""  # why there is no point

    @property
    def is_hit(self) -> bool:
        """Whether the predicted point is on the button."""
        return self.point is not None and all(
            abs(predicted - center) <= size / 2
            for predicted, center, size in zip(self.point, self.target, BUTTON, strict=True)
        )


def check_server(policy: RemotePolicy, *, is_pixelhand: bool = False) -> str:
    """Return the result of the start-up check in one sentence.

    Where the model hits the buttons of the largest page shown, the policy checks larger screenshots before it uses
    them (`policy.check_size`).

    Args:
        policy: The policy of the server.
        is_pixelhand: Whether the server is `agent serve`, which never resizes images: the large page is skipped.

    Raises:
        UsageError: The server ignores images or moves coordinates.
    """
    server = _server_name(policy)
    color_replies = _color_replies(policy)
    names_colors = bool(color_replies) and all(
        _names_only(text, color) for text, color in zip(color_replies, SHOWN_COLORS, strict=True)
    )
    results = [_click_button(policy, SMALL, place) for place in PLACES]
    hits = all(result.is_hit for result in results)
    if not names_colors and not hits and not _reacts_to_images(policy, color_replies, results):
        replies = " and ".join(f"{text[:40]!r}" for text in color_replies) or "nothing readable"
        raise UsageError(
            f"{server} ignores images: the replies to a {SHOWN_COLORS[0]} and a {SHOWN_COLORS[1]} image are {replies}, "
            "and the replies to two different pages are the same; serve the model with its vision part "
            "(llama.cpp: --mmproj), or use another build of it"
        )
    scale = _scale(results)
    if scale is None and hits and not is_pixelhand and policy.profile.limits.resized(*LARGE) == LARGE:
        try:
            results = [_click_button(policy, LARGE, place) for place in PLACES]
        except SurfaceError as error:
            return f"{server} sees images and keeps the coordinates of small ones; larger ones are unchecked: {error}"
        scale = _scale(results)
        if all(result.is_hit for result in results):
            policy.checked_pixels = LARGE[0] * LARGE[1]
            policy.check_size = check_size
    if scale is not None:
        raise UsageError(_scale_message(server, results, scale))
    if hits and all(result.is_hit for result in results):
        return f"{server} sees images and keeps coordinates"
    miss = next(result for result in results if not result.is_hit)
    sight = "sees images" if names_colors or hits else "tells images apart"
    prediction = _format_point(miss.point) if miss.point else miss.problem
    return (
        f"{server} {sight}, but coordinates are unconfirmed: for a button at {_format_point(miss.target)} "
        f"the prediction is {prediction}"
    )


def check_size(policy: RemotePolicy, width: int, height: int) -> None:
    """Raise UsageError when the server moves the coordinates of an image of this size."""
    with suppress(SurfaceError):  # a server that fails on the page is no proof of moved coordinates
        results = [_click_button(policy, (width, height), place) for place in PLACES]
        scale = _scale(results)
        if scale is not None:
            raise UsageError(_scale_message(_server_name(policy), results, scale))


def render_button_page(size: tuple[int, int], place: tuple[float, float]) -> tuple[Screen, tuple[int, int]]:
    """Render a page with an instruction and one button; return it with the button's center in pixels."""
    width, height = size
    x, y = round(width * place[0]), round(height * place[1])
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width - 1, 86), fill=(255, 255, 0))
    draw.text((6, 6), GOAL, fill="black", font=ImageFont.load_default(18))
    half_width, half_height = BUTTON[0] // 2, BUTTON[1] // 2
    edges = (x - half_width, y - half_height, x + half_width, y + half_height)
    draw.rounded_rectangle(edges, 4, fill=(239, 239, 239), outline=(118, 118, 118), width=2)
    draw.text((x, y), "Click Me!", fill="black", anchor="mm", font=ImageFont.load_default(14))
    return Screen(np.asarray(image)), (x, y)


def _server_name(policy: RemotePolicy) -> str:
    return f"the server {policy.client.base} ({policy.client.name})"


def _scale_message(server: str, results: list[ProbeResult], scale: float) -> str:
    pairs = ", ".join(
        f"{_format_point(result.point)} for a button at {_format_point(result.target)}" for result in results
    )
    return (
        f"{server} does not keep coordinates: the predictions are {pairs}, about {scale:.2f} times the position; the "
        "server resizes images: raise its pixel limit, or give the same limit here with ?max_pixels=N before the #"
    )


def _color_replies(policy: RemotePolicy) -> list[str]:
    """Return the reply to each solid color; empty when the server fails on them."""
    try:
        return [_color_reply(policy, color) for color in SHOWN_COLORS]
    except SurfaceError:
        return []  # an unreachable server fails on the button pages too


def _color_reply(policy: RemotePolicy, color: str) -> str:
    pixels = np.full((SMALL[1], SMALL[0], 3), COLORS[color], np.uint8)
    content = [{"type": "image", "image": Screen(pixels)}, {"type": "text", "text": QUESTION}]
    conversation = Conversation(({"role": "user", "content": content},))
    return policy.reply(conversation, temperature=0, max_new_tokens=COLOR_REPLY_TOKENS).text.strip()


def _names_only(text: str, color: str) -> bool:
    return color in text.lower() and not any(other in text.lower() for other in COLORS if other != color)


def _click_button(policy: RemotePolicy, size: tuple[int, int], place: tuple[float, float]) -> ProbeResult:
    screen, target = render_button_page(size, place)
    verbs = frozenset(ACTION_TYPES)
    conversation = policy.dialect.conversation(GOAL, (), screen, verbs)
    constraint = structured_output.request_fields(policy.profile.structured, policy.dialect, verbs, screen)
    reply = policy.reply(conversation, temperature=0, constraint=constraint)
    try:
        actions = policy.to_actions(policy.parse(reply), screen)
    except InvalidActionError as error:
        return ProbeResult(target, None, reply.text, f"not an action ({error})"[:200])
    points = [point for action in actions for point in action.points()]
    if not points:
        return ProbeResult(target, None, reply.text, "not a point")
    return ProbeResult(target, (points[0].x, points[0].y), reply.text)


def _reacts_to_images(policy: RemotePolicy, color_replies: list[str], results: list[ProbeResult]) -> bool:
    """Return whether different images get different replies, and the same image the same reply."""
    pages_differ = results[0].text != results[1].text
    if len(set(color_replies)) < 2 and not pages_differ:
        return False
    if pages_differ:
        return _click_button(policy, SMALL, PLACES[0]).text == results[0].text
    return _color_reply(policy, SHOWN_COLORS[0]) == color_replies[0]


def _scale(results: list[ProbeResult]) -> float | None:
    """Return the factor between predictions and targets when all agree on one other than 1, else None."""
    if any(result.point is None for result in results):
        return None
    ratios = [
        predicted / center
        for result in results
        for predicted, center in zip(result.point or (), result.target, strict=True)
    ]
    mean = sum(ratios) / len(ratios)
    is_consistent = mean > 0 and all(abs(ratio / mean - 1) <= SCALE_TOLERANCE for ratio in ratios)
    return mean if is_consistent and abs(mean - 1) > SCALE_TOLERANCE else None


def _format_point(point: tuple[int, int] | None) -> str:
    return "none" if point is None else f"({point[0]}, {point[1]})"
