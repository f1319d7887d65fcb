"""How good are the documents of a search, judged by grades?

The figures of azure-ai-evaluation's DocumentRetrievalEvaluator, so that a flow which was scored by it can be
compared. Grades are whole numbers from 0, irrelevant. A document that nobody judged counts as 0, and is a
hole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from promptflow_lite.evaluation.metrics.ranking import holes, ndcg

__all__ = ["Retrieval", "fidelity", "retrieval", "xdcg"]

_SCALE = 25
_DISCOUNT = 0.6


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What one search is worth."""

    ndcg: float
    """With exponential gains, at k."""
    xdcg: float
    """At k."""
    fidelity: float | None
    """None where no document is relevant."""
    top1_relevance: int
    top3_relevance: int
    holes: int
    holes_ratio: float
    """The share of the documents found that nobody judged."""


def retrieval(found: Sequence[str], grades: Mapping[str, int], k: int = 3) -> Retrieval:
    """Every figure of one search.

    Args:
        found: names of documents, best first.
        grades: of every document that was judged for the question.
        k: how far down nDCG and XDCG look.
    """
    unjudged = holes(found, grades)
    return Retrieval(
        ndcg=ndcg(found, grades, k, gain="exp"),
        xdcg=xdcg(found, grades, k),
        fidelity=fidelity(found, grades),
        top1_relevance=_top_relevance(found, grades, 1),
        top3_relevance=_top_relevance(found, grades, 3),
        holes=unjudged,
        holes_ratio=unjudged / len(found) if found else 0.0,
    )


def xdcg(found: Sequence[str], grades: Mapping[str, int], k: int = 3) -> float:
    """How good the first `k` are in themselves, whatever else there is: 100 for `k` documents of grade 4.

    The sum of 25 grade 0.6^(place - 1), over the sum of 0.6^(place - 1).

    >>> xdcg(["a", "b", "c"], {"a": 4, "b": 4, "c": 4})
    100.0
    """
    weights = [_DISCOUNT**place for place in range(k)]
    gained = sum(_SCALE * grades.get(name, 0) * weight for name, weight in zip(found, weights, strict=False))
    return gained / sum(weights)


def fidelity(found: Sequence[str], grades: Mapping[str, int]) -> float | None:
    """The share of the worth of all relevant documents that was found; a grade is worth 2^(grade + 1) - 1.

    `None` where none is relevant.

    >>> fidelity(["a", "x"], {"a": 1, "b": 2})
    0.3
    """
    all_worth = sum(map(_worth, grades.values()))
    return sum(_worth(grades.get(name, 0)) for name in set(found)) / all_worth if all_worth else None


def _worth(grade: int) -> int:
    return 2 ** (grade + 1) - 1 if grade > 0 else 0


def _top_relevance(found: Sequence[str], grades: Mapping[str, int], k: int) -> int:
    """The best grade among the first `k`.

    >>> _top_relevance(["x", "a"], {"a": 3}, 1), _top_relevance(["x", "a"], {"a": 3}, 3)
    (0, 3)
    """
    return max((grades.get(name, 0) for name in found[:k]), default=0)
