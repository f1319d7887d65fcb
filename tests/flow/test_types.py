from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import Flow, FlowInput
from promptflow_lite.flow.types import ValueType, coerce, coerce_inputs, is_type_name

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("value", "type_name", "expected"),
    [
        ("3", "int", 3),
        (3.9, "int", 3),
        (True, "int", 1),
        ("1.5", "double", 1.5),
        (2, "double", 2.0),
        ("TRUE", "bool", True),
        ("false", "bool", False),
        (7, "string", "7"),
        (None, "string", "None"),
        ({"a": 1}, "string", "{'a': 1}"),
        ("[1, 2]", "list", [1, 2]),
        ([1], "list", [1]),
        ('{"a": 1}', "object", {"a": 1}),
        ("no json", "object", "no json"),
        ([1], "object", [1]),
        (None, "object", None),
        ("x", "image", "x"),
        ("conn", "AzureOpenAIConnection", "conn"),
    ],
)
def test_values_become_what_prompt_flow_makes_of_them(value: Any, type_name: str, expected: Any) -> None:
    got = coerce(value, type_name)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "type_name", "message"),
    [
        ("three", "int", "expected an int, got 'three'"),
        (None, "int", "expected an int, got None"),
        ([], "double", r"expected a double, got \[\]"),
        (float("inf"), "int", "expected an int, got inf"),
        ("yes", "bool", "expected true or false, got 'yes'"),
        (1, "bool", "expected true or false, got 1"),
        ("{}", "list", "expected a list or its JSON text, got '{}'"),
        ((1,), "list", r"expected a list or its JSON text, got \(1,\)"),
        ("[" * 100_000, "list", "expected a list or its JSON text"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_what_was_expected(
    value: Any, type_name: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        coerce(value, type_name)


@given(_JSON, st.sampled_from([t.value for t in ValueType]))
def test_coercion_is_idempotent_and_raises_nothing_but_value_errors(value: Any, type_name: str) -> None:
    try:
        once = coerce(value, type_name)
    except ValueError:
        return
    if type_name == "object" and isinstance(once, str):
        return  # text that is JSON text of JSON text is read once more
    assert coerce(once, type_name) == once


@given(st.lists(_JSON, max_size=4))
def test_json_text_of_a_list_is_that_list(value: list[Any]) -> None:
    assert coerce(json.dumps(value), "list") == value


def _flow(**inputs: FlowInput) -> Flow:
    return Flow("f", inputs=inputs)


def test_defaults_fill_in_where_the_key_is_absent_only() -> None:
    flow = _flow(a=FlowInput("int", default="5"), b=FlowInput("object", default={"x": 1}))
    assert coerce_inputs(flow, {"b": None}) == ({"a": 5, "b": None}, [])


def test_every_missing_and_wrong_input_is_named_at_once() -> None:
    flow = _flow(a=FlowInput("int"), b=FlowInput("list"), c=FlowInput("string"))
    with pytest.raises(InputError) as raised:
        coerce_inputs(flow, {"a": "x", "b": "y"})
    assert str(raised.value).splitlines() == [
        "inputs.a: expected an int, got 'x'",
        "inputs.b: expected a list or its JSON text, got 'y'",
        "inputs.c: missing; expected a string",
    ]
    assert raised.value.code == "wrong-input"


def test_a_misspelt_input_is_hinted_at() -> None:
    with pytest.raises(InputError) as raised:
        coerce_inputs(_flow(question=FlowInput("string")), {"qestion": "x"})
    assert (raised.value.code, raised.value.hint) == (
        "missing-input",
        "'qestion' was given: did you mean 'question'?",
    )


def test_inputs_that_the_flow_lacks_are_ignored_with_a_word() -> None:
    values, notes = coerce_inputs(_flow(a=FlowInput("int")), {"a": 1, "b": 2})
    assert values == {"a": 1}
    assert notes == ["inputs.b: the flow has no such input; it is ignored"]


def test_null_for_a_string_is_the_text_none_and_said() -> None:
    values, notes = coerce_inputs(_flow(a=FlowInput("string", default="x")), {"a": None})
    assert values == {"a": "None"}
    assert len(notes) == 1


def test_a_chat_starts_with_an_empty_history() -> None:
    flow = _flow(chat_history=FlowInput("list"), question=FlowInput("string", is_chat_input=True))
    assert coerce_inputs(flow, {"question": "hi"})[0] == {"chat_history": [], "question": "hi"}


def test_connection_classes_are_types_too() -> None:
    assert [is_type_name(name) for name in ("double", "CustomConnection", "float", "a b Connection")] == [
        True,
        True,
        False,
        False,
    ]
