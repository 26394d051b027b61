"""Render synthetic screens, many to a page, with all characters and elements on them.

A page holds a grid of small screens, each in a style of its own. One screenshot takes all of them, and the page returns
every character and element with its place. `training.questions` derives the questions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from envs.miniwob import pages
from training.dataset import DatasetWriter
from training.page_renderer import PageRenderer, encode_png
from training.questions import screen_questions

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDTH, HEIGHT, SCALE = 160, 208, 1.75  # of a screen in CSS px; pixels per CSS px
COLUMNS, SCREENS_PER_PAGE = 8, 64
READ_FONT_PX = (11, 16)  # text sizes in CSS px on which reading is evaluated
UNSEEN_SEED_START = 900_000  # pages from this seed on are reserved for evaluation
SCRIPT = Path(__file__).parent / "pages" / "screens.js"

LABELS = (
    "ok cancel submit search next previous back yes no login logout save delete edit send reply forward open "
    "close add remove home settings help about contact name username password email address city country phone "
    "date time price total from to subject message title comment file view tools share like copy paste print "
    "download upload profile account menu more less first last new old all none today tomorrow cart checkout pay "
    "book flight hotel train depart arrive duration day month year adults children room size color red green blue "
    "large small item items details info news music video photos maps mail calendar notes tasks weather clock "
    "camera gallery messages contacts store games sports travel food health finance world start stop pause play "
    "record left right up down on off sort filter reset apply confirm okay enter tags textbox dialog section tab "
    "link button widget verify inbox sent drafts spam trash"
)


def render_screens(
    first: int, last: int, folder: Path, name: str, browser: Browser, fonts: Path | None = None, sparse: bool = False
) -> int:
    """Render pages of screens into a data folder; return the number of new screens.

    Args:
        first: First seed.
        last: Seed after the last.
        folder: The data folder.
        name: Name of the source.
        browser: A Playwright browser.
        fonts: A folder of font files to use besides Arial.
        sparse: Put few elements on each screen.
    """
    writer = DatasetWriter(folder, name)
    page_height = HEIGHT * (SCREENS_PER_PAGE // COLUMNS)
    renderer = PageRenderer(browser, WIDTH * COLUMNS, page_height, SCRIPT, fonts, SCALE)
    new = 0
    for seed in range(first, last):
        if writer.has(seed):
            continue
        fonts_or_default = renderer.font_names or ["Arial"]
        arguments = seed, SCREENS_PER_PAGE, COLUMNS, WIDTH, HEIGHT, fonts_or_default, page_words(), sparse
        records, page = renderer.render("drawScreens", *arguments)
        w, h = int(WIDTH * SCALE), int(HEIGHT * SCALE)
        for number, record in enumerate(records):
            top, left = number // COLUMNS * h, number % COLUMNS * w
            elements = [
                {**element, "box": [round(v * SCALE, 1) for v in element["box"]]} for element in record["elements"]
            ]
            characters = [[c, *(round(v * SCALE, 1) for v in place)] for c, *place in record["characters"]]
            questions = screen_questions(elements, characters, seed * SCREENS_PER_PAGE + number)
            extra = {"elements": elements, "font_px": record["size"]}
            png = encode_png(page[top : top + h, left : left + w])
            writer.add(seed, number, "", png, questions, characters, extra)
            new += 1
        writer.finish(seed)
    renderer.close()
    writer.close()
    return new


def page_words() -> dict[str, list[str]]:
    """Return the word lists of the screens: those of the practice pages, and plain English labels."""
    text = (pages.page("click-link").path.parent.parent / "common" / "ui_utils.js").read_text(encoding="utf-8")

    def js_array(name: str) -> list[str]:
        body = text.split(f"ui_utils.{name} = [", 1)[1].split("]", 1)[0]
        return list(json.loads("[" + body.replace("'", '"').strip().rstrip(",") + "]"))

    return {
        "lorem": js_array("lorem_words"),
        "names": js_array("FIFTY_NAMES") + js_array("PEOPLE_NAMES")[:300] + js_array("LAST_NAMES")[:200],
        "places": js_array("COUNTRIES"),
        "labels": LABELS.split(),
    }
