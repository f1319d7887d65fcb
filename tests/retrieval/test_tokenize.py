from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import InputError, MissingExtra
from promptflow_lite.retrieval import japanese
from promptflow_lite.retrieval.tokenize import (
    Terms,
    analyzer,
    pieces,
    query_terms,
    terms,
    tokenizer_of,
    tokens,
)


def test_terms_of_a_spaced_script_are_its_words_in_lower_case() -> None:
    assert terms("The Lamp-2000 doesn't work") == ["the", "lamp", "2000", "doesn", "t", "work"]


def test_terms_of_japanese_are_kanji_and_pairs_of_neighbours() -> None:
    assert terms("東京タワー") == ["東", "京", "東京", "京タ", "タワ", "ワー"]


def test_a_lone_character_of_a_spaceless_script_is_a_term() -> None:
    assert terms("が。を") == ["が", "を"]


def test_full_and_half_width_forms_give_the_same_terms() -> None:
    assert terms("ＡＢＣ ｶﾞｽ") == terms("abc ガス")


def test_words_with_vowel_signs_and_accents_stay_whole() -> None:
    assert terms("हिन्दी café") == ["हिन्दी", "café"]


def test_a_query_leaves_english_function_words_out() -> None:
    assert query_terms("How do I reset the lamp, the lamp?") == ["reset", "lamp"]


def test_a_query_of_function_words_only_keeps_them() -> None:
    assert query_terms("To be or not to be") == ["not"]
    assert query_terms("Who are you?") == ["who", "are", "you"]


def test_tokens_are_words_or_single_characters() -> None:
    assert tokens("Ver. ２ は東京です。한국어 입니다") == [
        "ver",
        "2",
        "は",
        "東",
        "京",
        "で",
        "す",
        "한국어",
        "입니다",
    ]


@given(st.text())
def test_terms_hold_nothing_that_the_match_language_could_read(text: str) -> None:
    assert all(term and not set(term) & set("\"'*^:(){}+- \x00\n") for term in terms(text))


@given(st.text())
def test_pieces_cover_everything_but_white_space_in_order(text: str) -> None:
    spans = list(pieces(text))
    assert "".join(text[a:b] for a, b in spans) == "".join(text.split())
    assert all(0 < b - a <= 12 for a, b in spans)


def _sudachi() -> Terms:
    pytest.importorskip("sudachidict_small", reason="needs the extra ja")
    return analyzer(tokenizer_of("sudachi"))


def test_sudachi_adds_the_words_of_japanese_and_leaves_the_rest() -> None:
    found = _sudachi()("The lamp を買った。ﾗﾝﾌﾟ")
    assert found == [*terms("The lamp を買った。ﾗﾝﾌﾟ"), "買う", "ランプ"]
    assert _sudachi()("하나 ไทย lamp") == terms("하나 ไทย lamp")


def test_sudachi_reads_texts_longer_than_it_takes_at_once() -> None:
    assert _sudachi()("東京" * 30_000).count("東京") > 30_000


def test_sudachi_answers_threads_at_once() -> None:
    cut = _sudachi()
    with ThreadPoolExecutor(8) as threads:
        assert len({tuple(found) for found in threads.map(cut, ["国際空港で会議を行った"] * 200)}) == 1


@given(st.text())
def test_sudachi_terms_are_safe_in_the_match_language(text: str) -> None:
    assert all(term and not set(term) & set("\"'*^:(){}+- \x00\n") for term in _sudachi()(text))


def test_another_version_of_a_tokenizer_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        analyzer("kanji-bigram-0")
    assert caught.value.code == "index-tokenizer"


def test_sudachi_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sudachidict_small", None)
    japanese._tokenizer.cache_clear()
    with pytest.raises(MissingExtra, match=r"promptflow_lite\[ja\]"):
        tokenizer_of("sudachi")
