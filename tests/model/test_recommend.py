"""Facts about the model families, memory estimates, and recommendations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from actions import UsageError, plugins
from model.checkpoints import hub
from model.checkpoints import recommend as recommend_module
from model.checkpoints.model_zoo import (
    GRID_TOKENS,
    GROUP,
    families,
    load_family,
    memory_bytes,
    parameters,
    required_bytes,
    serve_commands,
)
from model.checkpoints.recommend import Hardware, detect_hardware, family_card, family_table, recommend
from model.dialects import autoglm, ui_venus
from model.nn.official_sizes import OFFICIAL

DIALECTS = Path(autoglm.__file__).parent


def test_every_dialect_has_one_family() -> None:
    assert [family.dialect for family in families()] == plugins.list_plugins("model.dialects")


def test_families_are_complete_and_scores_have_sources() -> None:
    ids = [checkpoint.hub_id for family in families() for checkpoint in family.checkpoints]
    assert len(ids) == len(set(ids))
    assert all("/" in hub_id for hub_id in ids)
    for family in families():
        assert family.good_at
        assert family.use
        assert family.name
        for checkpoint in family.checkpoints:
            assert checkpoint.license
            assert checkpoint.size in OFFICIAL or (not checkpoint.size and checkpoint.billions)
        hub_ids = [checkpoint.hub_id for checkpoint in family.checkpoints]
        for scores in family.scores:
            assert len(scores.source) > 8
            for name, percents in scores.percent.items():
                assert any(name.partition("-")[0] in hub_id for hub_id in hub_ids), name
                assert all(0 < percent < 100 for percent in percents.values())


def test_built_in_dialects_have_a_table() -> None:
    names = [path.stem for path in DIALECTS.glob("[!_]*.py") if path.stem != "base"]
    assert sorted(names) == sorted(path.stem for path in DIALECTS.glob("*.toml"))


def test_tables_name_the_image_budget_of_the_dialect() -> None:
    (command,) = serve_commands(load_family("autoglm"))
    assert f'"max_pixels": {autoglm.LIMITS.max_pixels}' in command.arguments
    limits = load_family("ui_venus").vllm[1].limits
    assert limits == ui_venus.GROUND_LIMITS


@pytest.mark.parametrize("size", OFFICIAL)
def test_parameter_counts_match_network(size: str) -> None:
    from model.nn.architectures import make_model

    with torch.device("meta"):
        model = make_model(OFFICIAL[size])
    names = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "experts"}
    names |= {"in_proj_qkv", "in_proj_z", "out_proj"}
    decoder = {
        name: parameter.numel() for name, parameter in model.named_parameters() if name.startswith("model.layers.")
    }
    linear = sum(count for name, count in decoder.items() if not name.endswith("bias") and set(name.split(".")) & names)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert parameters(OFFICIAL[size]) == (linear, total - linear)


def test_memory_is_weights_and_cache() -> None:
    config = OFFICIAL["7B"]
    linear, others = parameters(config)
    cache = 2 * 2 * 28 * 4 * 128 * GRID_TOKENS
    assert memory_bytes(config, "bf16") == 2 * (linear + others) + cache
    assert memory_bytes(config, "int4") == int(linear * (4 + 16 / GROUP) / 8) + 2 * others + cache
    assert memory_bytes(config, "bf16", 0) < memory_bytes(config, "bf16", 1)
    for family in families():
        for checkpoint in family.checkpoints:
            sizes = list(required_bytes(checkpoint).values())
            assert sizes == sorted(sizes, reverse=True)
            assert sizes[-1] > 1e9


@pytest.mark.parametrize(
    ("hardware", "use", "expected"),
    [
        (Hardware(16e9, 80e9, "H"), "browser", ("microsoft/Fara1.5-27B", "bf16", "gpu")),
        (Hardware(16e9, 12e9, "S"), "browser", ("microsoft/Fara1.5-9B", "int4", "gpu")),
        (Hardware(64e9, 4e9, "T"), "browser", ("microsoft/Fara1.5-27B", "bf16", "cpu")),
        (Hardware(64e9, 0), "phone", ("inclusionAI/UI-Venus-1.5-30B-A3B", "int8", "cpu")),
    ],
)
def test_largest_that_fits_is_recommended(hardware: Hardware, use: str, expected: tuple[str, str, str]) -> None:
    recommendation = recommend(hardware, use)[0]
    assert (recommendation.checkpoint.hub_id, recommendation.precision, recommendation.place) == expected
    free = hardware.gpu_bytes if recommendation.place == "gpu" else hardware.memory_bytes
    assert recommendation.required_bytes <= free
    assert use in recommendation.family.use
    assert recommendation.family.runs == "here"


def test_checkpoint_is_recommended_for_its_use_only() -> None:
    ids = {
        use: [recommendation.checkpoint.hub_id for recommendation in recommend(Hardware(0, 10**12, "X"), use)]
        for use in ("phone", "grounding")
    }
    assert "inclusionAI/UI-Venus-Navi-7B" in ids["phone"]
    assert ids["grounding"][0] == "inclusionAI/UI-Venus-1.5-30B-A3B"
    assert "inclusionAI/UI-Venus-Ground-72B" in ids["grounding"]
    assert not set(ids["phone"]) & {"inclusionAI/UI-Venus-Ground-7B", "HelloKKMe/GTA1-7B"}


def test_other_shapes_are_never_recommended() -> None:
    """Their scores do not rank the family either: Holo3's 77.8 is of a shape that runs behind servers only."""
    recommended = recommend(Hardware(0, 10**12, "X"), "desktop")
    assert all(recommendation.checkpoint.size for recommendation in recommended)
    order = [recommendation.family.dialect for recommendation in recommended]
    assert order.index("evocua") < order.index("holo3")


