"""Importers of other harnesses' predictions: recognition, coordinate spaces and matching of tasks."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from actions import UsageError
from evals.datasets import spreadsheet
from evals.importers import lmms_eval, ui_s1, vlmevalkit
from evals.predictions import read_predictions
from evals.registry import load_benchmark, load_dataset
from evals.scoring import score_file

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public data is not in ../shared/data")
MIXED = [
    ("say Ü & <b>", [10, 20, 30, 40], "a.png"),
    ("shared", [10, 20, 30, 40], "b.png"),
    ("shared", [50, 60, 70, 80], "b.png"),  # the same instruction and image, another box
    ("last", [0, 0, 9, 9], "folder/c.png"),
]


@pytest.fixture
def pro(tmp_path: Path) -> Path:
    (tmp_path / "annotations").mkdir()
    records = [
        {
            "img_filename": image,
            "bbox": box,
            "instruction": instruction,
            "id": f"word_{n}",
            "application": "word",
            "platform": "macos",
            "img_size": [200, 100],
            "ui_type": "icon",
            "group": "Office",
        }
        for n, (instruction, box, image) in enumerate(MIXED)
    ]
    (tmp_path / "annotations" / "word_macos.json").write_text(json.dumps(records))
    return tmp_path


def write_xlsx(path: Path, table: list[list[Any]]) -> Path:
    """Write a table as pandas does, with openpyxl; a second sheet must be ignored."""
    workbook = openpyxl.Workbook()
    sheet: Any = workbook.active
    for row in table:
        sheet.append([value if value != "" else None for value in row])
    workbook.create_sheet("other").append(["not", "read"])
    workbook.save(path)
    return path


def vlm_row(instruction: str, box: list[int], image: str, reply: str) -> list[Any]:
    return [1, instruction, json.dumps(box), image, "", reply]


VLM_HEADS = ["index", "question", "bbox", "image_path", "category", "prediction"]


@pytest.mark.parametrize("form", ["xlsx", "tsv", "json"])
def test_vlmevalkit_tables_are_imported(pro: Path, form: str) -> None:
    replies = [
        "pyautogui.click(x=11, y=21)",
        "pyautogui.click(x=11.5, y=21)",
        "pyautogui.click(x=51, y=61)",
        "I do not know",
    ]
    rows = [vlm_row(*entry, reply) for entry, reply in zip(MIXED, replies, strict=True)]
    rows[3][3] = "c.png"
    order = [rows[2], rows[0], rows[3], rows[1]]  # the boxes distinguish the two shared tasks in any order
    path = pro / f"model.{form}"
    if form == "xlsx":
        write_xlsx(path, [VLM_HEADS, *order])
    elif form == "tsv":
        lines = ["\t".join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in [VLM_HEADS, *order]]
        path.write_text("\n".join(lines))
    else:
        path.write_text(json.dumps([dict(zip(VLM_HEADS, row, strict=True)) for row in order]))
    summary = score_file("screenspot-pro", pro, path).as_dict()
    # a reply without a point is not the point 0, 0, which c's box contains
    assert (summary["correct"], summary["wrong_format"], summary["missing"]) == (3, 1, 0)
    assert summary["about"]["imported"] == "vlmevalkit:pixels"
    assert score_file("screenspot-pro", pro, path, form="vlmevalkit").as_dict()["correct"] == 3


def test_coordinate_space_is_declared_not_guessed(pro: Path) -> None:
    rows = [vlm_row(*entry, "pyautogui.click(x=0.1, y=0.3)") for entry in MIXED]
    path = write_xlsx(pro / "model.xlsx", [VLM_HEADS, *rows])
    assert score_file("screenspot-pro", pro, path).as_dict()["correct"] == 1  # the corner of the image, where word_3 is
    assert score_file("screenspot-pro", pro, path, form="vlmevalkit:normalized").as_dict()["correct"] == 2
    for space, point in (
        ("pixels", [400.0, 500.0]),
        ("normalized", [400 * 200.0, 500 * 100.0]),
        ("0-1000", [80.0, 50.0]),
        ("resized", [400 / 196 * 200, 500 / 112 * 100]),  # 200 x 100 is resized to 196 x 112
    ):
        rows = [vlm_row(*MIXED[0], "pyautogui.click(x=400, y=500)")]
        path = write_xlsx(pro / "model.xlsx", [VLM_HEADS, *rows])
        dataset = load_dataset(load_benchmark("screenspot-pro"), pro)
        predictions, about = read_predictions(path, dataset, f"vlmevalkit:{space}", "screenspot-pro")
        assert predictions["word_0"]["point"] == pytest.approx(point)
        assert about["imported"] == f"vlmevalkit:{space}"
    assert vlmevalkit.coordinate_space("osworld-g-refined") == "0-1000"
    with pytest.raises(UsageError, match=r"no coordinate space 'guess'; have pixels .*; normalized \(0 to 1\)"):
        score_file("screenspot-pro", pro, path, form="vlmevalkit:guess")


def test_unmatched_table_row_is_refused(pro: Path) -> None:
    for row, message in (
        (vlm_row("no such words", [1, 2, 3, 4], "a.png", ""), "entry 1: no task of this benchmark.* 'a.png'"),
        (vlm_row("shared", [1, 2, 3, 4], "b.png", ""), "2 tasks share the image 'b.png'.*that of 0"),
    ):
        path = write_xlsx(pro / "model.xlsx", [VLM_HEADS, row])
        with pytest.raises(UsageError, match=message):
            score_file("screenspot-pro", pro, path)
    path = write_xlsx(pro / "model.xlsx", [VLM_HEADS, vlm_row(*MIXED[0], "x"), vlm_row(*MIXED[0], "y")])
    with pytest.raises(UsageError, match="entry 2: no task of this benchmark that is still unmatched"):
        score_file("screenspot-pro", pro, path)


def test_damaged_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    for content in (b"", b"PK\x03\x04 no zip"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"cannot read .* as a table"):
            spreadsheet.read_rows(path)
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/other.xml", "<a/>")
    with pytest.raises(UsageError, match=r"cannot read .* as a table"):
        spreadsheet.read_rows(path)
    with pytest.raises(UsageError, match="no headings"):
        spreadsheet.read_rows(write_xlsx(path, []))
    written = write_xlsx(path, [["a", "", "c"], [1, "", "x_x000D_y"], ["", "", ""]])
    assert spreadsheet.read_rows(written) == [{"a": "1", "": "", "c": "x\ry"}]


def lmms_line(doc_id: int, instruction: str, reply: str, **more: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "target": instruction,
        "filtered_resps": [reply],
        "doc_hash": "0" * 64,
        "screenspot_pro_action_acc": {"correct": False, "ui_type": "icon"},
        "input": f"Identify the UI element ... Do not output a bounding box.\nInstruction: {instruction}",
        **more,
    }


def write_lines(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_lmms_eval_samples_are_imported(pro: Path) -> None:
    replies = ["[0.06, 0.25]", "(5.5% 25%)", "x: 0.3, y: 0.7", "no idea"]
    lines = [lmms_line(n, MIXED[n][0], replies[n]) for n in (3, 1, 0, 2)]
    path = write_lines(pro / "samples.jsonl", lines)
    summary = score_file("screenspot-pro", pro, path).as_dict()
    assert (summary["correct"], summary["wrong_format"]) == (3, 1)
    assert summary["about"]["imported"] == "lmms_eval:normalized"
    old = pro / "old.json"
    old.write_text(json.dumps({"args": {}, "logs": lines}))
    assert score_file("screenspot-pro", pro, old, form="lmms-eval").as_dict()["correct"] == 3


def test_shared_instruction_needs_order_or_document(pro: Path) -> None:
    """The two tasks "shared" are indistinguishable in another order, unless the documents are logged."""
    turned = [lmms_line(9 - n, MIXED[n][0], "[0.06, 0.25]") for n in range(4)]
    with pytest.raises(UsageError, match=r"2 samples have an instruction that several tasks share, such as 'shared'"):
        score_file("screenspot-pro", pro, write_lines(pro / "samples.jsonl", turned))
    with pytest.raises(UsageError, match="1 samples have an instruction"):
        score_file("screenspot-pro", pro, write_lines(pro / "samples.jsonl", [turned[0], turned[1], turned[3]]))
    for line, (instruction, box, image) in zip(turned, MIXED, strict=True):
        line["doc"] = {"instruction": instruction, "bbox": box, "img_filename": image}
    summary = score_file("screenspot-pro", pro, write_lines(pro / "samples.jsonl", turned)).as_dict()
    assert summary["correct"] == 2  # the first two boxes are the same
    turned[0] = lmms_line(0, "no such words", "")
    with pytest.raises(UsageError, match=r"entry 1: no task .* 'no such words'"):
        score_file("screenspot-pro", pro, write_lines(pro / "samples.jsonl", turned))


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        ("<bbox>[0.1, 0.2, 0.3, 0.4]</bbox>", ["0.1", "0.2", "0.3", "0.4"]),
        ("at [0.1, 0.2] or (3, 4)", ["0.1", "0.2"]),
        ('{"x": 5, "y": 6}', ["5", "6"]),
        ("the box is 1 2 3 4", ["1", "2", "3", "4"]),
        ("1 2 3 4", ["1", "2"]),
        ("[-1, -1]", ["-1", "-1"]),
        ("12", None),
        ("", None),
    ],
)
def test_lmms_eval_reply_is_parsed(reply: str, tokens: list[str] | None) -> None:
    assert lmms_eval._number_tokens(reply) == tokens


def test_lmms_eval_refusal_and_mixed_units(pro: Path) -> None:
    lines = [lmms_line(0, MIXED[0][0], "[-1, -1]"), lmms_line(3, MIXED[3][0], "[50%, 3]")]
    dataset = load_dataset(load_benchmark("screenspot-pro"), pro)
    predictions, _ = read_predictions(write_lines(pro / "s.jsonl", lines), dataset, "auto", "screenspot-pro")
    assert predictions["word_0"]["refused"] is True
    assert predictions["word_3"]["point"] is None
    with pytest.raises(UsageError, match=r"set it: --format lmms_eval:normalized"):
        lmms_eval.coordinate_space("osworld-g")


UI_S1 = {
    "goal": "set an alarm",
    "is_successful": True,
    "steps": [
        {"screenshot": f"/datasets/AndroidControl/images/7_{n}.png", "action_content": action, "thought": "hm"}
        for n, action in enumerate(
            [
                {"action": "click", "coordinate": [502.8, 1654.02]},
                {"action": "swipe", "coordinate": [540.0, 1799.99], "coordinate2": [540.0, 600.0]},
                {"action": "type", "text": "seven"},
                {"action": "system_button", "button": "Back"},
                {"action": "open", "text": "Clock"},
                {"action": "wait", "time": 200},
                {"action": "key", "text": "KEYCODE_CAMERA"},
                {"action": "terminate", "status": "success"},
            ]
        )
    ],
}


@pytest.fixture
def control(tmp_path: Path) -> Path:
    recorded: list[dict[str, Any]] = [
        {"action": "click", "coordinate": [500, 1650], "candidate_bbox": [[400, 1600, 600, 1700]]},
        {"action": "swipe", "direction": "down"},
        {"action": "type", "text": "Seven"},
        {"action": "system_button", "button": "Back"},
        {"action": "open", "text": "clock"},
        {"action": "wait"},
        {"action": "wait"},
    ]
    steps = [
        {"screenshot": f"7_{n}.png", "step_instruction": "", "check_options": entry} for n, entry in enumerate(recorded)
    ]
    (tmp_path / "test_8444.jsonl").write_text(json.dumps({"episode_id": 7, "goal": "set an alarm", "steps": steps}))
    return tmp_path


def test_ui_s1_episodes_are_imported(control: Path) -> None:
    path = write_lines(control / "predictions.jsonl", [UI_S1])
    summary = score_file("android-control", control, path, "infigui-8444").as_dict()
    # a key event is not in the schema
    assert (summary["correct"], summary["wrong_format"], summary["missing"]) == (6, 1, 0)
    assert summary["about"]["imported"] == "ui_s1:pixels"
    stops = score_file("android-control", control, path, "agentcpm-10161").as_dict()
    assert stops["correct"] == 6
    assert stops["cells"]["action stop"]["correct"] == 1
    dataset = load_dataset(load_benchmark("android-control"), control)
    predictions, _ = read_predictions(path, dataset)
    assert predictions["7/0"]["actions"] == [{"verb": "click", "x": 502, "y": 1654}]


def test_resized_space_uses_model_image_size(control: Path) -> None:
    """UI-S1's evaluator divides by 1092 x 2408, the resized 1080 x 2400, and so does the space `resized`."""
    at = {"action": "click", "coordinate": [1091, 2407]}
    path = write_lines(
        control / "predictions.jsonl", [{**UI_S1, "steps": [{**UI_S1["steps"][0], "action_content": at}]}]
    )
    dataset = load_dataset(load_benchmark("android-control"), control)
    for form, point in (("ui_s1", (1091, 2407)), ("ui_s1:resized", (1079, 2399))):
        predictions, about = read_predictions(path, dataset, form, "android-control")
        assert predictions["7/0"]["actions"] == [{"verb": "click", "x": point[0], "y": point[1]}]
    assert about["imported"] == "ui_s1:resized"


