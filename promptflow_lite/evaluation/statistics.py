"""How sure are we? Intervals of a figure, and of the difference between two runs on the same items.

Repeats of one item say less than new items do: where items are given, whole items are resampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "LEVEL",
    "Estimate",
    "holm",
    "lines_needed",
    "mcnemar",
    "mean",
    "newcombe",
    "wilcoxon",
    "wilson",
]

LEVEL = 0.95
"""How sure an interval is meant to be."""

RESAMPLES = 10_000
_FEW = 10
"""Below so many items a bootstrap cannot reach its own tails: Student's t does instead."""
_SEED = 20_240_229  # any number; fixed, so that a comparison made twice says the same
_CELLS = 4_000_000  # numbers drawn at once: 32 MB
_NORMAL = NormalDist()


class Estimate(NamedTuple):
    """A figure and what is known of it."""

    value: float
    low: float
    high: float
    p_value: float | None = None
    """Two-sided, of the hypothesis that the figure is 0; `None` where that is not a question."""
    has_interval: bool = True
    """Whether `low` and `high` are known; both are the value where they are not."""


def wilson(successes: int, count: int, *, level: float = LEVEL) -> Estimate:
    """A proportion with its score interval.

    Source: Wilson 1927; Newcombe 1998 (Stat. Med. 17:857), method 3.

    Raises:
        ValueError: there is nothing to count.
    """
    if not count:
        raise ValueError("a proportion of nothing")
    z = _quantile(0.5 + level / 2)
    share = successes / count
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # At 0 of n and n of n the ends are exact; rounding must not say otherwise.
    low = 0.0 if successes == 0 else (middle - reach) / scale
    high = 1.0 if successes == count else (middle + reach) / scale
    return Estimate(share, low, high)


def newcombe(both: int, first: int, second: int, neither: int, *, level: float = LEVEL) -> Estimate:
    """The difference of two proportions on the same items, first minus second, with McNemar's p-value.

    Source: Newcombe 1998 (Stat. Med. 17:2635), method 10.

    Args:
        both: items where both say yes.
        first: items where only the first does.
        second: items where only the second does.
        neither: items where neither does.
        level: how sure the interval is.
    """
    count = both + first + second + neither
    one = wilson(both + first, count, level=level)
    two = wilson(both + second, count, level=level)
    phi = _correlation(both, first, second, neither)
    difference = (first - second) / count
    low = difference - _together(one.value - one.low, two.high - two.value, phi)
    high = difference + _together(two.value - two.low, one.high - one.value, phi)
    return Estimate(difference, low, high, mcnemar(first, second))


def mcnemar(first: int, second: int) -> float:
    """The exact two-sided p-value that discordant items fall as often to one side as to the other.

    Source: McNemar 1947, with the binomial distribution in place of the normal one.
    """
    discordant = first + second
    if discordant <= 1000:
        tail = sum(math.comb(discordant, k) for k in range(min(first, second) + 1))
        return min(1.0, 2 * tail / (1 << discordant))
    from scipy.stats import binomtest  # noqa: PLC0415  # heavy: for large counts only

    return float(binomtest(first, discordant, 0.5).pvalue)


def mean(
    values: Sequence[float], items: Sequence[Any] | None = None, *, level: float = LEVEL, seed: int = _SEED
) -> Estimate:
    """The mean of `values` with its BCa bootstrap interval, and the p-value that this interval implies.

    Paired differences of two runs go in as values. The p-value is that of the widest such interval that still
    leaves out 0, so that it never contradicts the interval. A bootstrap of few items is too narrow; the tails
    are taken as much further out as Student's t has them.

    Fewer than ten items have Student's t interval and p-value.

    Source: Efron 1987; Efron and Tibshirani 1993, section 14.3; the tails of few items: Hesterberg 2015 (Am.
    Stat. 69:371), section 4.1, "expanded percentile".

    Args:
        values: one number a line.
        items: which item each line repeats; lines of one item are resampled together. `None`: all differ.
        level: how sure the interval is.
        seed: of the resampling.

    Raises:
        ValueError: there are no values.
    """
    sums, sizes = _by_item(np.asarray(values, dtype=np.float64), items)
    estimate = float(sums.sum() / sizes.sum())
    if len(sums) == 1:
        return Estimate(estimate, -math.inf, math.inf, 1.0)
    if np.all(sums == estimate * sizes):  # nothing varies: there is nothing to resample
        return Estimate(estimate, estimate, estimate, 1.0 if estimate == 0 else _unanimous(len(sums)))
    if len(sums) < _FEW:
        return _of_few(estimate, sums, sizes, level)
    means = np.sort(_resampled(sums, sizes, seed))
    bias = _quantile(_share_below(means, estimate))
    skew = _acceleration(sums, sizes)

    def end(z: float) -> float:
        return float(np.quantile(means, _NORMAL.cdf(bias + (bias + z) / (1 - skew * (bias + z)))))

    reach = _expanded((1 + level) / 2, len(sums))
    p_value = _implied_p(_share_below(means, 0.0), bias, skew, len(sums))
    return Estimate(estimate, end(-reach), end(reach), p_value)


