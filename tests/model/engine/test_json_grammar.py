"""Answers to random logits fit their JSON schema, and what cannot be enforced is refused."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, Literal

import jsonschema
import pytest
import torch
from helpers.random_schemas import SchemaGenerator
from pydantic import BaseModel, Field
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from actions import UsageError
from model.checkpoints.weights import EMBEDDED_FOLDER
from model.engine.grammar import GrammarCompiler
from model.engine.json_grammar import closing_length, json_grammar
from model.engine.json_schema import MAX_RECURSION, expand_schema

FORMATS = jsonschema.FormatChecker(("date", "uuid"))


@FORMATS.checks("date-time", ValueError)
def is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("time", ValueError)
def is_time(value: object) -> bool:
    return not isinstance(value, str) or time.fromisoformat(value).tzinfo is not None


@pytest.fixture(scope="module")
def compilers(tmp_path_factory: pytest.TempPathFactory) -> list[GrammarCompiler]:
    """Return compilers for the embedded model's tokenizer and for one that joins quotes, brackets and commas."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=alphabet, show_progress=False, special_tokens=["<|im_end|>"]
    )
    texts = [json.dumps({name: [{"name": "open", "x": [[], ["", ""]]}], "b": {}}) for name in ("price", "größe", "a")]
    tokenizer.train_from_iterator(texts * 9, trainer)
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    tokenizer.save(str(path))
    embedded = GrammarCompiler(EMBEDDED_FOLDER / "tokenizer.json", (258, 256))
    return [embedded, GrammarCompiler(path, (tokenizer.token_to_id("<|im_end|>"),))]


def generate(
    compiler: GrammarCompiler, schema: Mapping[str, object], generator: torch.Generator, room: int, greedy: bool = False
) -> str:
    """Return an answer to random logits, in at most `room` tokens more than closing one takes.

    Args:
        compiler: Of the tokenizer.
        schema: What the answer is constrained to.
        generator: The source of the logits.
        room: Tokens.
        greedy: Repeat the same logits in every step, as a degenerate model does.
    """
    guide = compiler.guide(json_grammar(schema))
    limit, ids = closing_length(expand_schema(schema)) + 32 + room, list[int]()
    constant = 4 * torch.randn(1, compiler.size + 8, generator=generator)
    while not guide.done and len(ids) < limit:
        ids += guide.forced(limit - len(ids))
        if guide.done or len(ids) == limit:
            break
        logits = constant if greedy else 4 * torch.randn(1, compiler.size + 8, generator=generator)
        ids.append(int(guide.mask_logits(logits, limit - len(ids)).argmax()))
        guide.accept(ids[-1])
    assert guide.done, compiler._tokens.decode_str(ids)
    return compiler._tokens.decode_str(ids)


def check_random_answers(compilers: list[GrammarCompiler], seeds: range) -> None:
    for seed in seeds:
        schema = SchemaGenerator(seed).draw()
        generator = torch.Generator().manual_seed(seed)
        for index, compiler in enumerate(compilers):
            room = (0, 20, 300)[(seed + index) % 3]
            text = generate(compiler, schema, generator, room, greedy=seed % 4 == 0)
            value = json.loads(text)
            jsonschema.Draft202012Validator(schema, format_checker=FORMATS).validate(value)
            json.dumps(value, ensure_ascii=False).encode()  # no half of a character


def test_random_answers_fit_their_schemas(compilers: list[GrammarCompiler]) -> None:
    check_random_answers(compilers, range(50))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_answers_fit_thousand_random_schemas(compilers: list[GrammarCompiler]) -> None:
    check_random_answers(compilers, range(1000, 2000))


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Card(BaseModel):
    kind: Literal["card"]
    digits: str = Field(pattern="^[0-9]{4}$")


class Cash(BaseModel):
    kind: Literal["cash"]


class Item(BaseModel):
    name: str = Field(min_length=1, max_length=80)
    price: float = Field(gt=0, lt=1)
    color: Color | None = None
    parts: list[Item] = Field(default=[], max_length=3)


class Order(BaseModel):
    number: int = Field(ge=1)
    day: date
    paid: bool
    payment: Card | Cash = Field(discriminator="kind")
    items: list[Item] = Field(min_length=1)
    place: tuple[int, int] | None
    notes: dict[str, str] = {}


