"""Every shipped evaluator: its sample lines in, the expected scores out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite import load_flow, run
from promptflow_lite import test as run_test
from promptflow_lite.flow.load import load_flow as read_flow
from tests.conftest import ROOT
from tests.model_server import ModelServer

EVALUATORS = ROOT / "evaluators"


def scored(name: str, data: Path | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Outputs of the lines, and the metrics."""
    done = run(EVALUATORS / name, data or EVALUATORS / name / "data.jsonl")
    return [line["outputs"] for line in done.details], done.metrics


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EVALUATORS.glob("*/flow.dag.yaml")))
def test_an_evaluator_is_an_evaluation_flow_with_sample_lines_and_a_page(name: str) -> None:
    assert read_flow(EVALUATORS / name).type == "evaluation"
    assert (EVALUATORS / name / "data.jsonl").is_file()
    assert (EVALUATORS / name / "README.md").read_text(encoding="utf-8").startswith(f"# {name}\n")


def test_classification_grades_lines_and_reports_the_run() -> None:
    lines, metrics = scored("classification")
    assert [line["grade"] for line in lines] == ["correct", "wrong", "invalid", "skipped"]
    assert metrics.pop("confusion") == {
        "order": {"(invalid)": 1},
        "refund": {"refund": 1},
        "other": {"order": 1},
    }
    assert metrics == {
        "scored": 3,
        "skipped": 1,
        "invalid": 1,
        "accuracy": pytest.approx(1 / 3),
        "macro_f1": pytest.approx(1 / 3),
        **{
            f"{figure}/{label}": 0.0
            for figure in ("precision", "recall", "f1")
            for label in ("order", "other")
        },
        **{f"{figure}/refund": 1.0 for figure in ("precision", "recall", "f1")},
    }


def test_a_true_label_that_is_not_known_fails_its_line_only(tmp_path: Path) -> None:
    data = written(tmp_path, [{"prediction": "a", "ground_truth": t, "labels": ["a"]} for t in ("a", "b")])
    done = run(EVALUATORS / "classification", data)
    assert (done.lines.completed, done.lines.failed) == (1, 1)
    assert done.metrics["accuracy"] == 1.0


def test_lines_without_a_true_label_leave_no_accuracy(tmp_path: Path) -> None:
    _, metrics = scored("classification", written(tmp_path, [{"prediction": "a", "ground_truth": " "}]))
    assert metrics == {"scored": 0, "skipped": 1}


def test_citations_are_scored_in_both_languages_and_undefined_figures_left_out() -> None:
    lines, metrics = scored("citations")
    assert [(line["precision"], line["recall"]) for line in lines] == [
        (1.0, 1.0),
        (0.5, 1.0),
        (0.0, 0.0),
        (None, 0.0),
        (None, None),
    ]
    assert metrics == {
        "citation_precision": 0.5,
        "citation_recall": 0.5,
        "with_citations": 3,
        "with_ground_truth": 4,
        "skipped": 1,
        "unknown": 1,
    }


def test_qa_text_scores_english_and_japanese_and_ignores_citations() -> None:
    lines, metrics = scored("qa_text")
    assert lines[0] == {
        "exact_match": 0.0,
        "f1": pytest.approx(2 * 3 / (5 + 3)),
        "rouge_l": pytest.approx(2 * 3 / (6 + 3)),
        "key_fact": 1.0,
    }
    assert lines[1]["key_fact"] == 1.0
    assert lines[1]["f1"] > 0.7
    assert lines[2]["key_fact"] == 0.0
    assert lines[3] == {"exact_match": None, "f1": None, "rouge_l": None, "key_fact": None}
    counts = ("scored", "skipped", "with_key_fact")
    assert [metrics[count] for count in counts] == [3, 1, 3]
    assert metrics["key_fact"] == pytest.approx(2 / 3)


JUDGEMENTS = {
    "2 months": '{"reason": "It is in the context.", "score": 5}',
    "10 years": "I would say two out of five",
}


def judged(body: Mapping[str, Any]) -> str:
    prompt = body["messages"][-1]["content"]
    return next(
        judgement for words, judgement in JUDGEMENTS.items() if words in prompt.partition("Answer:")[2]
    )


def test_groundedness_counts_what_it_could_not_read_and_what_had_no_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ModelServer(judged) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        lines, metrics = scored("groundedness")
        assert server.count == 2  # a line without context asks no judge
    assert lines[0] == {"groundedness": 5, "reason": "It is in the context."}
    assert lines[1] == lines[2] == {"groundedness": None, "reason": None}
    assert metrics == {"groundedness": 5.0, "scored": 1, "unreadable": 1, "skipped": 1}


@pytest.mark.parametrize(
    "judgement", ["", "[]", '{"score": 6, "reason": ""}', '{"score": true, "reason": ""}', "null"]
)
def test_a_judgement_of_another_form_is_unreadable(judgement: str) -> None:
    found = run_test(EVALUATORS / "groundedness", {"judgement": judgement, "judged": True}, node="read")
    assert found == {"score": None, "reason": None, "unreadable": True}


def test_an_evaluator_can_be_called() -> None:
    flow = load_flow(EVALUATORS / "qa_text")
    assert flow(answer="Ｔｏｋｙｏ", ground_truth="tokyo.")["exact_match"] == 1.0


def written(folder: Path, lines: list[dict[str, Any]]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
