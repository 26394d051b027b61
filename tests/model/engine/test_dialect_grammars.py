"""What a family was taught to say its grammar takes, and nothing else: random logits make good calls alone."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from helpers.model_families import load_examples

from actions import ACTION_TYPES, CONTROL_ACTIONS, Action, InvalidActionError, Screen, UsageError
from model.checkpoints.weights import EMBEDDED_FOLDER
from model.engine.grammar import GrammarCompiler, GrammarGuide

BROWSER = frozenset({"click", "move", "drag", "scroll", "type", "press", "wait", "open", "back"})
PHONE = frozenset({"click", "drag", "long_press", "type", "press", "open", "back", "home", "wait"})
FAMILIES = [  # family, tool, the verbs of a surface that it is for
    ("ui_tars", "computer_use", BROWSER),
    ("ui_tars", "mobile_use", PHONE),
    ("ui_tars_v1", "computer_use", BROWSER),
    ("opencua", "computer_use", BROWSER),
    ("gui_owl", "computer_use", BROWSER),
    ("gui_owl", "mobile_use", PHONE),
    ("fara", "computer_use", BROWSER),
    ("holo", "navigate", BROWSER | {"home"}),
    ("holo", "click", BROWSER),
    ("holo", "click_absolute", BROWSER),
    ("ui_venus", "mobile_use", PHONE),
    ("ui_venus", "ground", PHONE),
    ("autoglm", "mobile_use", PHONE),
    ("qwen3vl", "computer_use", BROWSER),
    ("qwen3vl", "mobile_use", PHONE),
    ("jedi", "computer_use", BROWSER),
    ("gta1", "computer_use", BROWSER),
    ("qwen35", "computer_use", BROWSER),
    ("qwen35", "mobile_use", PHONE),
    ("gui_owl15", "computer_use", BROWSER),
    ("gui_owl15", "mobile_use", PHONE),
    ("evocua", "computer_use", BROWSER),
    ("mai_ui", "mobile_use", PHONE),
    ("mai_ui", "ground", PHONE),
    ("ui_venus15", "mobile_use", PHONE),
    ("ui_venus15", "browser_use", BROWSER | {"home", "long_press"}),
    ("ui_venus15", "ground", PHONE),
    ("fara15", "computer_use", BROWSER),
    ("holo3", "navigate", BROWSER | {"home", "long_press"}),
    ("holo3", "ground", BROWSER),
]


REASONING_END = "</think>\n\n"  # precedes the reply of holo3 in the engine; servers and formatted replies leave it out
ACCEPTED_COUNT = {  # examples that the grammar accepts literally
    ("ui_tars", "computer_use"): 19,
    ("ui_tars", "mobile_use"): 16,
    ("ui_tars_v1", "computer_use"): 17,
    ("opencua", "computer_use"): 4,  # the authors' fence is required, which most examples lack
    ("gui_owl", "computer_use"): 17,
    ("gui_owl", "mobile_use"): 12,
    ("fara", "computer_use"): 18,
    ("holo", "navigate"): 13,
    ("holo", "click"): 4,
    ("holo", "click_absolute"): 2,
    ("ui_venus", "mobile_use"): 12,
    ("ui_venus", "ground"): 4,
    ("autoglm", "mobile_use"): 15,
    ("qwen3vl", "computer_use"): 15,
    ("qwen3vl", "mobile_use"): 12,
    ("jedi", "computer_use"): 12,
    ("gta1", "computer_use"): 6,
    ("qwen35", "computer_use"): 17,
    ("qwen35", "mobile_use"): 13,
    ("gui_owl15", "computer_use"): 19,
    ("gui_owl15", "mobile_use"): 17,
    ("evocua", "computer_use"): 16,
    ("mai_ui", "mobile_use"): 14,
    ("mai_ui", "ground"): 10,
    ("ui_venus15", "mobile_use"): 15,
    ("ui_venus15", "browser_use"): 20,
    ("ui_venus15", "ground"): 9,
    ("fara15", "computer_use"): 16,
    ("holo3", "navigate"): 1,  # the others lack the end of the reasoning
    ("holo3", "ground"): 9,
}


@lru_cache(maxsize=1)
def grammars() -> GrammarCompiler:
    return GrammarCompiler(EMBEDDED_FOLDER / "tokenizer.json", (258, 256))


def screen(size: tuple[int, int]) -> Screen:
    return Screen(np.zeros((size[1], size[0], 3), np.uint8))


def open_dialect(family: str, tool: str) -> Any:
    module = import_module(f"model.dialects.{family}")
    return module.Dialect(module.LIMITS, tool)


def is_offered(dialect: Any, action: Action, screen_: Screen) -> bool:
    """Whether the call for an action is in prompts; ui_tars' examples are of both action spaces."""
    if dialect.NAME == "opencua" or dialect.tool in ("click", "click_absolute", "ground"):
        return True  # code, or a place alone
    try:
        return dialect.table.rows[dialect.call_for(action, screen_)[0]].offered
    except UsageError:  # a call and a text before it, as fara's answers
        return True


