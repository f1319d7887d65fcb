"""Which order do two rankings make together?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["KEYWORD_WEIGHT", "RANK_CONSTANT", "VECTOR_WEIGHT", "reciprocal_rank_fusion"]

KEYWORD_WEIGHT = 1.0
VECTOR_WEIGHT = 0.2
RANK_CONSTANT = 1.0


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[int]], weights: Sequence[float], *, constant: float = RANK_CONSTANT
) -> dict[int, float]:
    """The score of each item: the sum over rankings of `weight / (constant + rank)`, ranks counted from 1.

    Cormack, Clarke and Buettcher 2009, "Reciprocal rank fusion outperforms Condorcet".
    """
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (constant + rank)
    return scores


def best(scores: Mapping[int, float], top_k: int) -> list[tuple[int, float]]:
    """The `top_k` items of the highest scores; equal ones by item, so that an answer is always the same."""
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:top_k]