def test_ui_s1_script_output_is_refused(control: Path) -> None:
    result = {"goal": "set an alarm", "num_steps": 7, "task_success": False, "final_step_id": 3}
    with pytest.raises(UsageError, match="holds no actions, only where an episode failed"):
        score_file("android-control", control, write_lines(control / "predictions.jsonl", [result, result]))
    other = {**UI_S1, "steps": [{"screenshot": "9_9.png", "action_content": {"action": "wait"}}]}
    with pytest.raises(UsageError, match=r"no step of this benchmark has the image '9_9\.png'"):
        score_file("android-control", control, write_lines(control / "predictions.jsonl", [other]))
    assert not any(map(ui_s1.can_read, ([{"id": "1/0", "actions": []}], [])))


@needs_data
def test_ui_s1_file_scores_all_but_sideways_swipes() -> None:
    """The file's own actions are correct, except for 168 horizontal swipes under a rule that compares directions.

    Their paths are reversed: the finger moves left where the instruction says "swipe right".
    """
    folder = DATA / "android_control"
    for protocol, correct in (("qwen-8444", 8444), ("infigui-8444", 8444 - 168)):
        summary = score_file("android-control", folder, folder / "test_8444.jsonl", protocol, "ui_s1").as_dict()
        assert (summary["correct"], summary["total"], summary["wrong_format"]) == (correct, 8444, 0)
    assert summary["cells"]["action swipe"] == {"correct": 1043, "total": 1211, "accuracy": 1043 / 1211, "type": 1.0}


