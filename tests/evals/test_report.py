"""The report: one file that loads nothing, tables as the result has them, pictures with what is right and said."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from test_run import HERE, ROOT, make_control, make_pro, order

from actions import UsageError
from evals import report, runner
from evals.cli import app


@pytest.fixture(autouse=True)
def makers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{ROOT}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, a grounding one with hostile words and one over episodes."""
    folder = tmp_path_factory.mktemp("runs")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{HERE}{os.pathsep}{ROOT}"
    try:
        words = {"word_0": {"instruction": "<script>alert(1)</script> & press"}}
        pro = make_pro(folder / "pro-data", 12, **words)
        runner.run_predictions(*order("screenspot-pro", pro, "fickle", model="<b>m</b>"), folder / "all" / "pro")
        control = make_control(folder / "ac-data", 2, 3)
        runner.run_predictions(*order("android-control", control), folder / "all" / "control")
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return folder / "all"


def failed(folder: Path) -> list[str]:
    words = [json.loads(line) for line in (folder / runner.VERDICTS).read_text().splitlines()]
    return [word["id"] for word in words if word["outcome"] != "correct"]


def test_the_report_shows_every_failure_with_its_picture(runs: Path) -> None:
    page = report.write(runs / "pro").read_text()
    told = json.loads((runs / "pro" / runner.RESULT).read_text())
    ids = re.findall(r"<figcaption><p><code>(.*?)</code>", page)
    assert ids == failed(runs / "pro") and page.count("data:image/jpeg;base64,") == len(ids) > 3
    assert f"{100 * told['accuracy']:.2f} %" in page and told["revision"] in page and "plain" in page
    said = {one["id"]: one for one in map(json.loads, (runs / "pro" / runner.PREDICTIONS).read_text().splitlines()[1:])}
    pointed = [name for name in ids if said[name]["point"]]
    assert page.count('<circle class="said"') == len(pointed)
    assert page.count('<polygon class="target" points="0 0 30 0 30 40 0 40"/>') == len(ids)


def test_words_of_models_and_pages_are_text_and_nothing_is_loaded(runs: Path) -> None:
    page = report.write(runs / "pro").read_text()
    assert "<script" not in page and "&lt;b&gt;m&lt;/b&gt;" in page
    if "word_0" in failed(runs / "pro"):
        assert "&lt;script&gt;alert(1)" in page
    assert (
        not re.search(r"""(src|href)=["'](?!data:)""", page)
        and "url(" not in page
        and "http" not in page.replace("http-equiv", "")
    )


def test_several_runs_are_one_report_with_a_table_of_all(runs: Path, tmp_path: Path) -> None:
    page = report.write(runs, tmp_path / "all.html").read_text()
    assert "2 runs" in page and page.count("<h2>") == 2 and "action click" in page
    assert "goal 0" in page and "do 1" in page and "right: click" in page
    with pytest.raises(UsageError, match="holds 2 runs"):
        report.write(runs, data=tmp_path)


def test_fewer_failures_are_spread_over_all(runs: Path) -> None:
    ids = failed(runs / "pro")
    page = report.write(runs / "pro", failures=3).read_text()
    shown = re.findall(r"<figcaption><p><code>(.*?)</code>", page)
    assert len(shown) == 3 and shown[0] == ids[0] and shown[-1] in ids[len(ids) // 2 :]
    assert f"(3 of {len(ids)};" in page
    assert "<figure>" not in report.write(runs / "pro", failures=0).read_text()


def test_pictures_that_are_elsewhere_are_said(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = json.loads((runs / "pro" / runner.LOCAL_STATE).read_text())
    try:
        (runs / "pro" / runner.LOCAL_STATE).write_text(json.dumps({"data": str(tmp_path / "gone")}))
        assert "(or give --data)" in report.write(runs / "pro").read_text()
        page = report.write(runs / "pro", data=Path(where["data"])).read_text()
        assert "data:image/jpeg" in page
    finally:
        (runs / "pro" / runner.LOCAL_STATE).write_text(json.dumps(where))
    with pytest.raises(UsageError, match="holds no finished run"):
        report.write(tmp_path)


def test_the_command_names_the_file(runs: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    shown = CliRunner().invoke(app, ["report", str(runs / "pro"), "--out", str(tmp_path / "r.html")])
    assert shown.exit_code == 0 and shown.stdout.strip() == str(tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size > 10_000


def points(said: dict[str, Any]) -> list[tuple[float, float]]:
    return report.points(said)


def test_points_of_a_prediction() -> None:
    assert points({"point": [1.5, 2]}) == [(1.5, 2.0)] and points({"point": None}) == []
    drag = {"verb": "drag", "path": [[1, 2], [3, 4]]}
    assert points({"actions": [drag, {"verb": "fly"}, {"verb": "back"}]}) == [(1.0, 2.0), (3.0, 4.0)]
