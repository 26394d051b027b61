"""Benchmarks of questions: annotations in their published layouts, scores, and runs of a model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from helpers.eval_answers import FixedAnswerPolicy
from helpers.eval_runs import HashPolicy
from PIL import Image

import evals
from actions import SurfaceError, UsageError
from evals.dataset_check import check_dataset
from evals.predictions import read_predictions
from evals.registry import list_benchmarks, load_benchmark, load_dataset
from evals.runner import plan_run, run_predictions
from evals.scoring import score_file
from evals.workers.spec import RunSpec

PYTHONPATH = os.pathsep.join(str(path) for path in (Path(__file__).parent.parent, Path(__file__).parents[2]))
OCR = [
    {
        "dataset_name": "HME100k" if "Math" in kind else "IIIT5K",
        "id": number,
        "image_path": f"{number}.png",
        "question": "what is written in the image?",
        "answers": [f"Word {number}"],
        "type": kind,
    }
    for number, kind in enumerate(
        ["Regular Text Recognition", "Doc-oriented VQA", "Handwritten Mathematical Expression Recognition"]
    )
]
DOC = {
    "dataset_name": "SP-DocVQA",
    "dataset_split": "val",
    "data": [
        {
            "questionId": 337 + number,
            "question": "What is the date?",
            "question_types": ["handwritten"],
            "image": f"documents/{number}.png",
            "docId": 279,
            "answers": ["1/8/93", "8 January"],
            "data_split": "val",
        }
        for number in range(3)
    ],
}
INFO = {
    "data": [
        {
            "questionId": 98000 + number,
            "question": "How many?",
            "image_local_name": f"{number}.png",
            "answers": ["half"],
            "answer_type": ["single span"],
        }
        for number in range(3)
    ]
}
CHART = [{"imgname": f"{number}.png", "query": "What is the value {of} it?", "label": "20"} for number in range(3)]
COUNT = [{"image_url": "", "text": f"Photo of {word} dogs", "number": n} for n, word in [(2, "two"), (3, "three")]]
COUNT_QA = [{"image": f"{n}.png", "question": f"How many dogs are in it, {n}?", "number": 2 + n} for n in range(3)]
REFER = [
    {"image": f"coco/train2014/{n}.png", "sent": "the dog", "bbox": [10, 10, 50, 30], "height": 40, "width": 60}
    for n in range(3)
]
EVENTS = "3MSZA 24.3 30.4##person turn a light on.\nK3WKM 0.0 5.5##person opens a door.\n"
LAYOUTS: dict[str, dict[str, Any]] = {
    "ocrbench": {"OCRBench.json": OCR},
    "docvqa": {"val_v1.0_withQT.json": DOC},
    "infovqa": {"infographicsVQA_val_v1.0_withQT.json": INFO},
    "chartqa": {"test_human.json": CHART, "test_augmented.json": CHART[:1]},
    "countbench": {"CountBench.json": COUNT},
    "countbench-qa": {"CountBenchQA.jsonl": COUNT_QA},
    "refcoco": {"refcoco_val.jsonl": REFER, "refcoco_testA.jsonl": REFER[:1]},
    "refcoco-plus": {"refcoco+_val.jsonl": REFER},
    "refcoco-g": {"refcocog_test.jsonl": REFER},
    "charades-sta": {"charades_sta_test.txt": EVENTS},
}


@pytest.fixture(autouse=True)
def worker_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers import the policies of tests."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)


def make_data(folder: Path, name: str) -> Path:
    """Write a made-up set in a benchmark's published layout, with its images."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    for file, content in LAYOUTS[name].items():
        text = content if isinstance(content, str) else json.dumps(content)
        if file.endswith(".jsonl"):
            text = "".join(json.dumps(record) + "\n" for record in content)
        (folder / "annotations" / file).write_text(text)
    suffix = "jpg" if name == "countbench" else "png"
    for number in range(3):
        Image.new("RGB", (60, 40), (80 * number, 0, 0)).save(folder / "images" / f"{number}.{suffix}")
    return folder


def oracle_file(data: Path, name: str) -> Path:
    bench = load_benchmark(name)
    lines = [json.dumps(bench.oracle(task)) + "\n" for task in load_dataset(bench, data).tasks]
    path = data / "predictions.jsonl"
    path.write_text("".join(lines))
    return path


