"""Column mapping: which inputs each line gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import FlowInput
from promptflow_lite.runs.data import Table
from promptflow_lite.runs.job import Line
from promptflow_lite.runs.mapping import map_lines

TEXT = FlowInput(type="string")


def _table(rows: list[dict[str, Any]] | Mapping[int, dict[str, Any]], name: str = "data.jsonl") -> Table:
    numbered = rows if isinstance(rows, Mapping) else dict(enumerate(rows))
    return Table(numbered, name, lambda number: f"{name}:{number + 1}")


def test_an_input_that_is_not_mapped_takes_the_column_of_its_name() -> None:
    mapped = map_lines({"data": _table([{"q": "a", "more": 1}])}, None, {"q": TEXT})
    assert mapped.lines == [Line(0, {"q": "a"})]


def test_an_input_with_a_default_takes_its_column_where_there_is_one() -> None:
    inputs = {"q": TEXT, "k": FlowInput(type="int", default=3)}
    mapped = map_lines({"data": _table([{"q": "a", "k": 5}, {"q": "b"}])}, {"q": "${data.q}"}, inputs)
    assert [line.inputs for line in mapped.lines] == [{"q": "a", "k": 5}, {"q": "b"}]


def test_null_is_a_value_and_not_a_missing_key() -> None:
    inputs = {"q": FlowInput(type="string", default="d")}
    assert map_lines({"data": _table([{"q": None}])}, None, inputs).lines == [Line(0, {"q": None})]


def test_literals_and_columns_with_dots() -> None:
    mapping = {"q": "${data.a.b}", "k": 7, "s": "pre ${data.q}"}
    inputs = {"q": TEXT, "k": TEXT, "s": TEXT}
    mapped = map_lines({"data": _table([{"a.b": 1, "q": 2}])}, mapping, inputs)
    assert mapped.lines == [Line(0, {"q": 1, "k": 7, "s": "pre ${data.q}"})]
    assert "plain text" in mapped.notes[0]


def test_an_unknown_input_is_noted() -> None:
    mapped = map_lines({"data": _table([{"q": 1}])}, {"qq": "${data.q}"}, {"q": TEXT})
    assert mapped.notes == ["column mapping: the flow has no input 'qq'; did you mean 'q'?"]


def test_a_chat_history_nobody_mapped_is_empty() -> None:
    inputs = {"q": TEXT, "chat_history": FlowInput(type="list")}
    assert map_lines({"data": _table([{"q": 1}])}, None, inputs).lines[0].inputs == {
        "q": 1,
        "chat_history": [],
    }


def test_all_references_that_lead_nowhere_come_at_once() -> None:
    mapping = {"a": "${data.questoin}", "b": "${run.outputs.x}", "c": "${dat.x}"}
    with pytest.raises(InputError) as caught:
        map_lines({"data": _table([{"question": 1}])}, mapping, dict.fromkeys("abcd", TEXT))
    assert caught.value.code == "bad-column-mapping"
    lines = caught.value.message.splitlines()
    assert len(lines) == 4
    assert any("did you mean 'question'?" in line for line in lines)
    assert any("--run" in line for line in lines)
    assert any("--column-mapping d='${data.COLUMN}'" in line for line in lines)


def test_rows_that_lack_a_column_are_named() -> None:
    with pytest.raises(InputError) as caught:
        map_lines({"data": _table([{"q": 1}, {"p": 1}, {}])}, None, {"q": TEXT})
    assert caught.value.code == "missing-column"
    assert [line.split(": ")[0] for line in caught.value.message.splitlines()] == [
        "data.jsonl:2",
        "data.jsonl:3",
    ]


def test_an_evaluation_skips_rows_with_nothing_to_score() -> None:
    mapped = map_lines({"data": _table([{"q": 1}, {}])}, None, {"q": TEXT}, skip_incomplete=True)
    assert mapped.lines == [Line(0, {"q": 1})]
    assert list(mapped.skipped) == [1]


def test_sources_are_joined_by_line_number() -> None:
    sources = {
        "data": _table([{"t": "a"}, {"t": "b"}, {"t": "c"}]),
        "run.outputs": _table({2: {"o": "C"}, 0: {"o": "A"}}, "base"),
    }
    mapped = map_lines(sources, {"t": "${data.t}", "o": "${run.outputs.o}"}, {"t": TEXT, "o": TEXT})
    assert mapped.lines == [Line(0, {"t": "a", "o": "A"}), Line(2, {"t": "c", "o": "C"})]


_ROWS = st.dictionaries(st.integers(0, 30), st.integers(), max_size=12)


@given(data=_ROWS.filter(bool), outputs=_ROWS.filter(bool))
def test_the_join_is_its_definition(data: dict[int, int], outputs: dict[int, int]) -> None:
    sources = {
        "data": _table({n: {"a": v} for n, v in data.items()}),
        "run.outputs": _table({n: {"b": v} for n, v in outputs.items()}, "base"),
    }
    mapped = map_lines(sources, {"b": "${run.outputs.b}"}, {"a": TEXT, "b": TEXT})
    expected = [Line(n, {"a": data[n], "b": outputs[n]}) for n in data if n in outputs]
    assert [(line.number, dict(line.inputs)) for line in mapped.lines] == [
        (e.number, dict(e.inputs)) for e in expected
    ]
