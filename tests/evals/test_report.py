"""The HTML report: one file that loads nothing, with the result's tables and its failures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_runner import PYTHONPATH, make_control, make_pro, make_run
from typer.testing import CliRunner

from actions import UsageError
from evals import runner
from evals.cli import app
from evals.report import predicted_points, write_report
from evals.run_folder import LOCAL_STATE, PREDICTIONS, RESULT, VERDICTS


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a grounding benchmark with hostile texts and one over episodes; return the folder of both runs."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
        changes = {"word_0": {"instruction": "<script>alert(1)</script> & press"}}
        pro = make_pro(folder / "pro-data", 12, **changes)
        plan, spec = make_run("screenspot-pro", pro, model="<b>m</b>")
        runner.run_predictions(plan, spec, folder / "all" / "pro")
        plan, spec = make_run("android-control", make_control(folder / "ac-data", 2, 3))
        runner.run_predictions(plan, spec, folder / "all" / "control")
    return folder / "all"


def failed_ids(folder: Path) -> list[str]:
    verdicts = [json.loads(line) for line in (folder / VERDICTS).read_text().splitlines()]
    return [verdict["id"] for verdict in verdicts if verdict["outcome"] != "correct"]


def shown_ids(page: str) -> list[str]:
    return re.findall(r"<figcaption><p><code>(.*?)</code>", page)


def test_report_shows_every_failure(runs: Path) -> None:
    page = write_report(runs / "pro").read_text()
    ids = shown_ids(page)
    assert ids == failed_ids(runs / "pro")
    assert len(ids) > 3
    assert page.count("data:image/jpeg;base64,") == len(ids)
    assert page.count('<polygon class="target" points="0 0 30 0 30 40 0 40"/>') == len(ids)


def test_report_marks_predicted_points(runs: Path) -> None:
    page = write_report(runs / "pro").read_text()
    lines = map(json.loads, (runs / "pro" / PREDICTIONS).read_text().splitlines()[1:])
    points = {line["id"]: line["point"] for line in lines}
    assert page.count('<circle class="predicted"') == sum(points[name] is not None for name in shown_ids(page))


def test_report_shows_score_and_configuration(runs: Path) -> None:
    page = write_report(runs / "pro").read_text()
    summary = json.loads((runs / "pro" / RESULT).read_text())
    assert f"{100 * summary['accuracy']:.2f} %" in page
    assert summary["revision"] in page
    assert "plain" in page
    assert "micro (over samples)" in page
    assert "baseline" in page.lower()
    assert f"{100 * summary['accuracy']:.2f} % correct" in page
    assert "clustered by image" in page


def test_report_escapes_all_texts(runs: Path) -> None:
    page = write_report(runs / "pro").read_text()
    assert "<script" not in page
    assert "&lt;b&gt;m&lt;/b&gt;" in page
    if "word_0" in failed_ids(runs / "pro"):
        assert "&lt;script&gt;alert(1)" in page


def test_report_loads_nothing(runs: Path) -> None:
    page = write_report(runs / "pro").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "url(" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_report_of_several_runs_has_overview(runs: Path, tmp_path: Path) -> None:
    page = write_report(runs, tmp_path / "all.html").read_text()
    for text in (
        "2 runs",
        "action click",
        "goal 0",
        "do 1",
        "reference: click",
        "prediction: done",
        "centre click, step success",
    ):
        assert text in page
    assert page.count("<h2>") == 2
    with pytest.raises(UsageError, match="has 2 runs"):
        write_report(runs, data=tmp_path)


def test_fewer_failures_are_evenly_spaced(runs: Path) -> None:
    ids = failed_ids(runs / "pro")
    page = write_report(runs / "pro", failures=3).read_text()
    figures = shown_ids(page)
    assert len(figures) == 3
    assert figures[0] == ids[0]
    assert figures[-1] in ids[len(ids) // 2 :]
    assert f"(3 of {len(ids)};" in page
    assert "<figure>" not in write_report(runs / "pro", failures=0).read_text()


def test_report_names_missing_data_folder(runs: Path, tmp_path: Path) -> None:
    state = (runs / "pro" / LOCAL_STATE).read_text()
    try:
        (runs / "pro" / LOCAL_STATE).write_text(json.dumps({"data": str(tmp_path / "gone")}))
        assert "(or set --data)" in write_report(runs / "pro").read_text()
        page = write_report(runs / "pro", data=Path(json.loads(state)["data"])).read_text()
        assert "data:image/jpeg" in page
    finally:
        (runs / "pro" / LOCAL_STATE).write_text(state)


def test_report_needs_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no finished run"):
        write_report(tmp_path)


def test_command_prints_path_of_report(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    result = CliRunner().invoke(app, ["report", str(runs / "pro"), "--out", str(path)])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(path)
    assert path.stat().st_size > 10_000


def test_predicted_points_of_predictions() -> None:
    assert predicted_points({"point": [1.5, 2]}) == [(1.5, 2.0)]
    assert predicted_points({"point": None}) == []
    drag = {"verb": "drag", "path": [[1, 2], [3, 4]]}
    assert predicted_points({"actions": [drag, {"verb": "fly"}, {"verb": "back"}]}) == [(1.0, 2.0), (3.0, 4.0)]