def test_nothing_is_recommended_without_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    import typer

    from model.cli import app

    assert recommend(Hardware(int(1e9)), "desktop") == []
    monkeypatch.setattr(recommend_module, "detect_hardware", lambda: Hardware(int(1e9)))
    assert typer.main.get_command(app).main(["recommend", "--for", "desktop"], standalone_mode=False) == 1
    assert "--model http://HOST:PORT/v1#NAME" in capsys.readouterr().out


def test_hardware_has_memory() -> None:
    assert detect_hardware().memory_bytes > 0


def test_family_card_has_memory_license_and_sources() -> None:
    card = family_card("fara")
    for text in ("microsoft/Fara-7B", "17.5 GB", "WebTailBench", "38.4", "Fara README", "MIT", "bf16"):
        assert text in card
    assert "no published scores" in family_card("jedi")
    assert "vllm serve xlangai/Jedi-7B-1080p --mm-processor-kwargs" in family_card("jedi")
    assert "vllm" not in family_card("openai")
    assert "runs locally" in family_card("OpenCUA")
    assert len(family_table().splitlines()) == len(families()) + 1
    with pytest.raises(UsageError, match=r"no family 'farra'.*Did you mean 'fara'"):
        family_card("farra")


def test_base_family_sizes_on_hub() -> None:
    assert [(known.hub_id[-11:], known.gigabytes) for known in hub.KNOWN] == [
        ("3B-Instruct", 7.5),
        ("7B-Instruct", 16.6),
        ("2B-Instruct", 66.9),
        ("2B-Instruct", 146.8),
        ("2B-Instruct", 4.3),
        ("4B-Instruct", 8.9),
        ("8B-Instruct", 17.5),
        ("2B-Instruct", 66.7),
        ("wen3.5-0.8B", 1.7),
        ("/Qwen3.5-2B", 4.4),
        ("/Qwen3.5-4B", 9.1),
        ("/Qwen3.5-9B", 18.8),
        ("Qwen3.5-27B", 54.7),
    ]
