"""Column mapping: where each input comes from."""

from __future__ import annotations

import pytest

from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import FlowInput
from promptflow_lite.runs.mapping import Scope, plan_of

TEXT = FlowInput(type="string")


def _data(*columns: str) -> dict[str, Scope]:
    return {"data": Scope("data.jsonl", dict.fromkeys(columns, 1), 1)}


def test_an_input_that_is_not_mapped_takes_the_column_of_its_name() -> None:
    plan = plan_of(_data("q", "more"), None, {"q": TEXT})
    assert plan.inputs({"data": {"q": "a", "more": 1}}) == ({"q": "a"}, [])


def test_an_input_with_a_default_takes_its_column_where_there_is_one() -> None:
    plan = plan_of(_data("q", "k"), {"q": "${data.q}"}, {"q": TEXT, "k": FlowInput(type="int", default=3)})
    assert plan.inputs({"data": {"q": "a", "k": 5}}) == ({"q": "a", "k": 5}, [])
    assert plan.inputs({"data": {"q": "b"}}) == ({"q": "b"}, [])


def test_null_is_a_value_and_not_a_missing_key() -> None:
    plan = plan_of(_data("q"), None, {"q": FlowInput(type="string", default="d")})
    assert plan.inputs({"data": {"q": None}}) == ({"q": None}, [])


def test_literals_and_columns_with_dots() -> None:
    mapping = {"q": "${data.a.b}", "k": 7, "s": "pre ${data.q}"}
    plan = plan_of(_data("a.b", "q"), mapping, {"q": TEXT, "k": TEXT, "s": TEXT})
    assert plan.inputs({"data": {"a.b": 1, "q": 2}}) == ({"q": 1, "k": 7, "s": "pre ${data.q}"}, [])
    assert "plain text" in plan.notes[0]


def test_an_unknown_input_is_noted() -> None:
    plan = plan_of(_data("q"), {"qq": "${data.q}"}, {"q": TEXT})
    assert plan.notes == ["column mapping: the flow has no input 'qq'; did you mean 'q'?"]


def test_a_chat_history_nobody_mapped_is_empty() -> None:
    plan = plan_of(_data("q"), None, {"q": TEXT, "chat_history": FlowInput(type="list")})
    assert plan.inputs({"data": {"q": 1}}) == ({"q": 1, "chat_history": []}, [])


def test_all_references_that_lead_nowhere_come_at_once() -> None:
    mapping = {"a": "${data.questoin}", "b": "${run.outputs.x}", "c": "${dat.x}"}
    with pytest.raises(InputError) as caught:
        plan_of(_data("question"), mapping, dict.fromkeys("abcd", TEXT))
    assert caught.value.code == "bad-column-mapping"
    lines = caught.value.message.splitlines()
    assert len(lines) == 4
    assert any("did you mean 'question'?" in line for line in lines)
    assert any("--run" in line for line in lines)
    assert any("--column-mapping d='${data.COLUMN}'" in line for line in lines)


def test_a_row_that_lacks_a_column_says_for_which_input() -> None:
    plan = plan_of(_data("q"), None, {"q": TEXT})
    assert plan.inputs({"data": {}}) == ({}, ["no 'q' for the input 'q'"])
