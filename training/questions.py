"""What can be asked about an invented screen, and the right answers. Knows elements and characters; draws nothing.

Pointing (a click in the middle of what the words name), reading (the word at a point), and a few plain questions about
the screen. Only what has one right answer is asked.
"""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]

FORMS = {  # kind -> how it is asked for; @ is its text
    "button": ('Click on the "@" button.', "Click button @.", "Press @.", 'Click "@".', "Click @"),
    "link": ('Click on the link "@".', "Open the @ link.", "Click on @.", 'Click "@".'),
    "field": ('Click the "@" field.', "Focus into the @ textbox.", "Click on the @ text field."),
    "checkbox": ("Tick @.", 'Click the checkbox "@".', "Select @."),
    "radio": ("Select @.", 'Choose "@".', "Click the radio @."),
    "tab": ("Click on @.", "Switch to the @ tab.", 'Open the tab "@".'),
    "item": ("Select @.", 'Click on "@".', "Open @."),
    "cell": ("Click the cell @.", 'Click on "@".'),
    "day": ("Choose day @.", "Click on day @."),
    "icon": ("Click the @ icon.", "Click on the @ symbol."),
    "color": ("Click on the @ colored box.", "Click on the @ box.", "Click on @."),
    "heading": ('Point at the title "@".',),
}
ALONE = {"button": ("Click the button.", "Press the button."), "field": ("Focus into the textbox.",)}  # the only one
WORD_FORMS = ('Click on the word "@".', 'Point at "@".')
MOST = 24  # questions kept of a screen
LINE, SPACE = 40, 14.0  # letters of a line that is read, at most; pixels between two of its words, at most


def ask(elements: Sequence[Record], characters: Sequence[Sequence[Any]], seed: int) -> list[Record]:
    """Questions of a screen as {"goal", "answer", "box"}; elements and characters as screens.js has them, in pixels."""
    rng = random.Random(seed)
    texts = Counter(one["text"] for one in elements)
    found: list[Record] = []
    for one in elements:
        if one["text"] and texts[one["text"]] == 1:
            found.append(click(rng.choice(FORMS[one["kind"]]).replace("@", one["text"]), one["box"]))
    for kind, forms in ALONE.items():
        of_kind = [one for one in elements if one["kind"] == kind]
        if len(of_kind) == 1:
            found.append(click(rng.choice(forms), of_kind[0]["box"]))
    words = words_of(characters)
    count = Counter(text for text, _ in words)
    single = [(text, box) for text, box in words if count[text] == 1 and len(text) > 1 and text not in texts]
    for text, box in rng.sample(single, min(8, len(single))):
        found.append(point_at(text, box, rng))
    for text, box in rng.sample(words, min(10, len(words))):
        found.append(read_at(text, box))
    found += _about(elements, texts, rng)
    return rng.sample(found, min(MOST, len(found)))


def to_type(rng: random.Random) -> Record:
    """A text that nobody has seen, to be typed as it is."""
    letters = rng.choice((string.ascii_lowercase, string.ascii_letters, string.ascii_letters + string.digits))
    text = "".join(rng.choice(letters) for _ in range(rng.randint(2, 9)))
    kind = rng.random()
    if kind < 0.2:
        text = f"{rng.randint(1, 12):02}/{rng.randint(1, 31):02}/{rng.randint(1990, 2030)}"
    elif kind < 0.5:
        text = text.capitalize()
    goal = rng.choice(('Type "@".', "Write @.", 'Type "@" here and nothing else.', 'The text is "@".'))
    return {"goal": goal.replace("@", text), "answer": {"action": "type", "text": text}}


def _about(elements: Sequence[Record], texts: Mapping[str, int], rng: random.Random) -> list[Record]:
    """Plain questions about states and numbers."""
    found = []
    boxes = [one for one in elements if one["kind"] in ("checkbox", "radio") and texts[one["text"]] == 1]
    if boxes:
        one = rng.choice(boxes)
        found.append(_say(f"Is {one['text']} selected?", "yes" if one["state"] == "on" else "no", one["box"]))
    for kind, name in (("button", "buttons"), ("checkbox", "checkboxes"), ("field", "text fields")):
        number = sum(one["kind"] == kind for one in elements)
        if number and rng.random() < 0.3:
            found.append(_say(f"How many {name} are there?", str(number)))
    buttons = [one for one in elements if one["kind"] == "button" and one["text"]]
    if buttons and rng.random() < 0.3:
        found.append(_say("List the buttons.", ", ".join(one["text"] for one in buttons[:6])))
    return found


def _say(goal: str, text: str, box: Sequence[float] | None = None) -> Record:
    return {"goal": goal, "answer": {"say": text}, "box": box}


def point_at(text: str, box: Sequence[float], rng: random.Random) -> Record:
    """Pointing at a word."""
    return click(rng.choice(WORD_FORMS).replace("@", text), box)


def read_at(text: str, box: Sequence[float]) -> Record:
    """Reading a word at its middle."""
    x, y = middle(box)
    return _say(f"What does it say at [{x}, {y}]?", text, box)


def line_at(words: Sequence[tuple[str, Sequence[float]]]) -> Record:
    """Reading the words of a line, from the left, at the middle of the line."""
    boxes = [box for _, box in words]
    left, top, right = boxes[0][0], boxes[0][1], boxes[-1][0] + boxes[-1][2]
    box = [left, top, round(right - left, 1), boxes[0][3]]
    x, y = middle(box)
    return _say(f"Read the line at [{x}, {y}].", " ".join(text for text, _ in words), box)


def click(goal: str, box: Sequence[float]) -> Record:
    """A question that a click in the middle of the box answers."""
    return {"goal": goal, "answer": {"action": "left_click", "coordinate": list(middle(box))}, "box": list(box)}


def middle(box: Sequence[float]) -> tuple[int, int]:
    x, y, w, h = box
    return int(x + w / 2), int(y + h / 2)


def words_of(characters: Sequence[Sequence[Any]]) -> list[tuple[str, list[float]]]:
    """Characters (c, x, y, width) in reading order -> words with their boxes; a box is as high as a cell's half."""
    words: list[tuple[str, list[float]]] = []
    before: Sequence[Any] | None = None
    for one in characters:
        character, x, y, width = one
        left, right = x - width / 2, x + width / 2
        if before is not None and abs(before[2] - y) < 1 and -3 < left - (before[1] + before[3] / 2) < 2.5:
            text, box = words[-1]
            words[-1] = (text + character, [box[0], box[1], round(right - box[0], 1), box[3]])
        else:
            words.append((character, [round(left, 1), round(y - 7, 1), round(width, 1), 14.0]))
        before = one
    return words


def lines_of(words: Sequence[tuple[str, Sequence[float]]]) -> list[list[tuple[str, Sequence[float]]]]:
    """Words, as words_of has them -> those that follow one another at a space's distance, at most LINE letters."""
    lines: list[list[tuple[str, Sequence[float]]]] = []
    for text, box in words:
        line = lines[-1] if lines else []
        if line:
            before = line[-1][1]
            gap = box[0] - (before[0] + before[2])
            full = sum(len(one) + 1 for one, _ in line) + len(text) > LINE
            if abs(before[1] - box[1]) < 1 and 2.5 <= gap < SPACE and not full:
                line.append((text, box))
                continue
        lines.append([(text, box)])
    return lines
