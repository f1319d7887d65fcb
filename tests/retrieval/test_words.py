"""Keyword scores beside bm25s, an independent implementation; and what an update makes of the postings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.retrieval.stem import stems
from promptflow_lite.retrieval.words import Postings, Words, postings_of

bm25s = pytest.importorskip("bm25s", reason="a development dependency")

PASSAGES = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=12)


@given(PASSAGES.filter(lambda passages: any(passages)), st.sets(st.sampled_from("abcdefghxy"), min_size=1))
def test_scores_are_those_of_bm25s(passages: list[list[str]], query: set[str]) -> None:
    plain = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    plain.index(passages, show_progress=False)
    known = sorted(query & {word for passage in passages for word in passage})
    expected = plain.get_scores(known) if known else np.zeros(len(passages))
    words = Words(postings_of(passages))
    found = words.scores(sorted(query))
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert found.max() <= words.greatest(sorted(query)) * (1 + 1e-6)


@given(PASSAGES, PASSAGES, st.data())
def test_changed_postings_are_those_of_an_index_built_anew(
    old: list[list[str]], new: list[list[str]], data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(old), max_size=len(old)))
    changed = postings_of(new, base=postings_of(old), kept=np.array(kept))
    anew = postings_of([*(passage for passage, stays in zip(old, kept, strict=True) if stays), *new])
    assert set(changed.vocabulary) == set(anew.vocabulary)
    query = list("abcdefgh")
    for word in query:
        assert Words(changed).scores([word]).tolist() == Words(anew).scores([word]).tolist()


@given(PASSAGES)
def test_postings_survive_the_file(passages: list[list[str]]) -> None:
    first = postings_of(passages)
    second = Postings.of_blobs(first.to_blobs())
    assert second.vocabulary == first.vocabulary
    assert all((a == b).all() for a, b in zip(first[1:], second[1:], strict=True))


def test_postings_that_are_sorted_in_blocks_are_whole() -> None:
    passages = [[f"w{(row * 7 + n) % 997}" for n in range(150)] for row in range(1500)]
    postings = postings_of(passages)
    expected: dict[str, list[int]] = {}
    for row, said in enumerate(passages):
        for word in said:
            expected.setdefault(word, []).append(row)
    starts = postings.starts.tolist()
    found = {
        word: postings.rows[starts[n] : starts[n + 1]].tolist() for n, word in enumerate(postings.vocabulary)
    }
    assert len(postings.rows) == 225_000
    assert found == expected


def test_a_word_counts_65535_times_at_most() -> None:
    assert postings_of([["a"] * 70_000 + ["b"], ["a"]]).counts.tolist() == [65_535, 1, 1]


def test_forms_of_a_word_have_one_stem_and_other_scripts_stay() -> None:
    assert stems(["descaling", "descaled", "Müller", "京都", "한국", "большой"]) == [
        "descal",
        "descal",
        "Muller",
        "京都",
        "한국",
        "большой",
    ]
