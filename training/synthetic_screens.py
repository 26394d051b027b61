"""Invented screens with everything that is on them, drawn many to a page. Knows layouts; knows no tasks and no tensors.

One page holds a grid of small screens, each with a look of its own, one screenshot takes them all, and the page tells
every character and element with its place. Questions are made from that by questions.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from envs.miniwob import pages
from training.dataset import Writer
from training.page_renderer import PageRenderer, encoded
from training.questions import ask

WIDTH, HEIGHT, SCALE = 160, 208, 1.75  # of one screen: CSS px, and pixels to each of them
COLUMNS, COUNT = 8, 64  # screens to a page
READ_PX = (11, 16)  # text sizes, CSS px, at which reading is measured
UNSEEN = 900_000  # screens of pages from this seed on are for measuring
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


def draw(
    first: int, last: int, folder: Path, name: str, browser: Any, fonts: Path | None = None, sparse: bool = False
) -> int:
    """Draw pages of seeds first to last - 1, COUNT screens each, into a store; returns how many screens were new.

    fonts: a folder of font files to mix with the shipped one. sparse: screens with few things on them. browser:
    Playwright's.
    """
    writer = Writer(folder, name)
    sheet = PageRenderer(browser, WIDTH * COLUMNS, HEIGHT * (COUNT // COLUMNS), SCRIPT, fonts, SCALE)
    new = 0
    for seed in range(first, last):
        if writer.has(seed):
            continue
        given = seed, COUNT, COLUMNS, WIDTH, HEIGHT, sheet.names or ["Arial"], words(), sparse
        drawn, page = sheet.draw("drawScreens", *given)
        w, h = int(WIDTH * SCALE), int(HEIGHT * SCALE)
        for number, record in enumerate(drawn):
            top, left = number // COLUMNS * h, number % COLUMNS * w
            elements = [{**one, "box": [round(v * SCALE, 1) for v in one["box"]]} for one in record["elements"]]
            characters = [[c, *(round(v * SCALE, 1) for v in rest)] for c, *rest in record["characters"]]
            questions = ask(elements, characters, seed * COUNT + number)
            more = {"elements": elements, "font_px": record["size"]}
            writer.add(seed, number, "", encoded(page[top : top + h, left : left + w]), questions, characters, more)
            new += 1
        writer.finish(seed)
    sheet.close()
    writer.close()
    return new


def words() -> dict[str, list[str]]:
    """What is written on the screens: the practice pages' own words beside plain English labels."""
    text = (pages.page("click-link").path.parent.parent / "common" / "ui_utils.js").read_text(encoding="utf-8")

    def array(name: str) -> list[str]:
        body = text.split(f"ui_utils.{name} = [", 1)[1].split("]", 1)[0]
        return list(json.loads("[" + body.replace("'", '"').strip().rstrip(",") + "]"))

    return {
        "lorem": array("lorem_words"),
        "names": array("FIFTY_NAMES") + array("PEOPLE_NAMES")[:300] + array("LAST_NAMES")[:200],
        "places": array("COUNTRIES"),
        "labels": LABELS.split(),
    }
