"""Which order do the words' and the vectors' scores make together?

A convex combination in place of reciprocal ranks: Bruch, Gai and Ingber 2023, "An analysis of fusion
functions for hybrid retrieval", found it better; so did our measurements (docs/benchmarks/retrieval.md).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["best", "fuse"]

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


def best(scores: Mapping[int, float], top_k: int) -> list[tuple[int, float]]:
    """The `top_k` items of the highest scores; equal ones by item, so that an answer is always the same."""
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:top_k]
