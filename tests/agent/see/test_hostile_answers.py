"""Answers that are cut off, damaged or hostile are read as far as they go, and never raise."""

from __future__ import annotations

import random

import pytest
from helpers.document_answers import ANSWERS, BOX
from helpers.document_summary import summary
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.see.document import Document, DocumentPage, DocumentTable, Heading, ItemList, ListItem, Paragraph, TableCell
from agent.see.document_boxes import PageGeometry
from agent.see.document_html import ParsedHtml, parse_qwenvl_html
from agent.see.document_markdown import to_markdown
from agent.see.document_markdown_reader import from_markdown
from agent.see.document_text import clean_text
from agent.see.document_writers import to_html

WIDTH, HEIGHT = 900, 700
GEOMETRY = PageGeometry.of_page(WIDTH, HEIGHT)
TAGS = """< > & " ' </ <! <![CDATA[ <!-- --> <?php <p </p> <table> <td> </table> <li> <ul> </ul> </div> <style>
<script> </script> <plaintext> <textarea> &#0; &#x1b;[31m &#xD800; &bogus; ``` | \\ <div/class=chart>
<svg/onload=alert(1)> rowspan='999999999999' colspan='-3' start='x' <ol/start=7>"""
SNIPPETS = (
    *TAGS.split(),
    *("\u202e", "\ud800", "\x00", "\x1b[2J", "\n\n", "\n```\n", "<!-- page -->", "<ol start=7>", "<div class='chart'>"),
    *("data-bbox='1 2'", "data-bbox='9e999 -1 NaN 4'"),
)


def parse(body: str) -> ParsedHtml:
    return parse_qwenvl_html(f"<html><body>{body}</body></html>", GEOMETRY)


def document_of(parsed: ParsedHtml) -> Document:
    return Document(pages=(DocumentPage(number=1, width=WIDTH, height=HEIGHT, blocks=parsed.blocks),))


def mutate(text: str, source: random.Random) -> str:
    """Return text with up to six pieces deleted, repeated, moved or inserted."""
    for _ in range(source.randint(1, 6)):
        start = source.randrange(len(text) + 1)
        piece = text[start : start + source.randint(1, 40)]
        change = source.randrange(4)
        if change == 0:
            text = text[:start] + text[start + len(piece) :]
        elif change == 1:
            text = text[:start] + piece * source.randint(2, 5) + text[start:]
        elif change == 2:
            text = text[:start] + source.choice(SNIPPETS) + text[start:]
        else:
            target = source.randrange(len(text) + 1)
            text = text[:target] + piece + text[target:]
    return text


@pytest.mark.parametrize("seed", range(20))
def test_mutated_answers_are_read_and_written(seed: int) -> None:
    source = random.Random(seed)
    replies = [answer.reply for answer in ANSWERS.values()]
    for _ in range(100):
        reply = mutate("".join(source.sample(replies, 2)), source)
        document = document_of(parse_qwenvl_html(reply, GEOMETRY))
        for block in document.blocks():
            if block.box is not None:
                left, top, right, bottom = block.box
                assert 0 <= left <= right <= WIDTH
                assert 0 <= top <= bottom <= HEIGHT
        assert from_markdown(to_markdown(document)) == document, reply
        page = to_html(document)
        assert parse_qwenvl_html(page, GEOMETRY).blocks == document.pages[0].blocks, reply
        for forbidden in ("<script", "<svg", "onload=alert(1)>", "<iframe", "\x1b", "\x00", "\u202e"):
            assert forbidden not in page


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_cut_off_anywhere_is_truncated(name: str) -> None:
    answer = ANSWERS[name]
    end = answer.reply.index("</html>")
    whole = parse_qwenvl_html(answer.reply, GEOMETRY)
    assert not whole.is_truncated
    for cut in range(len("```html\n<html>"), end, 3):
        parsed = parse_qwenvl_html(answer.reply[:cut], GEOMETRY)
        assert parsed.is_truncated
        assert parsed.deviations[-1] == "the reply is cut off"
        assert len(parsed.blocks) <= len(whole.blocks) + 1
        assert parsed.blocks[:-1] == whole.blocks[: max(0, len(parsed.blocks) - 1)]


def test_blocks_before_the_cut_are_complete() -> None:
    reply = f"```html\n<html><body><h1 {BOX}>Title</h1><p {BOX}>Half a sent"
    parsed = parse_qwenvl_html(reply, GEOMETRY, is_truncated=True)
    assert [summary(block) for block in parsed.blocks] == ["heading 1: Title", "p: Half a sent"]
    assert parsed.deviations == ("the reply is cut off",)


