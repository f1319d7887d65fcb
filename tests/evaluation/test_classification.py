"""Figures over labels: equal to scikit-learn's, and bounded."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from promptflow_lite.evaluation.metrics.classification import INVALID, Average, Confusion, confusion

LABELS = ("alpha", "beta", "gamma", "日本")
_pairs = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from((*LABELS, "no label"))), min_size=1, max_size=40
)


def counted(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str], Confusion]:
    truth, predicted = [t for t, _ in pairs], [p for _, p in pairs]
    return truth, predicted, confusion(truth, predicted, LABELS)


@given(_pairs)
def test_the_figures_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truth, predicted, found = counted(pairs)
    seen = [label for label in LABELS if label in truth or label in predicted]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        each = sk.precision_recall_fscore_support(truth, predicted, labels=seen, zero_division=0.0)
        assert found.seen == tuple(seen)
        for label, *expected in zip(seen, *each, strict=True):
            score = found.of_class(label)
            assert [score.precision, score.recall, score.f1, score.support] == pytest.approx(expected)
        assert found.accuracy() == pytest.approx(sk.accuracy_score(truth, predicted))
        averages: tuple[Average, ...] = ("macro", "weighted", "micro")
        for how in averages:
            score = found.average(how)
            expected = sk.precision_recall_fscore_support(
                truth, predicted, labels=seen, average=how, zero_division=0.0
            )
            assert [score.precision, score.recall, score.f1] == pytest.approx(list(expected[:3])), how
        assert found.macro_f1() == found.average("macro").f1
        assert found.balanced_accuracy() == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
        assert found.matthews() == pytest.approx(sk.matthews_corrcoef(truth, predicted))
        if len(seen) > 1:  # scikit-learn gives NaN where chance alone explains everything
            assert found.cohen_kappa() == pytest.approx(sk.cohen_kappa_score(truth, predicted))


@given(_pairs)
def test_the_matrix_holds_every_line_once(pairs: list[tuple[str, str]]) -> None:
    _, _, found = counted(pairs)
    assert sum(n for row in found.table().values() for n in row.values()) == found.total == len(pairs)
    assert found.correct + found.invalid <= found.total


@given(_pairs)
def test_the_order_of_lines_does_not_matter(pairs: list[tuple[str, str]]) -> None:
    assert counted(sorted(pairs))[2] == counted(pairs)[2]


@given(st.lists(st.sampled_from(LABELS), min_size=1))
def test_the_truth_itself_scores_one_everywhere(truth: list[str]) -> None:
    found = confusion(truth, truth)
    assert (found.accuracy(), found.macro_f1(), found.cohen_kappa()) == (1.0, 1.0, 1.0)


def test_an_answer_that_is_no_label_is_wrong_and_reported_apart() -> None:
    found = confusion(["a", "b"], ["a", "I think it is b"], ["a", "b", "c"])
    assert (found.accuracy(), found.invalid) == (0.5, 1)
    assert found.table() == {"a": {"a": 1}, "b": {INVALID: 1}}


def test_no_answer_is_invalid() -> None:
    assert confusion(["a"], [None]).invalid == 1


def test_a_label_that_nobody_uses_enters_no_average() -> None:
    assert confusion(["a"], ["a"], ["a", "b"]).macro_f1() == 1.0


def test_labels_default_to_those_that_are_true_somewhere() -> None:
    assert confusion(["b", "a", "b"], ["a", "a", "c"]).labels == ("a", "b")


def test_no_lines_score_zero() -> None:
    assert confusion([], []).accuracy() == 0.0


def test_a_true_label_must_be_known() -> None:
    with pytest.raises(ValueError, match="'b' are not among"):
        confusion(["b"], ["a"], ["a"])


def test_sequences_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 true labels, but 1"):
        confusion(["a", "b"], ["a"])
