"""Figures over texts: equal to the published procedures in English, and right in Japanese."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from promptflow_lite.evaluation.metrics.text import (
    Overlap,
    best,
    contains,
    exact_match,
    normalize,
    rouge_l,
    rouge_n,
    token_f1,
)

WORDS = [
    "the",
    "a",
    "An",
    "cat",
    "cat.",
    "sat",
    "on",
    "MAT",
    "mat,",
    "state-of-the-art",
    "don't",
    "4.2",
    "$5",
    "?",
]
english = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
japanese = st.text("東京都は日本の首都です。フィルター、１２か月 ", max_size=20)


def squad_tokens(text: str) -> list[str]:
    """The published `normalize_answer` and `get_tokens` of SQuAD's evaluate-v2.0.py, written down again."""
    lowered = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", lowered).split()


def squad_f1(answer: str, reference: str) -> float:
    """`compute_f1` of the same script."""
    gold, given_ = squad_tokens(reference), squad_tokens(answer)
    same = sum((Counter(gold) & Counter(given_)).values())
    if not gold or not given_:
        return float(gold == given_)
    if same == 0:
        return 0.0
    precision, recall = same / len(given_), same / len(gold)
    return 2 * precision * recall / (precision + recall)


@given(english, english)
@example("The cat sat.", "a cat sat")
@example("", "the")
def test_exact_match_and_f1_are_squads_in_english(answer: str, reference: str) -> None:
    assert exact_match(answer, reference) == float(squad_tokens(answer) == squad_tokens(reference))
    assert token_f1(answer, reference).f1 == pytest.approx(squad_f1(answer, reference))


@given(english, english)
def test_rouge_is_that_of_rouge_score_in_english(answer: str, reference: str) -> None:
    expected = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(reference, answer)
    found = {"rouge1": rouge_n(answer, reference), "rouge2": rouge_n(answer, reference, 2)}
    for name, value in {**found, "rougeL": rouge_l(answer, reference)}.items():
        assert value == pytest.approx(Overlap(*expected[name])), name


@given(st.one_of(english, japanese), st.one_of(english, japanese))
def test_precision_and_recall_change_places_with_the_texts(answer: str, reference: str) -> None:
    for score in (token_f1, rouge_l, rouge_n):
        there, back = score(answer, reference), score(reference, answer)
        assert (there.precision, there.recall) == (back.recall, back.precision)
        assert there.f1 == pytest.approx(back.f1)
        assert 0.0 <= min(there) <= max(there) <= 1.0


@given(st.one_of(english, japanese))
def test_a_text_agrees_with_itself(text: str) -> None:
    assert exact_match(text, text) == token_f1(text, text).f1 == contains(text, text) == 1.0


@given(st.text(max_size=30))
def test_normalizing_twice_changes_nothing_more(text: str) -> None:
    once = normalize(normalize(text))
    assert normalize(once) == once


@given(japanese, japanese)
def test_the_longest_common_subsequence_is_at_most_the_common_tokens(answer: str, reference: str) -> None:
    assert rouge_l(answer, reference).f1 <= rouge_n(answer, reference).f1 + 1e-9


def test_a_right_japanese_answer_is_not_scored_zero() -> None:
    assert token_f1("日本の首都は東京都です。", "首都は東京都") == pytest.approx((6 / 11, 1.0, 12 / 17))


def test_full_width_and_half_width_forms_are_equal() -> None:
    assert exact_match("ＭＦ－２０　です", "MF-20です") == 1.0


def test_spaces_between_japanese_characters_do_not_matter() -> None:
    assert exact_match("東京 タワー", "東京タワー") == 1.0


def test_rouge_l_keeps_to_the_order_of_characters() -> None:
    assert rouge_l("東京", "京東") == Overlap(0.5, 0.5, 0.5)


def test_japanese_punctuation_is_stripped() -> None:
    assert normalize("「はい」、そうです。") == "はいそうです"


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("Replace it every 12 months.", "12 months"),
        ("フィルターは１２か月ごとに交換します。", "12か月"),
        ("2.4GHzのWi-Fiだけ", "2.4 GHz"),
        ("up to 24㎡", "24 m²"),
        ("The code is mf-20 [1].", "MF-20"),
    ],
)
def test_a_fact_is_found_whatever_its_form(answer: str, fact: str) -> None:
    assert contains(answer, fact) == 1.0


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("15 m", "5 m"),
        ("5.5 m", "5 m"),
        ("12.4 GHz", "2.4 GHz"),
        ("112か月", "12か月"),
        ("monthly", "month"),
        ("", "5 m"),
    ],
)
def test_another_figure_is_not_the_fact(answer: str, fact: str) -> None:
    assert contains(answer, fact) == 0.0


def test_the_best_of_several_references_counts() -> None:
    assert best(exact_match, "Tokyo", ["Kyoto", "tokyo."]) == 1.0
    assert best(exact_match, "Tokyo", []) == 0.0
