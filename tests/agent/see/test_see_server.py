"""`agent see` with a fake server: prompts, coordinates of the original image, retries and hostile replies."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import Agent
from helpers.server_fakes import FakeServer, serve_fake
from PIL import Image

from actions import Error, Reply, Screen, UsageError
from agent.policies.base import Policy, load_dialect
from agent.policies.scripted import ScriptPolicy
from agent.see.elements import elements
from agent.see.grounding import count, ground
from agent.see.overlay import overlay
from agent.see.questions import InvalidAnswerError
from agent.see.reading import read_text
from model.processing.image import ImageLimits
from pixelhand import load_policy

SIZE = (700, 280)  # resized to itself by Qwen2.5-VL
BOX = {"bbox_2d": [70, 28, 140, 56], "label": "Save"}


@dataclass
class ListServer(FakeServer):
    """A server with prepared replies; the last one is repeated."""

    replies: list[str] = field(default_factory=list)

    def reply(self, body: dict[str, Any]) -> str:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@pytest.fixture
def server() -> Iterator[ListServer]:
    fake = ListServer(replies=["[]"])
    with serve_fake(fake):
        yield fake


@pytest.fixture
def policy(server: ListServer) -> Iterator[Policy]:
    policy = load_policy(f"{server.base}?dialect=qwen25&check=off")
    yield policy
    policy.close()


def image(width: int = SIZE[0], height: int = SIZE[1]) -> Screen:
    return Screen(np.full((height, width, 3), 200, np.uint8))


def prompt_of(server: ListServer) -> str:
    return next(part["text"] for part in server.requests[-1]["messages"][-1]["content"] if part["type"] == "text")


def test_boxes_are_in_pixels_of_image(server: ListServer, policy: Policy) -> None:
    server.replies = [json.dumps([BOX])]
    (item,) = ground(image(), "the buttons", policy).items
    assert item.box == (70, 28, 140, 56)
    assert item.point == (104, 41)
    assert item.label == "Save"
    assert "the buttons" in prompt_of(server)


def test_resized_pixels_are_scaled_back(server: ListServer, policy: Policy) -> None:
    server.replies = [json.dumps([BOX])]
    width, height = 350, 139
    resized = policy.dialect.limits.resized(width, height)  # type: ignore[attr-defined]
    assert resized == (336, 140)
    (item,) = ground(image(width, height), "it", policy).items
    assert item.box == (73, 28, 146, 56)


@pytest.mark.parametrize(
    "place",
    [
        {"quad_2d": [70, 28, 140, 56, 126, 84, 56, 56]},
        {"quad": [[70, 28], [140, 56], [126, 84], [56, 56]]},
        {"polygon": "(70,28),(140,56),(126,84),(56,56)"},
        {"poly_2d": "<|quad_start|>(70,28),(140,56),(126,84),(56,56)<|quad_end|>"},
        {"bbox_2d": [70, 28, 140, 56, 126, 84, 56, 56]},
    ],
)
def test_four_corners_are_read_in_each_form(server: ListServer, policy: Policy, place: dict[str, object]) -> None:
    server.replies = [json.dumps([{**place, "text_content": "Save", "label": "Save"}])]
    (line,) = read_text(image(), policy, polygons=True).items
    assert "quad_2d" in prompt_of(server)
    (thing,) = ground(image(), "it", policy, polygons=True).items
    for item in (line, thing):
        assert item.polygon == ((70, 28), (140, 56), (126, 84), (56, 56))
        assert item.box == (56, 28, 140, 84)
        assert item.as_dict()["polygon"] == [[70, 28], [140, 56], [126, 84], [56, 56]]


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_corners_keep_their_orientation(server: ListServer, policy: Policy, degrees: int) -> None:
    angle = math.radians(degrees)
    corners = [
        (round(350 + x * math.cos(angle) - y * math.sin(angle)), round(140 + x * math.sin(angle) + y * math.cos(angle)))
        for x, y in ((-100, -15), (100, -15), (100, 15), (-100, 15))
    ]
    server.replies = [json.dumps([{"quad_2d": [n for corner in corners for n in corner], "text_content": "a"}])]
    (item,) = read_text(image(), policy, polygons=True).items
    assert item.polygon == tuple(corners)
    assert item.box == (
        min(x for x, _ in corners), min(y for _, y in corners), max(x for x, _ in corners), max(y for _, y in corners)
    )  # fmt: skip


@pytest.mark.parametrize(
    "corners",
    [
        [70, 28, 140, 56, 70, 56, 140, 28],  # two sides cross
        [70, 28, 140, 28, 100, 28, 90, 28],  # no area
        [70, 28, 140, 56, 126, 300, 56, 56],  # below the image
        [70, 28, 140, 56, 126, 84],
        [70, 28, 140, 56, 126, 84, None, 56],
        "corners",
    ],
)
def test_other_corners_are_left_out(server: ListServer, policy: Policy, corners: object) -> None:
    server.replies = [json.dumps([{"quad_2d": corners, "text_content": "a"}])]
    result = read_text(image(), policy, polygons=True)
    assert result.items == ()
    assert "quad_2d" in result.rejected[0]


def test_overlay_draws_corners_along_their_sides(server: ListServer, policy: Policy) -> None:
    server.replies = [json.dumps([{"quad_2d": [100, 100, 300, 200, 280, 240, 80, 140], "text_content": "a"}])]
    result = read_text(image(), policy, polygons=True)
    pixels = np.asarray(overlay(image(), result))
    for x, y in ((200, 150), (290, 220), (180, 190), (90, 120)):
        assert (pixels[y - 2 : y + 3, x - 2 : x + 3] != 200).any(), (x, y)
    assert (pixels[235:240, 90:100] == 200).all()  # inside the box, outside of the corners


def test_points_exclude_polygons(policy: Policy) -> None:
    with pytest.raises(UsageError, match="--polygons"):
        ground(image(), "it", policy, points=True, polygons=True)


def test_qwen3vl_answers_are_in_thousandths(server: ListServer) -> None:
    server.replies = [json.dumps([{"bbox_2d": [0, 500, 1000, 1000], "label": "x"}])]
    policy = load_policy(f"{server.base}?dialect=qwen3vl&check=off")
    (item,) = ground(image(), "it", policy).items
    policy.close()
    assert item.box == (0, 140, 700, 280)
    assert "0 to 1000" in prompt_of(server)


def test_points_and_attributes_are_returned(server: ListServer, policy: Policy) -> None:
    server.replies = [json.dumps([{"point_2d": [10, 20], "label": "apple", "color": "red"}])]
    (item,) = ground(image(), "fruit", policy, points=True, attributes=("color",)).items
    assert item.box is None
    assert item.point == (10, 20)
    assert item.attributes == {"color": "red"}


def test_schema_is_sent_to_server(server: ListServer, policy: Policy) -> None:
    ground(image(), "it", policy)
    schema = server.requests[-1]["response_format"]["json_schema"]["schema"]
    axes = schema["items"]["properties"]["bbox_2d"]["prefixItems"]
    assert [axis["maximum"] for axis in axes] == [700, 280, 700, 280]


def test_count_is_number_of_points(server: ListServer, policy: Policy) -> None:
    server.replies = [json.dumps([{"point_2d": [x, 5], "label": "dot"} for x in range(7)])]
    assert count(image(), "dots", policy).count == 7


def test_elements_have_kinds(server: ListServer, policy: Policy) -> None:
    server.replies = [json.dumps([{**BOX, "kind": "button"}, {**BOX, "kind": "spaceship"}])]
    result = elements(image(), policy)
    assert [item.kind for item in result.items] == ["button"]
    assert "spaceship" in result.rejected[0]


@pytest.mark.parametrize("unit", ["line", "word"])
def test_read_asks_for_unit_and_language(server: ListServer, policy: Policy, unit: Any) -> None:
    server.replies = [json.dumps([{"bbox_2d": [0, 0, 28, 28], "text_content": "Über  uns"}])]
    (region,) = read_text(image(), policy, unit=unit, language="German").items
    assert region.text == "Über uns"
    assert f"each {unit}" in prompt_of(server)
    assert "German" in prompt_of(server)


def test_box_outside_image_is_rejected(server: ListServer, policy: Policy) -> None:
    server.replies = [json.dumps([BOX, {"bbox_2d": [0, 0, 701, 5], "label": "x"}, {**BOX, "bbox_2d": [9, 9, 9, 10]}])]
    result = ground(image(), "it", policy)
    assert result.count == 1
    assert len(result.rejected) == 2


def test_fence_and_cut_list_are_parsed(server: ListServer, policy: Policy) -> None:
    whole = json.dumps([BOX, BOX])
    server.replies = [f"```json\n{whole}\n```"]
    assert ground(image(), "it", policy).is_complete
    server.replies = [f"```json\n{whole[:-20]}"]
    result = ground(image(), "it", policy)
    assert result.count == 1
    assert not result.is_complete


def test_invalid_reply_is_asked_for_once_more(server: ListServer, policy: Policy) -> None:
    server.replies = ["I see a button.", json.dumps([BOX])]
    assert ground(image(), "it", policy).count == 1
    assert "refused" in prompt_of(server)


def test_second_invalid_reply_is_an_error(server: ListServer, policy: Policy) -> None:
    server.replies = ["I see a button."]
    with pytest.raises(InvalidAnswerError, match="2 attempts"):
        ground(image(), "it", policy)


@pytest.mark.parametrize("attributes", [("label",), ("",), ("bbox_2d",)])
def test_reserved_attribute_is_refused(policy: Policy, attributes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="attribute"):
        ground(image(), "it", policy, attributes=attributes)


def test_pointing_model_returns_one_point(server: ListServer) -> None:
    server.replies = ["(28, 56)"]
    policy = load_policy(f"{server.base}?dialect=gta1&check=off")
    (item,) = ground(image(), "the button", policy).items
    assert item.box is None
    assert item.point == (28, 56)
    with pytest.raises(UsageError, match="Qwen"):
        elements(image(), policy)
    policy.close()


class HostilePolicy(ScriptPolicy):
    """A policy that answers with `reply_text`."""

    def __init__(self) -> None:
        super().__init__(())
        self.dialect = load_dialect("qwen25", ImageLimits())
        self.reply_text = ""

    def answer(self, question: str, screens: Sequence[Screen], schema: Mapping[str, object] | None) -> Reply:
        return Reply(self.reply_text)


VALID = json.dumps([{**BOX, "kind": "button", "text_content": "Save", "point_2d": [1, 2]}] * 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda policy: ground(image(), "it", policy),
        lambda policy: ground(image(), "it", policy, points=True),
        lambda policy: elements(image(), policy),
        lambda policy: read_text(image(), policy),
    ],
)
def test_hostile_replies_raise_package_errors_only(call: Callable[[Any], Any]) -> None:
    policy = HostilePolicy()
    rng = random.Random(7)
    outcomes = {"result": 0, "error": 0}
    for _ in range(500):
        policy.reply_text = mutate(VALID, rng)
        try:
            result = call(policy)
        except Error:
            outcomes["error"] += 1
            continue
        outcomes["result"] += 1
        for item in result.items:
            assert 0 <= item.point[0] < SIZE[0]
            assert 0 <= item.point[1] < SIZE[1]
        json.dumps(result.as_dict(), ensure_ascii=False).encode()
    assert min(outcomes.values()) > 20


def mutate(text: str, rng: random.Random) -> str:
    """Return a text with one to four random edits."""
    pieces = ("[", "]", "{", "}", '"', ",", "NaN", "-1", "1e999", "9" * 5000, "\\ud800", "null", "\x1b[2J", "[" * 3000)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 3, 40)))
        text = text[:start] + rng.choice((*pieces, "")) + text[end:]
    return text


def test_command_prints_json_and_writes_overlay(server: ListServer, agent: Agent, tmp_path: Path) -> None:
    server.replies = [json.dumps([{**BOX, "label": "S\x9b\u202eave"}])]
    image().save(tmp_path / "page.png")
    code, out, err = agent(
        "see", "ground", str(tmp_path / "page.png"), "buttons",
        "--model", f"{server.base}?dialect=qwen25&check=off", "--out", str(tmp_path / "out.png"),
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["items"][0]["box"] == [70, 28, 140, 56]
    assert out.isascii()
    marked = np.asarray(Image.open(tmp_path / "out.png"))
    assert (marked[28, 70:140] != 200).any(axis=1).all()


def test_command_extracts_values_by_model(server: ListServer, agent: Agent, tmp_path: Path) -> None:
    image().save(tmp_path / "page.png")
    (tmp_path / "schema.json").write_text(
        '{"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}'
    )
    server.replies = ['{"a": null}']
    arguments = ("see", "extract", str(tmp_path / "page.png"), "--model", f"{server.base}?dialect=qwen25&check=off")
    code, out, err = agent(*arguments, "--schema", str(tmp_path / "schema.json"))
    assert code == 0, err
    assert json.loads(out)["value"] == {"a": None}
    code, _, err = agent(*arguments, "--schema", "nowhere:Model")
    assert code == 2
    assert "--schema" in err


def test_command_refuses_missing_image(agent: Agent, tmp_path: Path) -> None:
    code, _, err = agent("see", "read", str(tmp_path / "none.png"))
    assert code == 2
    assert "none.png" in err
