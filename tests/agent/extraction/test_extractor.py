"""The output of a run fits its schema, and each value is confirmed, replaced by null, or marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.page_reader import LEFT, ROW, TOP, PageReader, draw_page
from pydantic import BaseModel, Field

from actions import Screen, UsageError
from agent.extraction.extractor import Extractor
from agent.extraction.output_schema import InvalidOutputError, OutputSchema, load_output_schema, output_schema_of

NULLABLE = {"anyOf": [{"type": "number"}, {"type": "null"}]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"vendor": {"type": "string"}, "total": NULLABLE, "paid": {"type": "boolean"}},
    "required": ["vendor", "total", "paid"],
}
VALUES = {"vendor": "ACME Ltd.", "total": 12.5, "paid": True}
ROWS = {"ACME": 0, "12.5": 1, "paid": 2}
READINGS = {0: "acme  ltd.", 1: 12.5, 2: True}
PAGE = draw_page(["ACME Ltd.", "12.50", "paid in full"])


def extract(policy: PageReader, schema: dict[str, Any] = SCHEMA, screens: tuple[Screen, ...] = (PAGE,)) -> Any:
    events: list[dict[str, object]] = []
    output = Extractor(OutputSchema(schema), policy).extract(
        "read the invoice", "done", screens, lambda event, **facts: events.append({"event": event, **facts})
    )
    assert {event["event"] for event in events} == {"extract"}
    return output


def test_confirmed_values_have_their_boxes() -> None:
    output = extract(PageReader([], [VALUES], ROWS, READINGS))
    assert output.value == VALUES
    assert output.is_confirmed
    for row, field in enumerate(output.fields):
        left, top, right, bottom = field.box
        assert left <= LEFT + 8 < right
        assert top <= TOP + ROW * row + 8 < bottom
        assert field.screen == PAGE.digest
    assert [field.path for field in output.fields] == ["/vendor", "/total", "/paid"]


def test_unconfirmed_value_is_null_where_permitted() -> None:
    output = extract(PageReader([], [VALUES], ROWS, {**READINGS, 1: 17.5}))
    assert output.value == {**VALUES, "total": None}
    assert output.fields[1].box is None
    assert "17.5 instead of 12.5" in output.fields[1].reason
    assert output.is_confirmed


def test_unconfirmed_required_value_marks_output() -> None:
    output = extract(PageReader([], [VALUES], ROWS, {**READINGS, 0: "AC/DC"}))
    assert output.value == VALUES
    assert not output.is_confirmed
    assert "AC/DC" in output.fields[0].reason


def test_value_without_point_has_no_box() -> None:
    output = extract(PageReader([], [VALUES], {"12.5": 1, "paid": 2}, READINGS))
    assert output.value == VALUES
    assert output.fields[0].box is None
    assert "could not point" in output.fields[0].reason
    assert not output.is_confirmed


def test_point_beside_any_text_gives_no_box() -> None:
    output = extract(PageReader([], [VALUES], {**ROWS, "ACME": 7}, READINGS))
    assert output.fields[0].box is None
    assert "no text at" in output.fields[0].reason


def test_null_answer_is_not_looked_for() -> None:
    policy = PageReader([], [{**VALUES, "total": None}], ROWS, READINGS)
    output = extract(policy)
    assert output.fields[1].reason == "the model gave no value"
    assert len(policy.crops) == 2


def test_boolean_is_not_confused_with_number() -> None:
    output = extract(PageReader([], [VALUES], ROWS, {**READINGS, 2: 1}))
    assert not output.fields[2].is_confirmed


def test_invalid_answer_is_asked_for_once_more() -> None:
    policy = PageReader([], ["12.50", VALUES], ROWS, READINGS)
    assert extract(policy).value == VALUES
    assert "is not of type 'object'" in policy.questions[1]


def test_second_invalid_answer_is_an_error() -> None:
    with pytest.raises(InvalidOutputError, match="2 attempts"):
        extract(PageReader([], ["{", {"vendor": 3}], ROWS))


def test_value_on_earlier_screen_is_confirmed_there() -> None:
    last = draw_page([])
    output = extract(PageReader([], [VALUES], ROWS, READINGS), screens=(PAGE, last, last))
    assert {field.screen for field in output.fields} == {PAGE.digest}


def test_items_of_lists_are_looked_at() -> None:
    schema = {"type": "object", "properties": {"lines": {"type": "array", "items": SCHEMA}}, "required": ["lines"]}
    output = extract(PageReader([], [{"lines": [VALUES, VALUES]}], ROWS, {**READINGS, 1: None}), schema)
    assert output.value == {"lines": [{**VALUES, "total": None}] * 2}
    assert [field.path for field in output.fields][3:] == ["/lines/1/vendor", "/lines/1/total", "/lines/1/paid"]


class Invoice(BaseModel):
    vendor: str = Field(min_length=1)
    total: float | None


def test_instance_of_model_is_returned() -> None:
    schema = output_schema_of(Invoice)
    policy = PageReader([], [{"vendor": "ACME Ltd.", "total": 12.5}], ROWS, READINGS)
    output = Extractor(schema, policy).extract("", "", (PAGE,), lambda event, **facts: None)
    assert output.instance == Invoice(vendor="ACME Ltd.", total=12.5)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "not a JSON object"),
        ('{"type": "array", "items": {"type": "string"}, "uniqueItems": true}', "uniqueItems"),
    ],
)
def test_bad_schema_file_is_refused(tmp_path: Path, text: str | None, word: str) -> None:
    path = tmp_path / "schema.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=word) as caught:
        load_output_schema(str(path))
    assert "--output-schema" in str(caught.value)


def test_other_class_is_no_output_model() -> None:
    with pytest.raises(UsageError, match="pydantic"):
        output_schema_of(json.JSONDecoder)  # type: ignore[arg-type]
