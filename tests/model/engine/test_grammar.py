"""Constrained replies are calls: they parse, their points are on the screen, and the surface supports their actions."""

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
from model.dialects import base
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


def check_random_replies(
    grammars: GrammarCompiler, count: int, tool: str, verbs: frozenset[str], size: tuple[int, int]
) -> Counter:
    """Generate replies from random logits, and check that each is a supported action on the screen."""
    dialect, target = Dialect(ImageLimits(), tool), screen(*size)
    form = dialect.grammar(verbs, target)
    assert form is not None
    generator = torch.Generator().manual_seed(count)
    verb_counts: Counter = Counter()
    for number in range(count):
        guide = grammars.guide(form, thought=number % 2 == 0)
        max_tokens = (guide._start.call_tokens, 200, 400)[number % 3] if tool == "computer_use" else 400
        ids: list[int] = []
        while not guide.done and len(ids) < max_tokens:
            ids += guide.forced(max_tokens - len(ids))
            if guide.done or len(ids) == max_tokens:
                break
            logits = 4 * torch.randn(1, grammars.size + 8, generator=generator)
            ids.append(int(guide.mask_logits(logits, max_tokens - len(ids)).argmax()))
            guide.accept(ids[-1])
        text = grammars._tokens.decode_str(ids)
        action = dialect.to_action(dialect.parse(text), target)
        assert action.verb in verbs | CONTROL_ACTIONS, text
        for point in action.points():
            target.check_point(*point)
        verb_counts[action.verb] += 1
    return verb_counts


@pytest.mark.parametrize(
    ("tool", "verbs", "size"), [("computer_use", BROWSER, (1920, 1080)), ("mobile_use", PHONE, (1080, 2400))]
)
def test_random_logits_give_valid_calls(
    grammars: GrammarCompiler, tool: str, verbs: frozenset[str], size: tuple[int, int]
) -> None:
    verb_counts = check_random_replies(grammars, 150, tool, verbs, size)
    assert len(verb_counts) >= 5


@pytest.mark.parametrize(
    "keys", ['["down"]', '["ctrl", "a"]', '["ctrl", "shift", "t"]', '["ctrl+a"]', '["ctrl+shift+t"]']
)
def test_keys_and_chords_are_allowed(grammars: GrammarCompiler, keys: str) -> None:
    form = Dialect(ImageLimits()).grammar(BROWSER, screen(280, 364))
    assert form is not None
    guide = grammars.guide(form)
    reply = f'<tool_call>\n{{"name": "computer_use", "arguments": {{"action": "key", "keys": {keys}}}}}\n</tool_call>'
    for token in grammars._ids(reply):
        guide.accept(token)
    assert guide.done


def test_unsupported_actions_are_never_generated(grammars: GrammarCompiler) -> None:
    assert set(check_random_replies(grammars, 60, "computer_use", frozenset({"click"}), (100, 60))) == {"click", "done"}
    assert "home" not in check_random_replies(grammars, 60, "mobile_use", frozenset({"press", "back"}), (280, 364))


@pytest.mark.slow
def test_ten_thousand_random_calls_are_valid(grammars: GrammarCompiler) -> None:
    sizes = [(1920, 1080), (28, 28), (1, 1), (333, 777), (3840, 2160)]
    for size in sizes:
        check_random_replies(grammars, 1000, "computer_use", BROWSER | {"back", "home", "open"}, size)
        check_random_replies(grammars, 1000, "mobile_use", PHONE | {"home"}, size)


@pytest.mark.parametrize("limit", [1, 2, 9, 10, 11, 28, 100, 101, 728, 1000, 1092, 1932, 10001])
def test_integer_below_regex_matches_exactly(limit: int) -> None:
    pattern = re.compile(integer_below_regex(limit))
    for text in [*map(str, range(limit + 120)), "00", "01", "", "-1", "1.0"]:
        assert bool(pattern.fullmatch(text)) == (text.isdigit() and str(int(text)) == text and int(text) < limit), text


