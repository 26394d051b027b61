"""Documents through a policy: what the model is shown, and its answers mapped to pixels of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.answering_model import answering_policy
from helpers.document_summary import summary
from helpers.server_fakes import FakeServer, serve_fake
from PIL import Image

from actions import Reply, Screen, UsageError
from agent import cli
from agent.policies.base import load_dialect
from agent.policies.scripted import ScriptPolicy
from agent.see.document import Document, DocumentPage
from agent.see.document_markdown_reader import from_markdown
from agent.see.document_parsing import (
    MAX_CELLS,
    MIN_CELLS,
    PROMPT,
    DocumentFormatError,
    page_limits,
    parse_document,
)
from model.processing.image import DEFAULT_LIMITS, ImageLimits

LIMITS = ImageLimits()
BLACK = (0, 0, 0)
BAR_PX = 40


def bars_page(width: int, height: int, tops: Sequence[int]) -> Screen:
    """Return a white page with black bars from x = 100 to 300 at these rows."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    for top in tops:
        pixels[top : top + BAR_PX, 100:300] = BLACK
    return Screen(pixels)


def bars_html(pixels: np.ndarray, scale: tuple[float, float] = (1.0, 1.0)) -> str:
    """Return the answer about an image with bars: a paragraph for each, with its box."""
    rows = (pixels.mean(axis=2) < 128).any(axis=1)
    columns = np.flatnonzero((pixels.mean(axis=2) < 128).any(axis=0))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], rows.astype(int), [0]])))
    left, right = columns.min() * scale[0], (columns.max() + 1) * scale[0]
    body = "".join(
        f'<p data-bbox="{round(left)} {round(top * scale[1])} {round(right)} {round(bottom * scale[1])}">bar</p>'
        for top, bottom in zip(edges[::2], edges[1::2], strict=True)
    )
    return f"```html\n<html><body>{body}</body></html>\n```"


class BarsReader(ScriptPolicy):
    """A policy that finds bars as a model would; `scale` is the number at the far edge, 0 for pixels."""

    def __init__(self, scale: int = 0) -> None:
        super().__init__([])
        self.scale = scale
        self.images: list[Screen] = []
        self.requests: list[tuple[str, object, object, object]] = []

    def answer(
        self,
        question: str,
        screens: Sequence[Screen],
        schema: Mapping[str, object] | None,
        *,
        max_new_tokens: int | None = None,
        is_question_first: bool = False,
    ) -> Reply:
        self.requests.append((question, schema, max_new_tokens, is_question_first))
        (screen,) = screens
        self.images.append(screen)
        scale = (self.scale / screen.width, self.scale / screen.height) if self.scale else (1.0, 1.0)
        return Reply(bars_html(screen.pixels, scale))


class FixedAnswerPolicy(ScriptPolicy):
    """A policy that gives the same answer to every page."""

    def __init__(self, text: str) -> None:
        super().__init__([])
        self.text = text

    def answer(self, question: str, screens: Sequence[Screen], schema: object, **_: object) -> Reply:
        return Reply(self.text)


def check_boxes(page: DocumentPage, tops: Sequence[int], tolerance_px: int) -> None:
    boxes = [block.box for block in page.blocks]
    assert len(boxes) == len(tops)
    for box, top in zip(boxes, tops, strict=True):
        assert box is not None
        assert max(abs(a - b) for a, b in zip(box, (100, top, 300, top + BAR_PX), strict=True)) <= tolerance_px


@pytest.mark.parametrize("size", [(1240, 1754), (1600, 1200), (400, 300)])
def test_boxes_are_in_pixels_of_the_page(size: tuple[int, int]) -> None:
    tops = [20, 150, 230]
    policy = BarsReader()
    document = parse_document(bars_page(*size, tops), policy)
    check_boxes(document.pages[0], tops, 2)
    assert document.deviations == ()
    cells = policy.images[0].width * policy.images[0].height / LIMITS.factor**2
    assert MIN_CELLS <= cells <= MAX_CELLS
    assert policy.requests == [(PROMPT, None, 8192, True)]


def test_boxes_of_tiles_are_shifted_back() -> None:
    tops = list(range(30, 4900, 130))
    policy = BarsReader()
    document = parse_document(bars_page(800, 5000, tops), policy)
    assert len(policy.images) >= 4
    check_boxes(document.pages[0], tops, 2)
    assert document.deviations == ()


def test_relative_boxes_are_scaled_to_the_page() -> None:
    policy = BarsReader(scale=999)
    policy.dialect = load_dialect("qwen3vl", DEFAULT_LIMITS["qwen3_vl"])
    tops = [20, 150, 900]
    document = parse_document(bars_page(1240, 1754, tops), policy)
    check_boxes(document.pages[0], tops, 2)
    assert policy.images[0].width % 32 == policy.images[0].height % 32 == 0


@pytest.mark.parametrize(
    ("limits", "smallest", "largest"),
    [
        (ImageLimits(), MIN_CELLS * 784, MAX_CELLS * 784),
        (ImageLimits(max_pixels=1000 * 784), MIN_CELLS * 784, 1000 * 784),
        (ImageLimits(max_pixels=100 * 784), 100 * 784, 100 * 784),
        (ImageLimits(min_pixels=4000 * 784), 4000 * 784, 4000 * 784),
    ],
)
def test_page_limits_stay_within_the_model(limits: ImageLimits, smallest: int, largest: int) -> None:
    assert (page_limits(limits).min_pixels, page_limits(limits).max_pixels) == (smallest, largest)


