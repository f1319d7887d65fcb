"""Rules about a difference: what its interval says, and not only whether it is there."""

from __future__ import annotations

import pytest

from promptflow_lite.evaluation.compare import Key, compare
from promptflow_lite.evaluation.gate import Gate, Outcome, Rule, check
from promptflow_lite.evaluation.statistics import Estimate

LINES = [Key(number) for number in range(40)]


@pytest.mark.parametrize(
    ("loss", "margin", "outcome"),
    [(4.0, 100.0, Outcome.passed), (4.0, 3.0, Outcome.failed), (4.0, 4.0, Outcome.inconclusive)],
)
@pytest.mark.parametrize("lower_is_better", [False, True])
def test_a_sure_loss_passes_if_the_margin_holds_all_of_its_interval(
    loss: float, margin: float, outcome: Outcome, lower_is_better: bool
) -> None:
    sign = 1 if lower_is_better else -1
    baseline = {key: float(key.item) for key in LINES}  # type: ignore[arg-type]  # items are numbers here
    candidate = {
        key: value + sign * (loss + (n % 3 - 1) / 10) for n, (key, value) in enumerate(baseline.items())
    }
    [found] = compare(
        "score",
        ("before", baseline),
        {"after": candidate},
        margin=margin,
        lower_is_better=lower_is_better,
    )
    rule = Rule("score", "no_worse_by", margin)
    [result] = check(Gate((rule,)), "after", {}, {"score": found})
    assert found.verdict == "worse"
    assert result.outcome is outcome


@pytest.mark.parametrize(
    ("bound", "is_sure", "outcome"),
    [
        (0.7, False, Outcome.passed),
        (0.9, False, Outcome.failed),
        (0.7, True, Outcome.inconclusive),
        (0.9, True, Outcome.failed),
    ],
)
def test_a_figure_of_the_whole_run_has_no_interval_and_keeps_no_bound_surely(
    bound: float, is_sure: bool, outcome: Outcome
) -> None:
    figures = {"accuracy": Estimate(0.8, 0.8, 0.8, has_interval=False)}
    [result] = check(Gate((Rule("accuracy", "at_least", bound, is_sure),)), "after", figures, {})
    assert result.outcome is outcome
    assert " to " not in result.why
