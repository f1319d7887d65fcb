"""How close is a text to the one that was wanted? Exact match, token F1, ROUGE, and whether a fact is in it.

Splitting on white space alone would score a right Japanese answer 0. So a token here is a run of letters and
digits where a script has spaces, and one character where it has none (Han, Kana, Thai, Lao, Khmer, Burmese):
the "mixed segmentation" of CMRC 2018 (Cui et al. 2019). Texts are NFKC-normalized first, so full-width and
half-width forms are equal. For English text the figures equal those of the published procedures named below.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from promptflow_lite.evaluation.metrics.ngrams import grams
from promptflow_lite.evaluation.metrics.tokenizers import Tokenize
from promptflow_lite.retrieval.tokenize import tokens

__all__ = [
    "Overlap",
    "best",
    "contains",
    "exact_match",
    "normalize",
    "rouge_l",
    "rouge_n",
    "token_f1",
]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"(\d+(?:[.,]\d+)*)")


class Overlap(NamedTuple):
    """How much is shared: precision of the answer, recall of the reference, and their harmonic mean."""

    precision: float
    recall: float
    f1: float


def normalize(text: str) -> str:
    """Fold what does not matter: forms, case, punctuation, English articles, white space.

    Source: `normalize_answer` of SQuAD's evaluate-v2.0.py, after NFKC and with all Unicode punctuation.

    >>> normalize("The  Ｆilter, 「きれい」!")
    'filter きれい'
    """
    folded = unicodedata.normalize("NFKC", text).lower().translate(_punctuation())
    return " ".join(_ARTICLES.sub(" ", folded).split())


def exact_match(answer: str, reference: str, *, tokenize: Tokenize = tokens) -> float:
    """1.0 where the two are equal after `normalize`, else 0.0; spaces in unspaced scripts do not matter.

    Source: SQuAD's evaluate-v2.0.py, `compute_exact`.
    """
    return float(tokenize(normalize(answer)) == tokenize(normalize(reference)))


def token_f1(answer: str, reference: str, *, tokenize: Tokenize = tokens) -> Overlap:
    """Precision, recall and F1 of the tokens that both texts have, counted with multiplicity.

    Two empty texts agree: 1.0. Source: SQuAD's evaluate-v2.0.py, `compute_f1`.
    """
    given, wanted = tokenize(normalize(answer)), tokenize(normalize(reference))
    if not given or not wanted:
        return Overlap(*[float(given == wanted)] * 3)
    return _overlap((Counter(given) & Counter(wanted)).total(), len(given), len(wanted))


def rouge_n(answer: str, reference: str, n: int = 1, *, tokenize: Tokenize = tokens) -> Overlap:
    """ROUGE-N: the n-grams that both texts have. Source: Lin 2004, section 2; no stemming."""
    given, wanted = Counter(grams(tokenize(answer), n)), Counter(grams(tokenize(reference), n))
    return _overlap((given & wanted).total(), given.total(), wanted.total())


def rouge_l(answer: str, reference: str, *, tokenize: Tokenize = tokens) -> Overlap:
    """ROUGE-L: longest common subsequence of tokens. Source: Lin 2004, section 3.1; beta 1, not stemmed."""
    from rapidfuzz.distance import LCSseq  # noqa: PLC0415  # heavy: first use

    given, wanted = tokenize(answer), tokenize(reference)
    return _overlap(int(LCSseq.similarity(given, wanted)), len(given), len(wanted))


def contains(answer: str, fact: str) -> float:
    """1.0 where `fact` stands in the answer, word for word and number for number; else 0.0.

    Spaces, punctuation and forms do not matter; `5 m` is neither in `15 m` nor in `5.5 m`.

    >>> contains("フィルターは６か月ごとに交換します。", "6 か月"), contains("Every 16 months.", "6 months")
    (1.0, 0.0)
    """
    given, wanted = _pieces(answer), _pieces(fact)
    starts = range(len(given) - len(wanted) + 1)
    return float(any(given[i : i + len(wanted)] == wanted for i in starts))


def best(score: Callable[[str, str], float], answer: str, references: Sequence[str]) -> float:
    """The best score of an answer over several acceptable references, as SQuAD takes it; 0.0 for none."""
    return max((score(answer, reference) for reference in references), default=0.0)


class _Punctuation(dict[int, int | None]):
    """For `str.translate`: nothing for punctuation, any other character for itself; filled as asked."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        is_mark = character in string.punctuation or unicodedata.category(character).startswith("P")
        self[code] = found = None if is_mark else code
        return found


@cache
def _punctuation() -> _Punctuation:
    return _Punctuation()


def _pieces(text: str) -> list[str]:
    """The tokens of a text, with numbers kept whole (`2.4`, `1,000`) and apart from letters beside them."""
    folded = unicodedata.normalize("NFKC", text).lower()
    parts = enumerate(_NUMBER.split(folded))  # text, number, text, number, ..., text
    return [piece for i, part in parts for piece in ([part] if i % 2 else tokens(part))]


def _overlap(shared: int, given: int, wanted: int) -> Overlap:
    if not shared:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = shared / given, shared / wanted
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))
