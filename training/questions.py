"""Questions about a synthetic screen with their answers.

Kinds of questions: pointing (click an element or word by its text), reading (the word at a point), and plain questions
about the screen. Only questions with exactly one right answer are generated.
"""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

QuestionRecord = dict[str, Any]  # "goal", "answer", and usually "box"

GOALS_BY_KIND = {  # @ stands for the text of the element
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
ONLY_ONE_GOALS = {  # for an element that is the only one of its kind
    "button": ("Click the button.", "Press the button."),
    "field": ("Focus into the textbox.",),
}
WORD_GOALS = ('Click on the word "@".', 'Point at "@".')
MAX_QUESTIONS = 24  # of a screen
MAX_LINE_CHARS = 40
MAX_SPACE_PX = 14.0  # between two words of a line


def screen_questions(
    elements: Sequence[Mapping[str, Any]], characters: Sequence[Sequence[Any]], seed: int
) -> list[QuestionRecord]:
    """Return questions about a screen; elements and characters as screens.js returns them, in pixels."""
    rng = random.Random(seed)
    texts = Counter(element["text"] for element in elements)
    questions: list[QuestionRecord] = []
    for element in elements:
        if element["text"] and texts[element["text"]] == 1:
            goal = rng.choice(GOALS_BY_KIND[element["kind"]]).replace("@", element["text"])
            questions.append(_click(goal, element["box"]))
    for kind, goals in ONLY_ONE_GOALS.items():
        of_kind = [element for element in elements if element["kind"] == kind]
        if len(of_kind) == 1:
            questions.append(_click(rng.choice(goals), of_kind[0]["box"]))
    words = group_words(characters)
    count = Counter(text for text, _ in words)
    unique = [(text, box) for text, box in words if count[text] == 1 and len(text) > 1 and text not in texts]
    for text, box in rng.sample(unique, min(8, len(unique))):
        questions.append(point_at_word(text, box, rng))
    for text, box in rng.sample(words, min(10, len(words))):
        questions.append(read_word(text, box))
    questions += _state_questions(elements, texts, rng)
    return rng.sample(questions, min(MAX_QUESTIONS, len(questions)))


def type_text(rng: random.Random) -> QuestionRecord:
    """Return a question to type a random text."""
    letters = rng.choice((string.ascii_lowercase, string.ascii_letters, string.ascii_letters + string.digits))
    text = "".join(rng.choice(letters) for _ in range(rng.randint(2, 9)))
    kind = rng.random()
    if kind < 0.2:
        text = f"{rng.randint(1, 12):02}/{rng.randint(1, 31):02}/{rng.randint(1990, 2030)}"
    elif kind < 0.5:
        text = text.capitalize()
    goal = rng.choice(('Type "@".', "Write @.", 'Type "@" here and nothing else.', 'The text is "@".'))
    return {"goal": goal.replace("@", text), "answer": {"action": "type", "text": text}}


def _state_questions(
    elements: Sequence[Mapping[str, Any]], texts: Mapping[str, int], rng: random.Random
) -> list[QuestionRecord]:
    """Return questions about the state and the number of elements."""
    questions = []
    boxes = [e for e in elements if e["kind"] in ("checkbox", "radio") and texts[e["text"]] == 1]
    if boxes:
        box = rng.choice(boxes)
        questions.append(_say(f"Is {box['text']} selected?", "yes" if box["state"] == "on" else "no", box["box"]))
    for kind, name in (("button", "buttons"), ("checkbox", "checkboxes"), ("field", "text fields")):
        number = sum(element["kind"] == kind for element in elements)
        if number and rng.random() < 0.3:
            questions.append(_say(f"How many {name} are there?", str(number)))
    buttons = [element for element in elements if element["kind"] == "button" and element["text"]]
    if buttons and rng.random() < 0.3:
        questions.append(_say("List the buttons.", ", ".join(button["text"] for button in buttons[:6])))
    return questions


def point_at_word(text: str, box: Sequence[float], rng: random.Random) -> QuestionRecord:
    """Return a question to point at a word."""
    return _click(rng.choice(WORD_GOALS).replace("@", text), box)


def read_word(text: str, box: Sequence[float]) -> QuestionRecord:
    """Return a question to read the word at its center."""
    x, y = _center(box)
    return _say(f"What does it say at [{x}, {y}]?", text, box)


def read_line(words: Sequence[tuple[str, Sequence[float]]]) -> QuestionRecord:
    """Return a question to read the words of a line at its center."""
    boxes = [box for _, box in words]
    left, top, right = boxes[0][0], boxes[0][1], boxes[-1][0] + boxes[-1][2]
    box = [left, top, round(right - left, 1), boxes[0][3]]
    x, y = _center(box)
    return _say(f"Read the line at [{x}, {y}].", " ".join(text for text, _ in words), box)


def group_words(characters: Sequence[Sequence[Any]]) -> list[tuple[str, list[float]]]:
    """Return the words that characters (c, x, y, width) in reading order form, with boxes of half a cell's height."""
    words: list[tuple[str, list[float]]] = []
    previous: Sequence[Any] | None = None
    for character in characters:
        letter, x, y, width = character
        left, right = x - width / 2, x + width / 2
        if previous is not None and abs(previous[2] - y) < 1 and -3 < left - (previous[1] + previous[3] / 2) < 2.5:
            text, box = words[-1]
            words[-1] = (text + letter, [box[0], box[1], round(right - box[0], 1), box[3]])
        else:
            words.append((letter, [round(left, 1), round(y - 7, 1), round(width, 1), 14.0]))
        previous = character
    return words


def group_lines(words: Sequence[tuple[str, Sequence[float]]]) -> list[list[tuple[str, Sequence[float]]]]:
    """Return the lines that words form, each of at most MAX_LINE_CHARS characters."""
    lines: list[list[tuple[str, Sequence[float]]]] = []
    for text, box in words:
        line = lines[-1] if lines else []
        if line:
            previous = line[-1][1]
            gap = box[0] - (previous[0] + previous[2])
            is_full = sum(len(word) + 1 for word, _ in line) + len(text) > MAX_LINE_CHARS
            if abs(previous[1] - box[1]) < 1 and 2.5 <= gap < MAX_SPACE_PX and not is_full:
                line.append((text, box))
                continue
        lines.append([(text, box)])
    return lines


def _say(goal: str, text: str, box: Sequence[float] | None = None) -> QuestionRecord:
    return {"goal": goal, "answer": {"say": text}, "box": box}


def _click(goal: str, box: Sequence[float]) -> QuestionRecord:
    """Return a question whose answer is a click at the center of a box."""
    return {"goal": goal, "answer": {"action": "left_click", "coordinate": list(_center(box))}, "box": list(box)}


def _center(box: Sequence[float]) -> tuple[int, int]:
    x, y, w, h = box
    return int(x + w / 2), int(y + h / 2)
