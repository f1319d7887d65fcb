"""Functions and objects of Python as evaluators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite import evaluate
from tests.flows_of import echo as echo_flow

ROWS = [{"text": "a", "wanted": "a"}, {"text": "b", "wanted": "c"}]


def same(text: str, wanted: str) -> float:
    """A function of a module."""
    return float(text == wanted)


class Lengths:
    """An object that was made with an argument, and adds up."""

    def __init__(self, weight: int) -> None:
        self.weight = weight

    def __call__(self, text: str) -> dict[str, Any]:
        return {"length": self.weight * len(text), "said": text}

    def __aggregate__(self, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {"total": sum(line["length"] for line in lines)}


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return echo_flow(tmp_path)


def test_a_function_scores_data_by_the_names_of_its_parameters() -> None:
    found = evaluate(ROWS, {"same": same})
    assert found.metrics == {"same.score": 0.5, "same.scored": 2, "same.skipped": 0, "same.failed": 0}
    assert [row["same.score"] for row in found.rows] == [1.0, 0.0]


def test_a_function_inside_a_function_gives_several_figures_and_may_skip() -> None:
    def measured(text: str) -> dict[str, Any]:
        return {"size": len(text), "vowel": text in "aeiou" if text != "b" else None}

    found = evaluate(ROWS, {"m": measured})
    assert found.metrics["m.size"] == 1.0
    assert found.metrics["m.vowel"] == 1.0
    assert found.metrics["m.vowel/lines"] == 1
    assert [row["m.vowel"] for row in found.rows] == [True, None]


def test_an_object_aggregates_what_its_lines_gave() -> None:
    found = evaluate(ROWS, {"lengths": Lengths(3)})
    assert found.metrics == {"lengths.total": 6}
    assert [row["lengths.length"] for row in found.rows] == [3, 3]


def test_a_lambda_and_an_async_function_are_evaluators_too() -> None:
    async def later(text: str) -> int:
        return len(text)

    found = evaluate(ROWS, {"n": lambda text: len(text), "later": later})
    assert (found.metrics["n.score"], found.metrics["later.score"]) == (1.0, 1.0)


def test_a_function_scores_what_a_flow_gave_beside_a_shipped_evaluator(echo: Path) -> None:
    mapping = {
        "same": {"text": "${run.outputs.text}", "wanted": "${data.wanted}"},
        "qa_text": {"answer": "${run.outputs.text}", "ground_truth": "${data.wanted}"},
    }
    found = evaluate(ROWS, {"same": same, "qa_text": "qa_text"}, target=echo, column_mapping=mapping)
    assert found.metrics["same.score"] == found.metrics["qa_text.exact_match"] == 0.5
    assert set(found.runs) == {"target", "same", "qa_text"}


def test_a_line_in_which_a_function_fails_is_counted() -> None:
    def strict(text: str) -> float:
        if text == "b":
            raise ValueError("no b")
        return 1.0

    found = evaluate(ROWS, {"strict": strict})
    assert (found.metrics["strict.score"], found.metrics["strict.failed"]) == (1.0, 1)


def test_two_functions_made_by_one_are_two_evaluators() -> None:
    def longer_than(limit: int) -> Any:
        def longer(text: str) -> bool:
            return len(text) > limit

        return longer

    found = evaluate(ROWS, {"none": longer_than(0), "one": longer_than(1)})
    assert (found.metrics["none.score"], found.metrics["one.score"]) == (1.0, 0.0)
