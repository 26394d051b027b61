"""Grounding benchmarks against published predictions, and readers of their formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actions import UsageError
from evals.benchmarks import osworld_g, screenspot_pro
from evals.dataset_check import check_dataset
from evals.metrics.geometry import polygon_contains
from evals.metrics.grounding import GroundingTask, Target, is_hit
from evals.registry import load_benchmark
from evals.scoring import score_file

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public annotations are not in ../shared/data")
KNOWN = [
    ("screenspot-pro", "screenspot_pro", "mai_ui_8b", 1046, 1581),
    ("screenspot-v2", "screenspot_v2", "mai_ui_8b", 1210, 1272),
    ("osworld-g", "osworld_g", "mai_ui_8b", 344, 564),
    ("osworld-g-refined", "osworld_g", "mai_ui_8b_refined", 388, 564),
]
FOLDERS = {name: folder for name, folder, *_ in KNOWN} | {"screenspot": "screenspot"}


@needs_data
@pytest.mark.parametrize(("name", "folder", "file", "correct", "total"), KNOWN)
def test_published_report_is_reproduced(name: str, folder: str, file: str, correct: int, total: int) -> None:
    path = DATA / folder / "predictions" / f"{file}.json"
    published = json.loads(path.read_text())
    result = score_file(name, DATA / folder, path)
    summary = result.as_dict()
    assert (summary["correct"], summary["total"], summary["wrong_format"], summary["missing"]) == (correct, total, 0, 0)
    assert summary["metrics"] == published["metrics"]
    outcomes = {record["id"]: record["correctness"] for record in published["details"]}
    assert {record.id: record.outcome for record in result.scores} == outcomes


@needs_data
def test_micro_and_macro_averages_are_named() -> None:
    path = DATA / "screenspot_v2" / "predictions" / "mai_ui_8b.json"
    averages = score_file("screenspot-v2", DATA / "screenspot_v2", path).averages
    assert averages["micro (over samples)"] == pytest.approx(0.9513, abs=5e-5)
    assert averages["macro (over the six cells platform x type)"] == pytest.approx(0.9463, abs=5e-5)


@needs_data
@pytest.mark.parametrize(("name", "correct", "refined"), [("osworld-g", 356, False), ("osworld-g-refined", 399, True)])
def test_polygons_of_converted_files_are_restored(name: str, correct: int, refined: bool) -> None:
    """MAI-UI hits 37 (refined: 38) of the 40 restored polygons, so they are where the elements are."""
    path = DATA / "osworld_g" / "predictions" / f"mai_ui_8b{'_refined' if refined else ''}.json"
    summary = score_file(name, DATA / "osworld_g", path, "polygons").as_dict()
    assert summary["correct"] == correct
    assert summary["cells"]["polygons, by ray casting"] == pytest.approx(
        {"correct": 37 + refined, "total": 40, "accuracy": (37 + refined) / 40}
    )
    assert summary["cells"]["can be clicked"]["total"] == 510
    assert summary["cells"]["refusal"]["total"] == 54


@needs_data
@pytest.mark.parametrize("name", FOLDERS)
def test_oracle_half_and_garbage_score_as_expected(name: str, tmp_path: Path) -> None:
    folder = DATA / FOLDERS[name]
    bench = load_benchmark(name)
    tasks = bench.read(folder).tasks
    path = tmp_path / "predictions.jsonl"
    protocol = "polygons" if name.startswith("osworld") else None

    def scored(lines: list[Any]) -> dict[str, Any]:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return score_file(name, folder, path, protocol).as_dict()

    predictions = [bench.oracle(task) for task in tasks]
    assert scored(predictions)["correct"] == len(tasks)
    half = scored(predictions[::2])
    assert half["correct"] == len(predictions[::2])
    assert half["missing"] == len(tasks) - len(predictions[::2])
    assert half["total"] == len(tasks)
    assert set(half["missing_ids"]) == {task.id for task in tasks[1::2]}
    for garbage in (None, [0], "click(3, 4)", [10**9, 10**9], [-1, -1]):
        summary = scored([{"id": task.id, "point": garbage, "reply": "###"} for task in tasks])
        assert summary["correct"] == 0
        assert summary["missing"] == 0
        assert summary["wrong_format"] == (0 if isinstance(garbage, list) and len(garbage) == 2 else len(tasks))


@needs_data
def test_screenspot_v1_has_published_counts() -> None:
    tasks = load_benchmark("screenspot").read(DATA / "screenspot").tasks
    labels = [(task.labels["platform"], task.labels["ui_type"]) for task in tasks]
    sizes = {("mobile", "text"): 273, ("mobile", "icon"): 229, ("desktop", "text"): 194, ("desktop", "icon"): 140}
    assert {key: labels.count(key) for key in sizes} == sizes
    assert len(tasks) == 1272
    assert len({task.image for task in tasks}) == 610


def test_seeclick_files_are_read(tmp_path: Path) -> None:
    for platform in ("mobile", "web"):
        record = {"img_filename": "a.png", "bbox": [10, 20, 5, 6], "instruction": "x", "data_type": "text"}
        (tmp_path / f"screenspot_{platform}.json").write_text(json.dumps([record, {**record, "data_type": "icon"}]))
    tasks = load_benchmark("screenspot").read(tmp_path).tasks
    assert [task.id for task in tasks] == [f"screenspot_{p}_{i}" for p in ("mobile", "web") for i in (0, 1)]
    assert tasks[0].target.values == (10, 20, 15, 26)
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"id": "screenspot_web_0", "point": [15, 26]}\n{"id": "screenspot_web_1", "point": [15, 26.01]}\n')
    summary = score_file("screenspot", tmp_path, path).as_dict()
    assert summary["metrics"]["web"] == {"text_acc": 1.0, "icon_acc": 0.0}
    assert summary["metrics"]["average"] == 0.25


def test_report_without_ids_is_matched_to_tasks(tmp_path: Path) -> None:
    records = [
        {
            "img_filename": f"dir/{i % 2}.png",
            "bbox": [i, 0, i + 5, 5],
            "instruction": "go",
            "id": f"id{i}",
            "application": "a",
            "platform": "p",
            "img_size": [50, 50],
            "ui_type": "text",
            "group": "g",
        }
        for i in range(3)
    ]
    (tmp_path / "a.json").write_text(json.dumps(records))
    details = [
        {
            "img_path": f"/far/away/{record['img_filename']}",
            "prompt_to_evaluate": record["instruction"],
            "bbox": record["bbox"],
            "pred": None if record["id"] == "id1" else [record["bbox"][0], 1],
            "lang": "en",
            "instruction_style": "instruction",
            "gt_type": "positive",
        }
        for record in reversed(records)
    ]
    path = tmp_path / "predictions" / "report.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"details": details, "metrics": {}}))
    outcomes = {record.id: record.outcome for record in score_file("screenspot-pro", tmp_path, path).scores}
    assert outcomes == {"id0": "correct", "id1": "wrong_format", "id2": "correct"}
    for change, message in [
        ({"bbox": [9, 9, 9, 9]}, "entry 1: 2 tasks share .* that of 0"),
        ({"lang": "cn"}, "mixes runs"),
    ]:
        path.write_text(json.dumps({"details": [{**details[0], **change}, *details[1:]], "metrics": {}}))
        with pytest.raises(UsageError, match=message):
            score_file("screenspot-pro", tmp_path, path)


@needs_data
def test_leaderboard_has_three_tables() -> None:
    folder = DATA / "screenspot_pro"
    path = folder / "predictions" / "mai_ui_8b.json"
    board = screenspot_pro.leaderboard(score_file("screenspot-pro", folder, path), "mai")["mai"]
    published = json.loads(path.read_text())["metrics"]
    results = board["results"]
    assert list(results["group"]) == ["Dev", "Creative", "CAD", "Scientific", "Office", "OS"]
    assert results["overall"]["avg"] == published["overall"]["action_acc"]
    assert len(results["application"]) == 26
    assert results["group"]["CAD"]["icon"] == published["leaderboard_simple_style"]["group:CAD"]["icon_acc"]
    assert board["link"] == board["description"] == ""


@pytest.fixture
def osworld(tmp_path: Path) -> Path:
    """Write OSWorld-G in its own format: a box, an L-shaped polygon and a refusal; return its folder."""
    record = {"image_path": "a.png", "image_size": [100, 100], "GUI_types": ["Icon"]}
    kinds = [
        ("bbox", [10, 10, 20, 20]),
        ("polygon", [40, 40, 80, 40, 80, 50, 50, 50, 50, 80, 40, 80]),
        ("refusal", [0, 0, 0, 0]),
    ]
    records = [
        {**record, "id": f"s-{i}", "instruction": f"do {i}", "box_type": kind, "box_coordinates": numbers}
        for i, (kind, numbers) in enumerate(kinds)
    ]
    (tmp_path / "OSWorld-G.json").write_text(json.dumps(records))
    return tmp_path


@pytest.mark.parametrize(
    ("predictions", "protocol", "correct"),
    [
        ([{"point": [30, 30]}, {"point": [45, 79]}, {"point": None, "refused": True}], None, 3),
        ([{"point": [31, 30]}, {"point": [60, 60]}, {"point": None}], None, 0),
        ([{"point": None, "refused": True}] * 3, None, 1),
        ([{"point": [0, 0]}] * 3, None, 0),
        ([{"point": [0, 0]}] * 3, "sspro-official", 1),
        ([{"point": [-1, -1]}] * 3, "polygons-negative-point", 1),
        ([{"point": [-1, -1]}] * 3, None, 0),
        ([{"point": [20, 20]}, {"point": [110, 70]}, {"point": [1, 1]}], "converted-boxes", 2),
    ],
)
def test_refusal_depends_on_protocol(
    osworld: Path, predictions: list[dict[str, Any]], protocol: str | None, correct: int
) -> None:
    path = osworld / "predictions.jsonl"
    path.write_text("".join(json.dumps({"id": f"s-{i}", **record}) + "\n" for i, record in enumerate(predictions)))
    summary = score_file("osworld-g", osworld, path, protocol).as_dict()
    assert summary["correct"] == correct
    assert summary["protocol"] == (protocol or "polygons")
    assert list(summary["averages"]) == [
        "micro (over all 3 samples, refusals included)",
        "micro (over the 2 samples that can be clicked)",
    ]


def test_polygon_contains_only_its_inside() -> None:
    corners = [0, 0, 10, 0, 10, 10, 5, 3, 0, 10]  # concave
    assert polygon_contains(corners, (5, 2))
    assert not polygon_contains(corners, (5, 6))
    assert polygon_contains(corners, (1, 7))
    assert not polygon_contains(corners, (11, 5))
    task = GroundingTask("a", "a.png", (20, 20), "x", Target("polygon", tuple(corners)))
    assert is_hit(task, task.target.click_point)
    assert osworld_g.converted_target((3, 4, 13, 24, 1, 2)) == Target("polygon", (3, 4, 10, 20, 1, 2))


def test_polygon_without_area_is_reported(osworld: Path) -> None:
    """A polygon of two corners can never be hit."""
    path = osworld / "OSWorld-G.json"
    records = json.loads(path.read_text())
    records[1]["box_coordinates"] = [40, 40, 80, 80]
    path.write_text(json.dumps(records))
    report = check_dataset("osworld-g", osworld)
    assert dict(report.findings) == {"polygon without area, which no click can hit": ("s-1",)}


def test_score_includes_dataset_warnings(osworld: Path) -> None:
    path = osworld / "OSWorld-G.json"
    records = json.loads(path.read_text())
    records[0]["box_coordinates"] = [90, 90, 20, 20]
    path.write_text(json.dumps(records))
    (osworld / "predictions.jsonl").write_text("")
    notes = score_file("osworld-g", osworld, osworld / "predictions.jsonl").notes
    assert any("target outside its image: 1 of 3 samples, such as 's-0'" in note for note in notes)


def test_dataset_check_without_images_is_incomplete(osworld: Path) -> None:
    report = check_dataset("osworld-g", osworld)
    assert not report.findings
    assert not report.is_complete
    text = report.format()
    assert "1 of 1 images are missing" in text
    assert "no problems found in the annotations; samples without their image" in text
    (osworld / "images").mkdir()
    (osworld / "images" / "a.png").write_bytes(b"")
    assert check_dataset("osworld-g", osworld).format().endswith("\nno problems found")


@needs_data
def test_dataset_check_finds_published_oddities() -> None:
    findings = {title: list(ids) for title, ids in check_dataset("screenspot-v2", DATA / "screenspot_v2").findings}
    assert findings == {
        "same image, instruction and target as another sample": ["screenspot_web_v2_186"],
        "target outside its image": ["screenspot_mobile_v2_449"],
    }
    report = check_dataset("osworld-g", DATA / "osworld_g")
    assert not report.findings
    assert report.images == 251
    assert len(report.missing_images) == 246
    assert "get them from github.com/xlang-ai/OSWorld-G" in report.format()


def test_dataset_check_detects_xywh_boxes(tmp_path: Path) -> None:
    records = [
        {
            "img_filename": f"{i}.png",
            "bbox": [500 + i, 300, 40, 20],
            "instruction": "go",
            "id": str(i),
            "application": "a",
            "platform": "p",
            "img_size": [1000, 800],
            "ui_type": "text",
            "group": "g",
        }
        for i in range(20)
    ]
    (tmp_path / "a.json").write_text(json.dumps(records))
    findings = dict(check_dataset("screenspot-pro", tmp_path).findings)
    assert any("as x, y, width, height but not" in title and len(ids) == 20 for title, ids in findings.items())
    for record in records:
        x, y, width, height = record["bbox"]
        record["bbox"] = [x, y, x + width, y + height]
    (tmp_path / "a.json").write_text(json.dumps(records))
    assert not check_dataset("screenspot-pro", tmp_path).findings
