"""Ranking metrics beside ir-measures, and the questions they are taken from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.embed import LocalEmbedder
from promptflow_lite.retrieval.evaluate import (
    Question,
    evaluate,
    labels,
    ndcg,
    read_questions,
    recall,
    reciprocal_rank,
)
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.retriever import IndexRetriever

NAMES = [f"d{number}" for number in range(15)]


@given(st.permutations(NAMES), st.integers(0, 15), st.sets(st.sampled_from(NAMES), min_size=1))
def test_the_metrics_are_those_of_ir_measures(order: list[str], length: int, gold: set[str]) -> None:
    ir_measures = pytest.importorskip("ir_measures", reason="a development dependency")
    from ir_measures import RR, R, nDCG

    ranking = order[:length]
    qrels = {"q": {name: int(name in gold) for name in NAMES}}
    run = {"q": {name: float(len(NAMES) - place) for place, name in enumerate(ranking)}}
    if ranking:
        expected = ir_measures.calc_aggregate([nDCG @ 10, R @ 5, R @ 10, RR], qrels, run)
        assert ndcg(ranking, gold) == pytest.approx(expected[nDCG @ 10])
        assert recall(ranking, gold, 5) == pytest.approx(expected[R @ 5])
        assert recall(ranking, gold, 10) == pytest.approx(expected[R @ 10])
        assert reciprocal_rank(ranking, gold) == pytest.approx(expected[RR])
    else:
        assert (ndcg(ranking, gold), recall(ranking, gold, 5), reciprocal_rank(ranking, gold)) == (0, 0, 0)


def document(name: str, of: str, source: str) -> Document:
    return Document("", name, 0.0, {"document": of, "source": source})


def test_a_passage_goes_by_whichever_of_its_names_is_gold_and_counts_once() -> None:
    found = [document("a:1", "a", "x.md"), document("a:2", "a", "x.md"), document("b", "b", "x.md")]
    assert labels(found, {"a"}) == ["a", "", "b"]
    assert labels(found, {"a:2"}) == ["a", "a:2", "b"]
    assert labels(found, {"x.md"}) == ["x.md", "", ""]


def test_questions_name_one_passage_or_several(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "a?", "passages": ["x", "y"]}\n\n{"question": "b?", "passage_id": "z"}\n')
    assert read_questions(path) == [Question("a?", frozenset("xy")), Question("b?", frozenset("z"))]


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ('{"question": "a?"}\n{"passages": "x"}\n[]\n{\n{"question": "a?", "passages": []}', "1 2 3 4 5"),
        ('{"question": "a?", "passages": [1]}', "1"),
        ("", " holds no question"),
    ],
)
def test_every_bad_question_is_named_by_its_line(tmp_path: Path, rows: str, lines: str) -> None:
    (tmp_path / "q.jsonl").write_text(rows)
    with pytest.raises(InputError) as caught:
        read_questions(tmp_path / "q.jsonl")
    assert caught.value.code == "bad-questions"
    assert " ".join(line.split(":")[1] for line in caught.value.message.splitlines()) == lines


async def test_an_index_is_scored_by_its_own_answers(
    manual: Path, tmp_path: Path, encoder: LocalEmbedder
) -> None:
    await build([str(manual)], tmp_path / "m.index", embedder=encoder)
    questions = [
        Question("vinegar", frozenset({"kettle.txt"})),
        Question("hold the button", frozenset({"lamp.md:2"})),
        Question("vinegar", frozenset({"lamp.md"})),
        Question("vinegar", frozenset({"kettle.txt", "gone.md"})),
    ]
    retriever = IndexRetriever(Index(tmp_path / "m.index"), encoder)
    scores = await evaluate(retriever, questions, mode="keyword", cutoffs=(1, 5))
    retriever.close()
    assert (scores.questions, scores.recall, scores.mrr) == (4, {1: 0.625, 5: 0.625}, 0.75)