@needs_data
@pytest.mark.parametrize("harness", ["vlmevalkit", "lmms_eval"])
def test_other_formats_score_like_the_report(harness: str, tmp_path: Path) -> None:
    """MAI-UI-8B on ScreenSpot-Pro, rewritten in each harness's format, has the same score on every sample."""
    folder = DATA / "screenspot_pro"
    report = folder / "predictions" / "mai_ui_8b.json"
    before = score_file("screenspot-pro", folder, report)
    dataset = load_dataset(load_benchmark("screenspot-pro"), folder)
    points = {entry["id"]: entry["pred"] for entry in json.loads(report.read_text())["details"]}
    if harness == "vlmevalkit":
        rows = [
            [
                number,
                task.instruction,
                json.dumps(task.labels["bbox"]),
                Path(task.image).name,
                task.labels["group"],
                "pyautogui.click(x={!r}, y={!r})".format(*point) if (point := points[task.id]) else "?",
            ]
            for number, task in enumerate(dataset.tasks, 1)
        ]
        path = write_xlsx(tmp_path / "model.xlsx", [VLM_HEADS, *rows])
    else:
        lines = []
        for number, task in enumerate(dataset.tasks):
            point = points[task.id]
            normalized = [entry / side for entry, side in zip(point, task.size, strict=True)] if point else None
            lines.append(lmms_line(number, task.instruction, "?" if normalized is None else str(normalized)))
        path = write_lines(tmp_path / "samples.jsonl", lines)
    after = score_file("screenspot-pro", folder, path)
    assert after.scores == before.scores
    assert after.as_dict()["correct"] == 1046


