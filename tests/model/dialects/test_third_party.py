"""A dialect of a third party: one file outside of the package."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from helpers.model_families import actions_of, screen_of

from actions import ACTION_TYPES, Click, Done, InvalidActionError, Scroll, TypeText, UsageError, plugins
from agent.policies.base import load_dialect
from model.checkpoints.detect_dialect import _detection, detect_dialect
from model.checkpoints.model_family import Checkpoint, ModelFamily
from model.checkpoints.model_zoo import ServeCommand, families, load_family, serve_commands
from model.checkpoints.recommend import Hardware, family_card, family_table, recommend
from model.checkpoints.weights import EMBEDDED_FOLDER
from model.dialects.base import Dialect
from model.engine.grammar import GrammarCompiler
from model.processing.image import ImageLimits

ALL = frozenset(ACTION_TYPES)
SCREEN = screen_of(1288, 728)
FILE = '''
"""Acme-GUI: `<do>tap(at=(x, y))</do>`, in thousandths."""

import re

from model.dialects.base import Conversation, Detection
from model.wire.call_parser import CallParser
from model.dialects.parts.coordinates import SCALE_1000
from model.dialects.parts.fields import AmountField, PointField, TextField
from model.dialects.parts.history import chat_turns, escape, message, outcome_text, text_part
from model.dialects.parts.python_calls import PythonCallDialect, call_form
from model.dialects.parts.table import ActionSpec, ActionTable

AT = PointField("at", form="(x, y)")
TABLE = ActionTable(
    ActionSpec("tap", "click", (AT,)),
    ActionSpec("tap_twice", "click", (AT,), constants={"count": 2}),
    ActionSpec("turn", "scroll", (AT, AmountField("by", form="n", unit=1, most=9))),
    ActionSpec("write", "type", (TextField("text", form="'...'"),)),
    ActionSpec("stop", "done", (TextField("why", form="'...'", attribute="message", default=""),)),
)


class Dialect(PythonCallDialect):
    NAME = "acme"
    DETECTION = Detection(markers=(("<do>tap(",),))
    SPACE = SCALE_1000
    ACTIONS = {"computer_use": TABLE}
    CALLS = CallParser(TABLE.rows)
    MARK = re.compile("<do>")
    OPEN, CLOSE = "<do>", "</do>"
    EXAMPLE = "<do>tap(at=(x, y))</do>"
    point_pattern = r"at=\\((\\d+), ?(\\d+)\\)"

    def conversation(self, goal, steps, screen, verbs):
        calls = ", ".join(call_form(row) for row in self.table.offered(verbs))
        system = message("system", text_part(self.render_prompt("Use {calls}.", calls=calls)))
        return Conversation((system, *chat_turns(escape(goal), steps, screen, outcome_text)))
'''


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dialect:
    (tmp_path / "acme_gui.py").write_text(FILE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = types.SimpleNamespace(name="acme", value="acme_gui")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == "pixelhand.model.dialects" else [])
    yield load_dialect("acme", ImageLimits())
    sys.modules.pop("acme_gui", None)
    _detection.cache_clear()
    load_family.cache_clear()


def test_checkpoint_is_detected_by_its_model_card(acme: Dialect, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}', encoding="utf-8")
    (tmp_path / "README.md").write_text("It replies <do>tap(at=(1, 2))</do>.", encoding="utf-8")
    assert detect_dialect(tmp_path).require() == "acme"


def test_models_list_has_the_family(acme: Dialect) -> None:
    row = next(line for line in family_table().splitlines() if line.startswith("acme "))
    assert "server" in row
    assert "Acme-GUI" in row


def test_declared_checkpoints_are_listed_and_served(acme: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    models = ModelFamily("Acme", (Checkpoint("acme/gui-7b", "7B", "MIT"),), "taps", ("phone",))
    monkeypatch.setattr(sys.modules["acme_gui"], "MODELS", models, raising=False)
    assert "acme/gui-7b" in family_card("acme")
    (command,) = serve_commands(next(family for family in families() if family.dialect == "acme"))
    assert command == ServeCommand(
        "acme/gui-7b", '--mm-processor-kwargs \'{"min_pixels": 3136, "max_pixels": 12845056}\'', "?dialect=acme"
    )
    assert "acme/gui-7b" in [item.checkpoint.hub_id for item in recommend(Hardware(0, 10**12, "X"), "phone")]


def test_table_beside_the_file_is_listed(acme: Dialect, tmp_path: Path) -> None:
    table = """
        name = "Acme"
        use = ["phone"]
        checkpoints = [{ hub_id = "acme/gui-7b", size = "7B", license = "MIT" }]
        scores = [{ source = "its README", percent.7b = { ScreenSpot-Pro = 12.5 } }]
    """
    (tmp_path / "acme_gui.toml").write_text(table, encoding="utf-8")
    card = family_card("acme")
    assert "acme/gui-7b" in card
    assert "12.5  its README" in card


@pytest.mark.parametrize("table", ["name", 'name = "Acme"\nlicence = "MIT"', 'name = "Acme"\nuse = ["cooking"]', ""])
def test_invalid_table_is_refused_by_its_path(acme: Dialect, tmp_path: Path, table: str) -> None:
    (tmp_path / "acme_gui.toml").write_text(table, encoding="utf-8")
    with pytest.raises(UsageError, match=r"acme_gui\.toml"):
        load_family("acme")


def test_prompt_lists_what_the_surface_can_do(acme: Dialect) -> None:
    (system, user) = acme.conversation("Buy milk", [], SCREEN, frozenset({"click"})).messages
    assert system["content"][0]["text"] == "Use tap(at=(x, y)), tap_twice(at=(x, y)), stop(why='...')."
    assert user["content"][0]["text"] == "Buy milk"
    assert len(acme.prompt_hash) == 64


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("I see it.\n<do>tap(at=(500, 500))</do>", Click(x=644, y=364)),
        ("<do>tap_twice(at=(0, 1000))</do>", Click(x=0, y=727, count=2)),
        ("<do>turn(at=(500, 500), by=-3)</do>", Scroll(x=644, y=364, down=-3)),
        ("<do>write(text='it\\'s')</do>", TypeText(text="it's")),
        ("<do>stop()</do>", Done()),
    ],
)
def test_replies_are_parsed(acme: Dialect, text: str, action: object) -> None:
    assert actions_of(acme, text) == (action,)


@pytest.mark.parametrize("text", ["", "<do>tap()</do>", "<do>tap(at=(5000, 1))</do>", "<do>tap(at=(1, 1), by=1)</do>"])
def test_invalid_replies_are_refused(acme: Dialect, text: str) -> None:
    with pytest.raises(InvalidActionError):
        actions_of(acme, text)


def test_formatted_actions_parse_to_themselves(acme: Dialect) -> None:
    for action in (Click(x=644, y=364), Click(x=644, y=364, count=2), TypeText(text="'\n"), Done(message="Done.")):
        assert actions_of(acme, acme.format_action(action, SCREEN)) == (action,)
    with pytest.raises(UsageError, match="acme"):
        acme.format_action(Scroll(down=1), SCREEN)


def test_grammar_accepts_calls_and_nothing_else(acme: Dialect) -> None:
    grammar = acme.grammar(ALL, SCREEN)
    assert grammar is not None
    compiler = GrammarCompiler(EMBEDDED_FOLDER / "tokenizer.json", (258, 256))
    for text, is_valid in (
        ("Here.<do>tap(at=(500, 1000))</do>", True),
        ("<do>turn(at=(1, 2), by=-9)</do>", True),
        ("<do>turn(at=(1, 2), by=10)</do>", False),
        ("<do>tap(at=(500, 1001))</do>", False),
        ("<do>hop()</do>", False),
    ):
        guide = compiler.guide(grammar)
        try:
            for token in compiler._ids(text):
                guide.accept(token)
        except ValueError:
            assert not is_valid, text
        else:
            assert is_valid, text
            assert guide.done or guide._matcher.is_accepting()


def test_third_party_supports_grounding_and_zoom(acme: Dialect) -> None:
    assert acme.supports("click")
    assert not acme.supports("drag")
    text = "<do>tap(at=(10, 20))</do>"
    (span,) = acme.point_spans(text)
    assert text[span.start : span.end] == "at=(10, 20)"
    assert acme.with_point(text, 644, 364, SCREEN) == "<do>tap(at=(500, 501))</do>"
