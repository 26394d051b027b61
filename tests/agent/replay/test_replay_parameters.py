"""Tests of parameters: values of goals, their forms, and templates."""

from __future__ import annotations

import pytest

from actions import UsageError
from agent.replay.parameters import Parameter, ParameterTable, fill, read_goal

GOAL = 'Enter the username "vina" and the password "US", due 03/12/2014, and press Login.'
DATE = Parameter("date1", "date", "03/12/2014")


def test_values_of_goal_become_parameters() -> None:
    table = ParameterTable(GOAL, ["vina", "Login"])
    assert table.typed("vina", 1) == "${value1}"
    assert table.typed("US", 2) == "${value2}"
    assert table.label("Login", 3) == "${words1}"
    assert table.goal_template() == (
        'Enter the username "${value1}" and the password "${value2}", due 03/12/2014, and press ${words1}.'
    )


def test_unused_value_stays_in_goal() -> None:
    table = ParameterTable(GOAL, ["vina"])
    table.typed("vina", 1)
    assert '"US"' in table.goal_template()
    assert [parameter.name for parameter in table.used] == ["value1"]


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("03/12/2014", "${date1}"),
        ("2014-03-12", "${date1:%Y-%m-%d}"),
        ("March", "${date1:%B}"),
        ("12", "${date1:%-d}"),
        ("3", "${date1:%-m}"),
        ("March 2014", "${date1:%B %Y}"),
    ],
)
def test_date_is_recognized_in_forms(text: str, template: str) -> None:
    table = ParameterTable(GOAL, [])
    assert table.label(text, 1) == template
    assert fill(template, {"date1": "03/12/2014"}) == text


def test_text_of_two_values_is_rejected() -> None:
    table = ParameterTable("on 05/05/2014", [])
    with pytest.raises(UsageError, match="several values"):
        table.label("5", 1)
    with pytest.raises(UsageError, match="several values"):
        ParameterTable('"ab" and 12 and "12"', []).typed("12", 1)


def test_typed_text_outside_goal_has_parameter() -> None:
    table = ParameterTable(GOAL, [])
    assert table.typed("hello", 1) == "${text1}"
    assert table.typed("hello", 2) == "${text1}"
    assert table.hidden() == "${text2}"
    assert [parameter.kind for parameter in table.used] == ["typed", "hidden"]
    assert table.goal_template() == GOAL


def test_value_within_label_is_replaced() -> None:
    table = ParameterTable('Fly to "MRY"', [])
    assert table.label("Carmel, CA (MRY)", 1) == "Carmel, CA (${value1})"


def test_observed_text_uses_no_parameter() -> None:
    table = ParameterTable('Click "sed"', [])
    assert table.observed("sed") == "sed"
    assert table.appeared("sed") is None
    assert table.used == ()
    table.label("sed", 1)
    assert table.appeared("sed") == "${value1}"


def test_dollar_brace_of_text_is_kept() -> None:
    template = ParameterTable("", []).label("cost ${x}", 1)
    assert fill(template, {}) == "cost ${x}"


def test_goal_gives_values_of_template() -> None:
    parameters = [Parameter("value1", "quoted", "vina"), DATE]
    template = 'Enter "${value1}", again "${value1}", on ${date1}.'
    assert read_goal(template, 'Enter "a b", again "a b", on 1/02/2016.', parameters) == {
        "value1": "a b",
        "date1": "1/02/2016",
    }


@pytest.mark.parametrize(
    "goal",
    ['Enter "a", again "b", on 1/02/2016.', 'Enter "a", again "a", on Monday.', 'Type "a", again "a", on 1/02/2016.'],
)
def test_other_goal_does_not_fit(goal: str) -> None:
    parameters = [Parameter("value1", "quoted", "vina"), DATE]
    assert read_goal('Enter "${value1}", again "${value1}", on ${date1}.', goal, parameters) is None


def test_goal_that_fits_twice_is_rejected() -> None:
    parameters = [Parameter("words1", "text", "a"), Parameter("words2", "text", "b")]
    assert read_goal("from ${words1} to ${words2}", "from A to B to C", parameters) is None
    assert read_goal("from ${words1} to ${words2}", "from A to B", parameters) == {"words1": "A", "words2": "B"}


def test_missing_value_names_its_flag() -> None:
    with pytest.raises(UsageError, match="--set text1=VALUE"):
        fill("${text1}", {})
    with pytest.raises(UsageError, match="date"):
        fill("${date1:%B}", {"date1": "soon"})
