"""Render strips with one line of text each, many to a page.

A strip is as high as a line of small text. The processor enlarges it 4.4 times, to the smallest image it accepts, so
that
each character has a cell of its own. One screenshot of a grid of strips is cut into its parts.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import TYPE_CHECKING, Any

from model.processing.image import resize
from training.dataset import DatasetWriter, Sample
from training.packing import Frame, decode_png
from training.page_renderer import PageRenderer, encode_png
from training.synthetic_screens import UNSEEN_SEED_START, page_words

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDTH, HEIGHT = 280, 19  # of a strip in pixels, one to a CSS px
RESIZED = (1232, 84)  # width and height after the processor's resize
TEXT_Y = 49.0  # y assigned to characters after the resize; their own lies on the border of two places of a cell
COLUMNS, STRIPS_PER_PAGE = 4, 240
FONT_SIZES_PX = (11, 16)
READ_GOAL = "What does it say?"
SCRIPT = Path(__file__).parent / "pages" / "lines.js"
LICENSE = Path(__file__).parent.parent / "LICENSE"

ONSETS = "b c d f g h j k l m n p r s t v w y bl br ch cl cr dr fl fr gr ph pl pr qu sc sh sl sp st str th tr wh x z"
VOWELS = "a a a e e e e i i o o u y ai ea ee ie io oo ou"
CODAS = "b c ck d f g l ll m n n nd ng nt p r r rk s ss st t t th x y z"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BACKGROUNDS = "#fff #fff #fff #fafafa #f0f0f0 #eef3f8 #fffbe6 #e8f5e9 #ececec #ff0"
FOREGROUNDS = "#000 #000 #000 #222 #333 #444 #1a237e #0066cc #b00020"
DARK_BACKGROUNDS, LIGHT_FOREGROUNDS = "#111 #202124 #1b2838 #2b2b2b #1a73e8 #2e7d32", "#fff #fff #ddd #eee"


def render_strips(
    first: int, last: int, folder: Path, name: str, browser: Browser, fonts: Path | None = None, english: bool = False
) -> int:
    """Render pages of strips into a data folder; return the number of new strips.

    From UNSEEN_SEED_START on, a strip holds one word that no other page holds: an invented one, or an English one.

    Args:
        first: First seed.
        last: Seed after the last.
        folder: The data folder.
        name: Name of the source.
        browser: A Playwright browser.
        fonts: A folder of font files to use besides Arial.
        english: Use held-out English words, see `license_words`.
    """
    writer = DatasetWriter(folder, name)
    renderer = PageRenderer(browser, WIDTH * COLUMNS, HEIGHT * (STRIPS_PER_PAGE // COLUMNS), SCRIPT, fonts)
    word_lists = page_words()
    english_words = license_words(word_lists)
    word_lists = {**word_lists, "manual": manual_words(english_words)}
    held_out = english_words if english else []
    new = 0
    for seed in range(first, last):
        if writer.has(seed):
            continue
        rng = random.Random(f"lines-{seed}")
        is_unseen = seed >= UNSEEN_SEED_START
        strips = [
            _random_strip(rng, renderer.font_names, word_lists, is_unseen, held_out) for _ in range(STRIPS_PER_PAGE)
        ]
        characters_of, page = renderer.render("drawLines", strips, COLUMNS, WIDTH, HEIGHT)
        for number, (strip, characters) in enumerate(zip(strips, characters_of, strict=True)):
            top, left = number // COLUMNS * HEIGHT, number % COLUMNS * WIDTH
            text = strip["text"]
            if len(characters) != len(text.replace(" ", "")):
                continue  # the text does not fit
            start, (*_, x, _, width) = characters[0], characters[-1]
            text_left = start[1] - start[3] / 2
            box = [text_left, 0, x + width / 2 - text_left, HEIGHT]
            question = {"goal": READ_GOAL, "answer": {"say": text}, "box": box}
            png = encode_png(page[top : top + HEIGHT, left : left + WIDTH])
            writer.add(seed, number, "", png, [question], characters, {"font_px": strip["size"]})
            new += 1
        writer.finish(seed)
    renderer.close()
    writer.close()
    return new


@dataclass(frozen=True)
class ResizedStrip:
    """A strip as the processor resizes it."""

    frame: Frame  # [H, W, 3]
    characters: list[tuple[Any, ...]]  # in pixels of the frame
    scale: tuple[float, float]  # horizontal and vertical


def resize_strip(sample: Sample) -> ResizedStrip:
    """Return a strip as the processor resizes it."""
    scale_x, scale_y = RESIZED[0] / WIDTH, RESIZED[1] / HEIGHT
    characters = [(c, x * scale_x, TEXT_Y, width * scale_x) for c, x, _, width in sample.characters]
    return ResizedStrip(resize(decode_png(sample.png), *RESIZED), characters, (scale_x, scale_y))


def license_words(word_lists: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the English words of 3 to 12 letters in this project's license that are on no training page."""
    text = LICENSE.read_text(encoding="utf-8")
    trained = {part.lower() for words in word_lists.values() for word in words for part in word.split()}
    return sorted({word.lower() for word in re.findall(r"\b[A-Za-z]{3,12}\b", text)} - trained)


