"""Metrics of a run without aggregation nodes."""

from __future__ import annotations

from typing import Any

from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.evaluation import summary


def line(status: Status = Status.Completed, **outputs: Any) -> LineResult:
    return LineResult(0, status, {}, outputs)


def test_a_mean_says_over_how_many_lines_it_is() -> None:
    lines = [line(score=1.0, why="x"), line(score=0.0), line(score=None), line(Status.Failed)]
    assert summary.of(lines) == {"score": 0.5, "scored": 2, "skipped": 1, "failed": 1}


def test_a_flag_counts_as_one_or_zero() -> None:
    assert summary.of([line(good=True), line(good=False)])["good"] == 0.5


def test_text_has_no_mean() -> None:
    assert summary.of([line(why="because")]) == {"scored": 0, "skipped": 1, "failed": 0}


def test_no_lines_have_no_metrics() -> None:
    assert summary.of([]) == {"scored": 0, "skipped": 0, "failed": 0}
