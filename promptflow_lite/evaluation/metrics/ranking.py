"""How good is the order in which things were found?

A ranking is names, best first; where scores were equal, the order given stands. What is right is a set of
names, or names with grades (0: irrelevant; higher is better). A name that comes twice counts where it comes
first. Names without a grade count as irrelevant; `holes` says how many there are. Figures are defined as in
ir-measures and trec_eval, against which the tests check them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

__all__ = [
    "Gain",
    "average_precision",
    "hit",
    "holes",
    "ndcg",
    "precision",
    "recall",
    "reciprocal_rank",
]

Gain = Literal["linear", "exp"]
"""What a grade is worth: itself, or 2 to its power less 1."""


def hit(ranking: Sequence[str], right: Collection[str], k: int) -> float:
    """1 where one of the first `k` is right, else 0 (success@k).

    >>> hit(["b", "a"], {"a"}, 1), hit(["b", "a"], {"a"}, 2)
    (0.0, 1.0)
    """
    return float(any(name in right for name in ranking[:k]))


def precision(ranking: Sequence[str], right: Collection[str], k: int) -> float:
    """The share of the first `k` places that hold something right; empty places count as wrong.

    >>> precision(["b", "a"], {"a"}, 4)
    0.25
    """
    return len(set(ranking[:k]) & set(right)) / k


def recall(ranking: Sequence[str], right: Collection[str], k: int) -> float:
    """The share of what is right that is among the first `k`; 0 where nothing is right.

    >>> recall(["b", "a", "c"], {"a", "d"}, 2)
    0.5
    """
    return len(set(ranking[:k]) & set(right)) / len(right) if right else 0.0


def reciprocal_rank(ranking: Sequence[str], right: Collection[str], k: int | None = None) -> float:
    """One over the place of the first that is right; 0 where none is among the first `k` (`None`: among all).

    Its mean over questions is MRR.

    >>> reciprocal_rank(["b", "a"], {"a"})
    0.5
    """
    return next((1 / place for place, name in enumerate(ranking[:k], start=1) if name in right), 0.0)


def average_precision(ranking: Sequence[str], right: Collection[str], k: int | None = None) -> float:
    """The mean, over what is right, of the precision at its place; 0 for what was not found.

    Its mean over questions is MAP.

    >>> average_precision(["b", "a", "d"], {"a", "d"})
    0.5833333333333333
    """
    found = 0
    total = 0.0
    for place, name in enumerate(_each_once(ranking[:k]), start=1):
        if name in right:
            found += 1
            total += found / place
    return total / len(right) if right else 0.0


def ndcg(ranking: Sequence[str], grades: Mapping[str, float], k: int, *, gain: Gain = "linear") -> float:
    """Normalized discounted cumulative gain of the first `k`: 1 where no other order is better.

    Järvelin and Kekäläinen 2002, with the discount 1 / log2(place + 1); `exp` gains as in Burges et al. 2005.

    >>> round(ndcg(["b", "a"], {"a": 1}, 10), 4)
    0.6309
    """
    worth = {name: _gain(grade, gain) for name, grade in grades.items()}
    ideal = _discounted(sorted(worth.values(), reverse=True)[:k])
    return _discounted([worth.get(name, 0.0) for name in _each_once(ranking)[:k]]) / ideal if ideal else 0.0


def holes(ranking: Sequence[str], judged: Collection[str], k: int | None = None) -> int:
    """How many of the first `k` nobody judged: the other figures take them for irrelevant, and may be wrong.

    >>> holes(["a", "x", "y"], {"a": 0}, 2)
    1
    """
    return sum(name not in judged for name in ranking[:k])


def _each_once(ranking: Sequence[str]) -> list[str]:
    """The ranking with an empty place for what came before."""
    seen: set[str] = set()
    once: list[str] = []
    for name in ranking:
        once.append("" if name in seen else name)
        seen.add(name)
    return once


def _gain(grade: float, gain: Gain) -> float:
    return max(0.0, 2.0**grade - 1 if gain == "exp" else grade)


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))
