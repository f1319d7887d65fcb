"""The table of docs/benchmarks/metrics.md is what the metrics give."""

from __future__ import annotations

import pytest

from tests.benchmarks.metrics import MARKS, PAGE, WITHIN, Row, all_rows, table


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return all_rows()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_page_shows_the_differences_that_there_are(rows: list[Row]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = page.partition(MARKS[0])[2].partition(MARKS[1])[0]
    assert table(rows) in shown, "python -m tests.benchmarks.metrics agreement --write"


def test_every_metric_agrees_with_an_independent_implementation_somewhere(rows: list[Row]) -> None:
    agreeing = {row.metric for row in rows if row.every <= WITHIN}
    assert {row.metric for row in rows} == agreeing


def test_a_difference_has_its_reason(rows: list[Row]) -> None:
    assert [row.metric for row in rows if row.every > WITHIN and not row.why] == []
