"""Chat templates are code of a checkpoint: each ends in bounded time and memory."""

from __future__ import annotations

import pytest

from model.processing.template_sandbox import MAX_SOURCE_CHARS, TemplateEnvironment, TemplateLimitError

GROW = "{%% set ns = namespace(s='aa') %%}{%% for i in range(60) %%}%s{%% endfor %%}"


def render(source: str, **values: object) -> str:
    environment = TemplateEnvironment()
    return environment.render(environment.from_string(source), values)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        GROW % "{% set ns.s = ns.s ~ ns.s %}",
        GROW % "{% set ns.s = ns.s + ns.s %}",
        GROW % "{% set ns.s = [ns.s, ns.s] | join %}",
        GROW % "{% set ns.s = ns.s | replace('a', ns.s) %}",
        GROW % "{% set ns.s = ns.s.replace('a', ns.s) %}",
        GROW % "{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = t %}",
        "{{ 'a' * 10**10 }}",
        "{{ ([1] * 10**10) | length }}",
        "{{ 10**(10**10) }}",
        "{{ 'x'.ljust(10**10) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:>999999999}'.format(1) }}",
        "x" * (MAX_SOURCE_CHARS + 1),
    ],
)
def test_template_without_bounds_is_stopped(source: str) -> None:
    with pytest.raises(TemplateLimitError):
        render(source)


@pytest.mark.parametrize(
    "source,expected",
    [
        ("{% for x in items %}{{ loop.index }}{{ x }}{% if loop.last %}.{% endif %}{% endfor %}", "1a2b."),
        ("{% for x in items[::-1] %}{% if x == 'a' %}{% break %}{% endif %}{{ x }}{% endfor %}", "b"),
        ("{{ '%s-%3d' % ('a', 1) }}{{ '{}'.format(2) }}{{ 'a-b'.replace('-', '+') }}", "a-  12a+b"),
        ("{{ items | join(', ') | upper }}{{ {'k': 'é'} | tojson }}", 'A, B{"k": "é"}'),
        ("{% set ns = namespace(n=0) %}{% for x in items %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') }}", "<a>"),
        ("{% set t %}{{ items[0] }}!{% endset %}{{ t }}", "a!"),
    ],
)
def test_template_within_bounds_is_rendered(source: str, expected: str) -> None:
    assert render(source, items=["a", "b"]) == expected
