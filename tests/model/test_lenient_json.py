"""JSON as models write it: strict JSON reads as JSON, near misses read where one reading is left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.wire.lenient_json import MAX_DEPTH, LenientJsonError, _parse_leniently, parse_json

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.booleans())
def test_lenient_parser_agrees_with_json(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parse_json(text) == (value, len(text))
    assert _parse_leniently(text, 0, "") == (value, len(text))


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | NUMBERS
        | st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\\")),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc'\"", max_size=3), inner, max_size=4),
        max_leaves=12,
    )
)
def test_python_reprs_are_parsed(value: Any) -> None:
    text = repr(value)
    if "\\" not in text:
        assert _parse_leniently(text, 0, "") == (value, len(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'it\\'s', \"b\": 'say \"x\"'}", {"a": "it's", "b": 'say "x"'}),
        ("{a: 1, b_2: [1, 2,], }", {"a": 1, "b_2": [1, 2]}),
        ('{"a": "x\ny\tz"}', {"a": "x\ny\tz"}),
        ("{'a': '\\ud83d\\ude00 \\u00e9 \\n'}", {"a": "😀 é \n"}),
        ("[True, False, None, true, -0.5e2]", [True, False, None, True, -50.0]),
        ('{"a": 1, "a": 1,}', {"a": 1}),
        ('{"a": {"b": 1 END', {"a": {"b": 1}}),
        ('{"a": [1]END', {"a": [1]}),
        ("[]", []),
        ("{}", {}),
    ],
)
def test_near_misses_with_one_reading_are_parsed(text: str, value: Any) -> None:
    assert parse_json(text, ends="END")[0] == value


BROKEN = ["", "{", "[", "{]", "[}", "[,]", "{,}", "[1,,2]", "[1 2]", '{"a" 1}', '{"a":}', '{"a":,}', "{1: 2}", "{a b}"]
BROKEN += ["[01]", "[+1]", "[.5]", "[1.]", "[0x10]", "[1_000]", "'a", '"a\\x"', "['it's']", "{'a': 1; 'b': 2}", "[“a”]"]
BROKEN += [
    '{"a": [1 END',
    '{"a": END',
    '{"a": 1, END',
    '{"a" END',
    "END",
    "[Infinity]",
    "[-Infinity]",
    "[NaN]",
    "[1e999]",
]
BROKEN += ['{"a": 1, "a": 2}', '{"a": "b\\\nc"}', "// note\n{}", "[" * 100_000, "undefined", "[١]", "(1, 2)", "{1, 2}"]
BROKEN += ["[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "__import__('os')", "{'a': f'{x}'}", "{'a': b'x'}", "[1 + 1]"]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_ambiguous_json_is_refused(text: str) -> None:
    with pytest.raises(LenientJsonError) as caught:
        parse_json(text, ends="END")
    assert len(str(caught.value)) < 120


def test_nesting_up_to_the_bound_is_parsed() -> None:
    value, _ = parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []
