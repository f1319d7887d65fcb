"""Every shipped evaluator: its sample lines in, the expected scores out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promptflow_lite import load_flow, run
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
        "failed": 0,
        "invalid": 1,
        "accuracy": pytest.approx(1 / 3),
        "macro_f1": pytest.approx(1 / 3),
        "weighted_f1": pytest.approx(1 / 3),
        "micro_f1": pytest.approx(2 / 5),
        "balanced_accuracy": pytest.approx(1 / 3),
        "cohen_kappa": pytest.approx(1 / 7),
        "matthews": pytest.approx(1 / 6**0.5 / 6**0.5),
        "macro_precision": pytest.approx(1 / 3),
        "macro_recall": pytest.approx(1 / 3),
        "weighted_precision": pytest.approx(1 / 3),
        "weighted_recall": pytest.approx(1 / 3),
        "micro_precision": pytest.approx(1 / 2),
        "micro_recall": pytest.approx(1 / 3),
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
    assert metrics == {"scored": 0, "skipped": 1, "failed": 0}


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
        "scored": 4,
        "skipped": 1,
        "unknown": 1,
        "failed": 0,
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


def test_text_similarity_scores_every_figure_and_says_how_texts_were_cut() -> None:
    lines, metrics = scored("text_similarity")
    assert lines[0]["f1"] == pytest.approx(4 / 5)  # "the" does not count
    assert lines[0]["rouge_1_precision"] == lines[0]["rouge_1_recall"] == pytest.approx(5 / 6)
    assert lines[1]["rouge_l"] > 0.5
    assert {name: lines[2][name] for name in ("exact_match", "bleu", "gleu", "chrf", "edit_similarity")} == {
        name: pytest.approx(1.0) for name in ("exact_match", "bleu", "gleu", "chrf", "edit_similarity")
    }
    assert set(lines[3].values()) == {None}
    assert metrics["rouge_l"] == pytest.approx(sum(line["rouge_l"] for line in lines[:3]) / 3)
    assert (metrics["scored"], metrics["skipped"]) == (3, 1)
    cut = {name.partition("/")[2]: count for name, count in metrics.items() if name.startswith("tokenizer/")}
    assert sum(cut.values()) == 3
    assert lines[1]["tokenizer"] in cut
    assert metrics["corpus_bleu_signature"].startswith("nrefs:1|case:lc|eff:no|tok:")


def test_the_tokenizer_of_text_similarity_can_be_chosen(tmp_path: Path) -> None:
    row = {"answer": "東京 タワー", "ground_truth": "東京 駅", "tokenizer": "words"}
    [line], metrics = scored("text_similarity", written(tmp_path, [row]))
    assert (line["f1"], line["tokenizer"], metrics["tokenizer/words"]) == (0.5, "words", 1)


@pytest.mark.parametrize("tokenizer", ["", "wrods"])
def test_an_unknown_tokenizer_is_a_line_that_failed(tmp_path: Path, tokenizer: str) -> None:
    row = {"answer": "a", "ground_truth": "b", "tokenizer": tokenizer}
    done = run(EVALUATORS / "text_similarity", written(tmp_path, [row]))
    assert done.lines.failed == 1
    assert "'words'" in done.details[0]["error"]["message"]


def test_ranking_reads_names_documents_and_grades() -> None:
    lines, metrics = scored("ranking")
    assert [line["reciprocal_rank"] for line in lines] == [1.0, 0.5, 0.5, None]
    assert [line["recall"] for line in lines] == [1.0, 0.5, 0.5, None]
    assert [line["holes"] for line in lines] == [None, None, 1, None]
    assert metrics == {
        "hit@3": 1.0,
        "precision@3": pytest.approx(1 / 3),
        "recall@3": pytest.approx(2 / 3),
        "mrr@3": pytest.approx(2 / 3),
        "map@3": pytest.approx((1 + 1 / 4 + 1 / 4) / 3),
        "ndcg@3": pytest.approx((lines[0]["ndcg"] + lines[1]["ndcg"] + lines[2]["ndcg"]) / 3),
        "holes@3": 1.0,
        "holes@3/lines": 1,
        "scored": 3,
        "skipped": 1,
        "failed": 0,
    }


def test_a_document_without_the_name_that_is_asked_for_fails_its_line(tmp_path: Path) -> None:
    documents = [{"id": "x", "metadata": {"source": "a.md"}}, {"id": "y", "metadata": {}}]
    rows = [
        {"documents": documents[:1], "ground_truth": "a.md", "key": "metadata.source"},
        {"documents": documents, "ground_truth": "a.md", "key": "metadata.source"},
    ]
    done = run(EVALUATORS / "ranking", written(tmp_path, rows))
    assert (done.lines.completed, done.lines.failed, done.metrics["recall@10"]) == (1, 1, 1.0)
    assert "document 2 has no 'metadata.source'" in done.details[1]["error"]["message"]


def test_retrieval_reads_both_forms_of_grades() -> None:
    lines, metrics = scored("retrieval")
    assert lines[0]["xdcg"] == pytest.approx(25 * (4 + 2 * 0.36) / 1.96)
    assert lines[1]["fidelity"] == pytest.approx(3 / (3 + 15))
    assert (lines[1]["holes"], lines[1]["holes_ratio"]) == (1, 0.5)
    assert set(lines[2].values()) == {None}
    assert (metrics["scored"], metrics["skipped"]) == (2, 1)


def test_embedding_similarity_asks_a_connection_and_not_for_empty_texts(home: Path, tmp_path: Path) -> None:
    def vector(text: str) -> Any:
        return np.array([len(text), 0.5, -0.25])  # what the server answers

    with ModelServer() as server:
        (home / "connections").mkdir()
        text = f"type: open_ai\nbase_url: {server.base_url}\napi_key: k\n"
        (home / "connections" / "mine.yaml").write_text(text)
        over = {"connection": "mine", "model": "m"}
        texts = [("a", "abc"), ("", "abc"), ("abc", ""), ("ab", "ab")]
        rows = [{"answer": answer, "ground_truth": truth} for answer, truth in texts]
        done = run(
            EVALUATORS / "embedding_similarity",
            written(tmp_path, rows),
            connections={"embed_answer": over, "embed_ground_truth": over},
        )
        assert server.count == 4  # nothing is asked for a pair of which one is empty
    values = [line["outputs"]["embedding_similarity"] for line in done.details]
    one, other = vector("a"), vector("abc")
    expected = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert values == [pytest.approx(expected), 0.0, None, pytest.approx(1.0)]
    assert (done.metrics["scored"], done.metrics["skipped"]) == (3, 1)


def test_an_evaluator_can_be_called() -> None:
    flow = load_flow(EVALUATORS / "qa_text")
    assert flow(answer="Ｔｏｋｙｏ", ground_truth="tokyo.")["exact_match"] == 1.0


def written(folder: Path, lines: list[dict[str, Any]]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
