"""How far do raters agree beyond chance? Krippendorff's alpha, and Cohen's kappa with weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from promptflow_lite.evaluation.statistics import LEVEL, Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.float64]

__all__ = ["Level", "Weights", "alpha", "alpha_interval", "kappa"]

Level = Literal["nominal", "ordinal", "interval"]
"""What the difference of two ratings is: one of kind, of order, or of size."""
Weights = Literal["linear", "quadratic"]

_RESAMPLES = 2000
_SEED = 20_240_229  # any number; fixed, so that a comparison made twice says the same


def alpha(units: Sequence[Sequence[Any]], level: Level = "nominal") -> float | None:
    """Krippendorff's alpha: 1 for perfect agreement, 0 for what chance alone would give.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections C and D.

    Args:
        units: the ratings of each item, by any number of raters; an item that fewer than two rated is not
            looked at. Numbers, or for `nominal` any values that can be put in order.
        level: what the difference of two ratings is.

    Returns:
        `None` where no item has two ratings, or all ratings are the same value: there is nothing to agree on.

    >>> alpha([("a", "a"), ("b", "b"), ("a", "b"), ("b", "b")])
    0.5333333333333333
    """
    paired = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in paired for value in unit})
    place = {value: index for index, value in enumerate(values)}
    together = np.zeros((len(values), len(values)))
    for unit in paired:
        share = 1 / (len(unit) - 1)
        for i, one in enumerate(unit):
            for j, other in enumerate(unit):
                if i != j:
                    together[place[one], place[other]] += share
    return _alpha(together, values, level)


def alpha_interval(
    pairs: Sequence[tuple[Any, Any]], level: Level = "nominal", *, sure: float = LEVEL
) -> Estimate | None:
    """Alpha of two raters with its percentile bootstrap interval; whole items are resampled.

    Args:
        pairs: what the two said of each item.
        level: what the difference of two ratings is.
        sure: how sure the interval is meant to be.

    Returns:
        `None` where `alpha` is.
    """
    value = alpha(pairs, level)
    if value is None:
        return None
    values = sorted({rating for pair in pairs for rating in pair})
    table = _table(pairs, values)
    cells = table.ravel()
    drawn = np.random.default_rng(_SEED).multinomial(len(pairs), cells / cells.sum(), size=_RESAMPLES)
    found = [_alpha(t + t.T, values, level) for t in drawn.reshape(-1, *table.shape).astype(np.float64)]
    # A sample in which nothing varies says nothing of agreement.
    alphas = [one for one in found if one is not None]
    low, high = np.quantile(alphas, [(1 - sure) / 2, (1 + sure) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value))


def kappa(pairs: Sequence[tuple[Any, Any]], weights: Weights | None = None) -> float | None:
    """Cohen's kappa of two raters; with weights, a near miss counts less than a far one.

    Source: Cohen 1960; Cohen 1968 for the weights, which go by the places of the values in their order, as in
    scikit-learn's `cohen_kappa_score`.

    Args:
        pairs: what the two said of each item.
        weights: `None`: any two different values differ alike.

    Returns:
        `None` where there are no pairs, or chance alone explains all there is.
    """
    values = sorted({rating for pair in pairs for rating in pair})
    if len(values) < 2:
        return None
    table = _table(pairs, values)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    apart = np.abs(np.subtract.outer(np.arange(len(values)), np.arange(len(values)))).astype(np.float64)
    scale: Mapping[Weights | None, Callable[[], Table]] = {
        None: lambda: (apart > 0).astype(np.float64),
        "linear": lambda: apart,
        "quadratic": lambda: apart**2,
    }
    cost = scale[weights]()
    return 1 - float((cost * table).sum() / (cost * expected).sum())


def _table(pairs: Sequence[tuple[Any, Any]], values: Sequence[Any]) -> Table:
    place = {value: index for index, value in enumerate(values)}
    table = np.zeros((len(values), len(values)))
    for one, other in pairs:
        table[place[one], place[other]] += 1
    return table


def _alpha(together: Table, values: Sequence[Any], level: Level) -> float | None:
    """Of the coincidence matrix: how often values came together on an item."""
    counts = together.sum(axis=0)
    total = counts.sum()
    distances = _distances(values, counts, level)
    expected = float((np.outer(counts, counts) * distances).sum())
    if not expected:
        return None
    observed = float((together * distances).sum())
    return 1 - (float(total) - 1) * observed / expected


def _distances(values: Sequence[Any], counts: Table, level: Level) -> Table:
    """The squared difference of each two values."""
    match level:
        case "nominal":
            return 1 - np.eye(len(values))
        case "interval":
            numbers = np.asarray(values, dtype=np.float64)
            return np.asarray(np.subtract.outer(numbers, numbers) ** 2)
        case "ordinal":
            # How many ratings lie between two values, each end counted by half.
            middles = np.cumsum(counts) - counts / 2
            return np.asarray(np.subtract.outer(middles, middles) ** 2)
