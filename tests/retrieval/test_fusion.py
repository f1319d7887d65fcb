from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.retrieval.embed import unit_vectors
from promptflow_lite.retrieval.fusion import best, diverse, fuse, reciprocal


def test_words_decide_where_the_best_passage_holds_them_all() -> None:
    assert best(fuse({1: 9.9, 2: 5.0}, {1: 0.1, 2: 0.9}, greatest=10.0), 2)[0][0] == 1


def test_vectors_decide_between_passages_that_hold_no_word() -> None:
    assert [key for key, _ in best(fuse({}, {1: 0.1, 2: 0.9}, greatest=10.0), 2)] == [2, 1]


def test_vectors_settle_what_words_leave_close() -> None:
    assert best(fuse({1: 2.0, 2: 1.9}, {1: 0.1, 2: 0.9}, greatest=10.0), 1)[0][0] == 2


@given(st.dictionaries(st.integers(0, 9), st.floats(0, 10)), st.floats(-1, 1))
def test_with_equal_cosines_the_order_is_that_of_the_words(keyword: dict[int, float], cosine: float) -> None:
    fused = fuse(keyword, dict.fromkeys(range(10), cosine), greatest=10.0)
    assert [round(keyword.get(key, 0.0), 6) for key, _ in best(fused, 10)] == sorted(
        (round(keyword.get(key, 0.0), 6) for key in range(10)), reverse=True
    )


def test_maximal_marginal_relevance_is_the_papers() -> None:
    """Every choice is the arg max of the formula, worked out naively."""
    import numpy as np

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
    fused = reciprocal({7: 9.0, 8: 2.0}, {3: 0.9, 7: 0.1})
    assert best(fused, 3) == [(7, 1 / 61 + 1 / 62), (3, 1 / 61), (8, 1 / 62)]
    assert [key for key, _ in best(reciprocal({9: 1.0}, {1: 1.0}), 2)] == [9, 1]
