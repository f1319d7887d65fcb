"""Scorers of MLflow GenAI as evaluators, and our evaluators as scorers."""

from __future__ import annotations

import json
from typing import Any

import mlflow
import pytest
from mlflow.entities import Feedback
from mlflow.genai.scorers import scorer

from promptflow_lite import evaluate
from promptflow_lite.errors import InputError, PluginNotFound
from promptflow_lite.integrations.mlflow_scorers import as_scorer, from_scorer
from tests.model_server import ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow's own

ROWS = [
    {"question": "q", "answer": "東京", "truth": "東京"},
    {"question": "q", "answer": "京都", "truth": "東京"},
]


def test_a_scorer_of_mlflow_is_an_evaluator() -> None:
    @scorer
    def exact(inputs: dict[str, Any], outputs: Any, expectations: dict[str, Any]) -> Feedback:
        is_right = outputs == expectations["expected_response"]
        return Feedback(value="yes" if is_right else "no", rationale=f"of {inputs['question']}")

    evaluator = from_scorer(exact, inputs=["question"], expectations={"expected_response": "truth"})
    found = evaluate(ROWS, {"exact": evaluator})
    assert [row["exact.score"] for row in found.rows] == [True, False]
    assert found.rows[0]["exact.reason"] == "of q"
    assert found.metrics["exact.score"] == 0.5


def test_a_scorer_that_gives_a_bare_value_or_fails() -> None:
    @scorer
    def size(outputs: str) -> int:
        if outputs == "京都":
            raise ValueError("no Kyoto")
        return len(outputs)

    found = evaluate(ROWS, {"size": from_scorer(size)})
    assert [row["size.score"] for row in found.rows] == [2, None]
    assert found.metrics["size.failed"] == 1


def test_an_evaluator_is_a_scorer_of_mlflows_evaluation(tmp_path: Any) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    data = [
        {
            "inputs": {"question": row["question"]},
            "outputs": row["answer"],
            "expectations": {"expected_response": row["truth"]},
        }
        for row in ROWS
    ]
    columns = {"ground_truth": "expectations.expected_response"}
    result = mlflow.genai.evaluate(data=data, scorers=[as_scorer("qa_text", columns=columns)])
    assert result.metrics["qa_text/exact_match/mean"] == 0.5


def test_a_judges_reason_is_the_rationale(monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer(lambda _: json.dumps({"reason": "It is.", "score": 4})) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        judge: Any = as_scorer("groundedness", columns={"context": "inputs.context"})
        [feedback] = judge.run(inputs={"context": "c"}, outputs="a", expectations={})
    assert (feedback.name, feedback.value, feedback.rationale) == ("groundedness/groundedness", 4, "It is.")
    assert feedback.source.source_type == "LLM_JUDGE"


def test_a_function_is_a_scorer_too() -> None:
    def length(answer: str) -> int:
        return len(answer)

    size: Any = as_scorer(length)
    [feedback] = size.run(outputs={"answer": "abc"})
    assert feedback.value == 3


def test_what_cannot_be_is_refused() -> None:
    wrong: Any = as_scorer("fluency", columns={"answer": "output"})
    with pytest.raises(InputError):
        wrong.run(outputs="a")
    with pytest.raises(PluginNotFound):
        as_scorer("evaluator:fluncy")
