from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.connections.base import Connection, Field
from promptflow_lite.errors import FlowError, NodeError
from promptflow_lite.prompts import template
from promptflow_lite.prompts.template import variables
from promptflow_lite.retrieval.document import Document


def render(text: str, **values: Any) -> str:
    return template.compile(text, "t.jinja2").render(values)


def failure(text: str, **values: Any) -> NodeError:
    with pytest.raises(NodeError) as raised:
        render(text, **values)
    return raised.value


def test_the_newlines_of_prompt_flow_are_kept() -> None:
    assert render("{% for x in xs %}\n- {{ x }}\n{% endfor %}\nend\n", xs=[1, 2]) == "- 1\n- 2\nend\n"
    assert render("<{{ x }}>", x="a & b <c>") == "<a & b <c>>"


def test_variables_are_those_that_a_template_does_not_set_itself() -> None:
    text = "{% set a = b %}{% for c in d %}{{ c.e }}{{ loop.index }}{% endfor %}{{ a }}{{ f | default(g) }}"
    assert variables(text) == {"b", "d", "f", "g"}


def test_an_unset_variable_is_empty_and_an_attribute_of_one_is_an_error_with_its_line() -> None:
    assert render("<{{ x }}>{{ d.y }}", d={}) == "<>"
    error = failure("one\ntwo {{ x.y }}\n")
    assert (error.code, error.message) == ("template-error", "t.jinja2:2: 'x' is undefined")


def test_documents_dataclasses_and_other_data_are_read_as_plain_data() -> None:
    @dataclass
    class Point:
        x: int
        _y: int = 2

    class Kind(Enum):
        a = "A"

    document = Document("text", id="1", metadata=MappingProxyType({"source": "a.md"}))
    assert render("{{ d.content }} {{ d.metadata.source }}", d=document) == "text a.md"
    assert render("{{ p.x }}{{ p._y }}", p=Point(1)) == "1"
    assert (
        render("{{ k }} {{ t }} {{ s }}", k=Kind.a, t=datetime.date(2024, 1, 2), s={2, 1})
        == "A 2024-01-02 [1, 2]"
    )


class Secret(Connection):
    FIELDS = (Field("api_key", secret=True),)


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: [c], lambda c: {"a": {"b": c}}])
def test_a_connection_never_goes_in_and_no_error_shows_its_key(wrap: Any) -> None:
    error = failure("{{ x }}", x=wrap(Secret("c", api_key="k-123")))
    assert error.code == "template-value"
    assert "k-123" not in str(error)


def test_a_value_that_the_template_does_not_read_is_not_looked_at() -> None:
    assert render("hi", x=Secret("c")) == "hi"


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ xs.append(1) }}",
        "{{ d.update({'a': 1}) }}",
        "{{ d.clear() }}",
        "{{ '{0.__class__}'.format(xs) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ xs|attr('__class__') }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * xs }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ range(10000000) | list }}",
        "{{ 1 / 0 }}",
        "{{ xs | nonsense_key['a'] }}",
    ],
)
def test_nothing_can_be_reached_changed_or_blown_up(text: str) -> None:
    values: dict[str, Any] = {"xs": [1], "d": {"k": 1}}
    try:
        shown = render(text, **values)
    except (NodeError, FlowError):
        shown = ""
    assert "class" not in shown
    assert "globals" not in shown
    assert len(shown) < 1000
    assert values == {"xs": [1], "d": {"k": 1}}


def test_what_comes_out_is_bounded() -> None:
    text = "{% for a in range(9999) %}{% for b in range(9999) %}{{ x }}{% endfor %}{% endfor %}"
    assert failure(text, x="a" * 100).code == "template-limit"
    assert failure("{{ x }}", x="a" * (8 * 1024 * 1024 + 1)).code == "template-limit"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n{% if %}\n", 2),
        ("{{ a\n", 1),
        ("\n\n{% include 'x' %}", 3),
        ("{% import 'x' as y %}", 1),
        ("{% extends 'x' %}", 1),
        ("{{ a | no_such_filter }}", 1),
        ("{% endfor %}", 1),
    ],
)
def test_what_is_no_template_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(FlowError) as raised:
        template.compile(text, "t.jinja2")
    assert [(d.code, d.mark.line) for d in raised.value.diagnostics if d.mark] == [("template-syntax", line)]


def test_data_that_holds_itself_is_an_error_and_no_crash() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert failure("{{ x }}", x=loop).code == "template-error"


@given(st.text())
def test_data_is_never_read_as_a_template(text: str) -> None:
    assert render("{{ x }}{{ y.z[0] }}", x=text, y={"z": [text]}) == text + text


def test_opaque_mappings_are_refused() -> None:
    class Opaque(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            return 1

        def __iter__(self) -> Any:
            return iter("a")

        def __len__(self) -> int:
            return 1

    assert failure("{{ x }}", x=Opaque()).code == "template-value"


def test_a_template_may_change_the_lists_and_mappings_that_it_makes() -> None:
    text = (
        "{% set found = [] %}{% set by = {} %}{% for x in xs %}{% set _ = found.append(x * 2) %}"
        "{% set _ = by.update({x: found|length}) %}{% endfor %}{{ found }} {{ by }}"
    )
    assert template.compile(text, "t").render({"xs": [1, 2]}) == "[2, 4] {1: 1, 2: 2}"


@pytest.mark.parametrize("change", ["xs.append(3)", "xs[0].append(3)", "d.update({'a': 2})", "d.l.pop()"])
def test_data_in_a_template_are_read_only(change: str) -> None:
    with pytest.raises(NodeError) as raised:
        template.compile(f"{{% set _ = {change} %}}", "t").render({"xs": [[1], 2], "d": {"a": 1, "l": [1]}})
    assert raised.value.code == "template-error"
    assert "changes the data, which a template only reads" in raised.value.message


def test_a_field_that_is_not_there_is_missed_in_a_plain_mapping() -> None:
    with pytest.raises(NodeError, match="'dict object' has no attribute 'b'"):
        template.compile("{{ d.b.c }}", "t").render({"d": {"a": 1}})
