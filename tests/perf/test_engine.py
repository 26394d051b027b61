"""The benchmark compares like with like: from the same weights and inputs both sides come to the same results."""

from __future__ import annotations

import json

import pytest

from actions import UsageError
from model.nn.config import Config, TextConfig, VisionConfig
from perf import engine
from perf.engine import Bench, Result, parse_size

TINY = Config(
    VisionConfig(2, 32, 48, 2, 32, fullatt_block_indexes=(1,)),
    TextConfig(384, 32, 48, 2, 4, 2, 8, (2, 1, 1), tie_word_embeddings=True),
    image_token_id=262,
    video_token_id=263,
    vision_start_token_id=259,
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    engine.RANDOM["random:tiny"] = TINY
    made = Bench("random:tiny")
    made.__dict__["rates"] = (1e10, 1e11)  # measuring the machine takes longer than all else
    return made


def test_the_peer_says_the_same_at_every_step_and_everything_is_timed(bench: Bench) -> None:
    result = bench.step((112, 84), steps=3, said=5)
    assert result.same is True
    assert len(result.ours_ms) == len(result.peer_ms) == len(result.floor_ms) == 3
    assert min(result.ours_ms + result.peer_ms + result.floor_ms) > 0
    line = json.loads(json.dumps(result.as_dict()))
    assert line["ratio"] == pytest.approx([b / a for a, b in zip(result.ours_ms, result.peer_ms, strict=True)], rel=0.1)
    assert {"ours_ms", "peer_ms", "ratio", "floor_ms", "of_floor", "device", "dtype", "threads"} <= line.keys()
    assert line["floor_ms"][1] < line["floor_ms"][2]  # the last step looks at a longer past
    assert len(result.table().splitlines()) == 4


def test_with_few_pictures_kept_the_peer_still_says_the_same(bench: Bench) -> None:
    result = bench.step((112, 84), steps=5, said=4, pictures=2)  # of 0, 1, 2, 2 and 2 earlier steps
    assert result.same is True and result.as_dict()["pictures"] == 2


@pytest.mark.parametrize("what", ["vision", "preprocess", "prefill", "decode"])
def test_the_peer_comes_to_the_same_numbers(bench: Bench, what: str) -> None:
    arguments = {"vision": ((112, 84), 1), "preprocess": ((112, 90), 1), "prefill": (40, 1), "decode": (20, 4, 1)}
    result: Result = getattr(bench, what)(*arguments[what])
    assert result.same is True
    line = result.as_dict()
    assert all(isinstance(line[name], float) for name in ("ours_ms", "peer_ms", "ratio", "floor_ms", "of_floor"))


def test_loading_is_timed_on_files_made_for_it(bench: Bench) -> None:
    result = bench.load(repeat=1)
    assert min(result.ours_ms + result.peer_ms + result.floor_ms) > 0


@pytest.mark.parametrize("wrong", ["1920", "0x5", "axb", "", "1920x1080x3"])
def test_a_size_that_is_none_is_said(wrong: str) -> None:
    with pytest.raises(UsageError, match="WIDTHxHEIGHT"):
        parse_size(wrong)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"against": "llama"}, "against transformers or none, not 'llama'"),
        ({"device": "tpu"}, "device must be cpu or cuda, not 'tpu'"),
        ({"device": "cuda"}, "no CUDA device here; take --device cpu"),
        ({"model": "random:9b"}, "no model 'random:9b'; have random:50m, random:3b, random:7b"),
        ({"model": "random:7b"}, "random:7b in torch.float32 needs 33.2 GB on cpu, where 9.0 GB are free"),
        ({"model": "nowhere/at-all"}, "nowhere/at-all"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    how: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(engine.RANDOM, "random:tiny", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("model.checkpoints.memory_check.available_bytes", lambda device: 9_000_000_000)
    with pytest.raises(UsageError, match=says) as caught:
        Bench(**{"model": "random:50m", **how})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["step", "decode", "prefill", "vision", "load"])
def test_the_last_line_of_each_command_is_one_object(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from perf.cli import app

    monkeypatch.setitem(engine.RANDOM, "random:tiny", TINY)
    monkeypatch.setattr(engine, "copied", lambda device: 1e10)
    small = {"step": ["--steps", "2", "--said", "3"], "decode": ["--said", "3"], "prefill": ["--tokens", "30"]}
    size = ["--size", "112x84"] if what in ("step", "vision") else []
    app([what, "--model", "random:tiny", "--repeat", "1", "--json", *size, *small.get(what, [])], standalone_mode=False)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["what"] == what
    for name in ("ours_ms", "peer_ms", "ratio", "floor_ms", "of_floor"):
        assert isinstance(line[name], list) and len(line[name]) == 2 if what == "step" else line[name] > 0


def test_decode_times_exclude_prefill(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each millisecond counted lies between the first and the last token of one reply."""
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr(bench, "_now", lambda: float(next(clock)))
    result = bench.decode(20, 7, 3)
    assert result.ours_ms == result.peer_ms == [1.0]
