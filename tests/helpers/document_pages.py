"""Made-up pages with OmniDocBench's annotations, and replies that deviate from them."""

from __future__ import annotations

import html
import random
from typing import Any

WORDS = ["alpha", "beta", "gamma", "delta", "of", "the", "in", "x", "2024", "price", "Fig", "一二", "表格", "3:4"]
WORDS += ["$y$", "--"]
CATEGORIES = ["text_block"] * 8 + ["title", "header", "page_number", "figure_caption", "table_caption", "reference"]
CELLS = ["a", "Total", "12.5", "", "n: 3", "b c", "p&q", "é", "--- k"]
SPANS = [""] * 5 + [' colspan="2"', ' rowspan="2"', ' style="color: red"']
FORMULAS = ["$$ E = mc^2 $$", "\\[ a_{1} + \\mathrm{b} \\]", "$$\n\\frac{1}{2}\n$$", "\\[x\\tag{1}\\]"]
Grid = list[list[str]]
Page = dict[str, Any]


def made_page(seed: int) -> tuple[Page, str]:
    """Return the annotations of a page, and a reply in Markdown."""
    rng = random.Random(seed)
    items: list[Page] = []
    replies: list[str] = []
    for number in range(rng.randint(1, 8)):
        kind = rng.random()
        make = made_table if kind < 0.18 else made_formula if kind < 0.3 else made_text
        item, reply = make(rng)
        items.append({"order": number + 1, "anno_id": number, **item})
        replies.append(reply)
    texts = [item["anno_id"] for item in items if "text" in item]
    relations = []
    if len(texts) > 1 and rng.random() < 0.2:
        relations.append({"relation_type": "truncated", "source_anno_id": texts[0], "target_anno_id": texts[1]})
    separator = rng.choice(["\n\n", "\n\n", "\n\n", "\n"])
    reply = separator.join(text for text in replies if text)
    if rng.random() < 0.05:
        reply = f"```markdown\n{reply}\n```"
    attribute = {"language": rng.choice(["english", "simplified_chinese"]), "layout": "single_column"}
    info = {"image_path": f"{seed}.jpg", "width": 60, "height": 40, "page_attribute": attribute}
    return {"layout_dets": items, "extra": {"relation": relations}, "page_info": info}, reply


def made_text(rng: random.Random) -> tuple[Page, str]:
    """Return a paragraph, and one that was read with errors, split, or left out."""
    text = " ".join(rng.choice(WORDS) for _ in range(rng.choice([1, 3, 8, 15])))
    attribute = {"text_language": "text_en", "text_background": rng.choice(["white", "single_colored"])}
    item = {"category_type": rng.choice(CATEGORIES), "text": text, "attribute": attribute}
    reply = "".join(char if rng.random() > 0.05 or char == "$" else rng.choice(["", "q"]) for char in text)
    change = rng.random()
    if change < 0.1:
        return item, ""
    if change < 0.2:
        return item, f"# {reply}"
    if change < 0.35:
        return item, f"{reply[: len(reply) // 2]}\n\n{reply[len(reply) // 2 :]}"
    if change < 0.45:
        return item, f"{reply}\n{rng.choice(WORDS)} {rng.choice(WORDS)}"
    return item, reply + (" ![figure](a.png)" if change < 0.5 else "")


def made_formula(rng: random.Random) -> tuple[Page, str]:
    """Return a formula, and how it was read."""
    latex = rng.choice(FORMULAS)
    reply = rng.choice([latex, latex, latex.replace("x", "y"), ""])
    return {"category_type": "equation_isolated", "latex": latex}, reply


def made_table(rng: random.Random) -> tuple[Page, str]:
    """Return a table, and one in HTML or Markdown, cut off, or missing."""
    columns = rng.randint(1, 4)
    grid = [[rng.choice(CELLS) for _ in range(columns)] for _ in range(rng.randint(1, 4))]
    attribute = {"language": "table_en", "with_span": rng.random() < 0.5}
    item = {"category_type": "table", "html": html_table(grid, rng), "latex": "", "attribute": attribute}
    forms = [
        item["html"],
        html_table(grid, rng),
        html_table(grid),
        markdown_table(grid),
        markdown_table(grid),
        f"caption\n{markdown_table(grid)}",
        f"{markdown_table(grid)}\nnote",
        html_table(grid)[:-8],
        "\\begin{tabular}{l} a \\end{tabular}",
        "",
    ]
    return item, rng.choice(forms)


def html_table(grid: Grid, rng: random.Random | None = None) -> str:
    """Return a table in HTML, with a random source of spans and headers."""
    rows = ""
    for number, row in enumerate(grid):
        tag = "th" if rng and not number else "td"
        cells = (f"<{tag}{rng.choice(SPANS) if rng else ''}>{html.escape(text)}</{tag}>" for text in row)
        rows += f"<tr>{''.join(cells)}</tr>"
    return f'<table border="1">{rows}</table>'


def markdown_table(grid: Grid) -> str:
    """Return a table with pipes."""
    rows = [grid[0], ["---"] * len(grid[0]), *grid[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
