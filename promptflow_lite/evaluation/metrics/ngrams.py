"""How many runs of words or characters does a text share with the one that was wanted? BLEU, GLEU, chrF."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from promptflow_lite.evaluation.metrics.tokenizers import Tokenize
from promptflow_lite.retrieval.tokenize import tokens

__all__ = ["BLEU_SIGNATURE", "CHRF_SIGNATURE", "bleu", "chrf", "corpus_bleu", "corpus_chrf", "gleu", "grams"]

BLEU_SIGNATURE = "nrefs:1|case:lc|eff:{eff}|tok:{tok}|smooth:exp"
"""As sacrebleu writes it: `eff` is yes for one text and no for many, `tok` the tokenizer."""
CHRF_SIGNATURE = "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no"

_BLEU_ORDER = 4
_CHRF_ORDER = 6
_CHRF_BETA = 2


class _Counts(NamedTuple):
    """For each order of n-gram: how many are shared, in the answer, in the reference."""

    shared: list[int]
    given: list[int]
    wanted: list[int]


def bleu(answer: str, reference: str, *, tokenize: Tokenize = tokens) -> float:
    """BLEU of one text, 0 to 1, over the orders of n-gram that it is long enough for.

    Source: Papineni et al. 2002; sacrebleu's sentence_bleu: smoothing 3 of Chen and Cherry 2014, effective
    order.
    """
    given, wanted = tokenize(answer), tokenize(reference)
    return _bleu(_counts(given, wanted, _BLEU_ORDER), len(given), len(wanted), is_effective=True)


def corpus_bleu(answers: Sequence[str], references: Sequence[str], *, tokenize: Tokenize = tokens) -> float:
    """BLEU of many texts, 0 to 1: counts are added before they are divided; not the mean of `bleu`.

    Source: Papineni et al. 2002; sacrebleu's corpus_bleu.
    """
    pairs = [(tokenize(a), tokenize(r)) for a, r in zip(answers, references, strict=True)]
    counts = _sum(_counts(given, wanted, _BLEU_ORDER) for given, wanted in pairs)
    lengths = sum(len(given) for given, _ in pairs), sum(len(wanted) for _, wanted in pairs)
    return _bleu(counts, *lengths, is_effective=False)


def gleu(answer: str, reference: str, *, tokenize: Tokenize = tokens) -> float:
    """The lesser of precision and recall over all n-grams up to 4, 0 to 1.

    Source: Wu et al. 2016, section 4 (Google-BLEU); nltk's sentence_gleu.
    """
    counts = _counts(tokenize(answer), tokenize(reference), _BLEU_ORDER)
    most = max(sum(counts.given), sum(counts.wanted))
    return sum(counts.shared) / most if most else 0.0


def chrf(answer: str, reference: str) -> float:
    """The F2 of shared runs of up to 6 characters, white space left out, 0 to 1; made for any script.

    Source: Popović 2015; sacrebleu's sentence_chrf.
    """
    return _chrf(_of_characters(answer, reference))


def corpus_chrf(answers: Sequence[str], references: Sequence[str]) -> float:
    """The chrF of many texts, 0 to 1: counts are added before they are divided.

    Source: sacrebleu's corpus_chrf.
    """
    pairs = zip(answers, references, strict=True)
    return _chrf(_sum(_of_characters(a, r) for a, r in pairs))


def _counts(given: Sequence[Hashable], wanted: Sequence[Hashable], order: int) -> _Counts:
    shared = [(Counter(grams(given, n)) & Counter(grams(wanted, n))).total() for n in range(1, order + 1)]
    return _Counts(
        shared,
        [max(0, len(given) - n + 1) for n in range(1, order + 1)],
        [max(0, len(wanted) - n + 1) for n in range(1, order + 1)],
    )


def grams(items: Sequence[Hashable], n: int) -> Iterable[Hashable]:
    """The n-grams of words, or of the characters of a text, in order.

    >>> list(grams("abc", 2)), list(grams(["a", "b", "c"], 2))
    (['ab', 'bc'], [('a', 'b'), ('b', 'c')])
    """
    if isinstance(items, str):
        return (items[i : i + n] for i in range(len(items) - n + 1))
    return items if n == 1 else zip(*(items[i:] for i in range(n)), strict=False)


def _sum(counts: Iterable[_Counts]) -> _Counts:
    total = _Counts([], [], [])
    for one in counts:
        total = _Counts(
            *([a + b for a, b in zip(x, y, strict=True)] if x else y for x, y in zip(total, one, strict=True))
        )
    return total


def _bleu(counts: _Counts, given: int, wanted: int, *, is_effective: bool) -> float:
    if not any(counts.shared):
        return 0.0
    logs: list[float] = []
    halvings = 1
    for shared, total in zip(counts.shared, counts.given, strict=True):
        if not total:
            break
        if not shared:
            halvings *= 2
        logs.append(math.log(shared / total if shared else 1 / (halvings * total)))
    if not is_effective and len(logs) < _BLEU_ORDER:
        return 0.0
    brevity = min(0.0, 1 - wanted / given)
    return math.exp(brevity + sum(logs) / len(logs))


def _chrf(counts: _Counts) -> float:
    """The F of precision and recall, each averaged over the orders that both texts are long enough for."""
    orders = [(s, g, w) for s, g, w in zip(*counts, strict=True) if g and w]
    if not orders:
        return 0.0
    precision = sum(shared / given for shared, given, _ in orders) / len(orders)
    recall = sum(shared / wanted for shared, _, wanted in orders) / len(orders)
    if not precision + recall:
        return 0.0
    weight = _CHRF_BETA**2
    return (1 + weight) * precision * recall / (weight * precision + recall)


def _of_characters(answer: str, reference: str) -> _Counts:
    """The counts of one pair. Runs longer than the reference are not held against an answer (sacrebleu)."""
    counts = _counts("".join(answer.split()), "".join(reference.split()), _CHRF_ORDER)
    given = [given if wanted else 0 for given, wanted in zip(counts.given, counts.wanted, strict=True)]
    return counts._replace(given=given)
