"""Is a deployment as good as the others? What was observed of both while they shared the traffic.

Requests are given to one or the other by lot, so their answers are two independent samples: not paired, as
the lines of two runs are. The interval of a difference is made of those of both figures (Newcombe 1998, Stat.
Med. 17:873, method 10, for proportions; Zou and Donner 2008, Stat. Med. 27:1693, for any figure).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.evaluation import gate as gates
from promptflow_lite.evaluation.compare import Comparison, Verdict
from promptflow_lite.evaluation.gate import Gate, Outcome, Result, Rule
from promptflow_lite.evaluation.statistics import LEVEL, Estimate, mean, wilson

__all__ = [
    "METRICS",
    "Sample",
    "difference",
    "figures",
    "judge",
    "known",
    "outcome_of",
    "quantile",
    "rules_of",
]

_QUANTILES = {"seconds_p50": 0.5, "seconds_p90": 0.9, "seconds_p95": 0.95, "seconds_p99": 0.99}
METRICS = ("failure_rate", *_QUANTILES, "feedback")
"""The share of answers that are the deployment's failures (5xx), the seconds of the others, the mean score of
those that people rated."""
_HIGHER_IS_BETTER = ("feedback",)


class Sample(Protocol):
    """What was observed of a deployment."""

    @property
    def answers(self) -> int:
        """How many there were."""
        ...

    @property
    def failures(self) -> int:
        """How many of them were its own failures."""
        ...

    @property
    def seconds(self) -> Sequence[float]:
        """How long the others took."""
        ...

    @property
    def scores(self) -> Sequence[float]:
        """What people gave."""
        ...


def known(rules: Sequence[Rule]) -> None:
    """Refuse a rule about what is not observed.

    Raises:
        InputError: the first such metric (code `unknown-metric`).
    """
    for rule in rules:
        if rule.metric not in METRICS:
            hint = near_miss(rule.metric, METRICS) or f"there are: {', '.join(METRICS)}"
            raise InputError(f"a roll-out does not observe {rule.metric!r}; {hint}", code="unknown-metric")


def judge(
    rules: Sequence[Rule],
    candidate: tuple[str, Sample],
    baseline: tuple[str, Sample],
    *,
    level: float = LEVEL,
) -> list[Result]:
    """Each rule's outcome; one about what nothing was observed of is inconclusive.

    Args:
        rules: of the roll-out.
        candidate: the deployment that shall get more traffic, with its name.
        baseline: those that had it, with a name for all of them.
        level: how sure the intervals are.
    """
    name, sample = candidate
    own, theirs = figures(sample, level=level), figures(baseline[1], level=level)
    margins = Gate(tuple(rules)).margins
    found = []
    for rule in rules:
        is_compared = rule.kind in ("better_than_baseline", "no_worse_by")
        if rule.metric not in own or (is_compared and rule.metric not in theirs):
            found.append(Result(rule, name, Outcome.inconclusive, "nothing was observed of it"))
            continue
        comparisons = {}
        if is_compared:
            pair = (name, own[rule.metric]), (baseline[0], theirs[rule.metric])
            sizes = sample.answers, baseline[1].answers
            comparisons = {rule.metric: _compared(rule.metric, *pair, sizes, margins.get(rule.metric))}
        found += gates.check(Gate((rule,)), name, own, comparisons)
    return found


def figures(sample: Sample, *, level: float = LEVEL) -> dict[str, Estimate]:
    """What was observed, each figure with its interval; without those of which nothing was."""
    found: dict[str, Estimate] = {}
    if sample.answers:
        found["failure_rate"] = wilson(sample.failures, sample.answers, level=level)
    if len(sample.seconds):
        ordered = np.sort(np.asarray(sample.seconds, dtype=np.float64))
        found |= {name: quantile(ordered, q, level=level) for name, q in _QUANTILES.items()}
    if len(sample.scores):
        scores = [float(score) for score in sample.scores]
        is_yes_no = all(score in (0, 1) for score in scores)
        found["feedback"] = (
            wilson(round(sum(scores)), len(scores), level=level) if is_yes_no else mean(scores, level=level)
        )
    return found


def quantile(ordered: np.ndarray, share: float, *, level: float = LEVEL) -> Estimate:
    """A quantile of times, with an interval between two of them that holds for any distribution.

    An end for which there are too few of them is 0 or infinite.

    Source: Conover 1999, section 3.2: how many are below a quantile has a binomial distribution.

    Args:
        ordered: seconds, ascending.
        share: which quantile, between 0 and 1.
        level: how sure the interval is.
    """
    from scipy.special import bdtr  # noqa: PLC0415  # heavy: first use

    count, tail = len(ordered), (1 - level) / 2
    at_most = bdtr(np.arange(count + 1), count, share)
    below = int(np.searchsorted(at_most, tail, side="right"))  # so many k have P(X <= k) <= tail
    above = int(np.searchsorted(at_most, 1 - tail, side="left")) + 1
    low = float(ordered[below - 1]) if below else 0.0
    high = float(ordered[above - 1]) if above <= count else math.inf
    return Estimate(float(np.quantile(ordered, share)), low, high)


def difference(one: Estimate, other: Estimate) -> Estimate:
    """One figure minus another of an independent sample."""
    found = one.value - other.value
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(found, found - down, found + up)


def _compared(
    metric: str,
    candidate: tuple[str, Estimate],
    baseline: tuple[str, Estimate],
    sizes: tuple[int, int],
    margin: float | None,
) -> Comparison:
    """The comparison, as a gate reads it; that of two samples has no pairs and no p-value."""
    found = difference(candidate[1], baseline[1])
    lower_is_better = metric not in _HIGHER_IS_BETTER
    return Comparison(
        metric=metric,
        baseline=baseline[0],
        candidate=candidate[0],
        is_yes_no=metric == "failure_rate",
        pairs=0,
        only_baseline=sizes[1],
        only_candidate=sizes[0],
        baseline_mean=baseline[1],
        candidate_mean=candidate[1],
        difference=found,
        adjusted_p=1.0,
        wilcoxon_p=None,
        verdict=_verdict(found, margin, lower_is_better=lower_is_better),
        margin=margin,
        lines_needed=None,
        lower_is_better=lower_is_better,
        better=(),
        worse=(),
    )


def _verdict(found: Estimate, margin: float | None, *, lower_is_better: bool) -> Verdict:
    """What the interval says; a loss that is surely smaller than the margin is none."""
    low, high = (-found.high, -found.low) if lower_is_better else (found.low, found.high)
    if low > 0:
        return Verdict.better
    if margin is not None and low > -margin:
        return Verdict.no_worse
    return Verdict.worse if high < 0 else Verdict.inconclusive


def outcome_of(results: Sequence[Result]) -> tuple[str, str]:
    """The worst outcome of all, and the rules that it is due to, for people."""
    worst = gates.verdict(results)
    said = [f"{one.rule}: {one.why}" for one in results if one.outcome is worst]
    return worst.value, "; ".join(said)


def rules_of(kept: Sequence[Mapping[str, object]]) -> list[Rule]:
    """Rules, from where an endpoint keeps them."""
    return [
        Rule(str(one["metric"]), str(one["kind"]), float(str(one["bound"])), bool(one.get("is_sure")))
        for one in kept
    ]
