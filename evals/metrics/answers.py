"""Scores of texts that answer a question about an image.

Sources, by their definitions: OCRBench, Yuliang-Liu/MultimodalOCR, OCRBench/example.py (f5cbec6); ANLS of DocVQA and
InfographicVQA and the relaxed accuracy of ChartQA as open-compass/VLMEvalKit, vlmeval/dataset/utils/vqa_eval.py
(e8e78f0), and EvolvingLMMs-Lab/lmms-eval, lmms_eval/api/metrics.py and tasks/chartqa/utils.py (75571cf), compute them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evals.metrics.text_distance import levenshtein

ANLS_THRESHOLD = 0.5
MAX_RELATIVE_CHANGE = 0.05
NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NUMBER_WORDS += ["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
NUMBER_WORDS += ["twenty"]
NUMERALS = {word: str(number) for number, word in enumerate(NUMBER_WORDS)} | {"none": "0"}
NUMBER = re.compile(rf"\d+(?:\.\d+)?|(?<![a-z])(?:{'|'.join(NUMERALS)})(?![a-z])", re.IGNORECASE)
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}


def contains_answer(reply: str, answers: Sequence[str], *, folds_width: bool) -> bool:
    """Return whether an answer is a part of the reply, in lower case and with newlines as spaces.

    Args:
        reply: The reply.
        answers: The accepted answers.
        folds_width: Whether full-width ASCII characters equal their usual form.
    """

    def normalize(text: str) -> str:
        return (text.translate(FULL_WIDTH) if folds_width else text).lower().strip().replace("\n", " ")

    return any(normalize(answer) in normalize(reply) for answer in answers)


def contains_formula(reply: str, answers: Sequence[str]) -> bool:
    """Return whether an answer is a part of the reply, without spaces and newlines; case counts."""

    def normalize(text: str) -> str:
        return text.strip().replace("\n", " ").replace(" ", "")

    return any(normalize(answer) in normalize(reply) for answer in answers)


def anls(reply: str, answers: Sequence[str]) -> float:
    """Return the normalized Levenshtein similarity to the nearest answer, 0 where it is below the threshold.

    Texts are compared in lower case with white space collapsed; the length that divides the distance is that of the
    longer text as it is written.
    """
    distances = []
    for answer in answers:
        length = max(len(answer.upper()), len(reply.upper()))
        edits = levenshtein(_collapse(answer), _collapse(reply))
        distances.append(edits / length if length else 0.0)
    similarity = 1 - min(distances)
    return similarity if similarity >= ANLS_THRESHOLD else 0.0


def _collapse(text: str) -> str:
    return " ".join(text.lower().split())


def is_relaxed_match(reply: str, answer: str) -> bool:
    """Return whether two numbers differ by at most 5 %, or two texts are equal regardless of case.

    An answer of zero is compared as a text. A percentage is a hundredth of its number.
    """
    number, reference = _to_number(reply), _to_number(answer)
    if number is not None and reference:
        return abs(number - reference) / abs(reference) <= MAX_RELATIVE_CHANGE
    return reply.lower() == answer.lower()


def _to_number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def first_number(reply: str) -> str | None:
    """Return the first number of a reply in digits, None where there is none; words count up to twenty."""
    match = NUMBER.search(reply)
    return match and to_numeral(match[0])


def to_numeral(text: str) -> str:
    """Return a number word in digits, and any other text in lower case; white space around it is ignored."""
    word = text.strip().lower()
    return NUMERALS.get(word, word)
