"""What did a run take? Percentiles of its lines' seconds, tokens and cost of a line, the rate of failure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["PERCENTILES", "percentiles", "used"]

PERCENTILES = (50, 90, 95, 99)


def percentiles(values: Sequence[float], which: Sequence[float] = PERCENTILES) -> list[float]:
    """Percentiles with linear interpolation between the two nearest values.

    Source: Hyndman and Fan 1996, definition 7; numpy's default.

    >>> percentiles([1.0, 2.0, 4.0], [0, 50, 75])
    [1.0, 2.0, 3.0]

    Raises:
        ValueError: there are no values.
    """
    ordered = np.array(values, dtype=np.float64)
    if not len(ordered):
        raise ValueError("there are no values")
    places = [(len(ordered) - 1) * one / 100 for one in which]
    below = [int(place) for place in places]
    above = [min(place + 1, len(ordered) - 1) for place in below]
    ordered.partition(sorted({*below, *above}))  # no more is in order than what is read
    return [
        float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))
        for place, low, high in zip(places, below, above, strict=True)
    ]


def used(
    seconds: Sequence[float], tokens: Sequence[int], costs: Sequence[float | None], failed: int
) -> dict[str, float]:
    """The figures of a run, by name; those of which nothing is known are left out.

    Args:
        seconds: of each completed line.
        tokens: of each line, prompt and completion together.
        costs: of each line, in US dollars; `None` where no price is known.
        failed: how many lines failed, beside the completed ones.
    """
    found: dict[str, float] = {}
    if seconds:
        names = [f"seconds_p{one}" for one in PERCENTILES]
        found |= dict(zip(names, percentiles(seconds), strict=True))
    if any(tokens):
        found |= {"total_tokens": sum(tokens) / len(tokens)}
    known = [cost for cost in costs if cost is not None]
    if known:
        found |= {"cost": sum(known)}
    if len(seconds) + failed:
        found["failure_rate"] = failed / (len(seconds) + failed)
    return found
