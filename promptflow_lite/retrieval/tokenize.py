"""Which words does a text hold? Words for search and for metrics, scripts without spaces included.

Search terms of scripts without spaces are single kanji and pairs of neighbours: together they found more than
any analyzer that was tried (docs/benchmarks/retrieval.md). Metrics count words where a script has spaces and
characters where it has none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.japanese import dictionary, words

__all__ = [
    "IS_JAPANESE",
    "TOKENIZER",
    "Terms",
    "Tokenizer",
    "analyzer",
    "kind_of",
    "normalize",
    "pieces",
    "query_terms",
    "terms",
    "tokenizer_of",
    "tokens",
]

TOKENIZER = "kanji-bigram-1"
"""The name of what `terms` does; an index remembers it, because both sides must cut alike."""

Terms = Callable[[str], list[str]]
"""Cuts a text into search terms, in order."""

_KANJI = "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
_SOUTHEAST_ASIA = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17d3"
_SPACELESS = f"{_KANJI}{_KANA}{_SOUTHEAST_ASIA}"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
# Vowel signs and points that `\w` leaves out: without them Hindi or pointed Arabic falls into single letters.
_MARKS = "\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"

_RUNS = re.compile(f"([{_SPACELESS}]+)|([{_HANGUL}]+)|((?:(?![{_SPACELESS}{_HANGUL}_])[\\w{_MARKS}])+)")
_IS_KANJI = re.compile(f"[{_KANJI}]")
IS_JAPANESE = re.compile(f"[{_KANJI}{_KANA}]")
_TOKENS = re.compile(f"[{_SPACELESS}]|(?:(?![{_SPACELESS}_])[\\w{_MARKS}])+")
# What a chunk's size counts: a character of a spaceless script, or at most twelve others between spaces, so
# that one endless word (base64, a URL) does not count as one.
_PIECES = re.compile(f"[{_SPACELESS}]|[^\\s{_SPACELESS}]{{1,12}}")

# They stand in nearly every passage and only blur a query whose terms are joined by OR.
_FUNCTION_WORDS = """
a about an and are as at be been but by can could did do does for from had has have he her his how i
if in into is it its me my of on or our s she should so such t than that the their them then there
these they this those to was we were what when where which who whom whose why will with would you
your
"""
_STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


def normalize(text: str) -> str:
    """`text` with full-width and half-width forms made equal (NFKC), in lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def terms(text: str) -> list[str]:
    """The search terms of a text, in order.

    >>> terms("The 東京タワー")
    ['the', '東', '京', '東京', '京タ', 'タワ', 'ワー']
    """
    found: list[str] = []
    for spaceless, hangul, word in _RUNS.findall(normalize(text)):
        if word:
            found.append(word)
            continue
        run = spaceless or hangul
        found += _IS_KANJI.findall(run)
        found += [run[i : i + 2] for i in range(len(run) - 1)] if len(run) > 1 else [run]
    return found


Tokenizer = Literal["ngrams", "sudachi"]
"""How scripts without spaces are cut for search; `sudachi` adds the words of Japanese, by the extra `ja`."""


def tokenizer_of(kind: Tokenizer) -> str:
    """The name of that tokenizer as it is here: two that cut alike have the same name.

    Raises:
        MissingExtra: it needs a package that is not installed.
    """
    return TOKENIZER if kind == "ngrams" else f"{TOKENIZER}+sudachi-small-{dictionary()}"


def kind_of(tokenizer: str) -> Tokenizer:
    """Which kind the tokenizer of that name is, whatever its version."""
    return "sudachi" if "+sudachi-" in tokenizer else "ngrams"


def analyzer(tokenizer: str) -> Terms:
    """What the tokenizer of that name does.

    Raises:
        InputError: the one here has another name, so it would cut otherwise (code `index-tokenizer`).
        MissingExtra: it needs a package that is not installed.
    """
    kind = kind_of(tokenizer)
    here = tokenizer_of(kind)
    if tokenizer != here:
        raise InputError(
            f"expected the tokenizer {tokenizer!r}, got {here!r}",
            code="index-tokenizer",
            hint="pf index update PATH",
        )
    return terms if kind == "ngrams" else _terms_and_words


def _terms_and_words(text: str) -> list[str]:
    """The terms, and the words of Japanese beside them: together they found more than either."""
    plain = normalize(text)
    japanese = (run for run, _, _ in _RUNS.findall(plain) if IS_JAPANESE.search(run))
    found = ("".join(filter(str.isalnum, normalize(word))) for run in japanese for word in words(run))
    return [*terms(plain), *filter(None, found)]


def query_terms(text: str, terms: Terms = terms) -> list[str]:
    """The search terms of a question: each once, and English function words only if nothing else is there."""
    found = list(dict.fromkeys(terms(text)))
    return [term for term in found if term not in _STOP_WORDS] or found


def tokens(text: str) -> list[str]:
    """The words of a text for metrics and budgets; a character each for scripts without spaces.

    >>> tokens("Full-width ＡＢＣ、東京です。")
    ['full', 'width', 'abc', '東', '京', 'で', 'す']
    """
    return _TOKENS.findall(normalize(text))


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """Where the pieces are that a size counts: about a model's tokens. Positions are in `text` itself."""
    return (match.span() for match in _PIECES.finditer(text))
