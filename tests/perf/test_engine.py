"""Benchmarks of the engine: both implementations compute the same from the same weights and inputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import qwen3_parity

from actions import UsageError
from model.nn.config import Config, TextConfig, VisionConfig
from perf import inputs, timing
from perf.bench_result import BenchResult
from perf.engine import EngineBench
from perf.inputs import parse_size

TINY = Config(
    VisionConfig(2, 32, 48, 2, 32, fullatt_block_indexes=(1,)),
    TextConfig(384, 32, 48, 2, 4, 2, 8, (2, 1, 1), tie_word_embeddings=True),
    image_token_id=262,
    video_token_id=263,
    vision_start_token_id=259,
)
FIGURES = ("engine_ms", "baseline_ms", "ratio", "roofline_ms", "roofline_fraction")
NAMES_OF_0_1 = {
    "ours_ms": "engine_ms",
    "peer_ms": "baseline_ms",
    "floor_ms": "roofline_ms",
    "of_floor": "roofline_fraction",
}


@pytest.fixture(scope="module")
def bench() -> EngineBench:
    inputs.RANDOM_CONFIGS["random:tiny"] = TINY
    bench = EngineBench("random:tiny")
    bench.__dict__["rates"] = (1e10, 1e11)  # measuring the device takes longer than everything else
    return bench


def test_step_times_every_step(bench: EngineBench) -> None:
    result = bench.step((112, 84), steps=3, reply_tokens=5)
    assert result.same is True
    assert len(result.engine_ms) == len(result.baseline_ms) == len(result.roofline_ms) == 3
    assert min(result.engine_ms + result.baseline_ms + result.roofline_ms) > 0
    assert len(result.table().splitlines()) == 4


def test_step_result_is_json(bench: EngineBench) -> None:
    result = bench.step((112, 84), steps=3, reply_tokens=5)
    line = json.loads(json.dumps(result.as_dict()))
    ratios = [baseline / engine for engine, baseline in zip(result.engine_ms, result.baseline_ms, strict=True)]
    assert line["ratio"] == pytest.approx(ratios, rel=0.1)
    assert {*FIGURES, "device", "dtype", "threads"} <= line.keys()
    assert {old: line[old] for old in NAMES_OF_0_1} == {old: line[new] for old, new in NAMES_OF_0_1.items()}
    assert line["roofline_ms"][1] < line["roofline_ms"][2]  # the last step attends to a longer past


def test_step_with_evicted_images_stays_equal(bench: EngineBench) -> None:
    result = bench.step((112, 84), steps=5, reply_tokens=4, images=2)  # of 0, 1, 2, 2 and 2 earlier steps
    assert result.same is True
    assert result.as_dict()["images"] == 2


@pytest.mark.parametrize("operation", ["vision", "preprocess", "prefill", "decode"])
def test_engine_equals_baseline(bench: EngineBench, operation: str) -> None:
    arguments = {"vision": ((112, 84), 1), "preprocess": ((112, 90), 1), "prefill": (40, 1), "decode": (20, 4, 1)}
    result: BenchResult = getattr(bench, operation)(*arguments[operation])
    assert result.same is True
    line = result.as_dict()
    assert all(isinstance(line[name], float) for name in FIGURES)


def test_load_times_temporary_files(bench: EngineBench) -> None:
    result = bench.load(repeat=1)
    assert min(result.engine_ms + result.baseline_ms + result.roofline_ms) > 0


@pytest.mark.parametrize("text", ["1920", "0x5", "axb", "", "1920x1080x3"])
def test_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="WIDTHxHEIGHT"):
        parse_size(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"baseline": "llama"}, "--baseline is transformers or none, not 'llama'"),
        ({"device": "tpu"}, "--device is cpu or cuda, not 'tpu'"),
        ({"device": "cuda"}, "no CUDA device; use --device cpu"),
        ({"model": "random:9b"}, "no model 'random:9b'; have random:50m, random:3b, random:7b"),
        ({"model": "random:7b"}, "random:7b in torch.float32 needs 33.2 GB on cpu, where 9.0 GB are free"),
        ({"model": "nowhere/at-all"}, "nowhere/at-all"),
    ],
)
def test_invalid_arguments_are_refused(
    arguments: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(inputs.RANDOM_CONFIGS, "random:tiny", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("model.checkpoints.memory_check.available_bytes", lambda device: 9_000_000_000)
    with pytest.raises(UsageError, match=message) as raised:
        EngineBench(**{"model": "random:50m", **arguments})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("operation", ["step", "decode", "prefill", "vision", "load"])
def test_command_prints_one_json_object(
    operation: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from perf.cli import app

    monkeypatch.setitem(inputs.RANDOM_CONFIGS, "random:tiny", TINY)
    monkeypatch.setattr(timing, "copy_bandwidth", lambda device: 1e10)
    options = {
        "step": ["--steps", "2", "--reply-tokens", "3"],
        "decode": ["--said", "3"],  # the option's name in version 0.1
        "prefill": ["--tokens", "30"],
    }
    size = ["--size", "112x84"] if operation in ("step", "vision") else []
    arguments = [operation, "--model", "random:tiny", "--repeat", "1", "--json", *size, *options.get(operation, [])]
    app(arguments, standalone_mode=False)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["what"] == operation
    for name in FIGURES:
        values = line[name] if operation == "step" else [line[name]]
        assert len(values) == (2 if operation == "step" else 1)
        assert min(values) > 0


def test_decode_times_exclude_prefill(bench: EngineBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every millisecond that counts is between the first and the last token of one reply."""
    clock = iter(range(0, 10_000, 7))

    def now_ms(device: str) -> float:
        return float(next(clock))

    monkeypatch.setattr("perf.engine.now_ms", now_ms)
    monkeypatch.setattr("perf.timing.now_ms", now_ms)
    result = bench.decode(20, 7, 3)
    assert result.engine_ms == [1.0]
    assert result.baseline_ms == [1.0]


def test_sibling_is_timed_without_baseline(tmp_path: Path) -> None:
    qwen3_parity.write_chat_folder(tmp_path)
    with pytest.raises(UsageError, match="--baseline transformers cannot be used with Qwen3-VL"):
        EngineBench(str(tmp_path))
    bench = EngineBench(str(tmp_path), baseline="none")
    bench.__dict__["rates"] = (1e10, 1e11)
    assert len(bench.step((320, 256), steps=2, reply_tokens=3).engine_ms) == 2
    assert bench.vision((320, 256), 1).engine_ms[0] > 0
