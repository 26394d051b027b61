"""A reply held to its form is a call: it parses, stays on the screen, and asks for what the surface can do."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from actions import CONTROL_ACTIONS, Screen
from model.chat_model import load_chat
from model.checkpoints.weights import EMBEDDED_FOLDER
from model.dialects.base import DialectDefaults
from model.dialects.qwen25 import Dialect
from model.engine.call_grammar import integer_below_regex
from model.engine.grammar import GrammarCompiler
from model.processing.image import ImageLimits

BROWSER = frozenset({"click", "move", "drag", "scroll", "type", "press", "wait"})
PHONE = frozenset({"click", "drag", "long_press", "type", "press", "open", "back", "wait"})
ARGUMENTS = '{"action": "left_click", "coordinate": [812, 345]}'
CALL = f'<tool_call>\n{{"name": "computer_use", "arguments": {ARGUMENTS}}}\n</tool_call>'


@pytest.fixture(scope="module")
def grammars() -> GrammarCompiler:
    return GrammarCompiler(EMBEDDED_FOLDER / "tokenizer.json", (258, 256))


def screen(width: int, height: int) -> Screen:
    return Screen(np.zeros((height, width, 3), np.uint8))


def prove(grammars: GrammarCompiler, count: int, tool: str, verbs: frozenset[str], size: tuple[int, int]) -> Counter:
    """So many replies of random logits; each must be an action that the surface can do, on the screen."""
    dialect, shown = Dialect(ImageLimits(), tool), screen(*size)
    form = dialect.grammar(verbs, shown)
    assert form is not None
    generator = torch.Generator().manual_seed(count)
    kinds: Counter = Counter()
    for number in range(count):
        guide = grammars.guide(form, thought=number % 2 == 0)
        room = (guide._start.call_room, 200, 400)[number % 3] if tool == "computer_use" else 400
        ids: list[int] = []
        while not guide.done and len(ids) < room:
            ids += guide.forced(room - len(ids))
            if guide.done or len(ids) == room:
                break
            logits = 4 * torch.randn(1, grammars.size + 8, generator=generator)
            ids.append(int(guide.mask_logits(logits, room - len(ids)).argmax()))
            guide.accept(ids[-1])
        text = grammars._tokens.decode_str(ids)
        action = dialect.to_action(dialect.parse(text), shown)
        assert action.verb in verbs | CONTROL_ACTIONS, text
        for point in action.points():
            shown.check_point(*point)
        kinds[action.verb] += 1
    return kinds


@pytest.mark.parametrize(
    ("tool", "verbs", "size"), [("computer_use", BROWSER, (1920, 1080)), ("mobile_use", PHONE, (1080, 2400))]
)
def test_random_logits_make_nothing_but_good_calls(
    grammars: GrammarCompiler, tool: str, verbs: frozenset[str], size: tuple[int, int]
) -> None:
    kinds = prove(grammars, 150, tool, verbs, size)
    assert len(kinds) >= 5


@pytest.mark.parametrize(
    "keys", ['["down"]', '["ctrl", "a"]', '["ctrl", "shift", "t"]', '["ctrl+a"]', '["ctrl+shift+t"]']
)
def test_keys_may_be_said_one_by_one_and_as_a_chord(grammars: GrammarCompiler, keys: str) -> None:
    form = Dialect(ImageLimits()).grammar(BROWSER, screen(280, 364))
    assert form is not None
    guide = grammars.guide(form)
    said = f'<tool_call>\n{{"name": "computer_use", "arguments": {{"action": "key", "keys": {keys}}}}}\n</tool_call>'
    for token in grammars._ids(said):
        guide.accept(token)
    assert guide.done


def test_verbs_that_a_surface_lacks_are_never_said(grammars: GrammarCompiler) -> None:
    assert set(prove(grammars, 60, "computer_use", frozenset({"click"}), (100, 60))) == {"click", "done"}
    assert "home" not in prove(grammars, 60, "mobile_use", frozenset({"press", "back"}), (280, 364))


@pytest.mark.slow
def test_ten_thousand_calls_from_random_logits(grammars: GrammarCompiler) -> None:
    sizes = [(1920, 1080), (28, 28), (1, 1), (333, 777), (3840, 2160)]
    for size in sizes:
        prove(grammars, 1000, "computer_use", BROWSER | {"back", "home", "open"}, size)
        prove(grammars, 1000, "mobile_use", PHONE | {"home"}, size)


@pytest.mark.parametrize("limit", [1, 2, 9, 10, 11, 28, 100, 101, 728, 1000, 1092, 1932, 10001])
def test_numbers_below_a_limit_are_these_and_no_others(limit: int) -> None:
    pattern = re.compile(integer_below_regex(limit))
    for text in [*map(str, range(limit + 120)), "00", "01", "", "-1", "1.0"]:
        assert bool(pattern.fullmatch(text)) == (text.isdigit() and str(int(text)) == text and int(text) < limit), text


def count_sampled(grammars: GrammarCompiler, text: str) -> tuple[int, int]:
    """(tokens, those of them that had to be asked for) of a call that is said word by word."""
    form = Dialect(ImageLimits()).grammar(BROWSER, screen(1920, 1080))
    assert form is not None
    guide, ids, asked, place = grammars.guide(form), grammars._ids(text), 0, 0
    while place < len(ids):
        forced = guide.forced(99)
        assert forced == ids[place : place + len(forced)]  # what is forced is what the tokenizer would have written
        place += len(forced)
        if place < len(ids):
            guide.accept(ids[place])
            place, asked = place + 1, asked + 1
    assert guide.done
    return len(ids), asked


@pytest.fixture(scope="module")
def qwen_like(tmp_path_factory: pytest.TempPathFactory) -> GrammarCompiler:
    """A tokenizer by Qwen's rules (NFC, its splitting, a token for each digit), its merges learned from calls."""
    words_and_digits = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    rule = words_and_digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rule), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    words = ["name", "computer", "arguments", "action", "left", "click", "coordinate", "key", "type", "drag", "scroll"]
    tokenizer.train_from_iterator(
        [*[f'"{a}_{b}": "{a}"' for a in words for b in words], '"}}\n', '": [', "]}}\n"], trainer
    )
    tokenizer.add_special_tokens([AddedToken("<|im_end|>", special=True, normalized=False)])
    tokenizer.add_tokens([AddedToken(one, special=False, normalized=False) for one in ("<tool_call>", "</tool_call>")])
    path = tmp_path_factory.mktemp("qwen") / "tokenizer.json"
    tokenizer.save(str(path))
    return GrammarCompiler(path, (tokenizer.token_to_id("<|im_end|>"),))


