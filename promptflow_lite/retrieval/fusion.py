"""Which order do the words' and the vectors' scores make together?

The default is a convex combination in place of reciprocal ranks: Bruch, Gai and Ingber 2023, "An analysis of
fusion functions for hybrid retrieval", found it better, and so did we (docs/benchmarks/retrieval.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["best", "diverse", "fuse", "reciprocal"]

# Both chosen by measuring: docs/benchmarks/retrieval.md.
_VECTOR_WEIGHT = 0.2
_DISTRUST = 6
"""How fast vectors lose their say as the words of the query are found."""


def fuse(keyword: Vectors, cosines: Vectors, *, greatest: float) -> Vectors:
    """The score of each passage: the share of the query that its words answer, and its cosine.

    Where the best passage holds nearly all of the query's words, they decide; the fewer it holds, the more
    the vectors say.

    Args:
        keyword: BM25 scores of all passages.
        cosines: their cosines, in the same order.
        greatest: the score that BM25 could give at most for the query.
    """
    found = min(1.0, float(keyword.max(initial=0.0)) / greatest)
    weight = _VECTOR_WEIGHT * (1.0 - found) ** _DISTRUST
    return keyword / greatest + weight * cosines


_RANK = 60
"""Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet"."""


def reciprocal(*rankings: Sequence[int]) -> list[tuple[int, float]]:
    """Reciprocal rank fusion: the sum of 1 / (60 + rank) over the rankings that name a passage, best first.

    Equal sums are frequent, and those of the first ranking come first.
    """
    total: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, start=1):
            total[row] = total.get(row, 0.0) + 1 / (_RANK + rank)
    return sorted(total.items(), key=lambda pair: -pair[1])


def diverse(
    found: list[tuple[int, float]], vectors: Vectors, top_k: int, *, diversity: float
) -> list[tuple[int, float]]:
    """The `top_k` of `found` that are good and unlike each other, by maximal marginal relevance.

    Carbonell and Goldstein 1998. Each next one has the greatest (1 - diversity) relevance - diversity
    likeness, where relevance is the score as a share of the best one, and likeness the greatest cosine with
    what was taken before.

    Args:
        found: passages and their scores, best first.
        vectors: their vectors, in the same order; each of length 1.
        top_k: at most this many.
        diversity: from 0, the order as it is, to 1, where only the first is chosen by its score.
    """
    import numpy as np  # noqa: PLC0415  # heavy: first use

    if not found:
        return []
    greatest = found[0][1]
    relevance = np.array([score for _, score in found]) / (greatest if greatest > 0 else 1.0)
    likeness = np.full(len(found), -np.inf)
    left = np.ones(len(found), dtype=bool)
    taken: list[int] = []
    while len(taken) < min(top_k, len(found)):
        worth = relevance if not taken else (1 - diversity) * relevance - diversity * likeness
        chosen = int(np.argmax(np.where(left, worth, -np.inf)))
        taken.append(chosen)
        left[chosen] = False
        likeness = np.maximum(likeness, np.einsum("ij,j->i", vectors, vectors[chosen]))
    return [found[number] for number in taken]


def best(scores: Vectors, limit: int, *, above: float = float("-inf")) -> Any:
    """The rows of the `limit` highest scores, highest first; equal ones in the order of the rows.

    Args:
        scores: of all passages.
        limit: at most this many.
        above: leave out what scores no more than this.
    """
    least = above
    if limit < len(scores):
        parted = scores.copy()
        parted.partition(len(scores) - limit)
        least = parted[len(scores) - limit]
    is_good = scores >= least if least > above else scores > above
    rows = is_good.nonzero()[0]
    return rows[(-scores[rows]).argsort(kind="stable")[:limit]]
