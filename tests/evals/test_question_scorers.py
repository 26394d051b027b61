"""Scorers of answers against the formulas of VLMEvalKit and lmms-eval, written down here once more."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from evals.benchmarks.charades_sta import MomentTask
from evals.benchmarks.charades_sta import score_sample as moment_score
from evals.benchmarks.chartqa import score_answer as chart_score
from evals.benchmarks.countbench import score_answer as count_score
from evals.benchmarks.ocrbench import score_answer as ocr_score
from evals.benchmarks.refcoco import ReferringTask
from evals.benchmarks.refcoco import score_sample as box_score
from evals.metrics import answers
from evals.metrics.questions import QuestionTask

CASES = 400
LETTERS = ["a", "B", "ä", "ß", "İ", " ", "  ", "\n", "\t", "　", "Ａ", "１", "7", "%", ".", "-", "\\frac", ""]


def question(*accepted: str, **labels: str) -> QuestionTask:
    return QuestionTask("q", "0.png", "what?", accepted, labels)


def random_text(rng: random.Random, longest: int = 9) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(0, longest)))


# ---- OCRBench


def ocr_formula(reply: str, accepted: list[str], dataset: str, harness: str) -> float:
    for answer in accepted:
        texts = [answer, reply]
        if dataset == "HME100k":
            texts = [text.strip().replace("\n", "").replace(" ", "") for text in texts]
        else:
            if harness == "lmms-eval":
                texts = [
                    "".join(" " if c == "　" else chr(ord(c) - 65248) if "！" <= c <= "～" else c for c in text)
                    for text in texts
                ]
            texts = [re.sub("\n", " ", text.lower().strip()) for text in texts]
        if texts[1].find(texts[0]) >= 0:
            return 1.0
    return 0.0


@pytest.mark.parametrize("harness", ["vlmevalkit", "lmms-eval"])
def test_ocrbench_equals_both_harnesses(harness: str) -> None:
    rng = random.Random(1)
    scores = []
    for _ in range(CASES):
        accepted = [random_text(rng, 4) for _ in range(rng.randint(1, 3))]
        reply = random_text(rng) + rng.choice(["", accepted[0], accepted[-1].upper(), accepted[0].replace(" ", "")])
        for dataset in ("HME100k", "IIIT5K"):
            task = question(*accepted, dataset=dataset)
            scores.append(ocr_score(task, reply, harness))
            assert scores[-1] == ocr_formula(reply, accepted, dataset, harness), (reply, accepted)
    assert {0.0, 1.0} == set(scores)


def test_full_width_text_counts_only_under_lmms_eval() -> None:
    task = question("A1", dataset="IIIT5K")
    assert ocr_score(task, "it reads Ａ１", "vlmevalkit") == 0.0
    assert ocr_score(task, "it reads Ａ１", "lmms-eval") == 1.0


def test_formula_keeps_its_case_and_loses_spaces() -> None:
    task = question("x ^ 2 + Y", dataset="HME100k")
    assert ocr_score(task, "x^2\n+Y", "vlmevalkit") == 1.0
    assert ocr_score(task, "x^2+y", "vlmevalkit") == 0.0


# ---- ANLS


def edits(a: str, b: str) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return distance(len(a), len(b))


def anls_formula(reply: str, accepted: list[str], harness: str) -> float:
    shares = []
    for answer in accepted:
        longest = max(len(answer.upper()), len(reply.upper()))
        a, b = (re.sub(r"\s+", " ", text.lower().strip()) for text in (answer, reply))
        shares.append(edits(a, b) / longest if longest else 0.0)
    value = 1 - min(shares)
    if harness == "vlmevalkit":
        return 0.0 if value < 0.5 else value
    return value if not value < 0.5 else 0


@pytest.mark.parametrize("harness", ["vlmevalkit", "lmms-eval"])
def test_anls_equals_both_harnesses(harness: str) -> None:
    rng = random.Random(2)
    values = set()
    for _ in range(CASES):
        accepted = [random_text(rng) for _ in range(rng.randint(1, 3))]
        reply = rng.choice([random_text(rng), accepted[0] + random_text(rng, 2), accepted[-1].upper(), accepted[0][1:]])
        expected = anls_formula(reply, accepted, harness)
        assert answers.anls(reply, accepted) == expected, (reply, accepted)
        values.add(expected)
    assert {0.0, 1.0} < values


def test_anls_at_threshold_counts() -> None:
    assert answers.anls("ab", ["abcd"]) == 0.5
    assert answers.anls("ab", ["abcde"]) == 0.0
    assert answers.anls("", [""]) == 1.0
    assert answers.anls("two  words", ["Two words"]) == 1.0


# ---- ChartQA


def chart_formula(reply: str, answer: str, harness: str) -> float:
    text = reply.strip() if harness == "vlmevalkit" else reply
    numbers: list[float | None] = []
    for item in (text, answer):
        try:
            numbers.append(float(item[:-1].rstrip("%")) / 100.0 if item[-1:] == "%" else float(item))
        except ValueError:
            numbers.append(None)
    if numbers[0] is None or numbers[1] is None or numbers[1] == 0:
        return float(text.lower() == answer.lower())
    return float(abs(numbers[0] - numbers[1]) / abs(numbers[1]) <= 0.05)


@pytest.mark.parametrize("harness", ["vlmevalkit", "lmms-eval"])
def test_relaxed_accuracy_equals_both_harnesses(harness: str) -> None:
    rng = random.Random(3)
    scores = []
    forms = ["{:g}", "{:.2f}%", " {:g}", "{:g}\n", "{:g} %", "-{:g}", "{:g}%%"]
    words = ["Yes", "yes", " Yes", "No", "", "nan", "inf", "-inf", "0", "0.0", "0%", "1_000", "1,000", "1000"]
    for _ in range(2 * CASES):
        number = rng.choice([0.1, 1, 3.5, 20, 100, 1000])
        answer = rng.choice([rng.choice(forms).format(number), rng.choice(words)])
        near = number * rng.choice([0.94, 0.95, 0.96, 1, 1.04, 1.05, 1.06, 0.01, 100])
        reply = rng.choice([rng.choice(forms).format(near), rng.choice(words), answer.upper()])
        scores.append(chart_score(question(answer), reply, harness))
        assert scores[-1] == chart_formula(reply, answer, harness), (reply, answer)
    assert {0.0, 1.0} == set(scores)


def test_best_of_several_chart_answers_counts() -> None:
    assert chart_score(question("3", "blue"), "Blue", "vlmevalkit") == 1.0
    assert chart_score(question("Blue"), "Blue\n", "vlmevalkit") == 1.0
    assert chart_score(question("Blue"), "Blue\n", "lmms-eval") == 0.0


# ---- CountBench

WORDS = {"none": 0, "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
WORDS |= {"nine": 9, "ten": 10, "eleven": 11, "twelve": 12}


def count_formula(reply: str, answer: str, protocol: str) -> float | None:
    if protocol == "vlmevalkit":
        return 1.0 if answer in reply else 0.0
    if protocol == "lmms-eval-exact":
        return 1.0 if reply.strip() == answer else 0.0
    if protocol == "lmms-eval":
        text = reply.strip().lower()
        return 1.0 if str(WORDS.get(text, text)) == answer else 0.0
    for token in re.findall(r"\d+\.\d+|\d+|[a-z]+", re.sub(r"(?<=\d)(?=[a-z])|(?<=[a-z])(?=\d)", " ", reply.lower())):
        if token in WORDS or token[0].isdigit():
            return 1.0 if float(WORDS.get(token, token)) == float(answer) else 0.0
    return None


@pytest.mark.parametrize("protocol", ["first-number", "vlmevalkit", "lmms-eval", "lmms-eval-exact"])
def test_counts_equal_both_harnesses(protocol: str) -> None:
    rng = random.Random(4)
    scores = []
    fillers = ["", " ", "There are ", "often ", "a stone. ", "About ", "\n", "!", " dogs"]
    for _ in range(CASES):
        number = rng.randint(2, 10)
        near = rng.choice([number, number + 1, 10 * number])
        spelled = [str(near), *(word.title() for word, value in WORDS.items() if value == near), "none", "many"]
        reply = rng.choice(fillers) + rng.choice(spelled) + rng.choice(fillers) + rng.choice(["", "12", "two"])
        scores.append(count_score(question(str(number)), reply, protocol))
        assert scores[-1] == count_formula(reply, str(number), protocol), (reply, number)
    assert {0.0, 1.0} <= set(scores)


def test_count_without_number_is_unreadable() -> None:
    assert count_score(question("3"), "I cannot tell", "first-number") is None
    assert count_score(question("1"), "10", "vlmevalkit") == 1.0
    assert count_score(question("1"), "10", "first-number") == 0.0


# ---- RefCOCO


def area(box: list[float]) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def iou_formula(a: list[float], b: list[float]) -> float:
    inner = [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]
    shared = area(inner)
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / whole if whole else 0.0


def toolkit_box(numbers: list[float], width: int, height: int) -> list[float]:
    """Return a box as VLMEvalKit scales, clips and sorts it."""
    largest = max(abs(number) for number in numbers)
    if largest <= 1.5:
        numbers = [numbers[0] * width, numbers[1] * height, numbers[2] * width, numbers[3] * height]
    elif largest <= 1000:
        sides = (width, height, width, height)
        numbers = [number / 1000.0 * side for number, side in zip(numbers, sides, strict=True)]
    xs = sorted(min(max(number, 0), width) for number in numbers[0::2])
    ys = sorted(min(max(number, 0), height) for number in numbers[1::2])
    return [xs[0], ys[0], xs[1], ys[1]]


def referring_task(box: tuple[float, ...], size: tuple[int, int]) -> ReferringTask:
    return ReferringTask("r", "0.jpg", "the dog", ("",), size=size, box=box)


@pytest.mark.parametrize("protocol", ["iou-0.5", "vlmevalkit", "lmms-eval"])
def test_boxes_equal_both_harnesses(protocol: str) -> None:
    rng = random.Random(5)
    outcomes = set()
    for _ in range(CASES):
        width, height = rng.choice([(640, 480), (480, 640), (2000, 1500)])
        x1, y1 = rng.uniform(0, width / 2), rng.uniform(0, height / 2)
        truth = [x1, y1, x1 + rng.uniform(1, width / 2), y1 + rng.uniform(1, height / 2)]
        shift = rng.choice([0, 0.05, 0.2, 0.6])
        pixels = [side + rng.uniform(-shift, shift) * width for side in truth]
        pixels = rng.choice([pixels, pixels[2:] + pixels[:2], [0.0, 0.0, 0.0, 0.0]])
        unit = rng.choice([1, 1000, 0]) if protocol == "vlmevalkit" else 1 if protocol == "lmms-eval" else 0
        sides = (width, height, width, height)
        values = [side / length * unit if unit else side for side, length in zip(pixels, sides, strict=True)]
        numbers = [round(value, 4) for value in values]
        separator = rng.choice([", ", " ", ","]) if protocol == "vlmevalkit" else ", "
        reply = f"The box is [{separator.join(f'{number:.4f}' for number in numbers)}]."
        if protocol == "iou-0.5":
            expected = iou_formula(numbers, truth)
        elif protocol == "vlmevalkit":
            expected = iou_formula(toolkit_box(numbers, width, height), truth)
        else:
            expected = iou_formula(numbers, [side / length for side, length in zip(truth, sides, strict=True)])
        task = referring_task(tuple(truth), (width, height))
        sample = box_score(task, {"id": "r", "box": numbers, "reply": reply}, protocol)
        assert sample.parts["iou"] == pytest.approx(expected, abs=1e-12), (reply, truth)
        assert sample.score == float(expected >= 0.5)
        outcomes.add(sample.outcome)
    assert outcomes == {"correct", "wrong"}


def test_iou_of_exactly_half_is_correct() -> None:
    task = referring_task((0, 0, 10, 10), (100, 100))
    assert box_score(task, {"id": "r", "box": [0, 0, 10, 5]}, "iou-0.5").outcome == "correct"
    assert box_score(task, {"id": "r", "box": [0, 0, 10, 4.99]}, "iou-0.5").outcome == "wrong"
    assert box_score(task, {"id": "r", "box": [0, 0, 10]}, "iou-0.5").outcome == "wrong_format"
    assert box_score(task, {"id": "r", "reply": "no box"}, "vlmevalkit").outcome == "wrong_format"
    assert box_score(task, {"id": "r", "reply": "10 20 30"}, "lmms-eval").outcome == "wrong_format"


# ---- Charades-STA


def clock(text: str) -> float:
    return sum(float(part) * 60**place for place, part in enumerate(reversed(text.split(":"))))


def span_formula(reply: str, protocol: str) -> tuple[float, float] | None:
    text = reply.lower().replace("a specific example is : 20.8 - 30.0 seconds", "").replace("to", "-")
    lines = re.split("[!?\n]", text)
    timed = [line for line in lines if "start" in line or "end" in line or "happen" in line]
    if protocol == "lmms-eval":
        timed = timed or lines
        stages = ["clocks", "range", "clock list", "numbers", "unit range"]
    else:
        stages = ["range", "numbers", "long clocks", "unit range"]
    number, time = r"\d+(?:\.\d+)?", r"\d{1,2}:\d{2}(?::\d{2})?"
    ranges = {
        "clocks": rf"\b({time})\s*[–-]\s*({time})\b",
        "range": rf"({number})\s*[–-]\s*({number})",
        "unit range": rf"({number})\s*s?\s*[–-]\s*({number})\s*s?",
    }
    for stage in stages:
        pairs: list[tuple[str, str]] = []
        if stage in ranges:
            pairs = next((hits for line in timed if (hits := re.findall(ranges[stage], line))), [])
        else:
            pattern = {"clock list": rf"\b({time})\b", "numbers": rf"\b({number})\b"}.get(
                stage, r"\b(\d{1,2}:\d\d:\d\d)\b"
            )
            hits = [re.findall(pattern, line) for line in timed]
            times = (
                [hit for line_hits in hits for hit in line_hits]
                if stage == "clock list"
                else [line_hits[0] for line_hits in hits if line_hits]
            )
            pairs = [(times[i], times[i + 1]) for i in range(0, len(times) // 2 * 2, 2)]
        if pairs:
            start, end = sorted(map(clock, pairs[0]))
            return start, end
    return None


@pytest.mark.parametrize("protocol", ["lmms-eval", "eval-tvg"])
def test_moments_equal_the_scripts(protocol: str) -> None:
    rng = random.Random(6)
    outcomes = set()
    for _ in range(2 * CASES):
        a, b = round(rng.uniform(0, 60), 1), round(rng.uniform(0, 60), 1)
        forms = [
            f"The event happens in {a} - {b} seconds.",
            f"{a}s – {b}s",
            f"{a} to {b}",
            f"It starts at {a} seconds\nand ends at {b} seconds",
            f"It starts at {a} seconds, and the end time is {b} seconds.",
            f"starts at 00:00:{int(a):02d} and ends at 00:00:{int(b):02d}",
            f"start 00:{int(a) % 60:02d} - 00:{int(b) % 60:02d}",
            f"begins at 0:{int(a) % 60:02d}! ends 1:{int(b) % 60:02d}",
            "I do not know when it happens.",
            "",
            f"A specific example is : 20.8 - 30.0 seconds\nIt happens in {a} - {b}",
            f"Someone: 3 dogs?\n{a}-{b}! happens in {b}-{a}",
            f"start time: {a}\nend time: {b}\nend",
        ]
        reply = rng.choice(forms)
        truth = tuple(sorted((round(rng.uniform(0, 60), 1), a)))
        span = span_formula(reply, protocol)
        expected = 0.0
        if span is not None and max(span[1], truth[1]) > min(span[0], truth[0]):
            shared = max(min(span[1], truth[1]) - max(span[0], truth[0]), 0)
            expected = shared / (max(span[1], truth[1]) - min(span[0], truth[0]))
        sample = moment_score(MomentTask("m", "v.mp4", "", ("",), span=truth), {"id": "m", "reply": reply}, protocol)
        assert sample.score == expected, reply
        assert (sample.outcome == "wrong_format") == (span is None)
        outcomes.add(sample.outcome)
    assert outcomes == {"correct", "wrong", "wrong_format"}


def test_lmms_eval_reads_sentence_without_time_word() -> None:
    task = MomentTask("m", "v.mp4", "", ("",), span=(2.0, 6.0))
    assert moment_score(task, {"id": "m", "reply": "2 - 6"}, "lmms-eval").score == 1.0
    assert moment_score(task, {"id": "m", "reply": "2 - 6"}, "eval-tvg").outcome == "wrong_format"