def details(points: list[Any], **more: Any) -> list[dict[str, Any]]:
    """Return details as ScreenSpot-Pro's parallel script, DiMo-GUI and OmniParser write them, without ids."""
    return [
        {
            "img_path": f"./ScreenSpot-Pro/images/{image}",
            "group": "Office",
            "platform": "macos",
            "application": "word",
            "lang": "en",
            "instruction_style": "instruction",
            "prompt_to_evaluate": instruction,
            "gt_type": "positive",
            "ui_type": "icon",
            "task_filename": "word_macos",
            "pred": point,
            "raw_response": {"Analysis": "...", "Click BBox ID": "16"},
            "bbox": box,
            "correctness": "wrong",
            **more,
        }
        for (instruction, box, image), point in zip(MIXED, points, strict=True)
    ]


HITS = [[11, 21], [11.5, 21], [51, 61], None]


@pytest.mark.parametrize("form", ["report", "list", "lines", "one line"])
def test_report_details_are_imported_in_every_format(pro: Path, form: str) -> None:
    """Published formats: a report, a list, OmniParser's log of one detail per line, and a log of one line."""
    entries = details(HITS)
    path, correct, missing = pro / "log.json", 3, 0
    if form == "report":
        path.write_text(json.dumps({"details": entries, "metrics": {}}))
    elif form == "list":
        path.write_text(json.dumps(entries))
    elif form == "lines":
        write_lines(path, entries[::-1])
    else:
        write_lines(path, entries[:1])
        correct, missing = 1, 3
    summary = score_file("screenspot-pro", pro, path).as_dict()
    assert (summary["correct"], summary["wrong_format"], summary["missing"]) == (correct, 0 if missing else 1, missing)
    assert summary["about"]["imported"] == "screenspot_pro_report:pixels"


