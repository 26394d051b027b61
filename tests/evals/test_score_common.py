"""Scoring a file of predictions: formats, errors and confidence intervals."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from actions import UsageError
from evals.metrics.geometry import parse_point
from evals.predictions import format_warnings
from evals.registry import list_benchmarks, load_benchmark
from evals.score_cli import app
from evals.scoring import score_file
from evals.stats import clustered_interval

NAMES = {"agentnetbench", "aitz", "android-control", "osworld-g", "osworld-g-refined", "screenspot", "screenspot-pro"}


@pytest.fixture
def pro(tmp_path: Path) -> Path:
    """Write a ScreenSpot-Pro of four samples on two images; return its folder."""
    folder = tmp_path / "annotations"
    folder.mkdir()
    records = [
        {
            "img_filename": f"{i // 2}.png",
            "bbox": [10 * i, 20, 10 * i + 9, 40],
            "instruction": f"press {i}",
            "instruction_cn": "",
            "id": f"word_{i}",
            "application": "word",
            "platform": "macos",
            "img_size": [300, 200],
            "ui_type": "icon" if i % 2 else "text",
            "group": "Office",
        }
        for i in range(4)
    ]
    (folder / "word_macos.json").write_text(json.dumps(records))
    return tmp_path


def write(folder: Path, *lines: Any) -> Path:
    path = folder / "predictions.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def prediction_line(i: int, point: Any) -> dict[str, Any]:
    return {"id": f"word_{i}", "point": point, "reply": "there"}


def test_outcomes_are_counted_separately(pro: Path) -> None:
    summary = score_file(
        "screenspot-pro",
        pro,
        write(pro, prediction_line(0, [5, 30]), prediction_line(1, [5, 30]), prediction_line(2, None)),
    ).as_dict()
    assert (summary["correct"], summary["total"], summary["wrong_format"], summary["missing"]) == (1, 4, 1, 1)
    assert summary["missing_ids"] == ["word_3"]
    assert summary["metrics"]["overall"] == {
        "num_correct_action": 1,
        "num_total": 4,
        "wrong_format_num": 1,
        "action_acc": 0.25,
        "text_acc": 0.5,
        "icon_acc": 0.0,
    }


def test_order_of_lines_does_not_matter(pro: Path) -> None:
    lines = [prediction_line(i, [10 * i, 20]) for i in range(4)]
    forward = score_file("screenspot-pro", pro, write(pro, *lines)).as_dict()
    backward = score_file("screenspot-pro", pro, write(pro, *reversed(lines))).as_dict()
    forward["about"] = backward["about"] = {}
    assert forward == backward
    assert forward["correct"] == 4


def test_box_includes_its_four_edges(pro: Path) -> None:
    for point, expected in [([10, 20], 1), ([19, 40], 1), ([19.0001, 40], 0), ([10, 19.9999], 0)]:
        assert score_file("screenspot-pro", pro, write(pro, prediction_line(1, point))).as_dict()["correct"] == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([prediction_line(0, [1, 2]), prediction_line(0, [1, 2])], r"duplicate id 'word_0' \(line 1 and line 2\)"),
        (
            [prediction_line(0, None), prediction_line(7, None), prediction_line(8, None)],
            r"2 of 3 ids are not .* the first 'word_7' \(line 2\).*'word_0'",
        ),
        (["{"], "line 1: not valid JSON"),
        (['["word_0", 1, 2]'], "line 1: not a prediction"),
        ([{"point": [1, 2]}], "line 1: not a prediction"),
    ],
)
def test_invalid_predictions_file_is_refused(pro: Path, lines: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        score_file("screenspot-pro", pro, write(pro, *lines))


@pytest.mark.parametrize(
    "bad", [None, [1], [1, 2, 3, 4], ["1", 2], [True, 2], "1,2", {"x": 1}, math.nan, [math.inf, 0]]
)
def test_point_is_two_finite_numbers(bad: Any) -> None:
    assert parse_point(bad) is None
    assert parse_point([1, 2.5]) == (1.0, 2.5)


def test_unknown_names_and_folders_are_refused(pro: Path, tmp_path: Path) -> None:
    assert set(list_benchmarks()) >= NAMES
    for name in ("screenspotpro", "screenspot-v3", "miniwob", "", "score"):
        with pytest.raises(UsageError, match=rf"no recorded benchmark '{name}'; have .*screenspot-pro"):
            load_benchmark(name)
    with pytest.raises(UsageError, match="has no protocol 'mine'; have sspro-official"):
        score_file("screenspot-pro", pro, write(pro), "mine")
    with pytest.raises(UsageError, match=r"no annotations .* get them from github.com/.*0.8 MB"):
        score_file("screenspot-pro", tmp_path / "elsewhere", write(pro))
    with pytest.raises(UsageError, match="cannot read"):
        score_file("screenspot-pro", pro, pro / "none.jsonl")


def test_result_has_revision_protocol_and_metadata(pro: Path) -> None:
    about = {"model": "m", "prompt_hash": "p", "resize": "r"}
    summary = score_file("screenspot-pro", pro, write(pro, {"about": about}, prediction_line(0, [5, 30]))).as_dict()
    assert summary["about"].items() >= about.items()
    assert len(summary["about"]["predictions_hash"]) == 16
    assert summary["protocol"] == "sspro-official"
    assert len(summary["revision"]) == 16
    assert any("holds 4 samples and the published benchmark 1,581" in note for note in summary["notes"])
    path = pro / "annotations" / "word_macos.json"
    path.write_text(path.read_text().replace("press 0", "press O"))
    assert score_file("screenspot-pro", pro, write(pro)).revision != summary["revision"]


@pytest.mark.parametrize(
    "text",
    ['{"id": "word_0", "point": [%s, 1]}' % ("9" * 5000), "[" * 100_000, '{"a":' * 50_000, "[" * 99_999 + "]" * 99_999],
)
def test_unparsable_json_is_refused(pro: Path, text: str) -> None:
    with pytest.raises(UsageError, match="cannot be parsed as JSON"):
        score_file("screenspot-pro", pro, write(pro, text))


def test_number_beyond_float_range_is_wrong_format(pro: Path) -> None:
    summary = score_file(
        "screenspot-pro", pro, write(pro, prediction_line(0, [10**400, 1]), prediction_line(1, [1, -(10**400)]))
    ).as_dict()
    assert (summary["correct"], summary["wrong_format"], summary["missing"]) == (0, 2, 2)


def test_json_list_and_byte_order_mark_are_read(pro: Path) -> None:
    lines = [{"about": {"model": "m"}}, prediction_line(0, [5, 30]), prediction_line(1, None)]
    path = pro / "list.json"
    path.write_text(json.dumps(lines, indent=1))
    summary = score_file("screenspot-pro", pro, path).as_dict()
    assert (summary["correct"], summary["wrong_format"], summary["missing"]) == (1, 1, 2)
    assert summary["about"]["model"] == "m"
    path.write_text("[]")
    assert score_file("screenspot-pro", pro, path).as_dict()["missing"] == 4
    path.write_bytes(b"\xef\xbb\xbf" + write(pro, *lines).read_bytes())
    assert score_file("screenspot-pro", pro, path).as_dict()["correct"] == 1


def test_file_of_another_format_gets_a_note(pro: Path) -> None:
    summary = score_file("screenspot-pro", pro, write(pro, {"id": "word_0", "pixel": [1, 2]})).as_dict()
    assert summary["wrong_format"] == 1
    assert any("no prediction has the key 'point', only pixel" in n for n in summary["notes"])
    assert not any(
        "has the key" in n for n in score_file("screenspot-pro", pro, write(pro, prediction_line(0, None))).notes
    )
    shares = {str(n): {"point": [0.5, n / 20]} for n in range(10)}
    assert "between 0 and 1" in format_warnings(shares, "point")[0]
    assert format_warnings({**shares, "x": {"point": [5, 5]}}, "point") == () == format_warnings({}, "point")


def test_unwritable_output_is_refused(pro: Path, tmp_path: Path) -> None:
    arguments = ["screenspot-pro", "--data", str(pro), "--predictions", str(write(pro))]
    for option in ("--verdicts", "--leaderboard"):
        result = CliRunner().invoke(app, [*arguments, option, str(tmp_path / "no" / "file")])
        message = (
            "cannot write" if option == "--verdicts" else "needs all six groups and the folder lacks Dev, Creative"
        )
        assert isinstance(result.exception, UsageError)
        assert message in str(result.exception)


def verdicts(*groups: list[float]) -> list[tuple[str, float]]:
    return [(str(g), value) for g, group in enumerate(groups) for value in group]


def test_interval_of_independent_samples_is_wilson() -> None:
    low, high, clusters = clustered_interval(verdicts(*([1.0] for _ in range(30)), *([0.0] for _ in range(10))))
    assert (low, high) == pytest.approx((0.5970, 0.8589), abs=0.004)
    assert clusters == 40


def test_interval_is_wider_for_clustered_samples() -> None:
    alone = clustered_interval(verdicts(*([float(i % 2)] for i in range(40))))
    together = clustered_interval(verdicts(*([float(i % 2)] * 10 for i in range(4))))
    assert together[1] - together[0] > 2.5 * (alone[1] - alone[0])
    assert together[2] == 4


def test_interval_of_equal_scores_or_no_scores() -> None:
    low, high, _ = clustered_interval(verdicts([1.0] * 5, [1.0] * 5))
    assert low < 0.5
    assert high == 1.0
    assert clustered_interval([]) == (0.0, 1.0, 0)


def test_interval_has_nominal_coverage() -> None:
    """About 95 % of the intervals contain the true mean, 0.6, of images with one to five correlated samples."""
    rng = random.Random(7)
    covered = 0
    for _ in range(400):
        groups = []
        for _ in range(60):
            rate = rng.choice([0.3, 0.9])
            groups.append([float(rng.random() < rate) for _ in range(rng.randint(1, 5))])
        low, high, _ = clustered_interval(verdicts(*groups))
        covered += low <= 0.6 <= high
    assert 0.92 <= covered / 400 <= 0.985


def test_command_prints_table_or_json(pro: Path, tmp_path: Path) -> None:
    path, verdicts_path = write(pro, prediction_line(0, [5, 30])), tmp_path / "words.jsonl"
    arguments = ["screenspot-pro", "--data", str(pro), "--predictions", str(path)]
    result = CliRunner().invoke(app, [*arguments, "--verdicts", str(verdicts_path)])
    assert result.exit_code == 0
    assert "1 of 4 correct, 25.00 %" in result.stdout
    assert "micro (over samples)" in result.stdout
    assert "macro (over 1 groups)" in result.stdout
    assert "missing, counted as wrong: word_1, word_2, word_3" in result.stdout
    assert [json.loads(line)["outcome"] for line in verdicts_path.read_text().splitlines()] == ["correct"] + [
        "missing"
    ] * 3
    summary = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert summary["correct"] == 1
    assert summary["missing"] == 3


def test_scoring_imports_neither_torch_nor_browser() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from evals import dataset_check, registry, score_cli, scoring\n"
        f"for name in {sorted(NAMES)!r}: registry.load_benchmark(name)\n"
        "print(sorted({'torch', 'transformers', 'playwright', 'gymnasium', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent.parent
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "playwright", "gymnasium"} & set(json.loads(result.stdout.replace("'", '"')))


def test_empty_groups_are_printed_as_not_available() -> None:
    from evals.formatting import format_result
    from evals.types import EvaluationResult

    empty = {"correct": 0, "total": 0, "accuracy": 0.0}
    result = EvaluationResult("b", "p", "r", (), {}, {"micro": 0.0}, "picture", groups={"grounding": empty})
    text = format_result(result.as_dict())
    assert "0 of 0 correct, n/a" in text
    assert "n/a  micro" in text
    assert "n/a  grounding (0 of 0)" in text
    assert "0.00 %" not in text
