"""How sure are we? Against scipy, statsmodels and published examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from promptflow_lite.evaluation.statistics import (
    holm,
    lines_needed,
    mcnemar,
    mean,
    newcombe,
    wilcoxon,
    wilson,
)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_proportion_is_that_of_statsmodels(counts: tuple[int, int]) -> None:
    successes, count = counts
    found = wilson(successes, count)
    low, high = proportion_confint(successes, count, method="wilson")
    assert found[:3] == pytest.approx((successes / count, low, high), abs=1e-12)


def test_a_proportion_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        wilson(0, 0)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe 1998, Stat. Med. 17:2635, table III, method 10
        ((0, 0, 0, 54), -0.0664, 0.0664),
        ((54, 0, 0, 0), -0.0664, 0.0664),
    ],
)
def test_the_interval_of_a_paired_difference_is_the_published_one(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = newcombe(*table)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(any))
def test_a_paired_difference_lies_in_its_interval_and_turns_around_with_the_runs(
    table: tuple[int, int, int, int],
) -> None:
    both, first, second, neither = table
    found, turned = newcombe(both, first, second, neither), newcombe(both, second, first, neither)
    assert -1 - 1e-9 <= found.low <= found.value <= found.high <= 1 + 1e-9
    assert (turned.low, turned.value, turned.high) == pytest.approx((-found.high, -found.value, -found.low))
    assert turned.p_value == found.p_value


@given(st.integers(0, 700), st.integers(0, 700))
def test_mcnemars_exact_p_value_is_that_of_scipys_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("count", [200, 1000])
@pytest.mark.parametrize("shape", ["normal", "skewed", "coarse"])
def test_the_interval_of_a_mean_is_that_of_scipys_bca_bootstrap(count: int, shape: str) -> None:
    generator = np.random.default_rng(count)
    values = {
        "normal": generator.normal(0.1, 1, count),
        "skewed": generator.exponential(1, count),
        "coarse": generator.integers(1, 6, count).astype(float),
    }[shape]
    found = mean(values.tolist())
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="BCa", rng=np.random.default_rng(7)
    ).confidence_interval
    tolerance = 0.06 * (reference.high - reference.low)  # two seeds of 10,000 resamples
    assert found.low == pytest.approx(reference.low, abs=tolerance)
    assert found.high == pytest.approx(reference.high, abs=tolerance)
    assert found.value == pytest.approx(values.mean())


def test_the_interval_of_few_values_is_as_much_wider_as_students_t() -> None:
    values = np.random.default_rng(2).normal(0, 1, 20)
    found = mean(values.tolist())
    reference = stats.t.interval(0.95, 19, values.mean(), stats.sem(values))
    assert found.high - found.low == pytest.approx(reference[1] - reference[0], rel=0.06)


def test_a_handful_of_values_has_students_t_interval() -> None:
    values = [0.2, 0.5, 0.4, 0.9, 0.3]
    reference = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert mean(values)[1:4] == pytest.approx((*reference, stats.ttest_1samp(values, 0).pvalue))


def test_one_value_says_nothing_of_the_mean() -> None:
    assert mean([0.7])[:3] == (0.7, -np.inf, np.inf)
    assert mean([0.7, 0.9], ["a", "a"]).low == -np.inf


@example([-1.0, -2.0])
@settings(max_examples=30)  # each resamples 10,000 times
@given(st.lists(st.floats(-5, 5, width=16), min_size=2, max_size=40))
def test_the_p_value_never_contradicts_the_interval(values: list[float]) -> None:
    found = mean(values)
    assert found.p_value is not None
    if found.low > 1e-9 or found.high < -1e-9:
        assert found.p_value <= 0.05 + 0.002 or len(set(values)) == 1
    if found.low < -1e-9 and found.high > 1e-9:
        assert found.p_value >= 0.05 - 0.002


def test_repeats_of_an_item_count_as_one_item() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(0, 1, 60)
    once, repeated = (
        mean(values.tolist()),
        mean(np.repeat(values, 10).tolist(), [i // 10 for i in range(600)]),
    )
    assert repeated == pytest.approx(once)
    as_if_new = mean(np.repeat(values, 10).tolist())
    assert as_if_new.high - as_if_new.low < 0.5 * (once.high - once.low)


def test_the_same_values_give_the_same_interval_each_time() -> None:
    values = [0.1, 0.4, 0.35, 0.9, 0.2, 0.65]
    assert mean(values) == mean(values)


def test_values_that_do_not_vary_have_an_interval_without_width() -> None:
    assert mean([0.0, 0.0, 0.0])[:4] == (0.0, 0.0, 0.0, 1.0)
    assert mean([0.5] * 10)[:3] == (0.5, 0.5, 0.5)


def test_a_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        mean([])


def test_wilcoxons_p_value_leaves_out_lines_that_did_not_change() -> None:
    changed = [0.3, -0.1, 0.4, 0.25, 0.6, -0.05, 0.7]
    assert wilcoxon([0.0, 0.0, *changed]) == stats.wilcoxon(changed).pvalue
    assert wilcoxon([0.0, 0.0]) == 1.0


@settings(max_examples=10)  # statsmodels takes 0.2 s for each
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_holms_correction_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_the_number_of_lines_needed_finds_the_difference_four_times_in_five() -> None:
    p_first, p_second = 0.15, 0.05  # discordant shares
    difference = p_first - p_second
    needed = lines_needed(difference, (p_first + p_second - difference**2) ** 0.5)
    assert needed is not None
    generator = np.random.default_rng(11)
    shares = [p_first, p_second, 1 - p_first - p_second]
    tables = generator.multinomial(needed, shares, size=2000)
    power = np.mean([mcnemar(int(a), int(b)) <= 0.05 for a, b, _ in tables])
    assert 0.72 <= power <= 0.86  # the exact test is a little less powerful than the formula's


def test_no_number_of_lines_shows_a_difference_that_is_not_there() -> None:
    assert lines_needed(0.0, 0.4) is None
