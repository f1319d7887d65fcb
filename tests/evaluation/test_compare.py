"""Is one run better than another?"""

from __future__ import annotations

import numpy as np
import pytest

from promptflow_lite.evaluation.compare import Change, Comparison, Key, Scores, Verdict, compare


def scores(values: list[float], first: int = 0) -> Scores:
    """Of lines numbered from `first`."""
    return {Key(first + i): value for i, value in enumerate(values)}


def one(baseline: Scores, candidate: Scores, **how: object) -> Comparison:
    return compare("accuracy", ("a", baseline), {"b": candidate}, **how)[0]  # type: ignore[arg-type]


YES_NO = [1.0, 0.0] * 20
RIGHT = [1.0] * 40


def test_more_right_answers_on_the_same_lines_are_better() -> None:
    found = one(scores(YES_NO), scores(RIGHT))
    assert (found.verdict, found.is_yes_no, found.pairs) == (Verdict.better, True, 40)
    assert found.difference.value == 0.5
    assert found.lines_needed is None
    assert len(found.better) == 20
    assert found.better[0] == Change(Key(1), 0.0, 1.0)
    assert found.worse == ()


def test_fewer_right_answers_are_worse() -> None:
    assert one(scores(RIGHT), scores(YES_NO)).verdict is Verdict.worse


def test_a_lower_cost_is_better_where_lower_is_better() -> None:
    dear, cheap = scores([2.0, 3.0, 2.5, 2.2, 2.8, 2.6] * 5), scores([1.0, 1.1, 0.9, 1.3, 1.2, 0.8] * 5)
    found = one(dear, cheap, lower_is_better=True)
    assert found.verdict is Verdict.better
    assert found.difference.value < 0
    assert len(found.better) == 30


def test_lines_that_only_one_run_scored_are_counted_and_left_out() -> None:
    found = one(scores([1, 0, 1, 1]), scores([1, 1, 1], first=2))
    assert (found.pairs, found.only_baseline, found.only_candidate) == (2, 2, 1)
    assert found.baseline_mean.value == 1.0


def test_runs_without_a_scored_line_in_common_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no line in common"):
        one(scores([1.0]), scores([1.0], first=9))


def test_a_small_difference_is_inconclusive_and_says_how_many_lines_would_settle_it() -> None:
    found = one(scores([1, 0, 1, 0, 1, 1, 0, 1, 1, 1]), scores([1, 1, 1, 0, 1, 1, 0, 1, 1, 1]))
    assert found.verdict is Verdict.inconclusive
    assert found.lines_needed is not None
    assert found.lines_needed > 10


def test_equal_runs_are_no_worse_within_a_margin_and_inconclusive_without() -> None:
    values = np.random.default_rng(5).uniform(0, 1, 300).tolist()
    nudged = (np.array(values) + np.random.default_rng(6).normal(0, 0.02, 300)).tolist()
    assert one(scores(values), scores(nudged), margin=0.05).verdict is Verdict.no_worse
    assert one(scores(values), scores(values)).verdict is Verdict.inconclusive


def test_with_many_candidates_the_p_values_are_corrected() -> None:
    baseline = scores(YES_NO)
    slightly = scores([1.0 if i < 12 else value for i, value in enumerate(YES_NO)])  # 6 more are right
    alone = compare("accuracy", ("a", baseline), {"b": slightly})[0]
    crowd = {"b": slightly} | {f"c{i}": baseline for i in range(5)}
    among = compare("accuracy", ("a", baseline), crowd)[0]
    assert alone.adjusted_p == pytest.approx(2 * 0.5**6)
    assert among.adjusted_p == pytest.approx(6 * 2 * 0.5**6)
    assert (alone.verdict, among.verdict) == (Verdict.better, Verdict.inconclusive)


def test_repeats_of_a_line_are_one_item() -> None:
    def repeated(values: list[float]) -> Scores:
        return {Key(i, k): value for i, value in enumerate(values) for k in range(20)}

    few = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    more = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    found = one(repeated(few), repeated(more))
    assert found.pairs == 120
    assert found.verdict is Verdict.inconclusive  # six items, however often they were asked


def test_a_graded_metric_has_wilcoxons_p_value_beside_it() -> None:
    found = one(scores([0.1, 0.5, 0.3, 0.7] * 5), scores([0.4, 0.6, 0.35, 0.9] * 5))
    assert found.verdict is Verdict.better
    assert found.wilcoxon_p is not None
    assert found.wilcoxon_p < 0.01
