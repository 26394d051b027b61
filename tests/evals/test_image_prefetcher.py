"""Images are loaded, hashed and prepared in a background thread, a few at a time, each once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.eval_runs import HashPolicy
from helpers.eventually import eventually
from PIL import Image
from test_runner import make_control, make_run

from actions import Reply, Screen, Step, SurfaceError
from evals import predictor
from evals.predictor import MAX_PREFETCHED, ImagePrefetcher
from evals.workers.spec import RunSpec

SPEC = RunSpec("x", "", "", model="m")


class PrefetchingPolicy(HashPolicy):
    """Records the digest of each prefetched screen and the thread."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.prefetched: list[tuple[str, str]] = []

    def prefetch(self, screen: Screen) -> None:
        self.prefetched.append((screen.digest, threading.current_thread().name))


def write_images(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{n}.png" for n in range(count)]
    for n, path in enumerate(paths):
        Image.new("RGB", (8, 6), (n, 0, 0)).save(path)
    return paths


def test_prefetched_image_is_loaded_once(tmp_path: Path) -> None:
    (path,) = write_images(tmp_path, 1)
    policy = PrefetchingPolicy()
    images = ImagePrefetcher(policy)
    images.prefetch(path)
    images.prefetch(path)
    eventually(lambda: policy.prefetched)
    path.unlink()  # the image must not be read again
    screen = images.load(path)
    assert screen.pixels[0, 0, 0] == 0
    assert "digest" in vars(screen)
    assert [digest for digest, _ in policy.prefetched] == [screen.digest]
    assert policy.prefetched[0][1] != threading.current_thread().name
    with pytest.raises(SurfaceError, match="is missing"):
        images.load(path)
    images.close()


def test_oldest_prefetched_images_are_dropped(tmp_path: Path) -> None:
    paths = write_images(tmp_path, MAX_PREFETCHED + 3)
    images = ImagePrefetcher(PrefetchingPolicy())
    for path in paths:
        images.prefetch(path)
    assert list(images._futures) == paths[3:]
    assert [int(images.load(path).pixels[0, 0, 0]) for path in paths] == list(range(len(paths)))
    assert not images._futures
    images.close()


def test_damaged_image_raises_when_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "damaged.png"
    path.write_bytes(b"not an image")
    images = ImagePrefetcher()
    images.prefetch(path)
    with pytest.raises(SurfaceError, match=r"damaged\.png"):
        images.load(path)
    images.close()


def test_next_image_loads_during_current_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy waits in each step for the next image: without the background thread it would wait in vain."""
    is_loaded = {f"0_{n}.png": threading.Event() for n in range(3)}
    load_screenshot = predictor.load_screenshot

    def load_and_record(path: Path) -> Screen:
        screen = load_screenshot(path)
        is_loaded[path.name].set()
        return screen

    monkeypatch.setattr(predictor, "load_screenshot", load_and_record)
    plan, spec = make_run("android-control", make_control(tmp_path / "data", 1, 3))

    class WaitingPolicy(HashPolicy):
        waits: list[bool] = []  # noqa: RUF012 - one instance

        def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
            place = len(self.waits)
            self.waits.append(is_loaded[f"0_{min(place + 1, 2)}.png"].wait(30))
            return super().decide(goal, steps, screen, verbs)

    policy = WaitingPolicy(spec)
    runner = predictor.Predictor(plan.bench, plan.dataset, plan.protocol, "high", policy)
    results = list(runner.predict(plan.jobs()[0], {}))
    assert policy.waits == [True, True, True]
    assert len(results) == 3
    runner.close()
