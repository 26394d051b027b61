"""Pictures are made ready ahead of the model: read, hashed and resized in a thread, a few at a time, each once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from test_run import make_control, order

from actions import Screen, SurfaceError
from evals import predictor
from evals.predictor import AHEAD, ImagePrefetcher


class Prepares:
    """A policy that resizes: it notes each picture and the thread."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def prepare(self, screen: Screen) -> None:
        self.seen.append((screen.digest, threading.current_thread().name))


def paint(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{n}.png" for n in range(count)]
    for n, path in enumerate(paths):
        Image.new("RGB", (8, 6), (n, 0, 0)).save(path)
    return paths


def test_a_picture_is_ready_when_its_turn_comes_and_is_read_once(tmp_path: Path) -> None:
    (path,) = paint(tmp_path, 1)
    policy = Prepares()
    pictures = ImagePrefetcher(policy)
    pictures.ahead(path)
    pictures.ahead(path)
    until = time.monotonic() + 30
    while not policy.seen:
        assert time.monotonic() < until
        time.sleep(0.01)
    path.unlink()  # it is not read again
    screen = pictures.read(path)
    assert screen.pixels[0, 0, 0] == 0 and "digest" in vars(screen)
    assert [digest for digest, _ in policy.seen] == [screen.digest]
    assert policy.seen[0][1] != threading.current_thread().name
    with pytest.raises(SurfaceError, match="is missing"):
        pictures.read(path)
    pictures.close()


def test_only_a_few_wait_and_those_that_were_never_asked_for_make_room(tmp_path: Path) -> None:
    paths = paint(tmp_path, AHEAD + 3)
    pictures = ImagePrefetcher(Prepares())
    for path in paths:
        pictures.ahead(path)
    assert list(pictures._coming) == paths[3:]
    assert [int(pictures.read(path).pixels[0, 0, 0]) for path in paths] == list(range(len(paths)))
    assert not pictures._coming
    pictures.close()


def test_a_torn_picture_says_so_when_its_turn_comes(tmp_path: Path) -> None:
    path = tmp_path / "torn.png"
    path.write_bytes(b"no picture")
    pictures = ImagePrefetcher()
    pictures.ahead(path)
    with pytest.raises(SurfaceError, match=r"torn\.png"):
        pictures.read(path)
    pictures.close()


def test_while_one_step_is_asked_the_next_ones_picture_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy's first answer waits until the second picture has been read: alone that would never happen."""
    from helpers.eval_runs import fickle

    read: dict[str, threading.Event] = {f"0_{n}.png": threading.Event() for n in range(3)}
    real = predictor.load_screenshot

    def noted(path: Path) -> Screen:
        screen = real(path)
        read[path.name].set()
        return screen

    monkeypatch.setattr(predictor, "load_screenshot", noted)
    planned, asked = order("android-control", make_control(tmp_path / "data", 1, 3))

    class Waits:
        def __init__(self) -> None:
            self.policy = fickle(asked)
            self.ready: list[bool] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.policy, name)

        def decide(self, *given: Any) -> Any:
            place = len(self.ready)
            self.ready.append(read[f"0_{min(place + 1, 2)}.png"].wait(30))
            return self.policy.decide(*given)

    policy: Any = Waits()
    asker = predictor.Predictor(planned.bench, planned.dataset, planned.protocol, "high", policy)
    answers = list(asker.ask(planned.jobs()[0], {}))
    assert policy.ready == [True, True, True] and len(answers) == 3
    asker.close()
