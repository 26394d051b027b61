"""Strips of a screen with one line of text each, drawn many to a page. Knows words and looks; knows no tensors.

A strip is as high as a line of small text, and the processor enlarges it until it has the least pixels that a picture
may have, 4.4 times: a letter then has a cell to itself. One screenshot takes a grid of strips and is cut up.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from model.processing.image import resize
from training.dataset import Sample, Writer
from training.packing import decode
from training.page_renderer import PageRenderer, Picture, encoded
from training.synthetic_screens import UNSEEN, words

WIDTH, HEIGHT = 280, 19  # of a strip: pixels, at one to a CSS px
SHOWN = (1232, 84)  # width, height at which the processor shows it
MIDDLE = 49.0  # y at which its letters count as standing: their own lies on the border of two places of a cell
COLUMNS, COUNT = 4, 240  # strips to a page
SIZES_PX = (11, 16)
READ = "What does it say?"
SCRIPT = Path(__file__).parent / "pages" / "lines.js"
LICENCE = Path(__file__).parent.parent / "LICENSE"

ONSETS = "b c d f g h j k l m n p r s t v w y bl br ch cl cr dr fl fr gr ph pl pr qu sc sh sl sp st str th tr wh x z"
VOWELS = "a a a e e e e i i o o u y ai ea ee ie io oo ou"
CODAS = "b c ck d f g l ll m n n nd ng nt p r r rk s ss st t t th x y z"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PAPERS = "#fff #fff #fff #fafafa #f0f0f0 #eef3f8 #fffbe6 #e8f5e9 #ececec #ff0"
INKS = "#000 #000 #000 #222 #333 #444 #1a237e #0066cc #b00020"
DARK, LIGHT = "#111 #202124 #1b2838 #2b2b2b #1a73e8 #2e7d32", "#fff #fff #ddd #eee"


def draw(
    first: int, last: int, folder: Path, name: str, browser: Any, fonts: Path | None = None, english: bool = False
) -> int:
    """Draw pages of seeds first to last - 1, COUNT strips each, into a store; returns how many strips were new.

    From UNSEEN on a strip holds one word, of words that no other page holds: invented ones, or english ones (see
    licence_words). fonts, browser: as for screens.
    """
    writer = Writer(folder, name)
    sheet = PageRenderer(browser, WIDTH * COLUMNS, HEIGHT * (COUNT // COLUMNS), SCRIPT, fonts)
    known = words()
    of_licence = licence_words(known)
    known = {**known, "manual": manual_words(of_licence)}
    held_out = of_licence if english else []
    new = 0
    for seed in range(first, last):
        if writer.has(seed):
            continue
        rng = random.Random(f"lines-{seed}")
        strips = [_strip(rng, sheet.names, known, seed >= UNSEEN, held_out) for _ in range(COUNT)]
        drawn, page = sheet.draw("drawLines", strips, COLUMNS, WIDTH, HEIGHT)
        for number, (strip, characters) in enumerate(zip(strips, drawn, strict=True)):
            top, left = number // COLUMNS * HEIGHT, number % COLUMNS * WIDTH
            text = strip["text"]
            if len(characters) != len(text.replace(" ", "")):
                continue  # it did not fit
            start, (*_, x, _, width) = characters[0], characters[-1]
            begin = start[1] - start[3] / 2
            question = {"goal": READ, "answer": {"say": text}, "box": [begin, 0, x + width / 2 - begin, HEIGHT]}
            png = encoded(page[top : top + HEIGHT, left : left + WIDTH])
            writer.add(seed, number, "", png, [question], characters, {"font_px": strip["size"]})
            new += 1
        writer.finish(seed)
    sheet.close()
    writer.close()
    return new


def enlarged(sample: Sample) -> tuple[Picture, list[tuple[Any, ...]], tuple[float, float]]:
    """A strip as the processor shows it: the frame [H, W, 3], its characters in that frame's pixels, and by how much it
    was enlarged across and down."""
    across, down = SHOWN[0] / WIDTH, SHOWN[1] / HEIGHT
    characters = [(c, x * across, MIDDLE, width * across) for c, x, _, width in sample.characters]
    return resize(decode(sample.png), *SHOWN), characters, (across, down)


def licence_words(known: Mapping[str, Sequence[str]]) -> list[str]:
    """English words of 3 to 12 letters: those of this project's licence that no training page knows."""
    text = LICENCE.read_text(encoding="utf-8")
    trained = {part.lower() for words in known.values() for word in words for part in word.split()}
    return sorted({word.lower() for word in re.findall(r"\b[A-Za-z]{3,12}\b", text)} - trained)


