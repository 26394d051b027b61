"""Thirty answers in QwenVL HTML, written by hand after the format, with what they contain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HandwrittenAnswer:
    """The body of an answer, and one line for each block in it: its type and its text."""

    body: str
    blocks: tuple[str, ...]

    @property
    def reply(self) -> str:
        return f"```html\n<html><body>\n{self.body}\n</body></html>\n```"


def picture(name: str, content: str, form: str = "") -> str:
    """Return a div with an image and its content."""
    attributes = f' format="{form}"' if form else ""
    return f'<div class="{name}"{attributes} data-bbox="80 90 700 400"><img data-bbox="90 95 690 380"/>{content}</div>'


BOX = 'data-bbox="61 72 803 144"'
ANSWERS = {
    "heading": HandwrittenAnswer(f"<h1 {BOX}>Annual report</h1>", ("heading 1: Annual report",)),
    "six levels": HandwrittenAnswer(
        "\n".join(f"<h{level} {BOX}>Level {level}</h{level}>" for level in range(1, 7)),
        tuple(f"heading {level}: Level {level}" for level in range(1, 7)),
    ),
    "paragraphs": HandwrittenAnswer(f"<p {BOX}>First.</p>\n<p {BOX}>Second.</p>", ("p: First.", "p: Second.")),
    "line breaks": HandwrittenAnswer(
        f"<p {BOX}>12 Hill Road<br>Bath<br/>BA1 1AA</p>", ("p: 12 Hill Road|Bath|BA1 1AA",)
    ),
    "white space": HandwrittenAnswer(f"<p {BOX}>  wrapped\n   over\tlines </p>", ("p: wrapped over lines",)),
    "entities": HandwrittenAnswer(f"<p {BOX}>5 &lt; 6 &amp; 7 &gt; 6 &copy; &#8364;9</p>", ("p: 5 < 6 & 7 > 6 © €9",)),
    "bold and italic": HandwrittenAnswer(f"<p {BOX}>a <b>bold</b>, <i>new</i> word</p>", ("p: a bold, new word",)),
    "scripts": HandwrittenAnswer(f"<p {BOX}>10<sup>3</sup> H<sub>2</sub>O</p>", ("p: 10^{3} H_{2}O",)),
    "markdown in text": HandwrittenAnswer(
        f"<p {BOX}># no *heading*, no [link](x), snake_case _it_ `code` ~~x~~</p><p {BOX}>- no item</p>"
        f"<p {BOX}>1. none<br>+ either<br>=== nor<br>--- this</p>",
        (
            "p: # no *heading*, no [link](x), snake_case _it_ `code` ~~x~~",
            "p: - no item",
            "p: 1. none|+ either|=== nor|--- this",
        ),
    ),
    "backslashes": HandwrittenAnswer(
        f"<p {BOX}>C:\\temp\\*.txt \\ and \\\\host\\</p>", ("p: C:\\temp\\*.txt \\ and \\\\host\\",)
    ),
    "inline formula": HandwrittenAnswer(
        f"<p {BOX}>where $\\frac{{a_1}}{{b}}$ holds</p>", ("p: where $\\frac{a_1}{b}$ holds",)
    ),
    "chinese": HandwrittenAnswer(
        f"<h2 {BOX}>年度报告</h2><p {BOX}>第一段。「引用」</p>", ("heading 2: 年度报告", "p: 第一段。「引用」")
    ),
    "arabic": HandwrittenAnswer(f"<p {BOX}>مرحبا بالعالم</p>", ("p: مرحبا بالعالم",)),
    "bullets": HandwrittenAnswer(f"<ul><li {BOX}>one</li><li {BOX}>two</li></ul>", ("list: - one|- two",)),
    "numbers": HandwrittenAnswer(f'<ol start="9"><li {BOX}>nine</li><li {BOX}>ten</li></ol>', ("list: 9 nine|10 ten",)),
    "nested lists": HandwrittenAnswer(
        f"<ol><li {BOX}>a<ul><li {BOX}>b<ol><li {BOX}>c</li></ol></li></ul></li><li {BOX}>d</li></ol>",
        ("list: 1 a|  - b|    1 c|2 d",),
    ),
    "list after list": HandwrittenAnswer(
        f"<ul><li {BOX}>a</li></ul>\n<ul><li {BOX}>b</li></ul>", ("list: - a", "list: - b")
    ),
    "items with lines": HandwrittenAnswer(
        f"<ul><li {BOX}><p>first<br>line</p></li><li {BOX}>1. text</li></ul>", ("list: - first|line|- 1. text",)
    ),
    "table": HandwrittenAnswer(
        f"<style>table{{border: 1px}}</style><table {BOX} class='table1'>"
        "<thead><tr><th>Year</th><th>Sum</th></tr></thead><tbody>"
        "<tr><td>2024</td><td>a|b</td></tr><tr><td></td><td>x<br>y \\</td></tr></tbody></table>",
        ("table: [Year] [Sum] / 2024 a|b /  x|y \\",),
    ),
    "table with spans": HandwrittenAnswer(
        f'<table {BOX}><tr><th rowspan="2">Name</th><th colspan="2">Scores</th></tr><tr><th>1</th><th>2</th></tr>'
        "<tr><td>Ann</td><td>5</td><td>7</td></tr></table>",
        ("table: [Name]2x1 [Scores]1x2 / [1] [2] / Ann 5 7",),
    ),
    "table without headers": HandwrittenAnswer(f"<table {BOX}><tr><td>a &lt; b</td></tr></table>", ("table: a < b",)),
    "table with boxes": HandwrittenAnswer(
        f"<table {BOX}><caption>Prices</caption><tr><th {BOX}>Item</th></tr><tr><td {BOX}>Tea</td></tr></table>",
        ("table Prices: [Item] / Tea",),
    ),
    "chart": HandwrittenAnswer(
        picture("chart", "<table><tr><th>Month</th><th>Sales</th></tr><tr><td>May</td><td>3.5</td></tr></table>"),
        ("chart: [Month] [Sales] / May 3.5",),
    ),
    "chart with a title": HandwrittenAnswer(
        picture("chart", "<p>Sales</p><table><tr><td>May</td><td>3</td></tr></table>"), ("chart Sales: May 3",)
    ),
    "printed formula": HandwrittenAnswer(
        picture("formula machine_printed", "<div>\n\\begin{aligned} a &= b \\\\\n  c &lt; d \\end{aligned}\n</div>"),
        ("formula printed: \\begin{aligned} a &= b \\\\|  c < d \\end{aligned}",),
    ),
    "handwritten formula": HandwrittenAnswer(
        picture("formula handwritten", "<div>E = mc^2</div>") + picture("formula", "<div>a ``` b</div>"),
        ("formula handwritten: E = mc^2", "formula: a ``` b"),
    ),
    "music": HandwrittenAnswer(
        picture("music sheet", "<div>X:1\nT:Air\nM:4/4\nK:G\nG2 B2 | d4 |]</div>", "abc notation"),
        ("music: X:1|T:Air|M:4/4|K:G|G2 B2 | d4 |]",),
    ),
    "chemistry": HandwrittenAnswer(
        picture("chemical formula", "<div>CC(=O)OC1=CC=CC=C1C(=O)O</div>", "smile"),
        ("chemistry: CC(=O)OC1=CC=CC=C1C(=O)O",),
    ),
    "images": HandwrittenAnswer(
        picture("image caption", "<p>Fig. 1: a cat</p>")
        + picture("image ocr", "<p>EXIT</p><p>2nd floor</p>")
        + f"<img {BOX}/>",
        ("image caption: Fig. 1: a cat", "image text: EXIT|2nd floor", "image: "),
    ),
    "polygons": HandwrittenAnswer(
        '<p data-polygon="10 20 100 25 98 60 9 55">slanted</p>'
        '<ul><li data-bbox="1 2 30 40" data-polygon="1 2 30 5 20 40">a</li></ul>',
        ("p: slanted", "list: - a"),
    ),
}
