"""The command `agent bench reading`: characters that `agent see read` reads right, beside RapidOCR on the same images.

Each image shows lines of one to four invented words that no training data contains, in Chromium's rendering of
Liberation Sans. A line's text is what was read at its height, from left to right, with one space between regions.
"""

from __future__ import annotations

import io
import json as json_
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actions import Screen
from evals.metrics.text_distance import levenshtein
from training.text_strips import BACKGROUNDS, FONT_SIZES_PX, FOREGROUNDS, invent_word

if TYPE_CHECKING:
    from agent.policies.base import Policy

WIDTH, LINE_HEIGHT, LINES_PER_PAGE = 640, 32, 10
MAX_WORDS = 4
LIGHT_BACKGROUNDS = [color for color in BACKGROUNDS.split() if color != "#ff0"]
MAX_CONFUSIONS = 12
Reader = Callable[[Screen], Sequence[tuple[str, float, float]]]  # texts with the x and y of their centers


@dataclass(frozen=True)
class ReadingPage:
    """An image and the lines of text on it, from the top; each is LINE_HEIGHT pixels high."""

    screen: Screen
    texts: tuple[str, ...]


@dataclass
class ReadingScore:
    """What a reader read right.

    Args:
        reader: Its name.
        lines: Number of lines.
        characters: Number of characters, spaces included.
        edits: Sum of the edit distances to them.
        right: Number of lines without an edit.
        confusions: How often each character was read as another one; "" stands for none.
    """

    reader: str
    lines: int = 0
    characters: int = 0
    edits: int = 0
    right: int = 0
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def accuracy(self) -> float:
        """1 - edits / characters."""
        return 1 - self.edits / max(self.characters, 1)

    def add(self, text: str, read: str) -> None:
        """Count one line."""
        edits = levenshtein(text, read)
        self.lines += 1
        self.characters += len(text)
        self.edits += edits
        self.right += not edits
        self.confusions.update(pair for pair in align(text, read) if pair[0] != pair[1])

    def as_dict(self) -> dict[str, object]:
        """Return the score as JSON data."""
        confusions = [[*pair, count] for pair, count in self.confusions.most_common(MAX_CONFUSIONS)]
        values = {**asdict(self), "confusions": confusions}
        return {**values, "accuracy": round(self.accuracy, 4), "lines_right": round(self.right / max(self.lines, 1), 4)}