def accepts(compiler: GrammarCompiler, schema: Mapping[str, object], text: str) -> bool:
    """Return whether the grammar of a schema allows a text as the whole answer."""
    guide = compiler.guide(json_grammar(schema))
    try:
        for token in compiler._ids(text + "\n"):
            guide.accept(token)
    except ValueError:
        return False
    return guide.done


def test_random_answers_are_instances_of_model(compilers: list[GrammarCompiler]) -> None:
    generator = torch.Generator().manual_seed(0)
    for number in range(20):
        text = generate(compilers[number % 2], Order.model_json_schema(), generator, 200)
        order = Order.model_validate_json(text)
        assert 0 < order.items[0].price < 1


def test_good_answer_of_model_is_allowed(compilers: list[GrammarCompiler]) -> None:
    order = {"number": 12, "day": "2024-02-29", "paid": True, "payment": {"kind": "card", "digits": "0123"}}
    order |= {"items": [{"name": 'Größe "M"', "price": 0.5, "color": "red"}], "place": [3, 4]}
    for compiler in compilers:
        assert accepts(compiler, Order.model_json_schema(), json.dumps(order, ensure_ascii=False))
        assert not accepts(compiler, Order.model_json_schema(), json.dumps(order | {"number": 0}))
        assert not accepts(compiler, Order.model_json_schema(), json.dumps(order | {"day": "2023-02-29"}))
        assert not accepts(compiler, Order.model_json_schema(), json.dumps(order | {"extra": 1}))


def test_recursion_ends_at_stated_depth(compilers: list[GrammarCompiler]) -> None:
    again = {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}
    node = {"type": "object", "properties": {"next": again}, "required": ["next"]}
    schema = {"$defs": {"node": node}, "$ref": "#/$defs/node"}

    def nested(depth: int) -> str:
        return '{"next": ' * depth + "null" + "}" * depth

    assert accepts(compilers[0], schema, nested(MAX_RECURSION + 1))
    assert not accepts(compilers[0], schema, nested(MAX_RECURSION + 2))


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems"),
        ({"type": "number", "multipleOf": 0.5}, "multipleOf"),
        ({"type": "object", "properties": {}, "minProperties": 1}, "minProperties"),
        ({"type": "object", "patternProperties": {"a": {"type": "null"}}, "properties": {}}, "patternProperties"),
        ({"not": {"type": "string"}}, "not"),
        ({"if": {"type": "string"}, "type": "string"}, "if"),
        ({"type": "string", "minimum": 3}, "minimum"),
        ({"type": "string", "format": "email"}, "email"),
        ({"type": "string", "pattern": "^(?!a)"}, "look-around"),
        ({"type": "string", "pattern": "^[a-z]{3}$", "minLength": 4}, "Regex is empty"),
        ({"type": "string", "minLength": 4, "maxLength": 3}, "minLength"),
        ({"type": "integer", "minimum": 0.2, "maximum": 0.8}, "bounds"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2}, "minItems"),
        ({"type": "array"}, "items"),
        ({"type": "object"}, "properties"),
        ({"type": "object", "additionalProperties": True}, "additionalProperties"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "'a'"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"allOf": [{"type": "integer"}, {"type": "number"}]}, "allOf"),
        ({"$ref": "https://example.org/schema.json"}, "leaves the schema"),
        ({"$ref": "#/$defs/missing"}, "no target"),
        ({"$ref": "#"}, "itself"),
        ({"type": "text"}, "not a JSON schema"),
        ({}, "no type"),
        ({"type": "array", "items": True}, "#/items"),
        ({"type": "string", "enum": [1, 2]}, "no value of type"),
    ],
)
def test_schema_that_cannot_be_enforced_is_refused(schema: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        json_grammar(schema)
    assert "\n" not in str(caught.value)


def test_schema_with_too_many_parts_is_refused() -> None:
    node = {"type": "object", "properties": {name: {"$ref": "#/$defs/node"} for name in "abcdefghij"}}
    with pytest.raises(UsageError, match="more than"):
        json_grammar({"$defs": {"node": node}, "$ref": "#/$defs/node"})