def test_all_question_benchmarks_are_listed() -> None:
    assert set(LAYOUTS) <= set(list_benchmarks())


@pytest.mark.parametrize("name", LAYOUTS)
def test_reference_answers_score_one_under_each_protocol(name: str, tmp_path: Path) -> None:
    data = make_data(tmp_path, name)
    path = oracle_file(data, name)
    for protocol in load_benchmark(name).protocols:
        result = score_file(name, data, path, protocol)
        assert result.accuracy == 1.0, protocol
        assert list(result.averages.values()) == pytest.approx([1.0] * len(result.averages))
        assert not any("no prediction has the key" in note for note in result.notes)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("reply", [None, "", "no idea", 7, ["x"]])
def test_garbage_scores_zero(name: str, reply: object, tmp_path: Path) -> None:
    data = make_data(tmp_path, name)
    path = data / "predictions.jsonl"
    tasks = load_dataset(load_benchmark(name), data).tasks
    path.write_text("".join(json.dumps({"id": task.id, "reply": reply, "box": reply}) + "\n" for task in tasks[1:]))
    result = score_file(name, data, path)
    assert result.accuracy == 0.0
    assert all(value == 0.0 for value in result.averages.values())
    assert [sample.outcome for sample in result.scores].count("missing") == 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_doctor_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    assert check_dataset(name, make_data(tmp_path, name)).findings == ()


@pytest.mark.parametrize("name", LAYOUTS)
def test_unfit_annotations_are_refused(name: str, tmp_path: Path) -> None:
    data = make_data(tmp_path, name)
    for path in (data / "annotations").iterdir():
        path.write_text('[{"question": 1}]' if path.suffix != ".txt" else "no event\n")
    with pytest.raises(UsageError, match=r"entry 1|line 1|not a list"):
        load_benchmark(name).read(data)


def test_official_figures_of_ocrbench_and_chartqa(tmp_path: Path) -> None:
    ocr = make_data(tmp_path / "ocr", "ocrbench")
    result = score_file("ocrbench", ocr, oracle_file(ocr, "ocrbench"))
    assert result.metrics["Final Score"] == 3
    assert result.metrics["Text Recognition"] == 1
    chart = make_data(tmp_path / "chart", "chartqa")
    path = chart / "predictions.jsonl"
    path.write_text('{"id": "human_0", "reply": "20.9"}\n{"id": "augmented_0", "reply": "22"}\n')
    metrics = score_file("chartqa", chart, path).metrics
    assert metrics == {"relaxed_overall": 0.25, "relaxed_augmented": 0.0, "relaxed_human": pytest.approx(1 / 3)}


def test_document_scores_keep_partial_credit(tmp_path: Path) -> None:
    data = make_data(tmp_path, "docvqa")
    path = data / "predictions.jsonl"
    path.write_text('{"id": "337", "reply": "1/8/94"}\n{"id": "338", "reply": "1/8/93"}\n')
    result = score_file("docvqa", data, path)
    assert result.metrics["anls"] == pytest.approx((5 / 6 + 1 + 0) / 3)
    assert [sample.outcome for sample in result.scores] == ["wrong", "correct", "missing"]


def test_recall_of_moments_counts_from_each_threshold(tmp_path: Path) -> None:
    data = make_data(tmp_path, "charades-sta")
    path = data / "predictions.jsonl"
    path.write_text('{"id": "3MSZA_1", "reply": "happens in 24.3 - 28.0"}\n{"id": "K3WKM_2", "reply": "?"}\n')
    metrics = score_file("charades-sta", data, path).metrics
    assert (metrics["R@1, IoU=0.3"], metrics["R@1, IoU=0.5"], metrics["R@1, IoU=0.7"]) == (0.5, 0.5, 0.0)
    assert metrics["mIoU"] == pytest.approx(3.7 / 6.1 / 2)


def test_caption_hides_its_number(tmp_path: Path) -> None:
    bench = load_benchmark("countbench")
    tasks = bench.read(make_data(tmp_path, "countbench")).tasks
    assert bench.question is not None
    assert "Photo of ___ dogs" in bench.question(tasks[1], ())
    assert "three" not in bench.question(tasks[1], ())


