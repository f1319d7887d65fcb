"""How well do the words of a text align with those of the one that was wanted? METEOR, offline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from promptflow_lite.evaluation.metrics.tokenizers import Tokenize
from promptflow_lite.retrieval.tokenize import tokens

__all__ = ["meteor"]

_ALPHA, _BETA, _GAMMA = 0.9, 3.0, 0.5


def meteor(answer: str, reference: str, *, tokenize: Tokenize = tokens) -> float:
    """METEOR with its stages of exact words and of English stems, 0 to 1; no synonyms, they need a download.

    Source: Banerjee and Lavie 2005; the parameters of Lavie and Agarwal 2007 and the order of alignment are
    nltk's single_meteor_score.
    """
    given, wanted = tokenize(answer), tokenize(reference)
    matches = sorted(_aligned(given, wanted))
    if not matches:
        return 0.0
    precision, recall = len(matches) / len(given), len(matches) / len(wanted)
    f_mean = precision * recall / (_ALPHA * precision + (1 - _ALPHA) * recall)
    together = sum((a + 1, b + 1) == after for (a, b), after in pairwise(matches))
    fragmentation = (len(matches) - together) / len(matches)
    return float(1 - _GAMMA * fragmentation**_BETA) * f_mean


def _aligned(given: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, int]]:
    """Positions in the answer and in the reference that belong together: equal words, then equal stems."""
    left, right = dict(enumerate(given)), dict(enumerate(wanted))
    matches: list[tuple[int, int]] = []
    for form in (str, _stem):
        found = _pair(left, right, form)
        for a, b in found:
            del left[a], right[b]
        matches += found
    return matches


def _pair(
    left: Mapping[int, str], right: Mapping[int, str], form: Callable[[str], str]
) -> list[tuple[int, int]]:
    """From the last word on: each takes the last one of its form that is free."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for b, word in right.items():
        places[form(word)].append(b)
    return [(a, free.pop()) for a, word in reversed([*left.items()]) if (free := places.get(form(word)))]


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    return _stemmer()(word)


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    import Stemmer  # noqa: PLC0415  # heavy: first use

    stem: Callable[[str], str] = Stemmer.Stemmer("porter", 0).stemWord  # its own cache is not for threads
    return stem
