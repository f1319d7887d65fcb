from __future__ import annotations

import pytest

from promptflow_lite.evaluation.metrics.citations import CitationScores, citation_scores

LAMP = ["reset", "care", "wifi"]


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        ("Hold the button [1].", {"reset"}, CitationScores(1.0, 1.0, 1, 0)),
        ("Hold the button [1]. Wipe it [2].", {"reset"}, CitationScores(0.5, 1.0, 2, 0)),
        ("Hold the button [1]. Hold it long [1].", {"reset", "care"}, CitationScores(1.0, 0.5, 1, 0)),
        ("ボタンを押します［１］。布で拭きます【2】。", {"reset", "care"}, CitationScores(1.0, 1.0, 2, 0)),
        ("Both [1-2].", {"care", "wifi"}, CitationScores(0.5, 0.5, 2, 0)),
        ("Hold it [9].", {"reset"}, CitationScores(0.0, 0.0, 1, 1)),
        ("Hold it.", {"reset"}, CitationScores(None, 0.0, 0, 0)),
        ("The manual does not say.", set(), CitationScores(None, None, 0, 0)),
        ("It is blue [3].", set(), CitationScores(0.0, None, 1, 0)),
    ],
)
def test_citations_are_worth_what_was_worked_out_by_hand(
    answer: str, right: set[str], expected: CitationScores
) -> None:
    assert citation_scores(answer, LAMP, right) == expected


@pytest.mark.parametrize(
    ("precision", "recall", "f1"),
    [(1.0, 0.5, 2 / 3), (None, 0.0, 0.0), (0.0, None, 0.0), (None, None, None), (0.0, 0.0, 0.0)],
)
def test_f1_is_the_harmonic_mean(precision: float | None, recall: float | None, f1: float | None) -> None:
    assert CitationScores(precision, recall, 1, 0).f1 == (pytest.approx(f1) if f1 is not None else None)