def test_file_of_another_harness_is_refused(tmp_path: Path) -> None:
    data = make_data(tmp_path, "ocrbench")
    path = data / "table.json"
    path.write_text(json.dumps([{"question": "q", "prediction": "p", "image_path": "0.png"}]))
    with pytest.raises(UsageError, match="predictions are texts"):
        read_predictions(path, load_dataset(load_benchmark("ocrbench"), data))


def test_questions_have_no_environment(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no environment"):
        evals.make_env("ocrbench", make_data(tmp_path, "ocrbench"))


# ---- runs


def run_spec(name: str, data: Path, policy: str = "answering", model: str = "m") -> RunSpec:
    protocol = load_benchmark(name).protocols[0]
    return RunSpec(name, str(data), protocol, model=model, policy_factory=f"helpers.eval_answers:{policy}")


def files_of(folder: Path) -> dict[str, bytes]:
    names = ("run.json", "predictions.jsonl", "verdicts.jsonl", "result.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_run_asks_each_question_and_scores_it(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", "countbench-qa")
    plan = plan_run("countbench-qa", data)
    summary = run_predictions(plan, run_spec("countbench-qa", data), tmp_path / "out")
    assert summary["total"] == 3
    rescored = score_file("countbench-qa", data, tmp_path / "out" / "predictions.jsonl")
    assert rescored.accuracy == summary["accuracy"]
    run_predictions(plan, run_spec("countbench-qa", data), tmp_path / "two", workers=2)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "two")


def test_interrupted_run_is_continued(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", "countbench-qa")
    plan = plan_run("countbench-qa", data)
    run_predictions(plan, run_spec("countbench-qa", data), tmp_path / "whole")
    out = tmp_path / "part"
    run_predictions(plan, run_spec("countbench-qa", data), out)
    journal = out / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1][:20])
    run_predictions(plan, run_spec("countbench-qa", data), out)
    assert journal.read_bytes().startswith(lines[0])
    assert len(journal.read_bytes().splitlines()) == 3
    assert files_of(out) == files_of(tmp_path / "whole")


def test_box_of_reply_is_scaled_to_the_image(tmp_path: Path) -> None:
    data = make_data(tmp_path, "refcoco")
    policy = FixedAnswerPolicy(RunSpec("refcoco", "", "", model='```json\n[{"bbox_2d": [10, 10, 50, 30]}]'))
    seen = policy.dialect.limits.resized(60, 40)
    result = evals.evaluate("refcoco", policy, data=data)
    assert seen != (60, 40)
    box = [10 * 60 / seen[0], 10 * 40 / seen[1], 50 * 60 / seen[0], 30 * 40 / seen[1]]
    shared = (min(box[2], 50) - 10) * (min(box[3], 30) - 10)
    iou = shared / ((box[2] - box[0]) * (box[3] - box[1]) + 800 - shared)
    assert result.scores[0].parts["iou"] == pytest.approx(iou)
    assert "the dog" in policy.questions[0]


def test_video_is_shown_as_frames_with_times(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    data = make_data(tmp_path, "charades-sta")
    with av.open(str(data / "images" / "3MSZA.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(80):
            image = Image.new("RGB", (64, 48), (3 * shade, 0, 0))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode(None))
    policy = FixedAnswerPolicy(RunSpec("charades-sta", "", "", model="The event happens in 24.3 - 30.4 seconds."))
    result = evals.evaluate("charades-sta", policy, data=data)
    assert policy.screens == [32]
    assert "at 0.0, 1.5," in policy.questions[0]
    assert "39.5 seconds" in policy.questions[0]
    assert result.accuracy == 1.0
    assert len(result.broken) == 1


def test_damaged_video_is_broken(tmp_path: Path) -> None:
    pytest.importorskip("av")
    data = make_data(tmp_path, "charades-sta")
    (data / "images" / "3MSZA.mp4").write_bytes(b"no video")
    policy = FixedAnswerPolicy(RunSpec("charades-sta", "", "", model="?"))
    with pytest.raises(SurfaceError, match="cannot be read"):
        evals.evaluate("charades-sta", policy, data=data)


def test_policy_without_answers_is_refused(tmp_path: Path) -> None:
    data = make_data(tmp_path, "ocrbench")
    policy = HashPolicy(RunSpec("ocrbench", "", "", model="pointer"))
    with pytest.raises(UsageError, match="pointer answers no questions"):
        evals.evaluate("ocrbench", policy, data=data)