def test_of_a_click_little_more_than_its_digits_is_asked_for(
    grammars: GrammarCompiler, qwen_like: GrammarCompiler
) -> None:
    tokens, asked = count_sampled(qwen_like, CALL)
    assert tokens > 30 and asked <= 12
    assert count_sampled(grammars, CALL)[1] <= 9


def test_thought_stays_free_and_a_tag_spelled_in_letters_is_no_call(grammars: GrammarCompiler) -> None:
    form = Dialect(ImageLimits()).grammar(BROWSER, screen(280, 364))
    assert form is not None
    guide = grammars.guide(form)
    for token in grammars._ids('Let me see: {"name"} <b> ünd'):
        assert guide.forced(9) == []
        guide.accept(token)
    with pytest.raises(ValueError, match="not allowed"):
        for token in grammars._tokens.tokenize_str("<tool_call>{", parse_special=False):
            guide.accept(token)


def test_stop_ids_never_end_a_reply_before_its_call(grammars: GrammarCompiler) -> None:
    form = Dialect(ImageLimits()).grammar(BROWSER, screen(280, 364))
    assert form is not None
    logits = grammars.guide(form).mask_logits(torch.zeros(1, 384), 200)[0]
    assert logits[258] == logits[256] == float("-inf") and logits[264] == 0
    assert bool((logits[grammars.size :] == float("-inf")).all())


def test_a_model_that_says_good_calls_says_the_same_with_and_without() -> None:
    """The grammar takes away only what is no call: where the free reply is one, it stays, in fewer passes."""
    chat = load_chat("embedded", "cpu")
    dialect = Dialect(chat.limits)
    for left in (40, 150):
        image = Image.new("RGB", (280, 364), (255, 255, 255))
        ImageDraw.Draw(image).rectangle((left, 90, left + 70, 120), fill=(240, 240, 240), outline=(60, 60, 60))
        shown = Screen(np.array(image))
        talk = dialect.conversation("Click the button.", (), shown, BROWSER)
        free = chat.reply(talk.messages, talk.tools)
        meant = dialect.to_action(dialect.parse(free.text), shown)
        passes = chat.work.passes if chat.work else 0
        held = chat.reply(talk.messages, talk.tools, form=dialect.grammar(BROWSER, shown))
        assert dialect.to_action(dialect.parse(held.text), shown) == meant and free.text.startswith(held.text[:90])
        assert chat.work is not None and chat.work.passes < passes and chat.work.forced > 0


def test_a_dialect_without_a_form_is_decoded_freely() -> None:
    assert DialectDefaults().grammar(BROWSER, screen(28, 28)) is None