def test_detail_lines_are_not_read_as_predictions(pro: Path) -> None:
    """Details have `pred` and no `point`: as predictions they would all be unreadable."""
    entries = [{"id": f"word_{n}", **entry} for n, entry in enumerate(details(HITS))]
    assert score_file("screenspot-pro", pro, write_lines(pro / "log.jsonl", entries)).as_dict()["correct"] == 3


@pytest.mark.parametrize(
    "changed",
    [
        lambda entry: entry.pop("bbox"),
        lambda entry: entry.update(bbox=str(entry["bbox"])),
        lambda entry: entry.update(bbox=[side + 1e-6 for side in entry["bbox"]]),
        lambda entry: entry.update(prompt_to_evaluate=f" {entry['prompt_to_evaluate']}  "),
        lambda entry: entry.update(img_path=entry["img_path"].replace("/", "\\")),
        lambda entry: entry.update(pred=None if entry["pred"] is None else str(entry["pred"])),
        lambda entry: entry.update(raw_response=None),
    ],
)
def test_altered_details_are_still_matched(pro: Path, changed: Any) -> None:
    entries = [entry for n, entry in enumerate(details(HITS)) if n != 1]  # two tasks "shared" need their boxes
    entries[1]["prompt_to_evaluate"] = MIXED[0][0]
    entries[1].update(img_path="a.png", pred=[0, 0], bbox=MIXED[0][1])
    entries = [entries[0], entries[2]]
    for entry in entries:
        changed(entry)
    (pro / "log.json").write_text(json.dumps({"details": entries}))
    summary = score_file("screenspot-pro", pro, pro / "log.json").as_dict()
    assert (summary["correct"], summary["wrong_format"], summary["missing"]) == (1, 1, 2)


def test_chinese_report_is_matched_and_noted(pro: Path) -> None:
    file = pro / "annotations" / "word_macos.json"
    records = json.loads(file.read_text())
    for n, entry in enumerate(records):
        entry["instruction_cn"] = f"第{n}"
    file.write_text(json.dumps(records))
    entries = [{**entry, "lang": "cn", "prompt_to_evaluate": f"第{n}"} for n, entry in enumerate(details(HITS))]
    (pro / "log.json").write_text(json.dumps({"details": entries}))
    summary = score_file("screenspot-pro", pro, pro / "log.json").as_dict()
    assert summary["correct"] == 3
    assert summary["about"]["language"] == "cn"