def count_tokens(grammars: GrammarCompiler, text: str) -> tuple[int, int]:
    """Return the number of tokens of a call, and how many of them are not forced by the grammar."""
    form = Dialect(ImageLimits()).grammar(BROWSER, screen(1920, 1080))
    assert form is not None
    guide, ids, sampled, index = grammars.guide(form), grammars._ids(text), 0, 0
    while index < len(ids):
        forced = guide.forced(99)
        assert forced == ids[index : index + len(forced)]  # forced ids equal those of the tokenizer
        index += len(forced)
        if index < len(ids):
            guide.accept(ids[index])
            index, sampled = index + 1, sampled + 1
    assert guide.done
    return len(ids), sampled


@pytest.fixture(scope="module")
def qwen_like(tmp_path_factory: pytest.TempPathFactory) -> GrammarCompiler:
    """Return grammars for a tokenizer with Qwen's rules (NFC, splitting, one token per digit) trained on calls."""
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
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in ("<tool_call>", "</tool_call>")])
    path = tmp_path_factory.mktemp("qwen") / "tokenizer.json"
    tokenizer.save(str(path))
    return GrammarCompiler(path, (tokenizer.token_to_id("<|im_end|>"),))


def test_click_samples_little_more_than_digits(grammars: GrammarCompiler, qwen_like: GrammarCompiler) -> None:
    tokens, sampled = count_tokens(qwen_like, CALL)
    assert tokens > 30
    assert sampled <= 12
    assert count_tokens(grammars, CALL)[1] <= 9


def test_free_text_may_not_spell_the_tag(grammars: GrammarCompiler) -> None:
    form = Dialect(ImageLimits()).grammar(BROWSER, screen(280, 364))
    assert form is not None
    guide = grammars.guide(form)
    for token in grammars._ids('Let me see: {"name"} <b> ünd'):
        assert guide.forced(9) == []
        guide.accept(token)
    with pytest.raises(ValueError, match="not allowed"):
        for token in grammars._tokens.tokenize_str("<tool_call>{", parse_special=False):
            guide.accept(token)


def test_stop_ids_are_masked_before_call(grammars: GrammarCompiler) -> None:
    form = Dialect(ImageLimits()).grammar(BROWSER, screen(280, 364))
    assert form is not None
    logits = grammars.guide(form).mask_logits(torch.zeros(1, 384), 200)[0]
    assert logits[258] == logits[256] == float("-inf")
    assert logits[264] == 0
    assert bool((logits[grammars.size :] == float("-inf")).all())


def test_valid_free_reply_is_unchanged_by_grammar() -> None:
    """Where the free reply is a valid call, the constrained one is the same, in fewer passes."""
    chat = load_chat("embedded", "cpu")
    dialect = Dialect(chat.limits)
    for left in (40, 150):
        image = Image.new("RGB", (280, 364), (255, 255, 255))
        ImageDraw.Draw(image).rectangle((left, 90, left + 70, 120), fill=(240, 240, 240), outline=(60, 60, 60))
        target = Screen(np.array(image))
        conversation = dialect.conversation("Click the button.", (), target, BROWSER)
        free = chat.reply(conversation.messages, conversation.tools)
        action = dialect.to_action(dialect.parse(free.text), target)
        passes = chat.stats.passes if chat.stats else 0
        constrained = chat.reply(conversation.messages, conversation.tools, form=dialect.grammar(BROWSER, target))
        assert dialect.to_action(dialect.parse(constrained.text), target) == action
        assert free.text.startswith(constrained.text[:90])
        assert chat.stats is not None
        assert chat.stats.passes < passes
        assert chat.stats.forced > 0


def test_dialect_without_grammar_is_unconstrained() -> None:
    class Other(base.Dialect):
        """A dialect that defines no grammar."""

    assert Other().grammar(BROWSER, screen(28, 28)) is None
