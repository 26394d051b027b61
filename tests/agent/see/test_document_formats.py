"""Thirty handwritten answers: to a document, to Markdown, HTML and JSON, and back."""

from __future__ import annotations

import pytest
from helpers.document_answers import ANSWERS, HandwrittenAnswer
from helpers.document_summary import summary
from markdown_it import MarkdownIt

from actions import UsageError
from agent.see.document import Document, DocumentPage, Paragraph
from agent.see.document_boxes import PageGeometry
from agent.see.document_html import parse_qwenvl_html
from agent.see.document_markdown import escape_markdown, to_markdown
from agent.see.document_markdown_reader import from_markdown
from agent.see.document_writers import to_html, to_json

WIDTH, HEIGHT = 1240, 1754
MODEL_WIDTH, MODEL_HEIGHT = 1064, 1484
GEOMETRY = PageGeometry(WIDTH, HEIGHT, MODEL_WIDTH, MODEL_HEIGHT)
answers = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())


def parse(answer: HandwrittenAnswer) -> Document:
    parsed = parse_qwenvl_html(answer.reply, GEOMETRY)
    assert not parsed.deviations
    return Document(pages=(DocumentPage(number=1, width=WIDTH, height=HEIGHT, blocks=parsed.blocks),))


def one_paragraph(text: str) -> Document:
    return Document(pages=(DocumentPage(number=1, width=10, height=10, blocks=(Paragraph(text=text),)),))


def test_there_are_thirty_answers() -> None:
    assert len(ANSWERS) == 30


@answers
def test_answer_is_parsed_without_deviations(answer: HandwrittenAnswer) -> None:
    assert tuple(summary(block) for block in parse(answer).blocks()) == answer.blocks


@answers
def test_markdown_is_read_back(answer: HandwrittenAnswer) -> None:
    document = parse(answer)
    assert from_markdown(to_markdown(document)) == document


@answers
def test_text_survives_markdown_without_boxes(answer: HandwrittenAnswer) -> None:
    """Check only blocks that have a form of their own in Markdown, without the comments."""
    document = parse(answer)
    kept = [line for line in answer.blocks if line.startswith(("heading", "p:", "table:", "music", "chemistry"))]
    again = from_markdown(to_markdown(document, has_boxes=False))
    summaries = [summary(block) for block in again.blocks()]
    assert [line for line in kept if line in summaries] == kept
    assert all(block.box is None for block in again.blocks())


@answers
def test_html_is_read_back(answer: HandwrittenAnswer) -> None:
    document = parse(answer)
    page = to_html(document)
    assert parse_qwenvl_html(page, PageGeometry.of_page(WIDTH, HEIGHT)).blocks == document.pages[0].blocks


@answers
def test_json_is_read_back(answer: HandwrittenAnswer) -> None:
    document = parse(answer)
    assert Document.model_validate_json(to_json(document)) == document


@pytest.mark.parametrize("box", [(0, 0, 1240, 1754), (71, 85, 936, 170), (333, 1001, 334, 1003), (1, 2, 3, 5)])
def test_boxes_are_within_a_pixel(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    numbers = (
        round(left * MODEL_WIDTH / WIDTH),
        round(top * MODEL_HEIGHT / HEIGHT),
        round(right * MODEL_WIDTH / WIDTH),
        round(bottom * MODEL_HEIGHT / HEIGHT),
    )
    reply = f'<html><body><p data-bbox="{" ".join(map(str, numbers))}">x</p></body></html>'
    parsed = parse_qwenvl_html(reply, GEOMETRY).blocks[0].box
    assert parsed is not None
    assert max(abs(a - b) for a, b in zip(parsed, box, strict=True)) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<!-- page number="9" -->',
        "![x](http://evil.example/p.png)",
        "[x](javascript:alert(1))",
        "&lt;b&gt;",
        "\\<b\\>",
        "```\ncode\n```",
        "a\n===\n---\n| a |\n|---|",
        "    indented",
        "trailing \\",
        "www.example.org https://example.org",
        "***\n___\n*a* **b** _c_ __d__",
        "[ref]: http://x",
        "\\\\ \\` \\[ \\&amp; \\|",
    ],
)
def test_text_cannot_become_markup(text: str) -> None:
    text = "\n".join(line.strip() for line in text.split("\n"))
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(escape_markdown(text))
    assert all(tag not in rendered for tag in ("<script", "<img", "<a ", "<b>", "<h", "<table", "<code", "<hr", "<ul"))
    assert from_markdown(to_markdown(one_paragraph(text))) == one_paragraph(text)
    page = to_html(one_paragraph(text))
    assert "<script" not in page
    assert parse_qwenvl_html(page, PageGeometry.of_page(10, 10)).blocks == one_paragraph(text).pages[0].blocks


def test_truncated_page_says_so_everywhere() -> None:
    page = DocumentPage(number=3, width=10, height=10, is_truncated=True, blocks=(Paragraph(text="a"),))
    document = Document(pages=(page,))
    assert from_markdown(to_markdown(document)).is_truncated
    assert "data-truncated" in to_html(document)
    assert '"is_truncated": true' in to_json(document)


def test_block_quote_is_refused() -> None:
    with pytest.raises(UsageError, match="line 3"):
        from_markdown("text\n\n> quoted\n")


@pytest.mark.parametrize(
    "comment", ['page number="x"', 'page width="0"', 'image content="other"', 'formula writing="x"']
)
def test_damaged_comment_is_refused(comment: str) -> None:
    with pytest.raises(UsageError, match="comment"):
        from_markdown(f"<!-- {comment} -->\n```math\na\n```\n")


def test_plain_markdown_is_one_page() -> None:
    document = from_markdown("# Title\n\nSome *text*\nhere.\n\n1. a\n2. b\n\n| a |\n| --- |\n| b |\n")
    lines = [summary(block) for block in document.blocks()]
    assert lines == ["heading 1: Title", "p: Some text here.", "list: 1 a|2 b", "table: [a] / b"]
