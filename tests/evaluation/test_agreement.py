"""Agreement of raters: against the packages krippendorff and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from krippendorff import alpha as reference_alpha
from sklearn.metrics import cohen_kappa_score

from promptflow_lite.evaluation.agreement import Level, Weights, alpha, alpha_interval, kappa

RATINGS = st.integers(1, 5)
UNITS = st.lists(st.lists(RATINGS, max_size=4), min_size=2, max_size=12)


def as_matrix(units: list[list[int]]) -> Any:
    """Raters by items, as the package wants it; what was not rated is NaN."""
    raters = max(map(len, units))
    return [[unit[r] if r < len(unit) else np.nan for unit in units] for r in range(raters)]


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
@given(units=UNITS.filter(lambda units: len({v for u in units if len(u) > 1 for v in u}) > 1))
def test_alpha_is_that_of_the_package_with_gaps_and_any_number_of_raters(
    level: Level, units: list[list[int]]
) -> None:
    paired = [unit for unit in units if len(unit) > 1]
    expected = reference_alpha(as_matrix(paired), level_of_measurement=level)
    assert alpha(units, level) == pytest.approx(expected, abs=1e-9)


def test_alpha_of_the_published_example() -> None:
    # Krippendorff 2011, section C: four observers, twelve units.
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[value for value in unit if value is not None] for unit in zip(*observers, strict=True)]
    expected: dict[Level, float] = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}
    for level, value in expected.items():
        assert alpha(units, level) == pytest.approx(value, abs=5e-4)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@given(pairs=st.lists(st.tuples(RATINGS, RATINGS), min_size=2, max_size=30))
def test_kappa_is_scikit_learns(weights: Weights | None, pairs: list[tuple[int, int]]) -> None:
    if len({value for pair in pairs for value in pair}) < 2:
        assert kappa(pairs, weights) is None
        return
    people, judge = zip(*pairs, strict=True)
    assert kappa(pairs, weights) == pytest.approx(cohen_kappa_score(people, judge, weights=weights), abs=1e-9)


def test_words_have_kinds_and_no_order() -> None:
    pairs = [("good", "good"), ("bad", "bad"), ("good", "bad")]
    assert kappa(pairs) == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))
    assert alpha(pairs) == pytest.approx(
        reference_alpha(np.array(list(zip(*pairs, strict=True))), level_of_measurement="nominal")
    )


def test_where_all_ratings_are_one_there_is_nothing_to_agree_on() -> None:
    assert alpha([(3, 3), (3, 3)], "ordinal") is None
    assert alpha([(3,), (4,)]) is None
    assert alpha_interval([(3, 3), (3, 3)]) is None
    assert kappa([(3, 3)]) is None
    assert kappa([]) is None


def test_the_interval_of_alpha_holds_the_truth_most_of_the_time() -> None:
    generator = np.random.default_rng(3)

    def sample(count: int) -> list[tuple[int, int]]:
        truth = generator.integers(0, 2, count)
        judge = np.where(generator.random(count) < 0.8, truth, 1 - truth)
        return list(zip(truth.tolist(), judge.tolist(), strict=True))

    hits = 0
    for _ in range(60):
        found = alpha_interval(sample(120))
        assert found is not None
        hits += found.low <= 0.6 <= found.high  # 0.8 right and 0.5 by chance: (0.8 - 0.5) / (1 - 0.5)
    assert hits >= 50  # of 60; 57 expected, fewer than 51 in one of 100 tries at 95 %
