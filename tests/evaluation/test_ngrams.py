"""BLEU, GLEU, chrF, METEOR and edits: against sacrebleu, nltk and rapidfuzz, in English and Japanese."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.stem import PorterStemmer
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics import BLEU, CHRF  # type: ignore[attr-defined]  # they are its public names

from promptflow_lite.evaluation.metrics.meteor import meteor
from promptflow_lite.evaluation.metrics.ngrams import bleu, chrf, corpus_bleu, corpus_chrf, gleu
from promptflow_lite.evaluation.metrics.similarity import cosine, edit_similarity
from promptflow_lite.evaluation.metrics.tokenizers import TOKENIZERS, tokenizer
from promptflow_lite.retrieval.tokenize import tokens
from tests.evaluation.pairs import ALL, ENGLISH, JAPANESE

SAME = pytest.approx
TEXTS = st.text(alphabet="ab cのた。１1", max_size=14)


class NoSynonyms:
    """Stands where nltk wants WordNet, which needs a download."""

    def synsets(self, word: str) -> list[object]:
        return []


def spaced(text: str) -> str:
    return " ".join(tokens(text))


@pytest.mark.parametrize(("answer", "reference"), ALL)
def test_bleu_of_a_text_is_sacrebleus_over_our_tokens(answer: str, reference: str) -> None:
    theirs = BLEU(tokenize="none", effective_order=True, force=True)
    expected = theirs.sentence_score(spaced(answer), [spaced(reference)]).score / 100
    assert bleu(answer, reference) == SAME(expected, abs=1e-9)


@pytest.mark.parametrize("pairs", [ENGLISH, JAPANESE, ALL, ALL[9:10]])
def test_bleu_of_many_texts_is_sacrebleus_over_our_tokens(pairs: list[tuple[str, str]]) -> None:
    answers, references = zip(*pairs, strict=True)
    theirs = BLEU(tokenize="none", force=True)
    expected = theirs.corpus_score([*map(spaced, answers)], [[*map(spaced, references)]]).score / 100
    assert corpus_bleu(answers, references) == SAME(expected, abs=1e-9)


@pytest.mark.parametrize(("answer", "reference"), ALL)
def test_chrf_of_a_text_is_sacrebleus(answer: str, reference: str) -> None:
    assert chrf(answer, reference) == SAME(CHRF().sentence_score(answer, [reference]).score / 100, abs=1e-9)


def test_chrf_of_many_texts_is_sacrebleus() -> None:
    answers, references = zip(*ALL, strict=True)
    expected = CHRF().corpus_score([*answers], [[*references]]).score / 100
    assert corpus_chrf(answers, references) == SAME(expected, abs=1e-9)


@pytest.mark.parametrize(("answer", "reference"), ALL)
def test_gleu_is_nltks_over_our_tokens(answer: str, reference: str) -> None:
    expected = sentence_gleu([tokens(reference)], tokens(answer))
    assert gleu(answer, reference) == SAME(expected, abs=1e-9)


@pytest.mark.parametrize(("answer", "reference"), ALL)
def test_meteor_is_nltks_without_synonyms_over_our_tokens(answer: str, reference: str) -> None:
    stemmer = PorterStemmer(PorterStemmer.ORIGINAL_ALGORITHM)
    expected = single_meteor_score(tokens(reference), tokens(answer), stemmer=stemmer, wordnet=NoSynonyms())
    assert meteor(answer, reference) == SAME(expected, abs=1e-9)


@given(TEXTS, TEXTS)
def test_any_two_texts_score_as_the_references_have_it(answer: str, reference: str) -> None:
    theirs = BLEU(tokenize="none", effective_order=True, force=True)
    assert bleu(answer, reference) == SAME(
        theirs.sentence_score(spaced(answer), [spaced(reference)]).score / 100, abs=1e-9
    )
    assert chrf(answer, reference) == SAME(CHRF().sentence_score(answer, [reference]).score / 100, abs=1e-9)
    assert gleu(answer, reference) == SAME(sentence_gleu([tokens(reference)], tokens(answer)), abs=1e-9)
    for score in (bleu, chrf, gleu, meteor, edit_similarity):
        assert 0 <= score(answer, reference) <= 1 + 1e-12
        if tokens(answer):
            assert score(answer, answer) > 0.99 or score is meteor


@pytest.mark.parametrize(("answer", "reference"), ENGLISH)
def test_edit_similarity_is_rapidfuzzs(answer: str, reference: str) -> None:
    assert edit_similarity(answer, reference) == Levenshtein.normalized_similarity(answer, reference)


def test_full_width_and_half_width_are_the_same_text() -> None:
    assert edit_similarity("ﾌｨﾙﾀｰを洗う", "フィルターを洗う") == 1.0


def test_a_japanese_paraphrase_scores_above_a_wrong_answer() -> None:
    reference = "フィルターは６か月ごとに交換します。"
    right, wrong = "フィルターは6か月ごとに交換してください。", "電源ボタンを5秒間押し続けます。"
    for score in (bleu, chrf, gleu, meteor, edit_similarity):
        assert score(right, reference) > score(wrong, reference)


def test_the_cosine_of_embeddings() -> None:
    assert cosine([1.0, 0.0], [1.0, 1.0]) == SAME(2**-0.5)
    assert cosine([1.0, 2.0], [-1.0, -2.0]) == SAME(-1.0)
    assert cosine([0.0, 0.0], [1.0, 1.0]) == 0.0


def test_the_tokenizer_of_a_figure_is_named() -> None:
    assert tokenizer("auto", ["plain English"])[0] == "mixed"
    assert tokenizer("characters", ["plain English"])[0] == "characters"
    assert TOKENIZERS["characters"]("東 京Ａ") == ["東", "京", "a"]
    assert TOKENIZERS["words"]("It's  ＯＫ.") == ["it's", "ok."]


def test_japanese_is_cut_into_its_words_where_sudachi_is() -> None:
    pytest.importorskip("sudachipy", reason="needs the extra ja")
    name, tokenize = tokenizer("auto", ["東京タワーへ行きました。"])
    assert name == "japanese"
    assert tokenize("東京タワーへ USB-C で。") == ["東京", "タワー", "へ", "usb", "c", "で"]
