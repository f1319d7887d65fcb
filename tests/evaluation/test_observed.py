"""Deployments held against each other by what was observed: intervals as scipy and statsmodels have them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from promptflow_lite.errors import InputError
from promptflow_lite.evaluation.gate import Outcome, Rule
from promptflow_lite.evaluation.observed import difference, figures, judge, known, outcome_of, quantile
from promptflow_lite.evaluation.statistics import wilson


@dataclass
class Seen:
    answers: int = 0
    failures: int = 0
    seconds: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


FAILURES = Rule("failure_rate", "no_worse_by", 0.05)


def verdict(rule: Rule, own: Seen, theirs: Seen) -> Outcome:
    (found,) = judge([rule], ("green", own), ("blue", theirs))
    return found.outcome


@pytest.mark.parametrize("a, n, b, m", [(3, 50, 1, 60), (0, 40, 0, 300), (56, 70, 48, 80), (9, 10, 3, 10)])
def test_the_difference_of_two_rates_is_newcombes(a: int, n: int, b: int, m: int) -> None:
    found = difference(wilson(a, n), wilson(b, m))
    low, high = confint_proportions_2indep(a, n, b, m, method="newcomb", compare="diff")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("count, share", [(30, 0.5), (200, 0.9), (500, 0.95), (5000, 0.99)])
def test_the_interval_of_a_quantile_is_scipys(count: int, share: float) -> None:
    ordered = np.sort(np.random.default_rng(count).lognormal(size=count))
    found = quantile(ordered, share)
    theirs = stats.quantile_test(ordered, q=0, p=share).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_an_interval_of_a_quantile_holds_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    true = float(np.log(20))  # the 95th percentile of an exponential
    hits = 0
    for _ in range(400):
        found = quantile(np.sort(random.exponential(size=150)), 0.95)
        hits += found.low <= true <= found.high
    assert hits >= 372  # of 400 at 95 % or more: 93 % is 2 deviations below


def test_few_answers_say_nothing_of_a_high_quantile() -> None:
    found = quantile(np.arange(20.0), 0.99)
    assert found.high == float("inf")
    rule = Rule("seconds_p99", "no_worse_by", 1.0)
    assert verdict(rule, Seen(20, 0, [1.0] * 20), Seen(20, 0, [1.0] * 20)) is Outcome.inconclusive


def test_failures_are_no_worse_worse_or_not_yet_known() -> None:
    assert verdict(FAILURES, Seen(500, 5), Seen(500, 5)) is Outcome.passed
    assert verdict(FAILURES, Seen(200, 60), Seen(500, 5)) is Outcome.failed
    assert verdict(FAILURES, Seen(30, 1), Seen(30, 0)) is Outcome.inconclusive
    better = Rule("failure_rate", "better_than_baseline", 0.0)
    assert verdict(better, Seen(500, 5), Seen(500, 60)) is Outcome.passed


def test_a_loss_that_is_surely_smaller_than_the_margin_passes() -> None:
    own, theirs = Seen(100_000, 1_500), Seen(100_000, 1_000)  # surely worse, by half of a hundredth
    assert verdict(FAILURES, own, theirs) is Outcome.passed


def test_seconds_and_scores_are_compared_in_their_own_direction() -> None:
    slow, fast = (
        Seen(300, 0, [2.0 + n / 300 for n in range(300)]),
        Seen(300, 0, [n / 300 for n in range(300)]),
    )
    rule = Rule("seconds_p95", "no_worse_by", 0.5)
    assert (verdict(rule, slow, fast), verdict(rule, fast, slow)) == (Outcome.failed, Outcome.passed)
    liked, disliked = Seen(200, scores=[1.0] * 190 + [0.0] * 10), Seen(200, scores=[1.0] * 60 + [0.0] * 140)
    rule = Rule("feedback", "no_worse_by", 0.1)
    assert (verdict(rule, disliked, liked), verdict(rule, liked, disliked)) == (
        Outcome.failed,
        Outcome.passed,
    )
    assert verdict(rule, Seen(200), liked) is Outcome.inconclusive  # nobody has said anything
    assert "feedback" not in figures(Seen(200))


def test_a_bound_is_held_by_the_figure_or_surely() -> None:
    own, theirs = Seen(100, 4), Seen()
    assert verdict(Rule("failure_rate", "at_most", 0.05), own, theirs) is Outcome.passed
    assert verdict(Rule("failure_rate", "at_most", 0.05, is_sure=True), own, theirs) is Outcome.inconclusive


def test_the_worst_rule_is_the_verdict_and_the_reason() -> None:
    rules = [FAILURES, Rule("seconds_p50", "at_most", 1.0)]
    found = judge(rules, ("green", Seen(500, 5, [3.0] * 495)), ("blue", Seen(500, 5, [1.0] * 495)))
    worst, why = outcome_of(found)
    assert worst == "fail"
    assert why.startswith("seconds_p50 at most 1: 3")


def test_a_rule_about_what_is_not_observed_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'seconds_p95'"):
        known([Rule("second_p95", "at_most", 1.0)])


def test_false_alarms_over_all_steps_and_looks_are_as_rare_as_said() -> None:
    from promptflow_lite.serving.endpoints.steps import LEVEL, level_of

    for steps in (1, 2, 5):
        spent = sum(1 - level_of(steps, look) for look in range(4)) * steps
        assert spent < 1 - LEVEL
