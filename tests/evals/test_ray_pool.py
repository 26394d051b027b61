"""A Ray cluster of two nodes on this machine: the same files as one process, and crashes cost one task."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_runner import PYTHONPATH, copy_run, make_control, make_pro, make_run, read_files

from actions import SurfaceError, UsageError
from evals import runner
from evals.journal import JOURNAL
from evals.workers.pool import WorkerJob
from evals.workers.ray_pool import RayPool


def test_missing_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    plan, spec = make_run("screenspot-pro", make_pro(tmp_path / "data", 4))
    with pytest.raises(UsageError, match=r"pip install 'pixelhand\[ray\]'"):
        runner.run_predictions(plan, spec, tmp_path / "out", ray="auto")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Return the address of a cluster of two nodes with two cores each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'pixelhand[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = PYTHONPATH
    nodes: Any = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 0, "object_store_memory": 80 << 20}
    )
    try:
        nodes.add_node(num_cpus=2, num_gpus=0, object_store_memory=80 << 20)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        assert len([node for node in ray.nodes() if node["Alive"]]) == 2
        yield nodes.address
    finally:
        ray.shutdown()
        nodes.shutdown()
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["screenspot-pro", "android-control"])
def test_cluster_writes_same_files(name: str, cluster: str, tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 24) if "pro" in name else make_control(tmp_path / "data", 6, 4)
    plan, spec = make_run(name, data)
    runner.run_predictions(plan, spec, tmp_path / "one")
    summary = runner.run_predictions(plan, spec, tmp_path / "ray", workers=4, ray=cluster)
    assert read_files(tmp_path / "one") == read_files(tmp_path / "ray")
    assert summary["total"] == 24
    lines = (tmp_path / "one" / JOURNAL).read_bytes().splitlines(keepends=True)
    half = copy_run(tmp_path / "one", tmp_path / "half", b"".join(lines[:9]))
    runner.run_predictions(plan, spec, half, workers=2, ray=cluster)  # started by one process
    assert read_files(half) == read_files(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_crashed_actor_costs_one_task(cluster: str, tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 8, word_1={"instruction": "poison"})
    plan, spec = make_run("screenspot-pro", data, "crashing", model=str(tmp_path / "flag"))
    summary = runner.run_predictions(plan, spec, tmp_path / "out", workers=2, ray=cluster)
    assert [task["id"] for task in summary["broken_ids"]] == ["word_1"]
    assert summary["total"] == 7
    assert "2 workers of the Ray cluster died on it" in summary["broken_ids"][0]["why"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_actor_that_cannot_load_raises(cluster: str, tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 8)
    _, spec = make_run("screenspot-pro", data, "failing")
    with pytest.raises(SurfaceError, match="no device is there"):
        list(RayPool(spec, 1, cluster).run([WorkerJob(("word_0",))]))
    with pytest.raises(UsageError, match="no machine of the Ray cluster has a GPU"):
        runner.run_predictions(*make_run("screenspot-pro", data, device="cuda"), tmp_path / "out", ray=cluster)