@pytest.mark.parametrize(
    ("body", "deviation"),
    [
        ("<p>text</p>", "has no data-bbox"),
        ('<p data-bbox="1 2 3">text</p>', "not four numbers"),
        ('<p data-bbox="1 2 3 inf">text</p>', "not four numbers"),
        ('<p data-bbox="30 2 3 40">text</p>', "wrong order"),
        ('<p data-bbox="1 2 3 4000">text</p>', "outside the page"),
        ('<p data-polygon="1 2 3 4">text</p>', "not three points"),
        (f"<p {BOX}>text", "<p> is not closed"),
        (f"<p {BOX}>text</b></p>", "without being open"),
        (f"<p {BOX}></p>", "<p> is empty"),
        ("loose text", "outside of a block"),
        (f"<video {BOX}>text</video>", "<video> is not part of the format"),
        ("<script>alert(1)</script>", "it is removed"),
        (f'<div class="advert" {BOX}>text</div>', "unknown class 'advert'"),
        (f'<div class="music sheet" {BOX}><div>X:1</div></div>', "has the format ''"),
        (f'<div class="chart" {BOX}><img {BOX}/></div>', "no table with the data"),
        (f"<table {BOX}><tr><td rowspan='0'>a</td></tr></table>", "rowspan '0'"),
        (f"<table {BOX}><tr><td>a<table><tr><td>b</td></tr></table></td></tr></table>", "contains a table"),
        (f"<table {BOX}>x<tr><td>a</td></tr></table>", "outside of a cell"),
        (f"<table {BOX}></table>", "has no cells"),
        (f"<ul>text<li {BOX}>a</li></ul>", "outside of an item"),
        (f"<li {BOX}>a</li>", "outside of a list"),
        (f"<ul><li {BOX}>a<img {BOX}/></li></ul>", "it follows the list"),
        ("<![if x]>", "declaration"),
    ],
)
def test_deviation_is_reported(body: str, deviation: str) -> None:
    assert any(deviation in text for text in parse(body).deviations), parse(body).deviations


def test_text_around_the_answer_is_a_deviation() -> None:
    parsed = parse_qwenvl_html(f"Here it is:\n```html\n<html><body><p {BOX}>a</p></body></html>\n```", GEOMETRY)
    assert parsed.deviations == ("the reply has text outside of the HTML: 'Here it is:'",)
    assert "no HTML" in "".join(parse_qwenvl_html("I cannot read this.", GEOMETRY).deviations)


@pytest.mark.parametrize("tag", ["div", "ul><li", "b", "p", "table><tr><td", "sup", "section"])
def test_deep_nesting_is_read_as_text(tag: str) -> None:
    parsed = parse(f"<{tag}>" * 20_000 + "bottom")
    assert "bottom" in "".join(summary(block) for block in parsed.blocks)


def test_unclosed_items_and_paragraphs_stay_apart() -> None:
    parsed = parse(f"<p {BOX}>a" * 500 + "<ul>" + f"<li {BOX}>b" * 500 + "</ul>")
    assert len(parsed.blocks) == 501
    assert isinstance(parsed.blocks[-1], ItemList)
    assert len(parsed.blocks[-1].items) == 500


def test_unclosed_style_keeps_the_document() -> None:
    assert [summary(block) for block in parse(f"<style>p {{color: red}}<p {BOX}>text</p>").blocks] == ["p: text"]


def test_control_characters_are_removed() -> None:
    parsed = parse(f"<p {BOX}>a&#27;[31mb\x1b]0;title\x07&#x202e;c&#xD800;</p>")
    text = summary(parsed.blocks[0])
    assert clean_text(text) == text
    assert "\x1b" not in text


LINES = st.lists(
    st.text(max_size=20).map(lambda text: " ".join(clean_text(text).split())).filter(bool), min_size=1, max_size=3
)
TEXTS = LINES.map("\n".join)
BLOCKS = st.one_of(
    TEXTS.map(lambda text: Paragraph(text=text)),
    TEXTS.map(lambda text: Heading(text=text, level=2)),
    st.lists(st.tuples(TEXTS, st.booleans()), min_size=1, max_size=4).map(
        lambda cells: DocumentTable(rows=(tuple(TableCell(text=text, is_header=header) for text, header in cells),))
    ),
    st.lists(TEXTS, min_size=1, max_size=4).map(
        lambda texts: ItemList(
            items=tuple(ListItem(text=text, level=i, box=(1, 2, 3, 4)) for i, text in enumerate(texts))
        )
    ),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=4))
def test_any_text_survives_markdown_and_html(blocks: list[Paragraph]) -> None:
    document = Document(pages=(DocumentPage(number=1, width=WIDTH, height=HEIGHT, blocks=tuple(blocks)),))
    assert from_markdown(to_markdown(document)) == document
    assert parse_qwenvl_html(to_html(document), GEOMETRY).blocks == tuple(blocks)