def manual_words(held_out: Sequence[str]) -> list[str]:
    """Return the English words of 3 to 12 letters in the Python manual, without those held out."""
    words = {word.lower() for text in topics.values() for word in re.findall(r"\b[A-Za-z]{3,12}\b", text)}
    return sorted(words - set(held_out))


def invent_word(rng: random.Random, is_unseen: bool) -> str:
    """Return a pronounceable word; an eighth of all such words are reserved for evaluation (is_unseen)."""
    while True:
        word = ""
        for _ in range(rng.choice((1, 2, 2, 3, 3))):
            word += rng.choice(ONSETS.split()) + rng.choice(VOWELS.split())
            word += rng.choice(CODAS.split()) if rng.random() < 0.9 else ""
        if 3 <= len(word) <= 12 and (zlib.crc32(word.encode()) % 8 == 0) == is_unseen:
            break
    spelling = rng.random()
    return word.capitalize() if spelling < 0.35 else word.upper() if spelling < 0.4 else word


def _random_strip(
    rng: random.Random,
    fonts: Sequence[str],
    word_lists: Mapping[str, Sequence[str]],
    is_unseen: bool,
    held_out: Sequence[str],
) -> dict[str, Any]:
    """Return the text and the style of a strip, as lines.js takes them."""
    family = "Arial" if not fonts or rng.random() < 0.3 else rng.choice(fonts)
    size = rng.randint(*FONT_SIZES_PX)
    is_dark = rng.random() < 0.15
    line = []
    if held_out:
        word = rng.choice(held_out)
        line.append(word.capitalize() if rng.random() < 0.35 else word)
    elif is_unseen:
        line.append(invent_word(rng, True))
    else:
        length_px = rng.choice((1, 1, 90, 150, 240))
        while not line or (len(" ".join(line)) + 5) * size * 0.55 < length_px:
            line.append(_random_word(rng, word_lists))
    return {
        "text": " ".join(line),
        "family": family,
        "size": size,
        "weight": rng.choice((400, 400, 400, 700)),
        "ink": rng.choice((LIGHT_FOREGROUNDS if is_dark else FOREGROUNDS).split()),
        "paper": rng.choice((DARK_BACKGROUNDS if is_dark else BACKGROUNDS).split()),
        "left": rng.choice((1, 2, 3, 4, 6, 8)) + round(rng.random(), 2),
        "lift": round(rng.uniform(-0.6, 0.6), 2),
    }


def _random_word(rng: random.Random, word_lists: Mapping[str, Sequence[str]]) -> str:
    """Return an invented or a real word, random characters, or a number with a unit or punctuation."""
    kind = rng.random()
    if kind < 0.3:
        return invent_word(rng, False)
    if kind < 0.7:
        word = rng.choice(word_lists[rng.choice(("lorem", "names", "places", "labels", *5 * ("manual",)))])
        return word.capitalize() if rng.random() < 0.3 else word
    if kind < 0.88:
        letters = rng.choice((LETTERS, LETTERS + LETTERS.upper() + "0123456789", LETTERS.upper() + "0123456789"))
        return "".join(rng.choice(letters) for _ in range(rng.randint(1, 9)))
    number = str(rng.randrange(10 ** rng.randint(1, 5)))
    forms = ("$@", "@%", "@.99", "(@)", "#@", "@:30", "@/12", "-@", "@", "@", f"{invent_word(rng, False)}@.com")
    mark = rng.choice(".,:;!?")
    return rng.choice((*forms, invent_word(rng, False) + mark, f'"{invent_word(rng, False)}"')).replace("@", number)