def manual_words(held_out: Sequence[str]) -> list[str]:
    """English words of 3 to 12 letters: those of the manual that comes with Python, but for those held out."""
    found = {word.lower() for text in topics.values() for word in re.findall(r"\b[A-Za-z]{3,12}\b", text)}
    return sorted(found - set(held_out))


def _strip(
    rng: random.Random,
    fonts: Sequence[str],
    known: Mapping[str, Sequence[str]],
    unseen: bool,
    held_out: Sequence[str],
) -> dict[str, Any]:
    """The look of a strip, and its text."""
    family = "Arial" if not fonts or rng.random() < 0.3 else rng.choice(fonts)
    size = rng.randint(*SIZES_PX)
    dark = rng.random() < 0.15
    line = []
    if held_out:
        word = rng.choice(held_out)
        line.append(word.capitalize() if rng.random() < 0.35 else word)
    elif unseen:
        line.append(invented(rng, True))
    else:
        room = rng.choice((1, 1, 90, 150, 240))
        while not line or (len(" ".join(line)) + 5) * size * 0.55 < room:
            line.append(_word(rng, known))
    return {
        "text": " ".join(line),
        "family": family,
        "size": size,
        "weight": rng.choice((400, 400, 400, 700)),
        "ink": rng.choice((LIGHT if dark else INKS).split()),
        "paper": rng.choice((DARK if dark else PAPERS).split()),
        "left": rng.choice((1, 2, 3, 4, 6, 8)) + round(rng.random(), 2),
        "lift": round(rng.uniform(-0.6, 0.6), 2),
    }


def invented(rng: random.Random, unseen: bool) -> str:
    """A word that could be one. Those of an eighth of all are for measuring only (unseen)."""
    while True:
        word = ""
        for _ in range(rng.choice((1, 2, 2, 3, 3))):
            word += rng.choice(ONSETS.split()) + rng.choice(VOWELS.split())
            word += rng.choice(CODAS.split()) if rng.random() < 0.9 else ""
        if 3 <= len(word) <= 12 and (zlib.crc32(word.encode()) % 8 == 0) == unseen:
            break
    look = rng.random()
    return word.capitalize() if look < 0.35 else word.upper() if look < 0.4 else word


def _word(rng: random.Random, known: Mapping[str, Sequence[str]]) -> str:
    kind = rng.random()
    if kind < 0.3:
        return invented(rng, False)
    if kind < 0.7:
        word = rng.choice(known[rng.choice(("lorem", "names", "places", "labels", *5 * ("manual",)))])
        return word.capitalize() if rng.random() < 0.3 else word
    if kind < 0.88:
        letters = rng.choice((LETTERS, LETTERS + LETTERS.upper() + "0123456789", LETTERS.upper() + "0123456789"))
        return "".join(rng.choice(letters) for _ in range(rng.randint(1, 9)))
    number = str(rng.randrange(10 ** rng.randint(1, 5)))
    forms = ("$@", "@%", "@.99", "(@)", "#@", "@:30", "@/12", "-@", "@", "@", f"{invented(rng, False)}@.com")
    mark = rng.choice(".,:;!?")
    return rng.choice((*forms, invented(rng, False) + mark, f'"{invented(rng, False)}"')).replace("@", number)
