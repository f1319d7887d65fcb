"""Which order do the words' and the vectors' scores make together?

The default is a convex combination in place of reciprocal ranks: Bruch, Gai and Ingber 2023, "An analysis of
fusion functions for hybrid retrieval", found it better, and so did we (docs/benchmarks/retrieval.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["best", "diverse", "fuse", "reciprocal"]

# Both chosen by measuring: docs/benchmarks/retrieval.md.
_VECTOR_WEIGHT = 0.3
_DISTRUST = 6
"""How fast vectors lose their say as the words of the query are found."""


def fuse(keyword: Mapping[int, float], vector: Mapping[int, float], *, greatest: float) -> dict[int, float]:
    """The score of each passage in `vector`: the share of the query that its words answer, and its cosine.

    Where the best passage holds nearly all of the query's words, they decide; the fewer it holds, the more
    the vectors say.

    Args:
        keyword: BM25 scores of the passages that hold a word of the query.
        vector: cosines of all passages in question, those of `keyword` among them.
        greatest: the score that BM25 could give at most for the query.
    """
    shares = {key: score / greatest for key, score in keyword.items()}
    found = min(1.0, max(shares.values(), default=0.0))
    weight = _VECTOR_WEIGHT * (1.0 - found) ** _DISTRUST
    return {key: shares.get(key, 0.0) + weight * cosine for key, cosine in vector.items()}


_RANK = 60
"""Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet"."""


def reciprocal(*scores: Mapping[int, float]) -> dict[int, float]:
    """Reciprocal rank fusion: the sum of 1 / (60 + rank) over the answers that name a passage.

    Equal sums are frequent, and those of the first answer come first.
    """
    total: dict[int, float] = {}
    for answer in scores:
        for rank, (key, _) in enumerate(best(answer, len(answer)), start=1):
            total[key] = total.get(key, 0.0) + 1 / (_RANK + rank)
    return total


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


def best(scores: Mapping[int, float], top_k: int) -> list[tuple[int, float]]:
    """The `top_k` items of the highest scores; equal ones in the order given."""
    return sorted(scores.items(), key=lambda pair: -pair[1])[:top_k]
