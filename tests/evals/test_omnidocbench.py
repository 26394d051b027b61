"""OmniDocBench: annotations in the published layout, official averages, folders of predictions, and a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.document_pages import html_table, made_page
from helpers.eval_answers import FixedAnswerPolicy
from PIL import Image

import evals
from actions import Reply, Screen, UsageError
from evals.benchmarks.omnidocbench import REPLY_TOKENS, to_markdown
from evals.dataset_check import check_dataset
from evals.registry import load_benchmark, load_dataset
from evals.scoring import score_file
from evals.workers.spec import RunSpec

GRID = [["Month", "Guests"], ["April", "812"]]


def page(name: str, language: str, *items: dict[str, object]) -> dict[str, object]:
    layout = [{"order": number, "anno_id": number, **item} for number, item in enumerate(items, 1)]
    info = {"image_path": f"{name}.jpg", "width": 60, "height": 40, "page_attribute": {"language": language}}
    return {"layout_dets": layout, "extra": {"relation": []}, "page_info": info}


TEXT = {"category_type": "text_block", "text": "Bluff lump", "attribute": {"text_language": "text_en"}}
TABLE = {"category_type": "table", "html": html_table(GRID), "attribute": {"with_span": False}}
FORMULA = {"category_type": "equation_isolated", "latex": "\\[ E = m \\]"}
PAGES = [
    page("a", "english", TEXT, TABLE, FORMULA),
    page("b", "english", TEXT),
    page("c", "simplified_chinese", TEXT, TABLE),
    page("d", "english", {"category_type": "figure"}),
]


def make_data(folder: Path) -> Path:
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    (folder / "annotations" / "OmniDocBench.json").write_text(json.dumps(PAGES))
    for name in "abc":
        Image.new("RGB", (60, 40), "white").save(folder / "images" / f"{name}.jpg")
    return folder


def write_pages(folder: Path, replies: dict[str, str]) -> Path:
    folder.mkdir()
    for name, reply in replies.items():
        (folder / f"{name}.md").write_text(reply)
    return folder


@pytest.mark.parametrize("protocol", ["quick-match", "simple-match"])
def test_reference_pages_score_one(tmp_path: Path, protocol: str) -> None:
    data = make_data(tmp_path / "data")
    bench = load_benchmark("omnidocbench")
    tasks = load_dataset(bench, data).tasks
    replies = {task.id: bench.oracle(task)["reply"] for task in tasks}
    result = score_file("omnidocbench", data, write_pages(tmp_path / "pages", replies), protocol)
    if protocol == "quick-match":
        assert result.accuracy == 1.0
        assert set(result.averages.values()) == {1.0}
        assert result.metrics["overall_EN"] == 0.0
    assert result.metrics["table_TEDS_ALL"] == 100
    assert "overall_CH" not in result.metrics  # it has no formula
    assert any("1 pages" in note for note in result.notes)


def test_official_averages_are_over_pages_and_tables(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    replies = {"a": f"Bluff lumq\n\n{html_table(GRID)}\n\n$$E=m$$", "b": "", "c": "Bluff lump"}
    result = score_file("omnidocbench", data, write_pages(tmp_path / "pages", replies))
    metrics = result.metrics
    assert metrics["text_block_Edit_dist_ALL"] == pytest.approx((1 / 9 + 1 + 0) / 3)
    assert metrics["text_block_Edit_dist_EN"] == pytest.approx((1 / 9 + 1) / 2)
    assert metrics["table_TEDS_ALL"] == 50
    assert metrics["table_TEDS_structure_only_EN"] == 100
    assert metrics["table_TEDS_CH"] == 0
    assert metrics["display_formula_Edit_dist_EN"] == 0
    assert metrics["reading_order_Edit_dist_ALL"] == pytest.approx(1 / 3)
    assert metrics["overall_EN"] == pytest.approx((5 / 9 + 0 + 0 + 0.5) / 4)
    assert result.groups["table, TEDS"]["with_span: False"] == {"correct": 1.0, "total": 2, "accuracy": 0.5}
    assert result.groups["text_block, 1 - Edit_dist"]["text_language: text_en"]["total"] == 3


def test_missing_page_counts_as_an_empty_one(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    some = score_file("omnidocbench", data, write_pages(tmp_path / "some", {"b": "Bluff lump"}))
    empty = score_file("omnidocbench", data, write_pages(tmp_path / "all", {"a": "", "b": "Bluff lump", "c": ""}))
    assert some.metrics == empty.metrics
    assert [sample.outcome for sample in some.scores] == ["missing", "correct", "missing"]


def test_unknown_and_empty_folders_are_refused(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    with pytest.raises(UsageError, match="not in this benchmark"):
        score_file("omnidocbench", data, write_pages(tmp_path / "other", {"z": ""}))
    with pytest.raises(UsageError, match=r"no \.md files"):
        score_file("omnidocbench", data, write_pages(tmp_path / "none", {}))


def test_unfit_annotations_are_refused(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    (data / "annotations" / "OmniDocBench.json").write_text('[{"layout_dets": []}]')
    with pytest.raises(UsageError, match="entry 1: missing key 'page_info'"):
        load_benchmark("omnidocbench").read(data)


def test_doctor_finds_nothing_wrong(tmp_path: Path) -> None:
    assert check_dataset("omnidocbench", make_data(tmp_path)).findings == ()


def test_markdown_of_annotations_joins_truncated_text() -> None:
    annotations, _ = made_page(0)
    annotations["extra"]["relation"] = [{"relation_type": "truncated", "source_anno_id": 0, "target_anno_id": 1}]
    annotations["layout_dets"] = [
        {"category_type": "text_block", "order": 2, "anno_id": 1, "text": "goes on"},
        {"category_type": "text_block", "order": 1, "anno_id": 0, "text": "A text "},
    ]
    assert to_markdown(annotations) == "A text goes on"


class PagePolicy(FixedAnswerPolicy):
    """Answers with a page, and keeps the limit of tokens."""

    def answer(self, question: str, screens: list[Screen], schema: object, max_new_tokens: int | None = None) -> Reply:
        self.limit = max_new_tokens
        return Reply("Bluff lump")


def test_run_asks_for_whole_pages(tmp_path: Path) -> None:
    policy = PagePolicy(RunSpec("omnidocbench", "", "", model="m"))
    result = evals.evaluate("omnidocbench", policy, data=make_data(tmp_path))
    assert policy.limit == REPLY_TOKENS
    assert result.metrics["text_block_Edit_dist_ALL"] == 0.0