def reading(
    lines: Annotated[int, typer.Option(min=1, help="Number of lines of text.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the lines.")] = 0,
    model: Annotated[str, typer.Option(help="A model that `agent see read` takes.")] = "embedded",
    baseline: Annotated[str, typer.Option(help="rapidocr or none.")] = "rapidocr",
    images: Annotated[Path | None, typer.Option(help="Folder to write the images to.", metavar="DIR")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print no table, only one JSON object per line.")] = False,
) -> None:
    """Measure how much of 300 lines of unseen words is read right, beside RapidOCR."""
    from actions import UsageError
    from agent.policies.factory import load_policy

    if baseline not in ("rapidocr", "none"):
        raise UsageError(f"--baseline is rapidocr or none, not '{baseline}'")
    readers = {} if baseline == "none" else {"rapidocr": rapidocr_reader()}
    policy = load_policy(model)
    readers = {model: policy_reader(policy), **readers}
    scores = {name: ReadingScore(name) for name in readers}
    for number, page in enumerate(render_pages(lines, seed)):
        if images is not None:
            images.mkdir(parents=True, exist_ok=True)
            page.screen.save(images / f"{number:02d}.png")
        for name, reader in readers.items():
            for text, read in zip(page.texts, read_lines(page, reader), strict=True):
                scores[name].add(text, read)
    policy.close()
    if not json:
        print(format_scores(list(scores.values())), file=sys.stderr)
    for score in scores.values():
        print(json_.dumps(score.as_dict(), ensure_ascii=False))


def random_lines(count: int, seed: int) -> list[dict[str, object]]:
    """Return the texts of lines with their size in pixels and their color."""
    rng = random.Random(f"reading-{seed}")
    return [
        {
            "text": " ".join(invent_word(rng, True) for _ in range(rng.randint(1, MAX_WORDS))),
            "size": rng.randint(*FONT_SIZES_PX),
            "color": rng.choice(FOREGROUNDS.split()),
            "left": rng.randint(8, 60) + rng.choice((0, 0.25, 0.5, 0.75)),
        }
        for _ in range(count)
    ]


def render_pages(count: int, seed: int) -> Iterator[ReadingPage]:
    """Yield images with LINES_PER_PAGE lines each.

    Raises:
        UsageError: No browser is installed.
    """
    import numpy as np
    from PIL import Image
    from playwright.sync_api import sync_playwright

    from envs.chromium.executable import find_chrome

    lines = random_lines(count, seed)
    rng = random.Random(f"backgrounds-{seed}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chrome())
        for start in range(0, count, LINES_PER_PAGE):
            part = lines[start : start + LINES_PER_PAGE]
            page = browser.new_page(viewport={"width": WIDTH, "height": LINE_HEIGHT * len(part)})
            page.set_content(page_html(part, rng.choice(LIGHT_BACKGROUNDS)))
            image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            page.close()
            yield ReadingPage(Screen(np.asarray(image)), tuple(str(line["text"]) for line in part))
        browser.close()


def page_html(lines: Sequence[dict[str, object]], background: str) -> str:
    """Return a page with lines below each other, each in the middle of LINE_HEIGHT pixels."""
    styles = "position: absolute; white-space: pre; font-family: 'Liberation Sans', Arial"
    rows = "".join(
        f'<div style="{styles}; left: {line["left"]}px; top: {number * LINE_HEIGHT}px; line-height: {LINE_HEIGHT}px; '
        f'font-size: {line["size"]}px; color: {line["color"]}">{line["text"]}</div>'
        for number, line in enumerate(lines)
    )
    return f'<body style="margin: 0; background: {background}">{rows}</body>'


def read_lines(page: ReadingPage, reader: Reader) -> list[str]:
    """Return what a reader reads in each line of a page."""
    regions = sorted(reader(page.screen), key=lambda region: region[1])
    texts: list[list[str]] = [[] for _ in page.texts]
    for text, _, y in regions:
        texts[min(int(y / LINE_HEIGHT), len(texts) - 1)].append(text)
    return [" ".join(parts) for parts in texts]


def policy_reader(policy: Policy) -> Reader:
    """Return a reader that asks a policy as `agent see read` does."""
    from agent.see.reading import read_text

    def read(screen: Screen) -> list[tuple[str, float, float]]:
        return [(item.text, *item.point) for item in read_text(screen, policy).items]

    return read


def rapidocr_reader() -> Reader:
    """Return a reader that uses RapidOCR with the models in its package, on one thread.

    Raises:
        UsageError: RapidOCR or ONNX Runtime is not installed.
    """
    import numpy as np

    from actions import UsageError

    try:
        import onnxruntime  # noqa: F401
        from rapidocr import RapidOCR
    except ImportError as error:
        raise UsageError(
            f"--baseline rapidocr needs RapidOCR ({error}); run: pip install rapidocr onnxruntime, or set "
            "--baseline none"
        ) from None
    threads = "EngineConfig.onnxruntime.intra_op_num_threads"
    engine = RapidOCR(params={"Global.log_level": "error", threads: 1})

    def read(screen: Screen) -> list[tuple[str, float, float]]:
        result = engine(np.ascontiguousarray(screen.pixels[..., ::-1]))
        if result.boxes is None:
            return []
        centers = np.asarray(result.boxes).mean(axis=1)
        return [(text, float(x), float(y)) for text, (x, y) in zip(result.txts, centers, strict=True)]

    return read


def align(text: str, read: str) -> list[tuple[str, str]]:
    """Return the pairs of characters of a shortest edit from one text to another, "" for an insertion or deletion."""
    rows = [list(range(len(read) + 1))]
    for i, left in enumerate(text, 1):
        row = [i]
        for j, right in enumerate(read, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (left != right)))
        rows.append(row)
    pairs = []
    i, j = len(text), len(read)
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (text[i - 1] != read[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((text[i], read[j]))
        elif i and rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
            pairs.append((text[i], ""))
        else:
            j -= 1
            pairs.append(("", read[j]))
    return pairs[::-1]


def format_scores(scores: Sequence[ReadingScore]) -> str:
    """Return the scores as a table."""
    rows = [f"{'reader':12} {'lines':>6} {'characters':>11} {'lines right':>12}  most often read wrong"]
    for score in scores:
        wrong = ", ".join(f"{a or '-'} as {b or '-'} ({n})" for (a, b), n in score.confusions.most_common(5))
        right = score.right / max(score.lines, 1)
        rows.append(f"{score.reader:12} {score.lines:6} {score.accuracy:11.1%} {right:12.1%}  {wrong}")
    return "\n".join(rows)