def test_strict_mode_lists_each_deviation() -> None:
    policy = FixedAnswerPolicy("<p>one</p><p data-bbox='1 2'>two</p>")
    with pytest.raises(DocumentFormatError) as error:
        parse_document(bars_page(400, 300, []), policy, is_strict=True)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("page 1: line 1: <p> has no data-bbox")
    assert "not four numbers" in lines[1]


@dataclass
class PageServer(FakeServer):
    """A server that reads pages with bars."""

    answer_text: str = ""

    def reply(self, body: dict[str, Any]) -> str:
        pixels = self.last_image(body)
        assert pixels is not None
        return self.answer_text or bars_html(pixels)


@pytest.fixture
def server() -> Iterator[PageServer]:
    with serve_fake(PageServer()) as fake:
        yield fake


def address(server: PageServer) -> str:
    return f"{server.base}?dialect=qwen25&check=off#tiny"


def write_pages(path: Path) -> Path:
    pages = [Image.fromarray(bars_page(600, 800, tops).pixels) for tops in ([20], [100, 300])]
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)
    return path


def run_parse(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["agent", "see", "parse", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return int(exit_.value.code or 0)


def test_pdf_is_parsed_through_a_server(
    server: PageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_pages(tmp_path / "a.pdf"), tmp_path / "a.json"
    options = ("--model", address(server), "--format", "json", "--out", str(out), "--dpi", "72")
    assert run_parse(monkeypatch, str(path), *options) == 0
    document = Document.model_validate_json(out.read_text(encoding="utf-8"))
    assert [page.number for page in document.pages] == [1, 2]
    check_boxes(document.pages[0], [20], 2)
    check_boxes(document.pages[1], [100, 300], 2)
    content = server.requests[-1]["messages"][0]["content"]
    assert content[0] == {"type": "text", "text": "QwenVL HTML "}
    assert content[1]["type"] == "image_url"
    assert "page 2: 2 blocks" in capsys.readouterr().err


def test_markdown_is_printed_and_readable(
    server: PageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pages(tmp_path / "a.pdf")
    assert run_parse(monkeypatch, str(path), "--model", address(server), "--pages", "2") == 0
    document = from_markdown(capsys.readouterr().out)
    assert [summary(block) for block in document.blocks()] == ["p: bar", "p: bar"]
    assert document.pages[0].number == 2


def test_truncated_reply_is_read_and_reported(
    server: PageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pages(tmp_path / "a.pdf")
    server.finish_reason = "length"
    server.answer_text = '```html\n<html><body><h1 data-bbox="1 2 30 40">Title</h1><p data-bbox="1 50 60'
    options = ("--model", address(server), "--pages", "1", "--max-tokens", "30")
    assert run_parse(monkeypatch, str(path), *options) == 0
    output = capsys.readouterr()
    assert from_markdown(output.out).is_truncated
    assert "raise --max-tokens" in output.err
    assert server.requests[-1]["max_tokens"] == 30
    assert run_parse(monkeypatch, str(path), *options, "--strict") == 1
    assert "the reply is cut off" in capsys.readouterr().err


def test_hostile_answer_is_harmless_html(
    server: PageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pages(tmp_path / "a.pdf")
    server.answer_text = (
        '<html><body><script>alert(1)</script><p data-bbox="1 2 3 4" onclick="alert(2)">&lt;script&gt;alert(3)'
        "&lt;/script&gt;\x1b[31m<img src=x onerror=alert(4)></p><svg/onload=alert(5)></svg></body></html>"
    )
    assert run_parse(monkeypatch, str(path), "--model", address(server), "--pages", "1", "--format", "html") == 0
    page = capsys.readouterr().out
    assert "&lt;script&gt;alert(3)" in page
    assert not any(text in page for text in ("<script", "onclick", "onerror", "<svg", "src=", "\x1b"))


def test_embedded_model_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.png"
    bars_page(200, 200, [20]).save(path)
    assert run_parse(monkeypatch, str(path), "--model", "embedded") == 2
    message = capsys.readouterr().err
    assert "cannot answer questions" in message
    assert len(message.strip().splitlines()) == 1


def test_all_problems_of_the_command_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PIXELHAND_MODEL", raising=False)
    options = ("--format", "json", "--no-boxes", "--out", str(tmp_path / "no" / "x.json"))
    assert run_parse(monkeypatch, str(tmp_path / "missing.png"), *options) == 2
    message = capsys.readouterr().err
    for problem in ("no model is named", "missing.png is not a file", "does not exist", "--no-boxes"):
        assert problem in message


def test_policy_without_answers_is_refused() -> None:
    class Planner:
        metadata: Mapping[str, object] = {"model": "planner"}

    with pytest.raises(UsageError, match="planner answers no questions"):
        parse_document(bars_page(200, 200, []), Planner())  # type: ignore[arg-type]


@pytest.mark.model
def test_local_policy_reads_a_page_end_to_end() -> None:
    document = parse_document(bars_page(300, 400, [20]), answering_policy(), max_new_tokens=4)
    assert document.is_truncated
