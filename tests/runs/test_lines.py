"""The lines of a run: sources joined by number, chosen and repeated, read when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import FlowInput
from promptflow_lite.runs.data import read
from promptflow_lite.runs.job import Line
from promptflow_lite.runs.lines import Lines, Sources
from promptflow_lite.runs.mapping import plan_of
from promptflow_lite.runs.outcome import Outcome
from promptflow_lite.runs.records import encode
from promptflow_lite.runs.run import Run

TEXT = FlowInput(type="string")


def _base(folder: Path, outputs: Mapping[tuple[int, int], dict[str, Any]]) -> Outcome:
    folder.mkdir()
    results = [LineResult(n, Status.Completed, {}, output, repeat=r) for (n, r), output in outputs.items()]
    (folder / "lines.jsonl").write_bytes(b"".join(map(encode, results)))
    return Outcome("base", folder)


def _lines(
    folder: Path,
    rows: Iterable[Mapping[str, Any]] | None,
    mapping: Mapping[str, Any] | None = None,
    inputs: Iterable[str] = ("q",),
    *,
    base: Outcome | None = None,
    skip_incomplete: bool = False,
    **choice: Any,
) -> Lines:
    data = None
    if rows is not None:
        path = folder / "data.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = read(path)
    sources = Sources(data, base)
    plan = plan_of(sources.scopes(), mapping, dict.fromkeys(inputs, TEXT))
    return Lines(sources, plan, Run(name="r", flow="f", **choice), skip_incomplete=skip_incomplete)


def _numbers(lines: Lines) -> list[int]:
    numbers = [line.number for line in lines]
    assert len(lines) == len(numbers)
    assert all(line.key in lines.keys() for line in lines)  # noqa: SIM118  (no dict)
    return numbers


def test_lines_can_be_read_more_than_once(tmp_path: Path) -> None:
    lines = _lines(tmp_path, [{"q": "a"}, {"q": "b"}])
    assert list(lines) == list(lines) == [Line(0, {"q": "a"}), Line(1, {"q": "b"})]


def test_rows_that_lack_a_column_are_named_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _lines(tmp_path, [{"q": 1}, {"p": 1}, {}])
    assert caught.value.code == "missing-column"
    where = tmp_path / "data.jsonl"
    assert caught.value.message.splitlines() == [
        f"{where}:2: no 'q' for the input 'q'",
        f"{where}:3: no 'q' for the input 'q'",
    ]


def test_an_evaluation_skips_rows_with_nothing_to_score(tmp_path: Path) -> None:
    lines = _lines(tmp_path, [{"q": 1}, {}], skip_incomplete=True)
    assert list(lines) == [Line(0, {"q": 1})]
    assert list(lines.skipped) == [1]


def test_sources_are_joined_by_line_number(tmp_path: Path) -> None:
    base = _base(tmp_path / "base", {(2, 0): {"o": "C"}, (0, 0): {"o": "A"}})
    mapping = {"t": "${data.t}", "o": "${run.outputs.o}"}
    lines = _lines(tmp_path, [{"t": "a"}, {"t": "b"}, {"t": "c"}], mapping, ("t", "o"), base=base)
    assert list(lines) == [Line(0, {"t": "a", "o": "A"}), Line(2, {"t": "c", "o": "C"})]


def test_each_repeat_of_the_base_run_is_scored_against_the_row_of_its_number(tmp_path: Path) -> None:
    base = _base(tmp_path / "base", {(0, 0): {"o": "A"}, (0, 1): {"o": "AA"}, (1, 1): {"o": "BB"}})
    mapping = {"t": "${data.t}", "o": "${run.outputs.o}"}
    lines = _lines(tmp_path, [{"t": "a"}, {"t": "b"}], mapping, ("t", "o"), base=base)
    assert list(lines) == [
        Line(0, {"t": "a", "o": "A"}, 0),
        Line(0, {"t": "a", "o": "AA"}, 1),
        Line(1, {"t": "b", "o": "BB"}, 1),
    ]
    assert len(lines) == 3
    assert [(key in lines.keys()) for key in [(1, 1), (1, 0)]] == [True, False]  # noqa: SIM118


_ROWS = st.dictionaries(st.integers(0, 30), st.integers(), max_size=12)


@given(data=_ROWS.filter(bool), outputs=_ROWS.filter(bool))
def test_the_join_is_its_definition(
    tmp_path_factory: pytest.TempPathFactory, data: dict[int, int], outputs: dict[int, int]
) -> None:
    folder = tmp_path_factory.mktemp("join")
    rows = [{"line_number": n, "a": v} for n, v in data.items()]
    base = _base(folder / "base", {(n, 0): {"b": v} for n, v in outputs.items()})
    lines = _lines(folder, rows, {"b": "${run.outputs.b}"}, ("a", "b"), base=base)
    assert [(line.number, dict(line.inputs)) for line in lines] == [
        (n, {"a": data[n], "b": outputs[n]}) for n in data if n in outputs
    ]


# Which of them


ROWS = [{"q": str(number)} for number in range(100)]


def test_a_limit_takes_the_first(tmp_path: Path) -> None:
    assert _numbers(_lines(tmp_path, ROWS, limit=3)) == [0, 1, 2]


def test_a_row_can_run_more_than_once(tmp_path: Path) -> None:
    lines = _lines(tmp_path, ROWS, limit=2, repeats=3)
    assert [line.key for line in lines] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert len(lines) == 6


@pytest.mark.parametrize(("sample", "count"), [(7, 7), (0.25, 25), (0.001, 1), (1000, 100)])
def test_a_sample_is_drawn_once_and_stays_in_order(tmp_path: Path, sample: float, count: int) -> None:
    numbers = _numbers(_lines(tmp_path, ROWS, sample=sample))
    assert len(numbers) == count
    assert numbers == sorted(set(numbers)) == _numbers(_lines(tmp_path, ROWS, sample=sample))
    if count < 100:
        assert numbers != list(range(count))


def test_a_seed_shuffles_the_lines_and_no_other_seed_does_so(tmp_path: Path) -> None:
    one, other = (_numbers(_lines(tmp_path, ROWS, shuffle_seed=seed)) for seed in (1, 2))
    assert one != other
    assert sorted(one) == sorted(other) == list(range(100))
    lines = _lines(tmp_path, ROWS, shuffle_seed=1, limit=10, repeats=2)
    assert [line.number for line in lines] == [n for n in one[:10] for _ in range(2)]
    assert all(line.inputs == {"q": str(line.number)} for line in lines)


def test_a_sample_of_a_seed_is_another_sample(tmp_path: Path) -> None:
    drawn = [set(_numbers(_lines(tmp_path, ROWS, sample=10, shuffle_seed=seed))) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    assert drawn[0] == set(_numbers(_lines(tmp_path, ROWS, sample=10)))
