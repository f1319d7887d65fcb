"""Ranking metrics beside ir-measures and scikit-learn; retrieval metrics beside examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptflow_lite.evaluation.metrics.ranking import (
    average_precision,
    hit,
    holes,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)
from promptflow_lite.evaluation.metrics.retrieval import Retrieval, retrieval

ir_measures = pytest.importorskip("ir_measures", reason="a development dependency")
sklearn = pytest.importorskip("sklearn.metrics", reason="a development dependency")

NAMES = [f"d{number}" for number in range(15)]


@given(
    st.permutations(NAMES),
    st.integers(1, 15),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 4)).filter(lambda grades: any(grades.values())),
)
def test_every_metric_is_that_of_ir_measures(order: list[str], length: int, grades: dict[str, int]) -> None:
    from ir_measures import AP, RR, P, R, Success, nDCG

    ranking = order[:length]
    right = {name for name, grade in grades.items() if grade > 0}
    run = {"q": {name: float(len(NAMES) - place) for place, name in enumerate(ranking)}}
    expected = ir_measures.calc_aggregate(
        [nDCG @ 5, nDCG @ 10, R @ 5, R @ 10, P @ 5, Success @ 3, RR, RR @ 4, AP, AP @ 6], {"q": grades}, run
    )
    assert {
        nDCG @ 5: ndcg(ranking, grades, 5),
        nDCG @ 10: ndcg(ranking, grades, 10),
        R @ 5: recall(ranking, right, 5),
        R @ 10: recall(ranking, right, 10),
        P @ 5: precision(ranking, right, 5),
        Success @ 3: hit(ranking, right, 3),
        RR: reciprocal_rank(ranking, right),
        RR @ 4: reciprocal_rank(ranking, right, 4),
        AP: average_precision(ranking, right),
        AP @ 6: average_precision(ranking, right, 6),
    } == pytest.approx(expected)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(any), st.integers(1, 12))
def test_exponential_gains_are_those_of_scikit_learn(given_grades: list[int], k: int) -> None:
    names = [f"d{number}" for number in range(len(given_grades))]
    gains = 2.0 ** np.array([given_grades]) - 1
    expected = sklearn.ndcg_score(gains, [[-place for place in range(len(names))]], k=k, ignore_ties=True)
    found = ndcg(names, dict(zip(names, given_grades, strict=True)), k, gain="exp")
    assert found == pytest.approx(expected)


@given(st.permutations(NAMES), st.integers(1, 15))
@example(NAMES, 15)
def test_figures_stay_between_nothing_and_one(order: list[str], k: int) -> None:
    grades = dict.fromkeys(NAMES[:4], 1)
    for figure in (
        ndcg(order, grades, k),
        recall(order, grades, k),
        precision(order, grades, k),
        average_precision(order, grades, k),
        reciprocal_rank(order, grades, k),
    ):
        assert 0 <= figure <= 1
    assert ndcg(NAMES, grades, k) == pytest.approx(1.0)


def test_what_comes_twice_counts_where_it_comes_first() -> None:
    assert ndcg(["a", "a"], {"a": 1, "b": 1}, 2) == ndcg(["a"], {"a": 1, "b": 1}, 2)
    assert average_precision(["a", "a"], {"a", "b"}) == 0.5
    assert recall(["a", "a"], {"a", "b"}, 2) == precision(["a", "a"], {"a", "b"}, 2) == 0.5


def test_where_nothing_is_right_figures_are_nothing() -> None:
    assert (ndcg(["a"], {"a": 0}, 3), recall(["a"], set(), 3), average_precision(["a"], set())) == (0, 0, 0)


def test_holes_are_what_nobody_judged() -> None:
    assert (holes(["a", "x", "b", "y"], {"a": 0, "b": 2}), holes(["a", "x", "y"], {"a": 1}, 2)) == (2, 1)


def test_a_search_is_worth_what_was_worked_out_by_hand() -> None:
    """Grades 3, 0, a hole, 1; there is a document of grade 2 that was not found.

    XDCG@3 = 25 (3 + 0 + 0) / (1 + 0.6 + 0.36); fidelity = (15 + 3) / (15 + 3 + 7);
    nDCG@3 = (7 / 1) / (7 / 1 + 3 / log2(3) + 1 / 2).
    """
    found = retrieval(["a", "b", "x", "c"], {"a": 3, "b": 0, "c": 1, "d": 2})
    assert found.ndcg == pytest.approx(7 / (7 + 3 / np.log2(3) + 0.5))
    assert found.xdcg == pytest.approx(75 / 1.96)
    assert (found.fidelity, found.holes, found.holes_ratio) == (18 / 25, 1, 0.25)
    assert (found.top1_relevance, found.top3_relevance) == (3, 3)


def test_a_search_that_found_nothing_is_worth_nothing() -> None:
    assert retrieval([], {"a": 1}) == Retrieval(0.0, 0.0, 0.0, 0, 0, 0, 0.0)
    assert retrieval(["a"], {}).fidelity is None
