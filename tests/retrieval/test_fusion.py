from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.retrieval.embed import unit_vectors
from promptflow_lite.retrieval.fusion import best, diverse, fuse, reciprocal


def order(keyword: list[float], cosines: list[float]) -> list[int]:
    fused = fuse(np.array(keyword, dtype=np.float32), np.array(cosines, dtype=np.float32), greatest=10.0)
    return list(best(fused, len(keyword)))


def test_words_decide_where_the_best_passage_holds_them_all() -> None:
    assert order([9.9, 5.0], [0.1, 0.9]) == [0, 1]


def test_vectors_decide_between_passages_that_hold_no_word() -> None:
    assert order([0.0, 0.0], [0.1, 0.9]) == [1, 0]


def test_vectors_settle_what_words_leave_close() -> None:
    assert order([2.0, 1.9], [0.1, 0.9]) == [1, 0]


@given(st.lists(st.integers(0, 100), min_size=1), st.floats(-1, 1))
def test_with_equal_cosines_the_order_is_that_of_the_words(keyword: list[int], cosine: float) -> None:
    found = order([score / 10 for score in keyword], [cosine] * len(keyword))
    assert found == sorted(range(len(keyword)), key=lambda row: -keyword[row])


@given(st.lists(st.integers(-3, 3)), st.integers(1, 9), st.sampled_from([float("-inf"), -1.0, 0.0]))
def test_the_best_are_the_first_of_a_stable_sort(scores: list[int], limit: int, above: float) -> None:
    rows = sorted((row for row in range(len(scores)) if scores[row] > above), key=lambda row: -scores[row])
    assert best(np.array(scores, dtype=np.float32), limit, above=above).tolist() == rows[:limit]


def test_maximal_marginal_relevance_is_the_papers() -> None:
    """Every choice is the arg max of the formula, worked out naively."""
    chance = np.random.default_rng(7)
    vectors = unit_vectors(chance.normal(size=(12, 5)).astype(np.float32))
    scores = sorted(chance.random(12).tolist(), reverse=True)
    found = list(enumerate(scores))
    for diversity in (0.2, 0.5, 0.9, 1.0):
        taken = [0]
        while len(taken) < 6:
            worth = {
                i: (1 - diversity) * scores[i] / scores[0]
                - diversity * max(float(vectors[i] @ vectors[j]) for j in taken)
                for i in range(12)
                if i not in taken
            }
            taken.append(max(worth, key=lambda i: worth[i]))
        assert [key for key, _ in diverse(found, vectors, 6, diversity=diversity)] == taken
    assert diverse(found, vectors, 99, diversity=0.0) == found
    assert diverse([], vectors[:0], 3, diversity=0.5) == []


def test_reciprocal_ranks_add_up_and_the_first_answer_goes_before_its_equals() -> None:
    assert reciprocal([7, 8], [3, 7]) == [(7, 1 / 61 + 1 / 62), (3, 1 / 61), (8, 1 / 62)]
    assert reciprocal([9], [1]) == [(9, 1 / 61), (1, 1 / 61)]