def accepts(guide: GrammarGuide, text: str) -> bool:
    """Whether a reply is allowed from its first token to its end, and is whole there."""
    for token in grammars()._ids(text):
        if guide.done:
            return False
        try:
            guide.accept(token)
        except ValueError:
            return False
    return guide.done or guide._matcher.is_accepting()


@pytest.mark.parametrize(("family", "tool", "verbs"), FAMILIES)
def test_grammar_accepts_examples_or_their_formatted_actions(family: str, tool: str, verbs: frozenset[str]) -> None:
    """What parsers tolerate (fractions, boxes, full-width digits, a missing end) is not in the grammar."""
    dialect = open_dialect(family, tool)
    accepted_count = 0
    for example in load_examples(family, tool):
        screen_ = screen(example.screen_size)
        form = dialect.grammar(frozenset(ACTION_TYPES), screen_)
        assert form is not None
        is_accepted = accepts(grammars().guide(form), example.text)
        accepted_count += is_accepted
        try:
            formatted = dialect.format_action(example.action, screen_)
        except UsageError:
            assert is_accepted, example.text
            continue
        reply = formatted if form.open in formatted or form.open != REASONING_END else f"{form.open}{formatted}"
        assert accepts(grammars().guide(form), reply) == is_offered(dialect, example.action, screen_), formatted
    assert accepted_count >= ACCEPTED_COUNT[family, tool]


def check_random_replies(family: str, tool: str, verbs: frozenset[str], count: int, size: tuple[int, int]) -> Counter:
    """So many replies of random logits; each must be read, stay on the screen, and be what the surface can do."""
    dialect = open_dialect(family, tool)
    screen_ = screen(size)
    form = dialect.grammar(verbs, screen_)
    assert form is not None
    generator = torch.Generator().manual_seed(count)
    verb_counts: Counter = Counter()
    for number in range(count):
        guide = grammars().guide(form, thought=number % 2 == 0)
        room = (guide._start.call_tokens, 220, 400)[number % 3]
        ids: list[int] = []
        while not guide.done and len(ids) < room:
            ids += guide.forced(room - len(ids))
            if guide.done or len(ids) == room:
                break
            logits = 4 * torch.randn(1, grammars().size + 8, generator=generator)
            ids.append(int(guide.mask_logits(logits, room - len(ids)).argmax()))
            guide.accept(ids[-1])
        text = grammars()._tokens.decode_str([token for token in ids if token not in (258, 256)])
        try:
            actions = dialect.to_actions(dialect.parse(text), screen_)
        except InvalidActionError as error:
            raise AssertionError(f"{error}: {text!r}") from None
        for action in actions:
            assert action.verb in verbs | CONTROL_ACTIONS, text
            for point in action.points():
                screen_.check_point(*point)
        verb_counts[actions[0].verb] += 1
    return verb_counts


@pytest.mark.slow
@pytest.mark.parametrize(("family", "tool", "verbs"), FAMILIES)
def test_random_replies_at_other_sizes(family: str, tool: str, verbs: frozenset[str]) -> None:
    for size in ((1288, 728), (56, 56), (3840, 2160)):
        check_random_replies(family, tool, verbs, 200, size)


@pytest.mark.parametrize(("family", "tool", "verbs"), FAMILIES)
def test_random_logits_generate_valid_calls(family: str, tool: str, verbs: frozenset[str]) -> None:
    verb_counts = check_random_replies(family, tool, verbs, 30, (1080, 2400) if "mobile" in tool else (1920, 1080))
    assert len(verb_counts) >= (1 if tool in ("click", "click_absolute", "ground") or family == "gta1" else 4), (
        verb_counts
    )
