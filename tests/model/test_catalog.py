"""The families' facts: whole, sourced, and their memory that of the real shapes; and what is recommended where."""

from __future__ import annotations

import pytest
import torch

from actions import UsageError, plugins
from model.checkpoints import hub
from model.checkpoints.hub import Machine, family_card, family_table, recommend
from model.checkpoints.model_zoo import FAMILIES, GRID_TOKENS, GROUP, memory_bytes, needs, parameters
from model.nn.config import OFFICIAL


def test_every_dialect_has_its_family_and_no_other() -> None:
    assert sorted(family.dialect for family in FAMILIES) == plugins.list_plugins("model.dialects")


def test_every_fact_is_whole_and_every_score_has_a_source() -> None:
    ids = [one.hub_id for family in FAMILIES for one in family.checkpoints]
    assert len(ids) == len(set(ids)) and all("/" in one for one in ids)
    for family in FAMILIES:
        assert family.good_at and family.use and family.name
        for one in family.checkpoints:
            assert one.licence and (one.size in OFFICIAL or (not one.size and one.billions))
        for score in family.scores:
            assert 0 < score.value < 100 and len(score.source) > 8
            assert any(score.checkpoint.partition("-")[0] in one.hub_id for one in family.checkpoints), score


@pytest.mark.parametrize("size", OFFICIAL)
def test_parameters_are_those_of_the_real_shapes(size: str) -> None:
    from model.nn.qwen25vl import Qwen25VL

    with torch.device("meta"):
        model = Qwen25VL(OFFICIAL[size])
    names = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    decoder = {name: one.numel() for name, one in model.named_parameters() if name.startswith("model.layers.")}
    linear = sum(count for name, count in decoder.items() if name.endswith("weight") and set(name.split(".")) & names)
    whole = sum(one.numel() for one in model.parameters())
    assert parameters(OFFICIAL[size]) == (linear, whole - linear)


def test_memory_is_weights_and_context() -> None:
    config = OFFICIAL["7B"]
    linear, others = parameters(config)
    cache = 2 * 2 * 28 * 4 * 128 * GRID_TOKENS
    assert memory_bytes(config, "bf16") == 2 * (linear + others) + cache
    assert memory_bytes(config, "int4") == int(linear * (4 + 16 / GROUP) / 8) + 2 * others + cache
    assert memory_bytes(config, "bf16", 0) < memory_bytes(config, "bf16", 1)
    for family in FAMILIES:
        for one in family.checkpoints:
            figures = list(needs(one).values())
            assert figures == sorted(figures, reverse=True) and figures[-1] > 1e9


@pytest.mark.parametrize(
    ("machine", "use", "first"),
    [
        (Machine(16e9, 80e9, "H"), "browser", ("microsoft/Fara-7B", "bf16", "gpu")),
        (Machine(16e9, 12e9, "S"), "browser", ("microsoft/Fara-7B", "int4", "gpu")),
        (Machine(64e9, 4e9, "T"), "browser", ("microsoft/Fara-7B", "bf16", "cpu")),
        (Machine(64e9, 0), "phone", ("mPLUG/GUI-Owl-32B", "int8", "cpu")),
    ],
)
def test_what_fits_is_recommended(machine: Machine, use: str, first: tuple[str, str, str]) -> None:
    advice = recommend(machine, use)[0]
    assert (advice.checkpoint.hub_id, advice.kind, advice.place) == first
    free = machine.gpu_bytes if advice.place == "gpu" else machine.memory_bytes
    assert advice.needed <= free and use in advice.family.use and advice.family.runs == "here"


def test_a_checkpoint_is_recommended_for_its_own_use_only() -> None:
    ids = {
        use: [one.checkpoint.hub_id for one in recommend(Machine(0, 10**12, "X"), use)]
        for use in ("phone", "grounding")
    }
    assert "inclusionAI/UI-Venus-Navi-7B" in ids["phone"] and ids["grounding"][0] == "inclusionAI/UI-Venus-Ground-72B"
    assert not set(ids["phone"]) & {"inclusionAI/UI-Venus-Ground-7B", "HelloKKMe/GTA1-7B"}


def test_where_nothing_fits_nothing_is_recommended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import typer

    from model.cli import app

    assert recommend(Machine(int(2e9)), "desktop") == []
    monkeypatch.setattr(hub, "this_machine", lambda: Machine(int(2e9)))
    assert typer.main.get_command(app).main(["recommend", "--for", "desktop"], standalone_mode=False) == 1
    assert "--model http://HOST:PORT/v1#NAME" in capsys.readouterr().out


def test_the_real_machine_can_be_asked() -> None:
    assert hub.this_machine().memory_bytes > 0


def test_a_card_has_memory_licence_scores_and_sources() -> None:
    card = family_card("fara")
    for words in ("microsoft/Fara-7B", "17.5 GB", "WebTailBench", "38.4", "Fara README", "MIT", "bf16"):
        assert words in card
    assert "no published score at hand" in family_card("jedi") and "in our engine" in family_card("OpenCUA")
    assert len(family_table().splitlines()) == len(FAMILIES) + 1
    with pytest.raises(UsageError, match=r"no family 'farra'.*Did you mean 'fara'"):
        family_card("farra")


def test_the_base_family_is_listed_as_before() -> None:
    assert [(known.hub_id[-11:], known.gigabytes) for known in hub.KNOWN] == [
        ("3B-Instruct", 7.5),
        ("7B-Instruct", 16.6),
        ("2B-Instruct", 66.9),
        ("2B-Instruct", 146.8),
    ]
