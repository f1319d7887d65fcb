"""Which words are forms of one word? Words in Latin letters to their stems, without accents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from Stemmer import Stemmer

__all__ = ["stems"]

_REMEMBERED = 20_000
_LONGEST = 40
"""Words that are remembered, and letters of each: queries come from strangers, and memory is not theirs."""
_STEMMER = Stemmer("porter", 0)  # without its own cache, which threads may not share
_LATIN = (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))
_PLAIN = {
    code: base
    for code in _LATIN
    if (base := unicodedata.normalize("NFD", chr(code))[0]).isascii() and base.isalpha()
}


def stems(terms: Iterable[str]) -> list[str]:
    """The stem of each term (Porter 1980); what is in another script stays as it is.

    >>> stems(["descaling", "kettles", "naïve", "東京"])
    ['descal', 'kettl', 'naiv', '東京']
    """
    return [_known(term) if len(term) <= _LONGEST else _stem(term) for term in terms]


def _stem(term: str) -> str:
    plain = term if term.isascii() else term.translate(_PLAIN)
    return str(_STEMMER.stemWord(plain)) if plain.isascii() else plain


_known = lru_cache(_REMEMBERED)(_stem)
