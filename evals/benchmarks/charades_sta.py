"""Charades-STA: when a described event happens in a video.

The annotations are charades_sta_test.txt, with a line "VIDEO START END##SENTENCE" per event; the videos are in images/.
The score is the temporal IoU; an unreadable reply scores 0. R@1 is the fraction of events with an IoU of at least 0.3,
0.5 and 0.7. Replies are read as lmms_eval/tasks/charades_sta/utils.py does (`lmms-eval`), or as eval_tvg.py in the same
folder (EvolvingLMMs-Lab/lmms-eval, 75571cf), which ignores sentences without a word of time (`eval-tvg`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actions import UsageError
from evals.files import annotation_files, read_text, revision
from evals.metrics import overlap, questions
from evals.metrics.overlap import Span
from evals.metrics.questions import QuestionTask
from evals.stats import mean
from evals.types import Benchmark, Dataset, EvaluationResult, Prediction, SampleScore

SOURCE = "github.com/jiyanggao/TALL, charades_sta_test.txt (3,720 samples)"
IMAGE_SOURCE = "prior.allenai.org/projects/charades (Charades_v1_480, the videos of the test split)"
LINE = re.compile(r"(\S+)\s+(\d+(?:\.\d+)?)\s+(\d+(?:\.\d+)?)\s*##\s*(.+)")
RECALL_THRESHOLDS = (0.3, 0.5, 0.7)
VIDEO_FRAMES = 32
PROMPT = (
    "The images are frames of a video, at {times} seconds. When does this happen: {event}\n"
    "Answer with one sentence: The event happens in START - END seconds."
)


@dataclass(frozen=True)
class MomentTask(QuestionTask):
    """An event in a video."""

    span: Span = (0.0, 0.0)


def read_annotations(folder: Path) -> Dataset:
    """Read the annotations."""
    files = annotation_files(folder, ("charades_sta_test.txt",), SOURCE)
    tasks = []
    for number, line in enumerate(read_text(files[0]).splitlines(), 1):
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise UsageError(f'{files[0]}, line {number}: not "VIDEO START END##SENTENCE"')
        video, start, end, sentence = match.groups()
        answer = f"The event happens in {start} - {end} seconds."
        span = float(start), float(end)
        tasks.append(MomentTask(f"{video}_{number}", f"{video}.mp4", sentence, (answer,), span=span))
    return Dataset(folder, revision(files), tasks)


def score_sample(task: MomentTask, prediction: Prediction, protocol: str) -> SampleScore:
    """Return the temporal IoU of a reply; it is correct from 0.5."""
    reply = prediction.get("reply")
    parse = overlap.parse_tvg_span if protocol == "eval-tvg" else overlap.parse_span
    span = parse(reply) if isinstance(reply, str) else None
    value = None if span is None else overlap.span_iou(task.span, span)
    return questions.question_score(task, value, threshold=0.5)


def ask_moment(task: MomentTask, times: Sequence[float]) -> str:
    """Return the question about the frames at the given times in seconds."""
    return PROMPT.format(times=", ".join(f"{time:.1f}" for time in times), event=task.instruction)


def score(
    dataset: Dataset,
    predictions: Mapping[str, Prediction],
    protocol: str,
    known: Mapping[str, SampleScore] | None = None,
) -> EvaluationResult:
    """Return the recall at each threshold and the mean IoU."""
    tasks: Sequence[MomentTask] = dataset.tasks
    scores = questions.score_questions(tasks, predictions, lambda task, line: score_sample(task, line, protocol), known)
    recalls = {
        f"R@1, IoU={threshold}": mean(float(sample.score >= threshold) for sample in scores)
        for threshold in RECALL_THRESHOLDS
    }
    metrics = {**recalls, "mIoU": mean(sample.score for sample in scores)}
    return EvaluationResult(
        "charades-sta", protocol, dataset.revision, scores, metrics, metrics, "video", notes=dataset.notes
    )


BENCHMARKS = {
    "charades-sta": Benchmark(
        "charades-sta",
        SOURCE,
        IMAGE_SOURCE,
        ("lmms-eval", "eval-tvg"),
        read_annotations,
        score,
        score_sample,
        questions.answer_oracle,
        lambda dataset: questions.check_questions(dataset.tasks),
        samples=3720,
        reference=questions.answers_reference,
        question=ask_moment,
        video_frames=VIDEO_FRAMES,
    )
}
