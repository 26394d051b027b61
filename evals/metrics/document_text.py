"""Text, formulas and tables as OmniDocBench's scorer compares them.

Source: the rules of opendatalab/OmniDocBench 1.0, as open-compass/VLMEvalKit, vlmeval/dataset/OmniDocBench/utils.py
(e8e78f0), applies them.
"""

from __future__ import annotations

import html
import re
import unicodedata

from actions import UsageError

INLINE_FORMULA = re.compile(r"\$(.*?)\$|\\\((.*?)\\\)")
BRACKETED = re.compile(r"\\\[(.+?)(?<!\\)\\\]")
NOT_TEXT = re.compile(r"[^\w\u4e00-\u9fff]")
LINE_MARKS = ("\\t", "\\n", "\t", "\n", "/t", "/n")
FORMULA_PARTS = [r"\\tag\{.*?\}", r"\\hspace\{.*?\}", r"\\begin\{.*?\}", r"\\end\{.*?\}", r"\\arraycolsep.*?\}"]
STYLES = [
    "mathbf",
    "mathrm",
    "mathnormal",
    "mathit",
    "mathbb",
    "mathcal",
    "mathscr",
    "mathfrak",
    "mathsf",
    "mathtt",
    "textbf",
    "text",
    "boldmath",
    "boldsymbol",
    "operatorname",
    "bm",
    "symbfit",
    "mathbfcal",
    "symbf",
    "scriptscriptstyle",
    "notag",
    "setlength",
    "coloneqq",
    "space",
    "thickspace",
    "thinspace",
    "medspace",
    "nobreakspace",
    "negmedspace",
    "quad",
    "qquad",
    "enspace",
    "substackw",
]  # in this order: a name that begins with an earlier one loses that part alone
TABLE = re.compile(r"<table\b[^>]*>(.*)</table>", re.DOTALL | re.IGNORECASE)
TABLE_ATTRIBUTES = re.compile(r' (?:style|height|width|align|class)=".*?"')
DROPPED_TAGS = re.compile(r"</?(?:sup|sub|span|div|p)>")
NEEDED = "omnidocbench needs {packages}: pip install 'pixelhand[documents]'"


def normalize_text(text: str) -> str:
    """Return the letters, digits and underscores of a text; formulas in it as Unicode where LaTeX has signs for them.

    Raises:
        UsageError: The text contains a formula, and pylatexenc is not installed.
    """
    text = _formulas_to_unicode(text)
    for mark in LINE_MARKS:
        text = text.replace(mark, "")
    return NOT_TEXT.sub("", text)


def normalize_formula(text: str) -> str:
    """Return a formula in lower case, without delimiters, styles, spaces and the names of environments."""
    if match := BRACKETED.search(text):
        text = match[1].strip()
    for pattern in FORMULA_PARTS:
        text = re.sub(pattern, "", text)
    text = text.strip(".")
    for style in STYLES:
        text = text.replace("\\" + style, "")
    return text.replace(" ", "").lower()


def normalize_table(text: str) -> str:
    """Return the tables of a text in HTML as one, without styles and headers; "" where there is none.

    Raises:
        UsageError: beautifulsoup4 is not installed.
    """
    if "<table" not in text.replace(" ", ""):
        return ""
    try:
        from bs4 import BeautifulSoup
    except ImportError:
        raise UsageError(NEEDED.format(packages="beautifulsoup4")) from None
    soup = BeautifulSoup(text, "html.parser")
    for tag in soup.find_all("th"):
        tag.name = "td"
    for tag in soup.find_all("thead"):
        tag.unwrap()
    for tag in soup.find_all("math"):
        tag.replace_with(f"${tag.get('alttext', '')}$")
    for tag in soup.find_all("span"):
        tag.unwrap()
    text = unicodedata.normalize("NFKC", html.unescape(str(soup)).replace("\n", "")).strip()
    text = "".join(TABLE.findall(text))
    text = re.sub(r"</?tbody>", "", TABLE_ATTRIBUTES.sub("", text))
    text = DROPPED_TAGS.sub("", re.sub(r"\s+", " ", text))
    return f'<html><body><table border="1" >{re.sub("<colgroup>.*?</colgroup>", "", text)}</table></body></html>'


def _formulas_to_unicode(text: str) -> str:
    parts, end = [], 0
    for match in INLINE_FORMULA.finditer(text):
        formula = re.sub(r"\\([\\_&%^])", "", match[1] if match[1] is not None else match[2])
        if not any(char in formula for char in r"\^_"):
            continue
        converted = _latex_to_unicode(formula + " " if formula.endswith("\\") else formula)
        if converted is not None:
            parts += [text[end : match.start()], converted.strip()]
            end = match.end()
    return "".join([*parts, text[end:]])


def _latex_to_unicode(formula: str) -> str | None:
    """Return a formula as Unicode; None where it cannot be read."""
    try:
        from pylatexenc.latex2text import LatexNodes2Text
    except ImportError:
        raise UsageError(NEEDED.format(packages="pylatexenc")) from None
    try:
        return str(LatexNodes2Text().latex_to_text(formula))
    except Exception:  # whatever the package raises, the scorer keeps the formula as it is written
        return None
