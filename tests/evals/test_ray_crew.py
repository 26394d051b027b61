"""A Ray cluster of two machines, both of them here: the same files as one process, and a death costs nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_run import HERE, ROOT, files, make_control, make_pro, order

from actions import SurfaceError, UsageError
from evals import runner
from evals.workers import ray_pool
from evals.workers.pool import Job


def test_without_ray_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    planned, asked = order("screenspot-pro", make_pro(tmp_path / "data", 4))
    with pytest.raises(UsageError, match=r"pip install 'pixelhand\[ray\]'"):
        runner.run_predictions(planned, asked, tmp_path / "out", ray="auto")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two nodes of two cores each; workers find the tests' policies by their path."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'pixelhand[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{HERE}{os.pathsep}{ROOT}"
    made: Any = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 0, "object_store_memory": 80 << 20}
    )
    try:
        made.add_node(num_cpus=2, num_gpus=0, object_store_memory=80 << 20)
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        assert len([one for one in ray.nodes() if one["Alive"]]) == 2
        yield made.address
    finally:
        ray.shutdown()
        made.shutdown()
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["screenspot-pro", "android-control"])
def test_two_nodes_write_the_same_files_as_one_process(name: str, cluster: str, tmp_path: Path) -> None:
    data = make_pro(tmp_path / "data", 24) if "pro" in name else make_control(tmp_path / "data", 6, 4)
    os.environ["PYTHONPATH"] = f"{HERE}{os.pathsep}{ROOT}"
    planned, asked = order(name, data)
    runner.run_predictions(planned, asked, tmp_path / "one")
    told = runner.run_predictions(planned, asked, tmp_path / "ray", workers=4, ray=cluster)
    assert files(tmp_path / "one") == files(tmp_path / "ray") and told["total"] == 24
    lines = (tmp_path / "one" / runner.JOURNAL).read_bytes().splitlines(keepends=True)
    half = tmp_path / "half"
    half.mkdir()
    (half / runner.RUN).write_bytes((tmp_path / "one" / runner.RUN).read_bytes())
    (half / runner.JOURNAL).write_bytes(b"".join(lines[:9]))
    runner.run_predictions(planned, asked, half, workers=2, ray=cluster)  # begun by one process, ended by the cluster
    assert files(half) == files(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_worker_that_dies_costs_its_own_task_only_and_who_cannot_begin_says_why(cluster: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    data = make_pro(tmp_path / "data", 8, word_1={"instruction": "poison"})
    planned, asked = order("screenspot-pro", data, "deadly", model=str(flag))
    told = runner.run_predictions(planned, asked, tmp_path / "out", workers=2, ray=cluster)
    assert [one["id"] for one in told["broken_ids"]] == ["word_1"] and told["total"] == 7
    assert "2 workers of the Ray cluster ended on it" in told["broken_ids"][0]["why"]
    planned, asked = order("screenspot-pro", data, "nobody")
    with pytest.raises(SurfaceError, match="no device is there"):
        list(ray_pool.answers(asked, [Job(("word_0",))], 1, cluster))
    with pytest.raises(UsageError, match="no machine of the Ray cluster has a graphics card"):
        runner.run_predictions(*order("screenspot-pro", data, device="cuda"), tmp_path / "out2", ray=cluster)
