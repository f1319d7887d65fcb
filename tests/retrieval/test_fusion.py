from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.retrieval.fusion import best, fuse


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