def test_report_with_other_instructions_is_refused(pro: Path) -> None:
    """OSWorld-G and its refined version have the same ids but different instructions."""
    entries = [{"id": f"word_{n}", **entry} for n, entry in enumerate(details(HITS))]
    entries[0]["prompt_to_evaluate"] = "something else"
    (pro / "log.json").write_text(json.dumps({"details": entries}))
    summary = score_file("screenspot-pro", pro, pro / "log.json").as_dict()
    assert summary["correct"] == 3
    assert summary["about"]["asked in other words"] == 1
    for entry in entries[1:3]:
        entry["prompt_to_evaluate"] = "something else"
    (pro / "log.json").write_text(json.dumps({"details": entries}))
    with pytest.raises(UsageError, match=r"3 of 4 details have other instructions .* 'word_0'"):
        score_file("screenspot-pro", pro, pro / "log.json")


@needs_data
def test_refined_instructions_are_not_mixed_up() -> None:
    folder = DATA / "osworld_g"
    for name, file in (("osworld-g", "mai_ui_8b_refined.json"), ("osworld-g-refined", "mai_ui_8b.json")):
        with pytest.raises(UsageError, match="have other instructions"):
            score_file(name, folder, folder / "predictions" / file)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"details": ["x", None]}, "detail 1: not an object with 'pred' but 'x'"),
        ({"details": details(HITS)[:1] + details(HITS, lang="cn")[1:]}, "mixes runs"),
        ({"details": [{"pred": [1, 2], "lang": ["en"]}, {"pred": [1, 2]}]}, "mixes runs"),
        ({"details": [{"pred": [1, 2]}]}, "no task of this benchmark"),
        ([{"doc_id": "x", "filtered_resps": []}], "entry 1: doc_id"),
        ([{"doc_id": 1, "filtered_resps": []}, 7], "entry 2: doc_id"),
        (
            [{"question": "a", "prediction": "b", "image_path": "a"}, {"question": "a"}],
            "entry 1: no task|entry 2: question",
        ),
        ([{"question": "a", "prediction": "b", "image_path": ""}], "entry 1: question"),
    ],
)
def test_damaged_import_is_refused(pro: Path, entries: Any, message: str) -> None:
    (pro / "log.json").write_text(json.dumps(entries))
    with pytest.raises(UsageError, match=message):
        score_file("screenspot-pro", pro, pro / "log.json")


def test_points_and_actions_are_not_mixed_up(pro: Path, control: Path) -> None:
    (pro / "log.json").write_text(json.dumps({"details": details(HITS)}))
    with pytest.raises(UsageError, match=r"screenspot_pro_report reads points, and .* are actions"):
        score_file("android-control", control, pro / "log.json")
    with pytest.raises(UsageError, match=r"ui_s1 reads actions, and .* are points"):
        score_file("screenspot-pro", pro, write_lines(control / "predictions.jsonl", [UI_S1]))


def test_damaged_ui_s1_action_is_wrong_format(control: Path) -> None:
    episode = {
        **UI_S1,
        "steps": [{**UI_S1["steps"][0], "action_content": {"action": "click", "coordinate": [1e999, 1]}}],
    }
    summary = score_file("android-control", control, write_lines(control / "predictions.jsonl", [episode])).as_dict()
    assert (summary["correct"], summary["wrong_format"], summary["missing"]) == (0, 1, 6)
    for bad in ([UI_S1, 7], [UI_S1, {**UI_S1, "steps": [UI_S1["steps"][0], 7]}]):
        with pytest.raises(UsageError, match=r"entry 2: "):
            score_file("android-control", control, write_lines(control / "predictions.jsonl", bad))


def test_space_of_own_format_is_refused(pro: Path) -> None:
    path = write_lines(pro / "own.jsonl", [{"id": "word_0", "point": [0.06, 0.25]}])
    for form in ("lines:shares", "auto:thousandths"):
        with pytest.raises(UsageError, match="the format 'lines' holds pixels of the original image, not"):
            score_file("screenspot-pro", pro, path, form=form)
    assert score_file("screenspot-pro", pro, path, form="lines:pixels").as_dict()["correct"] == 0