def wilcoxon(differences: Sequence[float]) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test; 1.0 where nothing differs (scipy's)."""
    from scipy.stats import wilcoxon as test  # noqa: PLC0415  # heavy: one figure of a comparison

    changed = [value for value in differences if value]
    return float(test(changed).pvalue) if changed else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value, adjusted for the company it is in: below alpha still means at most alpha false alarms.

    Source: Holm 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def lines_needed(
    difference: float, deviation: float, *, level: float = LEVEL, power: float = 0.8
) -> int | None:
    """How many lines would settle a difference as large as the one seen, with 80 % power.

    For a yes/no metric the deviation is that of the differences -1, 0 and 1, which is the discordance less
    the square of the difference: the formula is then Miettinen's (1968).

    Args:
        difference: the mean paired difference seen (plus the margin, to show "no worse").
        deviation: the standard deviation of the paired differences.
        level: how sure the interval is to be.
        power: how often such a difference is to be found.

    Returns:
        `None` where no difference was seen: no number of lines shows what is not there.
    """
    if not difference:
        return None
    reach = _quantile(0.5 + level / 2) + _quantile(power)
    return max(2, math.ceil((reach * deviation / difference) ** 2))


def _quantile(probability: float) -> float:
    tiny = 1e-12  # the quantiles of 0 and 1 are infinite
    return _NORMAL.inv_cdf(min(max(probability, tiny), 1 - tiny))


def _together(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Newcombe's phi: with a continuity correction where it is positive."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    product: float = both * neither - first * second
    half = (both + first + second + neither) / 2
    if product > 0:
        product = max(product - half, 0)
    return product / math.sqrt(margins)


def _by_item(values: np.ndarray, items: Sequence[Any] | None) -> tuple[np.ndarray, np.ndarray]:
    """The sum and the number of the values of each item."""
    if not len(values):
        raise ValueError("the mean of nothing")
    if items is None:
        return values, np.ones(len(values))
    places = {item: i for i, item in enumerate(dict.fromkeys(items))}
    which = np.fromiter((places[item] for item in items), dtype=np.intp, count=len(values))
    return np.bincount(which, values), np.bincount(which).astype(np.float64)


def _resampled(sums: np.ndarray, sizes: np.ndarray, seed: int) -> np.ndarray:
    """The means of `RESAMPLES` samples of as many items, drawn with replacement."""
    generator = np.random.default_rng(seed)
    kinds, counts = np.unique(np.column_stack([sums, sizes]), axis=0, return_counts=True)
    if len(kinds) * 2 <= len(sums):  # few different items: draw how often each comes
        drawn = generator.multinomial(len(sums), counts / len(sums), size=RESAMPLES).astype(np.float64)
        return np.asarray(drawn @ kinds[:, 0] / (drawn @ kinds[:, 1]))
    parts = []
    step = max(1, _CELLS // len(sums))
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        picked = generator.integers(0, len(sums), size=(rows, len(sums)))
        parts.append(sums[picked].sum(axis=1) / sizes[picked].sum(axis=1))
    return np.concatenate(parts)


def _share_below(means: np.ndarray, value: float) -> float:
    """The share of `means` (sorted) below `value`, ties counted half."""
    left, right = np.searchsorted(means, value, "left"), np.searchsorted(means, value, "right")
    return float(left + right) / (2 * len(means))


def _acceleration(sums: np.ndarray, sizes: np.ndarray) -> float:
    """BCa's `a`, from the means that leave out one item each (Efron and Tibshirani, eq. 14.15)."""
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    away = without.mean() - without
    squares = float((away**2).sum())
    return float((away**3).sum()) / (6 * squares**1.5) if squares else 0.0


def _of_few(estimate: float, sums: np.ndarray, sizes: np.ndarray, level: float) -> Estimate:
    """Student's t, with items in place of lines: what each adds to the mean, less what it was expected to."""
    from scipy.special import stdtr, stdtrit  # noqa: PLC0415  # heavy: first use

    count = len(sums)
    away = (sums - estimate * sizes) / sizes.mean()
    error = math.sqrt(float((away**2).sum()) / (count - 1) / count)
    reach = float(stdtrit(count - 1, (1 + level) / 2)) * error
    p_value = 2 * float(stdtr(count - 1, -abs(estimate) / error))
    return Estimate(estimate, estimate - reach, estimate + reach, p_value)


def _expanded(probability: float, count: int) -> float:
    """How many bootstrap deviations away a tail of few items begins: 1.96 for many, 2.03 for 50."""
    from scipy.special import stdtrit  # noqa: PLC0415  # heavy: first use

    return float(stdtrit(count - 1, probability)) * math.sqrt(count / (count - 1))


def _implied_p(below_zero: float, bias: float, skew: float, count: int) -> float:
    """Twice the tail probability whose end is 0: `mean`'s ends, solved for their probability."""
    from scipy.special import stdtr  # noqa: PLC0415  # heavy: first use

    z = _quantile(below_zero) - bias
    if 1 + skew * z <= 0:
        return 1 / RESAMPLES
    away = abs(z / (1 + skew * z) - bias) / math.sqrt(count / (count - 1))
    return max(2 * float(stdtr(count - 1, -away)), 1 / RESAMPLES)


def _unanimous(count: int) -> float:
    """The sign test's p-value of differences that are all the same."""
    return min(1.0, 2 * 0.5**count)
