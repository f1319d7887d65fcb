"""Is one run better than another? Paired differences, their intervals, and a verdict for each metric."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import stdev
from typing import NamedTuple

from promptflow_lite.evaluation.statistics import (
    LEVEL,
    Estimate,
    holm,
    lines_needed,
    mean,
    newcombe,
    wilcoxon,
    wilson,
)

__all__ = ["Change", "Comparison", "Key", "Scores", "Verdict", "compare", "estimate"]

Scores = Mapping["Key", float]
"""What each line scored in one metric. A line without a score (failed, skipped) is not there."""


class Key(NamedTuple):
    """Which line: what it is about, and which repeat of that."""

    item: Hashable
    """The line number of the data, or the value of a declared id column."""
    repeat: int = 0


class Verdict(StrEnum):
    """What the comparison says of the candidate."""

    better = "better"
    no_worse = "no worse"
    worse = "worse"
    inconclusive = "inconclusive"


class Change(NamedTuple):
    """A line that scored differently."""

    key: Key
    baseline: float
    candidate: float


@dataclass(frozen=True)
class Comparison:
    """One metric of two runs, on the lines that both scored."""

    metric: str
    baseline: str
    candidate: str
    is_yes_no: bool
    """Every score is 0 or 1: compared by McNemar's test and Newcombe's interval, else by bootstrap."""
    pairs: int
    only_baseline: int
    """Lines that only the baseline scored."""
    only_candidate: int
    baseline_mean: Estimate
    """Over the pairs, as `candidate_mean` is."""
    candidate_mean: Estimate
    difference: Estimate
    """Candidate minus baseline."""
    adjusted_p: float
    """The difference's p-value after Holm's correction over the candidates."""
    wilcoxon_p: float | None
    """Beside a graded metric's; it decides nothing."""
    verdict: Verdict
    margin: float | None
    lines_needed: int | None
    """How many lines would settle it, where it is inconclusive; `None`: no number would."""
    lower_is_better: bool
    better: tuple[Change, ...]
    """Lines where the candidate did better, the largest change first."""
    worse: tuple[Change, ...]


def compare(
    metric: str,
    baseline: tuple[str, Scores],
    candidates: Mapping[str, Scores],
    *,
    margin: float | None = None,
    lower_is_better: bool = False,
    level: float = LEVEL,
) -> list[Comparison]:
    """One comparison a candidate, corrected for how many there are.

    Args:
        metric: its name, for the record.
        baseline: name and scores of the run that the others are held against.
        candidates: scores of the others, by name.
        margin: how much worse is still "no worse", in the metric's unit; `None`: that is not asked.
        lower_is_better: as with seconds and cost.
        level: how sure the intervals are.

    Raises:
        ValueError: a candidate shares no scored line with the baseline.
    """
    name, scores = baseline
    found = [
        _of_two(metric, (name, scores), pair, lower_is_better=lower_is_better, level=level)
        for pair in candidates.items()
    ]
    adjusted = holm([one.adjusted_p for one in found])
    return [
        _judged(replace(one, adjusted_p=p, margin=margin), _pairs(scores, candidates[one.candidate]), level)
        for one, p in zip(found, adjusted, strict=True)
    ]


def estimate(scores: Scores, *, level: float = LEVEL) -> Estimate:
    """The mean of one run's scores with its interval: Wilson's for yes/no, else the bootstrap's.

    Raises:
        ValueError: there are no scores.
    """
    values = list(scores.values())
    if _is_yes_no(values) and not _has_repeats(scores):
        return wilson(round(sum(values)), len(values), level=level)
    return mean(values, _items(list(scores)), level=level)


def _of_two(
    metric: str,
    baseline: tuple[str, Scores],
    candidate: tuple[str, Scores],
    *,
    lower_is_better: bool,
    level: float,
) -> Comparison:
    """The comparison before it is judged: the p-value is not adjusted, the verdict open."""
    pairs = _pairs(baseline[1], candidate[1])
    if not pairs:
        raise ValueError(f"{metric}: {baseline[0]} and {candidate[0]} scored no line in common")
    differences = [pair.candidate - pair.baseline for pair in pairs]
    yes_no = _is_yes_no([score for pair in pairs for score in pair[1:]])
    keys = [pair.key for pair in pairs]
    difference = (
        newcombe(*_four_ways(pairs), level=level)
        if yes_no and not _has_repeats(keys)
        else mean(differences, _items(keys), level=level)
    )
    rising = sorted((pair for pair in pairs if pair.candidate > pair.baseline), key=_size, reverse=True)
    falling = sorted((pair for pair in pairs if pair.candidate < pair.baseline), key=_size, reverse=True)
    return Comparison(
        metric=metric,
        baseline=baseline[0],
        candidate=candidate[0],
        is_yes_no=yes_no,
        pairs=len(pairs),
        only_baseline=len(baseline[1]) - len(pairs),
        only_candidate=len(candidate[1]) - len(pairs),
        baseline_mean=estimate({pair.key: pair.baseline for pair in pairs}, level=level),
        candidate_mean=estimate({pair.key: pair.candidate for pair in pairs}, level=level),
        difference=difference,
        adjusted_p=1.0 if difference.p_value is None else difference.p_value,
        wilcoxon_p=None if yes_no else wilcoxon(differences),
        verdict=Verdict.inconclusive,
        margin=None,
        lines_needed=None,
        lower_is_better=lower_is_better,
        better=tuple(falling if lower_is_better else rising),
        worse=tuple(rising if lower_is_better else falling),
    )


def _judged(one: Comparison, pairs: Sequence[Change], level: float) -> Comparison:
    """The comparison with its verdict, seen from the side on which better is up."""
    low, high = one.difference.low, one.difference.high
    gain = one.difference.value
    if one.lower_is_better:
        low, high, gain = -high, -low, -gain
    is_sure = one.adjusted_p <= 1 - level
    if is_sure and low > 0:
        return replace(one, verdict=Verdict.better)
    if is_sure and high < 0:
        return replace(one, verdict=Verdict.worse)
    if one.margin is not None and low > -one.margin:
        return replace(one, verdict=Verdict.no_worse)
    differences = [pair.candidate - pair.baseline for pair in pairs]
    deviation = stdev(differences) if len(differences) > 1 else 0.0
    to_show = gain + (one.margin or 0.0)
    return replace(one, lines_needed=lines_needed(to_show, deviation, level=level) if deviation else None)


def _pairs(baseline: Scores, candidate: Scores) -> list[Change]:
    return [Change(key, score, candidate[key]) for key, score in baseline.items() if key in candidate]


def _four_ways(pairs: Sequence[Change]) -> tuple[int, int, int, int]:
    """How many say yes in both, only in the candidate, only in the baseline, in neither."""
    both = sum(bool(pair.candidate and pair.baseline) for pair in pairs)
    first = sum(pair.candidate > pair.baseline for pair in pairs)
    second = sum(pair.candidate < pair.baseline for pair in pairs)
    return both, first, second, len(pairs) - both - first - second


def _is_yes_no(values: Collection[float]) -> bool:
    return all(value in (0, 1) for value in values)


def _has_repeats(keys: Collection[Key]) -> bool:
    return len({key.item for key in keys}) < len(keys)


def _items(keys: Sequence[Key]) -> list[Hashable] | None:
    return [key.item for key in keys] if _has_repeats(keys) else None


def _size(pair: Change) -> float:
    return abs(pair.candidate - pair.baseline)
