"""CountBench and CountBenchQA: how many objects an image shows, two to ten.

`countbench` is the published set of 540 captions (teaching-clip-to-count, CountBench.json), asked by its caption.
`countbench-qa` is the set with questions: the 491 images of vikhyatk/CountBenchQA, as JSON lines. Their scores are not
comparable. An image is named by its record's `image`, or by the record's place from 0, as in 17.jpg.

Protocols: `first-number`, the first number of the reply in digits or words; `vlmevalkit`, the answer's digits are a
part of the reply, so 10 is also right for 1 (open-compass/VLMEvalKit, vlmeval/dataset/image_vqa.py, e8e78f0);
`lmms-eval`, the whole reply is the number in digits or words; `lmms-eval-exact`, the whole reply is its digits
(EvolvingLMMs-Lab/lmms-eval, lmms_eval/tasks/countbench and countbenchqa, 75571cf).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evals.benchmarks._question_answering import (
    Scores,
    Summary,
    convert_questions,
    mean_score,
    question_benchmark,
)
from evals.files import annotation_files, revision
from evals.metrics import answers
from evals.metrics.questions import QuestionTask, group_scores
from evals.types import Dataset

SOURCE = "github.com/teaching-clip-to-count/teaching-clip-to-count.github.io, CountBench.json (540 samples)"
QA_SOURCE = "huggingface.co/datasets/vikhyatk/CountBenchQA, its rows without images as CountBenchQA.jsonl (491 samples)"
IMAGE_SOURCE = "the field image_url of each record"
QA_IMAGE_SOURCE = "the same data set, its images as 0.jpg to 490.jpg"
CAPTION_QUESTION = "How many of the main objects are there? A caption without its number reads: {caption}"


def read_captions(folder: Path) -> Dataset:
    """Read the 540 captions."""

    def convert(record: Any, place: int, path: Path) -> QuestionTask:
        return _task(record, place, CAPTION_QUESTION.format(caption=_mask_number(record["text"], record["number"])))

    return _read(folder, ("CountBench.json",), SOURCE, convert)


def read_questions(folder: Path) -> Dataset:
    """Read the 491 questions."""

    def convert(record: Any, place: int, path: Path) -> QuestionTask:
        return _task(record, place, str(record["question"]))

    return _read(folder, ("CountBenchQA.jsonl", "CountBenchQA.json"), QA_SOURCE, convert)


def _read(
    folder: Path, names: tuple[str, ...], source: str, convert: Callable[[Any, int, Path], QuestionTask]
) -> Dataset:
    files = annotation_files(folder, names, source)
    return Dataset(folder, revision(files), convert_questions(files[:1], "", convert))


def _task(record: Any, place: int, question: str) -> QuestionTask:
    number = int(record["number"])
    image = str(record.get("image") or f"{place}.jpg")
    return QuestionTask(str(place), image, question, (str(number),), {"number": number})


def _mask_number(caption: str, number: int) -> str:
    """Return a caption with its number replaced by a blank, since the number is the answer."""
    return answers.NUMBER.sub(
        lambda match: "___" if answers.to_numeral(match[0]) == str(number) else match[0], str(caption)
    )


def score_answer(task: QuestionTask, reply: str, protocol: str) -> float | None:
    """Return 1 for the right number, else 0; None for a reply without a number where the first one counts."""
    answer = task.answers[0]
    if protocol == "vlmevalkit":
        return float(answer in reply)
    if protocol == "lmms-eval":
        return float(answers.to_numeral(reply) == answer)
    if protocol == "lmms-eval-exact":
        return float(reply.strip() == answer)
    number = answers.first_number(reply)
    return None if number is None else float(float(number) == float(answer))


def summarize(tasks: Sequence[QuestionTask], scores: Scores) -> Summary:
    """Return the accuracy, of each number and in all."""
    accuracy = mean_score(scores)
    return {"accuracy": accuracy}, {"micro (over samples)": accuracy}, group_scores(tasks, scores, "number")


PROTOCOLS = ("first-number", "vlmevalkit", "lmms-eval", "lmms-eval-exact")
PROMPT = "{question}\nAnswer with one number in digits."
BENCHMARKS = {
    "countbench": question_benchmark(
        "countbench", SOURCE, IMAGE_SOURCE, PROTOCOLS, read_captions, score_answer, summarize, PROMPT, samples=540
    ),
    "countbench-qa": question_benchmark(
        "countbench-qa",
        QA_SOURCE,
        QA_IMAGE_SOURCE,
        PROTOCOLS,
        read_questions,
        score_answer,
        summarize,
        PROMPT,
        samples=491,
    ),
}
